import { UnderstudyError } from './errors.ts'

/** Of what is asked for, or waits, while the process stops. */
export function stopping(): UnderstudyError {
  return new UnderstudyError('STOPPING', 'Understudy is stopping: ask again when it has started')
}

/** One part that is to be stopped. */
export interface StopStep {
  /** For the log: what is being stopped. */
  readonly part: string
  readonly stop: () => void | Promise<void>
}

/**
 * Stops every part, one after the other, whatever became of those before: what comes last (files, child processes) is what would be left behind. A part that takes longer than `limitMs` is left.
 * False: not all of them have stopped as they should; `onFailure` was told of each.
 */
export async function stopInOrder(
  steps: readonly StopStep[],
  limitMs: number,
  onFailure: (part: string, error: unknown) => void,
): Promise<boolean> {
  let ok = true
  for (const { part, stop } of steps) {
    try {
      await within(limitMs, stop)
    } catch (error) {
      ok = false
      onFailure(part, error)
    }
  }
  return ok
}

async function within(limitMs: number, stop: () => void | Promise<void>): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => reject(new UnderstudyError('INTERNAL', `not stopped within ${limitMs} ms; it is left as it is`)),
    limitMs,
  )
  try {
    await Promise.race([stop(), late])
  } finally {
    clearTimeout(timer)
  }
}
