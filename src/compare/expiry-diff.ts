import type { Difference } from './classify.ts'
import { isList, type Value } from './normalise.ts'

/** What TTL and its like answer for a key (or field) that is not there, and for one that never expires. */
const MISSING = -2
const NEVER = -1

/** What is gone on one side only is forgiven within this time before its end, and within the tolerance if that is less: each side expires it by its own clock. How far two ends may be apart says nothing about what one side does not have. */
const JUST_EXPIRED_MS = 2_000

/** How long before its end something may be gone on one side already. */
export function goneEarlyMs(toleranceMs: number): number {
  return Math.min(toleranceMs, JUST_EXPIRED_MS)
}

export interface ExpiryTolerance {
  readonly unitMs: 1 | 1000
  /** EXPIRETIME and its like: points in time. */
  readonly absolute: boolean
  readonly toleranceMs: number
  /** Wall clock, ms since the epoch: how long something with a point in time had left. */
  readonly nowMs: number
}

/** Compares the answers of TTL, EXPIRETIME and the hash fields' forms of them; null: the same within the tolerance. */
export function compareExpiries(primary: Value, shadow: Value, tolerance: ExpiryTolerance): Difference | null {
  if (!isList(primary) && !isList(shadow)) return compareOne(primary, shadow, tolerance)
  const there = isList(primary) ? primary : []
  const here = isList(shadow) ? shadow : []
  for (let i = 0; i < Math.max(there.length, here.length); i++) {
    const difference = compareOne(there[i] ?? MISSING, here[i] ?? MISSING, tolerance, 'A field')
    if (difference !== null) return difference
  }
  return null
}

/** `what` the times are of, as a sentence begins. */
function compareOne(primary: Value, shadow: Value, tolerance: ExpiryTolerance, what = 'It'): Difference | null {
  const there = numberOf(primary)
  const here = numberOf(shadow)
  if (there === here) return null
  // A number of whole seconds is up to one off without anything being wrong.
  const allowedMs = Math.max(tolerance.toleranceMs, tolerance.unitMs)
  if (there === MISSING || here === MISSING) {
    const remaining = remainingMs(there === MISSING ? here : there, tolerance)
    // One side was asked just before the end, the other just after.
    if (remaining !== null && remaining <= goneEarlyMs(allowedMs)) return null
    return there === MISSING
      ? { class: 'extra', detail: 'The shadow has what the primary has not, or no longer.' }
      : { class: 'missing', detail: 'The shadow has not, or no longer, what the primary has.' }
  }
  if (there === NEVER) return { class: 'ttl', detail: `${what} never expires on the primary and does on the shadow.` }
  if (here === NEVER) return { class: 'ttl', detail: `${what} expires on the primary and never on the shadow.` }
  const apartMs = Math.abs(there - here) * tolerance.unitMs
  if (apartMs <= allowedMs) return null
  const side = here > there ? 'later' : 'earlier'
  return { class: 'ttl', detail: `${what} expires ${apartMs} ms ${side} on the shadow.` }
}

/** null: it never expires. */
function remainingMs(value: number, tolerance: ExpiryTolerance): number | null {
  if (value < 0) return null
  return tolerance.absolute ? value * tolerance.unitMs - tolerance.nowMs : value * tolerance.unitMs
}

function numberOf(value: Value): number {
  if (typeof value === 'bigint') return Number(value)
  return typeof value === 'number' ? value : MISSING
}
