import type { CommandView } from '../../resp/command-view.ts'
import { encodeCommand } from '../../resp/encode.ts'
import type { Cluster } from './cluster.ts'
import type { ClusterSender } from './cluster-sender.ts'
import type { ReplyPlaces } from './reply-places.ts'

/**
 * SCAN of a whole cluster: node after node. The cursor is the node's own times 256, plus the node's place among all that were ever seen; a node that has gone meanwhile ends the scan with
 * an error, since its cursor means nothing to another.
 */
export function clusterScan(cluster: Cluster, sender: ClusterSender, places: ReplyPlaces, view: CommandView): void {
  const text = view.argc > 1 ? view.buf.toString('latin1', view.start[1], view.end[1]) : ''
  if (!/^\d{1,20}$/.test(text)) return places.refuse('ERR invalid cursor')
  const { masters } = cluster.topology!
  const cursor = BigInt(text)
  const order = masters.map(({ id }) => cluster.seen.indexOf(id)).sort((one, other) => one - other)
  const at = cursor === 0n ? order[0]! : Number(cursor % NODES)
  const node = masters.find(({ id }) => id === cluster.seen[at])
  if (node === undefined || at >= Number(NODES)) {
    return places.refuse(
      'ERR Understudy: the node of this cursor is no master of the cluster any more; begin again with 0',
    )
  }
  const args: (Buffer | string)[] = []
  for (let i = 0; i < view.argc; i++) args.push(Buffer.from(view.buf.subarray(view.start[i], view.end[i])))
  args[1] = String(cursor / NODES)
  const next = order.find((place) => place > at)
  const place = places.addWhole(1, ([frame]) => {
    const match = /^\*2\r\n\$\d+\r\n(\d+)\r\n/.exec(frame!.toString('latin1', 0, 64))
    if (match === null) return frame!
    const own = BigInt(match[1]!)
    const given = own === 0n ? (next === undefined ? 0n : BigInt(next)) : own * NODES + BigInt(at)
    const shown = String(given)
    const head = Buffer.from(`*2\r\n$${shown.length}\r\n${shown}\r\n`)
    return Buffer.concat([head, frame!.subarray(match[0].length)])
  })
  sender.sendTo(node, encodeCommand(args), 1, place, 0)
}

const NODES = 256n
