import type { Reply } from '../../resp/reply.ts'

/** A time of expiry is read as what is left, and jitters. */
const SAME_TIME_MS = 1_000

/** When a key goes (ms since the epoch), by what PTTL has just answered; null: never. */
export function expiryOf(ttlMs: Reply | undefined): number | null {
  return typeof ttlMs === 'number' && ttlMs >= 0 ? Date.now() + ttlMs : null
}

export function isSameExpiry(one: number | null, other: number | null): boolean {
  return one === null || other === null ? one === other : Math.abs(one - other) <= SAME_TIME_MS
}

/** Whether what a file says can be such a time. A time to live of up to 2^53 ms ends beyond 2^53, where it is a few ms off. */
export function isExpiry(value: unknown): value is number {
  return Number.isInteger(value) && Math.abs(value as number) < 2 ** 63
}
