import type { CommandView } from '../../resp/command-view.ts'
import { FRAME } from '../../resp/encode.ts'
import type { ClusterSender } from './cluster-sender.ts'
import { orError } from './merge.ts'
import type { NodeLinks } from './node-links.ts'
import type { ReplyPlaces } from './reply-places.ts'

/**
 * `AUTH ...` or `HELLO version` on a connection of one client's own: its user and its protocol hold at every node. Those that it has reached are told, and the others are greeted so when they are.
 */
export function clusterIdentity(
  links: NodeLinks,
  sender: ClusterSender,
  places: ReplyPlaces,
  name: 'AUTH' | 'HELLO',
  view: CommandView,
): void {
  const said: string[] = []
  for (let i = 1; i < view.argc; i++) said.push(view.buf.toString('latin1', view.start[i], view.end[i]))
  if (name === 'AUTH') links.become({ user: { key: JSON.stringify(said), login: said, before: null } })
  else links.become({ protocol: said[0] === '3' ? 3 : 2 })
  const { reached } = links
  if (reached.length === 0) return places.answer(FRAME.OK)
  const bytes = view.buf.subarray(view.frameStart, view.frameEnd)
  const place = places.addWhole(
    reached.length,
    orError(([frame]) => frame!),
  )
  for (const [i, node] of reached.entries()) sender.sendTo(node, bytes, 1, place, i)
}
