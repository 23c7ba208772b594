import { PLUS } from '../../resp/bytes.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { FRAME } from '../../resp/encode.ts'
import type { Identity } from '../connection/handshake.ts'
import type { ClusterSender } from './cluster-sender.ts'
import { orError } from './merge.ts'
import type { NodeLinks } from './node-links.ts'
import type { ReplyPlaces } from './reply-places.ts'

/** What `AUTH ...` or `HELLO version` makes of a connection of one client's own: its user and its protocol hold at every node, and those that it has not reached are greeted so when they are. */
export function identityIn(name: 'AUTH' | 'HELLO', view: CommandView): Partial<Identity> {
  const said: string[] = []
  for (let i = 1; i < view.argc; i++) said.push(view.buf.toString('latin1', view.start[i], view.end[i]))
  if (name === 'HELLO') return said.length === 0 ? {} : { protocol: said[0] === '3' ? 3 : 2 }
  return { user: { key: JSON.stringify(said), login: said, before: null } }
}

/** Tells the same to the nodes that it has reached. Of an AUTH the answer is OK only where it is that of each: what comes in the place of one says that this node has refused it (`changeUser`). */
export function tellReached(links: NodeLinks, sender: ClusterSender, places: ReplyPlaces, view: CommandView): void {
  const { reached } = links
  if (reached.length === 0) return places.answer(FRAME.OK)
  const bytes = view.buf.subarray(view.frameStart, view.frameEnd)
  const place = places.addWhole(
    reached.length,
    orError((frames) => frames.find((frame) => frame[0] !== PLUS) ?? frames[0]!),
  )
  for (const [i, node] of reached.entries()) sender.sendTo(node, bytes, 1, place, i)
}
