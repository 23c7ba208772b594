import { setTimeout as sleep } from 'node:timers/promises'

export interface EventuallyOptions {
  /** How long to go on trying. Default 30 s: far beyond what a loaded machine needs, far below a test's time limit. */
  readonly timeoutMs?: number
  /** Pause between two tries. */
  readonly intervalMs?: number
}

/**
 * Calls `condition` until it stops throwing, and gives its value. Tests wait with this for what must come true, never for
 * time to pass. When the time is over, the last failure is thrown as it is, so that the report shows what was not met.
 *
 *     await eventually(async () => expect(await shadow.get('k')).toBe('v'))
 */
export async function eventually<T>(condition: () => T | Promise<T>, options: EventuallyOptions = {}): Promise<T> {
  const { timeoutMs = 30_000, intervalMs = 10 } = options
  const deadline = performance.now() + timeoutMs
  for (;;) {
    try {
      return await condition()
    } catch (error) {
      if (performance.now() >= deadline) throw error
    }
    await sleep(intervalMs)
  }
}
