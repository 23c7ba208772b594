import { slotOfKey } from '../../command/key-slot.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import type { KeyRule, Route } from '../../routing/route.ts'

/** A key that is copied, by what the table says of it (`rule`): its names at the ends. */
export function nameOnPrimary(rule: KeyRule, key: Buffer): Buffer {
  return rule.primary?.apply(key, 0, key.length) ?? key
}

export function nameOnShadow(rule: KeyRule, key: Buffer): Buffer {
  return rule.shadow?.apply(key, 0, key.length) ?? key
}

/** What a copy ends with whose key has another primary, or another name there, than when it began. */
export const MOVED = 'MOVED the key has another primary now'

/** What the copy of a key ends with that the primary has no more and the shadow has, where it is not to be deleted. */
export const GONE = 'GONE the primary has no such key'

/** The key is still where it was when `asked` was asked of the table: the same name at the same primary. */
export function isStillAt(asked: KeyRule, now: KeyRule, key: Buffer): boolean {
  return (
    now.route.shadow !== null &&
    now.route.primary.store === asked.route.primary.store &&
    nameOnPrimary(now, key).equals(nameOnPrimary(asked, key))
  )
}

/** Both names are on one server, so that it can copy by itself. Nodes of a cluster are several: COPY needs both names in one slot. */
export function isOnOneServer(rule: KeyRule, key: Buffer, isCluster: boolean): boolean {
  const { primary, shadow } = rule.route
  if (primary.store !== shadow!.store) return false
  return !isCluster || slotOfKey(nameOnPrimary(rule, key)) === slotOfKey(nameOnShadow(rule, key))
}

/** By which it is remembered what the shadow does not take of this primary. */
export function pairOf({ primary, shadow }: Route): string {
  return `${primary.storeName} ${shadow!.storeName}`
}

/** Puts what DUMP gave under a name. `expiresAtMs`: not above 0: never. */
export function restoreCommand(name: Buffer, payload: Buffer, expiresAtMs: number): Buffer {
  const absolute = expiresAtMs > 0 ? ['ABSTTL'] : []
  return encodeOwn(['RESTORE', name, String(Math.max(expiresAtMs, 0)), payload, 'REPLACE', ...absolute])
}
