import type { DirtyStore } from './dirty-store.ts'
import type { IntentLog } from './intent-log.ts'

interface Turn {
  readonly routes: readonly string[]
  /** The last segment of before. */
  readonly upTo: number
  /** Of the store's changes, those that were made by the turn; null: not all are made yet. */
  made: number | null
}

/**
 * Routes that a forced switch has turned round although their new primary lacks writes (`left-behind.ts`). Which keys these are is dropped from memory, and is on disk for a moment longer:
 *
 *   rows of dirty.db           until their end is committed, some thousands at a time
 *   segments of the intent log until what else stands in them is done
 *
 * The same goes for functions (`OF_FUNCTIONS` among the routes) where these are mirrored between other places than before, forced or not: what segments say is to be deleted was so on the former shadow.
 *
 * Copied from the new primary they would be lost on the former one, where their last values are. So as long as one of both is there, what these segments name of the routes is passed over, and the file says that the
 * direction in which their keys are to be copied is not known: a start that finds that copies none of them, and asks for a verify.
 */
export class FormerDoubts {
  #turns: Turn[] = []

  /** Routes that have any. */
  get routes(): Set<string> {
    return new Set(this.#turns.flatMap(({ routes }) => routes))
  }

  /** These routes turn now. */
  begin(routes: readonly string[], log: IntentLog | null): void {
    if (routes.length > 0) this.#turns.push({ routes, upTo: log?.newest ?? -1, made: null })
  }

  /** Nothing of them is in the dirty set any more, which is what `store` will have written when it holds what it has been told until now. */
  dropped(store: DirtyStore): void {
    for (const turn of this.#turns) turn.made ??= store.made
  }

  /** What a segment says of a route is of before its turn. */
  covers(segment: number, route: string): boolean {
    return this.#turns.some(({ routes, upTo }) => segment <= upTo && routes.includes(route))
  }

  /** True: of some routes nothing is on disk any more. */
  settle(log: IntentLog | null, store: DirtyStore): boolean {
    const left = this.#turns.filter(
      ({ upTo, made }) => made === null || !store.holds(made) || log?.hasUpTo(upTo) === true,
    )
    const ended = left.length < this.#turns.length
    this.#turns = left
    return ended
  }
}
