import type { DataPathContext } from '../context.ts'
import type { DirtyReason } from './dirty-key.ts'
import type { DirtySet } from './dirty-set.ts'
import { isOfFunctions, type VerifyCause } from './verify-marks.ts'

const EVERY_MS = 1_000

/** What an operator has to hear of; the other reasons are a part of mirroring. */
const ALARMING: readonly DirtyReason[] = [
  'shadow-down',
  'shadow-error',
  'shadow-differs',
  'backlog-full',
  'primary-lost',
  'crash',
]

/** More may differ on the shadow of a route than the keys that are dirty. */
export function sayInDoubt({ log }: DataPathContext, route: string, cause: VerifyCause): void {
  // `FunctionSync` says what it finds.
  if (isOfFunctions(cause)) return
  const fields = { route, reason: cause }
  log({ level: 'error', msg: 'keys may differ that nobody can name; the route needs a verify', fields })
}

/**
 * Says in the log that keys are dirty, once a cause and route, and that they have all been copied: a line at either end of an episode, however many keys it has. A
 * key that is clean again within a second is not worth one.
 */
export class DirtyReport {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  /** Causes that were said, by route, and since when there have been any. */
  readonly #episodes = new Map<string, { readonly said: Set<DirtyReason>; readonly sinceMs: number }>()
  /** Causes that there were a second ago. */
  readonly #seen = new Set<string>()
  #lastMs = Number.NEGATIVE_INFINITY

  constructor(context: DataPathContext, dirty: DirtySet) {
    this.#context = context
    this.#dirty = dirty
  }

  run(nowMs: number): void {
    if (nowMs - this.#lastMs < EVERY_MS) return
    this.#lastMs = nowMs
    for (const { name, shadow } of this.#context.routes.routes) {
      if (shadow === null) this.#episodes.delete(name)
      else this.#look(name, nowMs)
    }
  }

  #look(route: string, nowMs: number): void {
    const reasons = this.#dirty.size === 0 ? {} : this.#dirty.figures.reasons(route)
    let episode = this.#episodes.get(route)
    for (const reason of ALARMING) {
      const keys = reasons[reason] ?? 0
      const name = `${route} ${reason}`
      if (keys === 0 || !this.#seen.has(name)) {
        if (keys > 0) this.#seen.add(name)
        else this.#seen.delete(name)
        continue
      }
      if (episode === undefined) this.#episodes.set(route, (episode = { said: new Set(), sinceMs: nowMs }))
      if (episode.said.has(reason)) continue
      episode.said.add(reason)
      this.#context.log({
        level: 'warn',
        msg: this.#dirty.toVerify.mayPrimaryLack(route)
          ? 'keys are dirty; those that the primary may have lost rest until a verify of the route has found no difference'
          : 'keys are dirty; they are copied as soon as it can be',
        fields: { route, reason, keys },
      })
    }
    if (episode === undefined || this.#dirty.count(route) > 0) return
    this.#episodes.delete(route)
    // What a forced switch has left behind is no longer dirty, and has not been copied.
    if (this.#dirty.toVerify.hasCause(route, 'turned')) return
    const durationMs = Math.round(nowMs - episode.sinceMs)
    this.#context.log({ level: 'info', msg: 'every dirty key has been copied', fields: { route, durationMs } })
  }
}
