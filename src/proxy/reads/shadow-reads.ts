import type { Route } from '../../routing/route.ts'
import type { DataPath } from '../data-path.ts'

/**
 * Clients may be answered by the shadow: it is the server that it was, and differs from the primary in no key that nobody can name. Of each key the mirror knows besides whether it is there as it is. To be asked before a read is sent, and again when it is answered:
 * what was queued for one server may have gone to another that took its place.
 */
export function mayReadShadow({ dirty, identity }: DataPath, { name, shadow }: Route): boolean {
  return shadow !== null && !dirty.toVerify.ofKeys(name) && !identity.isUnsure(shadow.storeName)
}
