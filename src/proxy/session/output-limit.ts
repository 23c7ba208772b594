import type { OutputLimit } from '../../config/config.ts'
import type { DataPath } from '../data-path.ts'
import type { ClientReplies } from './client-replies.ts'

/**
 * Keeps what a client leaves unread within `clients.outputBuffer`, with the manners of Redis' `client-output-buffer-limit`: beyond `hard` it is disconnected at once, beyond `soft`
 * when it stays there for `softTime`. Called for a session beyond the lowest of the limits, or that was.
 */
export function keepWithinLimit(session: ClientReplies): void {
  const { path } = session
  const limit = limitOf(session)
  const bytes = session.unreadBytes
  if (bytes > limit.hardBytes) return disconnect(session, bytes, 'hard')
  if (limit.softBytes === 0 || bytes <= limit.softBytes) {
    path.slowClients.delete(session)
    return
  }
  const since = path.slowClients.get(session)
  const nowMs = path.clock.nowMs
  if (since === undefined) path.slowClients.set(session, nowMs)
  else if (nowMs - since >= limit.softMs) disconnect(session, bytes, 'soft')
}

/** The time of the slow ones goes on while nothing is said to them. */
export function lookAfterSlowClients(path: DataPath): void {
  for (const session of [...path.slowClients.keys()]) keepWithinLimit(session)
}

/** Below this no limit can be reached: what a session compares with at each reply. */
export function lowestLimit({ normal, pubsub }: { normal: OutputLimit; pubsub: OutputLimit }): number {
  return Math.min(lowest(normal), lowest(pubsub))
}

function lowest({ hardBytes, softBytes }: OutputLimit): number {
  return softBytes === 0 ? hardBytes : Math.min(hardBytes, softBytes)
}

function limitOf({ path, pin }: ClientReplies): OutputLimit {
  const { normal, pubsub } = path.clients.outputBuffer
  for (let at = pin; at !== null; at = at.outer) if (at.kind === 'subscriber') return pubsub
  return normal
}

function disconnect(session: ClientReplies, bytes: number, reached: 'hard' | 'soft'): void {
  session.path.slowClients.delete(session)
  session.path.log({
    level: 'warn',
    msg: 'a client does not read what it is sent and was disconnected',
    fields: { bytes, reason: `beyond the ${reached} limit of clients.outputBuffer` },
  })
  session.socket.destroy()
}
