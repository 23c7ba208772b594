import type { Store } from '../../upstream/store.ts'
import type { CopyState } from '../copy/copy-state.ts'
import { IntentTracker } from '../crash/intent-tracker.ts'

/**
 * What was on its way between some stores at a certain moment, whichever route counts it: commands that their primary has not answered, questions to it, effects, and keys that are being rebuilt in pieces, between two of
 * which nothing of theirs is in flight.
 */
export class OnItsWay {
  readonly #tracker: IntentTracker
  readonly #copies: CopyState
  #rebuilds: readonly object[]

  /** Of now. `sweeping`: a command that changes every key is on its way to a shadow. */
  constructor(stores: readonly Store[], copies: CopyState, sweeping: () => boolean) {
    this.#copies = copies
    this.#rebuilds = copies.rebuilds()
    this.#tracker = new IntentTracker(() => stores, sweeping)
    this.#tracker.begin()
  }

  /** To be asked until it is so. */
  hasArrived(): boolean {
    if (this.#rebuilds.length > 0) {
      const left = new Set<object>(this.#copies.rebuilds())
      this.#rebuilds = this.#rebuilds.filter((rebuild) => left.has(rebuild))
      if (this.#rebuilds.length > 0) return false
      // The last piece of each is on its way.
      this.#tracker.begin()
    }
    return this.#tracker.advance()
  }
}
