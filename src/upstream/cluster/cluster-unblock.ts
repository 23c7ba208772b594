import type { CommandView } from '../../resp/command-view.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import { AHEAD_OF_UNBLOCK } from '../pipeline/ahead-of-unblock.ts'
import type { Unblocking } from '../pipeline/pipeline-connection.ts'
import type { ClusterSender } from './cluster-sender.ts'
import { NodeLink } from './node-link.ts'
import type { Debtor, ReplyPlaces } from './reply-places.ts'

/**
 * What cancels the command that `debtor` owes an answer to. A connection is known to its node alone, so the command names that as well:
 *
 *   CLIENT UNBLOCK id host port ─▶ another pipeline to this cluster ─▶ CLIENT UNBLOCK id ─▶ the node
 */
export function unblockingAt(debtor: Debtor | null): Unblocking {
  if (!(debtor instanceof NodeLink) || debtor.pipeline.state !== 'up') return 'later'
  const { clientId } = debtor.pipeline
  const { host, port } = debtor.node
  return clientId === 0 ? 'impossible' : encodeOwn(['CLIENT', 'UNBLOCK', clientId, host, port])
}

/** Sends to its node what `unblockingAt` has said. */
export function clusterUnblock(sender: ClusterSender, places: ReplyPlaces, view: CommandView): void {
  const [id, host, port] = [2, 3, 4].map((i) => view.buf.toString('latin1', view.start[i], view.end[i]))
  const bytes = Buffer.concat([AHEAD_OF_UNBLOCK, encodeOwn(['CLIENT', 'UNBLOCK', id!])])
  sender.sendTo({ host: host!, port: Number(port) }, bytes, 2, places.add(), 0)
}
