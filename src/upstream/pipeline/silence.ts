import type { StoreConfig } from '../../config/config.ts'
import type { Pipeline } from './pipeline.ts'

/**
 * Why the connection of a pipeline is to be given up for saying nothing; null: it is not.
 *
 * - A dedicated one: nothing has come for longer than `answersWithinMs`, though a command waits, if that is limited.
 * - A shared one: nothing has come for several of the store's timeouts, though a command waits, and no script is known to keep the store busy.
 *
 * Time in which this process did not run does not count. `lastReadMs`: when the store last said something, or last could not, because nobody read.
 */
export function silenceOf(pipeline: Pipeline, lastReadMs: number, isBusy: boolean, nowMs: number): string | null {
  const { ring, state, answersWithinMs } = pipeline
  const { dedicated, clock, store } = pipeline.options
  const head = ring.peek()
  if (head === undefined) return null
  const silentMs = Math.min(nowMs - clock.awakeSinceMs, nowMs - Math.max(head.queuedAtMs, lastReadMs))
  if (dedicated) return answersWithinMs > 0 && silentMs >= answersWithinMs ? `no reply for ${answersWithinMs} ms` : null
  const hangMs = givenUpAfterMs(store)
  if (hangMs === 0 || state !== 'up' || isBusy) return null
  return silentMs > hangMs ? `no reply for ${hangMs} ms` : null
}

/** A store that has sent nothing for so long, with commands waiting, is taken for hung. 0: it never is. */
export function givenUpAfterMs({ timeoutMs }: StoreConfig): number {
  return HANG_FACTOR * timeoutMs
}

const HANG_FACTOR = 3
