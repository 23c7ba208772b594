/** Somebody waits for the shadow's acknowledgement of what a write caused (`mirror.mode: sync`). */
export interface AckWaiter {
  /** What is on its way: effects that are queued, keys that are to be copied. */
  pending: number
  /** Something could not be put on the shadow, so far. */
  failed: boolean
  /** Called when nothing is pending any more. */
  acknowledged(): void
}

/** One of the things that `waiter` waits for has come to its end. */
export function acknowledge(waiter: AckWaiter | null, ok: boolean): void {
  if (waiter === null) return
  if (!ok) waiter.failed = true
  if (--waiter.pending === 0) waiter.acknowledged()
}
