import type { KeyRule } from '../../routing/route.ts'
import type { DataPathContext } from '../context.ts'
import { nameOnPrimary } from '../copy/copied-key.ts'
import type { AckWaiter } from '../shadow/ack-waiter.ts'
import type { DirtyReason } from './dirty-key.ts'
import type { DirtySet } from './dirty-set.ts'

/**
 * A key is dirty, by what the table said of it when it was written or asked for (`asked`), which may be long ago: it is so by the table in force, under the route that has it now.
 *
 * Where it has another primary by then, or another name there, it is not copied: that would put what the new primary has over what it may lack. A switch waits for whoever marks keys, unless it is forced, and then its routes
 * need a verify (`left-behind.ts`); so does the key's, for whatever else has brought it here.
 */
export function markKey(
  { routes }: DataPathContext,
  dirty: DirtySet,
  asked: KeyRule,
  database: number,
  key: Buffer,
  reason: DirtyReason,
  nowMs: number,
  waiter: AckWaiter | null = null,
): void {
  if (routes.routes[asked.route.index] === asked.route)
    return dirty.mark(asked.route, database, key, reason, nowMs, waiter)
  const now = routes.find(key, 0, key.length)
  if (now.route.shadow === null) return
  if (
    now.route.primary.keyspace === asked.route.primary.keyspace &&
    nameOnPrimary(now, key).equals(nameOnPrimary(asked, key))
  )
    return dirty.mark(now.route, database, key, reason, nowMs, waiter)
  dirty.toVerify.mark(now.route.name, 'turned')
  if (waiter !== null) waiter.failed = true
}
