import type { Route } from '../../routing/route.ts'
import type { DataPathContext } from '../context.ts'
import type { DirtyKey, DirtyReason } from './dirty-key.ts'
import type { DirtySet } from './dirty-set.ts'

/** Reasons that are a part of mirroring: the primary has just executed a write of a client, which goes to the shadow as a copy. */
const OF_WRITES: ReadonlySet<DirtyReason> = new Set(['state-copy', 'overlap', 'unknown-effect'])

/** `unless-gone`: where the primary lacks the key it rests. `rests`: not before a verify has found no difference. */
export type CopyManner = 'at-once' | 'unless-gone' | 'rests'

/**
 * How a dirty key is to be copied.
 *
 *   the primary was restarted or failed over, or the roles were turned by force ─▶ it may be the side that lacks something
 *     dirty since then by a write that is mirrored by a copy ─▶ at once: that is what the client has made of the key
 *     the shadow has answered a write otherwise              ─▶ rests: it may have had what the primary has lost
 *     dirty before, or for whatever else                     ─▶ unless the primary lacks it, where the shadow may have the last copy
 *
 * The route needs a verify in that time, to which such a key is one as any other, and so it is to a repair. When no cause is left, it is copied as ever (decision 0146).
 */
export function mannerOf(
  { routes, copies }: DataPathContext,
  { toVerify }: DirtySet,
  { route: name, reason, sinceMs }: Pick<DirtyKey, 'route' | 'reason' | 'sinceMs'>,
): CopyManner {
  const route = toVerify.mayPrimaryLack(name) ? routes.byName(name) : undefined
  if (route === undefined) return 'at-once'
  if (OF_WRITES.has(reason) && sinceMs > copies.serverOf(route.primary.storeName).sinceMs) return 'at-once'
  return reason === 'shadow-differs' ? 'rests' : 'unless-gone'
}

/** The route's primary may be another server since a moment ago: until that is known, nothing is copied from it. */
export function isServerUnsure({ copies }: DataPathContext, { primary }: Route): boolean {
  return copies.serverOf(primary.storeName).sinceMs === Number.POSITIVE_INFINITY
}
