import type { Pipeline } from './pipeline.ts'

/**
 * Why the connection of a pipeline is to be given up for saying nothing; null: it is not.
 *
 * - A dedicated one: its oldest command waits for longer than `answersWithinMs`, if that is limited.
 * - A shared one: nothing has come for several of the store's timeouts, though a command waits, and no script is known to keep the store busy.
 *
 * Time in which this process did not run does not count. `lastReadMs`: when the store last said something.
 */
export function silenceOf(pipeline: Pipeline, lastReadMs: number, isBusy: boolean, nowMs: number): string | null {
  const { ring, state, answersWithinMs } = pipeline
  const { dedicated, clock, store } = pipeline.options
  const head = ring.peek()
  if (head === undefined) return null
  const awakeMs = nowMs - clock.awakeSinceMs
  if (dedicated) {
    const waits = Math.min(awakeMs, nowMs - head.queuedAtMs) >= answersWithinMs
    return answersWithinMs > 0 && waits ? `no reply for ${answersWithinMs} ms` : null
  }
  const hangMs = HANG_FACTOR * store.timeoutMs
  if (hangMs === 0 || state !== 'up' || isBusy) return null
  return Math.min(awakeMs, nowMs - Math.max(head.queuedAtMs, lastReadMs)) > hangMs ? `no reply for ${hangMs} ms` : null
}

/** A store that has sent nothing for this many timeouts, with commands waiting, is taken for hung: its connection is opened anew. */
const HANG_FACTOR = 3
