import type { CommandView } from '../../resp/command-view.ts'
import { encodeCommand } from '../../resp/encode.ts'
import type { Cluster } from './cluster.ts'
import type { ClusterSender } from './cluster-sender.ts'
import type { ReplyPlaces } from './reply-places.ts'

/**
 * SCAN of a whole cluster: node after node. The cursor is the node's own times 1,024, plus a mark of the node: its place among all that were ever seen, counted from a number that those seen first make. So it
 * means nothing, all but always, to another process that has seen other nodes first and would pass one over. A mark of no node ends the scan with an error, as that of a node that has gone does, whose cursor
 * means nothing to another.
 */
export function clusterScan(cluster: Cluster, sender: ClusterSender, places: ReplyPlaces, view: CommandView): void {
  const text = view.argc > 1 ? view.buf.toString('latin1', view.start[1], view.end[1]) : ''
  if (!/^\d{1,20}$/.test(text)) return places.refuse('ERR invalid cursor')
  const { masters } = cluster.topology!
  const cursor = BigInt(text)
  const order = masters.map(({ id }) => cluster.seen.indexOf(id)).sort((one, other) => one - other)
  const markOf = (place: number): bigint => 1n + BigInt((cluster.seenFirst + place) % PLACES)
  const at = cursor === 0n ? order[0] : order.find((place) => markOf(place) === cursor % MARKS)
  if (at === undefined) {
    return places.refuse(
      'ERR Understudy: the node of this cursor is no master of the cluster any more; begin again with 0',
    )
  }
  const node = masters.find(({ id }) => id === cluster.seen[at])!
  const args: (Buffer | string)[] = []
  for (let i = 0; i < view.argc; i++) args.push(Buffer.from(view.buf.subarray(view.start[i], view.end[i])))
  args[1] = String(cursor / MARKS)
  const next = order.find((place) => place > at)
  const place = places.addWhole(1, ([frame]) => {
    const match = /^\*2\r\n\$\d+\r\n(\d+)\r\n/.exec(frame!.toString('latin1', 0, 64))
    if (match === null) return frame!
    const own = BigInt(match[1]!)
    const given = own === 0n ? (next === undefined ? 0n : markOf(next)) : own * MARKS + markOf(at)
    const shown = String(given)
    const head = Buffer.from(`*2\r\n$${shown.length}\r\n${shown}\r\n`)
    return Buffer.concat([head, frame!.subarray(match[0].length)])
  })
  sender.sendTo(node, encodeCommand(args), 1, place, 0)
}

/** 0 is none: by it a scan begins and ends. The fewer there are, the larger may a store's own cursor be (`ScanCursor`). */
const MARKS = 1_024n
const PLACES = Number(MARKS) - 1
