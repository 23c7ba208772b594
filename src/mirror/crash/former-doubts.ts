import type { Config } from '../../config/config.ts'
import type { RouteTable } from '../../routing/route-table.ts'
import type { DirtyStore } from '../dirty/dirty-store.ts'
import { areSamePlaces, functionPlacesOf, OF_FUNCTIONS } from '../functions/function-places.ts'
import type { Over } from './intent-doubts.ts'
import type { IntentLog } from './intent-log.ts'

type Rerouted = readonly (readonly [from: string, to: string])[]

interface Turn {
  /** As `before` calls them, the table that was in force until then. It knows their keys, whosever these are by now. */
  readonly turned: readonly string[]
  readonly before: RouteTable
  /** Those, and all that have got keys of them since: in the file keys are known by routes alone. */
  readonly routes: Set<string>
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
 * Copied from the new primary they would be lost on the former one, where their last values are. So as long as one of both is there, what these segments name of the routes' keys is passed over, and the file says that the
 * direction in which these are to be copied is not known, of the routes and of those that get keys of them: a start that finds that copies none of them, and asks for a verify.
 */
export class FormerDoubts {
  #turns: Turn[] = []

  /** Routes of `config` that have any: functions only where some are in doubt between other places than there, or the other way round. */
  routesIn(config: Pick<Config, 'routes' | 'stores'>): Set<string> {
    const routes = new Set(this.#turns.flatMap(({ routes }) => [...routes]))
    if (!this.#turns.some((turn) => doubtsFunctions(turn, functionPlacesOf(config)))) routes.delete(OF_FUNCTIONS)
    return routes
  }

  /** Routes that would have some, should the second of each pair get keys of the first. */
  heirs(rerouted: Rerouted): string[] {
    return this.#turns.flatMap((turn) => heirsOf(turn, rerouted))
  }

  /** They get them now. To be told before `begin`. */
  inherit(rerouted: Rerouted): void {
    for (const turn of this.#turns) for (const heir of heirsOf(turn, rerouted)) turn.routes.add(heir)
  }

  /** These routes turn now. `before`: still in force. */
  begin(turned: readonly string[], before: RouteTable, log: IntentLog | null): void {
    if (turned.length > 0)
      this.#turns.push({ turned, before, routes: new Set(turned), upTo: log?.newest ?? -1, made: null })
  }

  /** Nothing of them is in the dirty set any more, which is what `store` will have written when it holds what it has been told until now. */
  dropped(store: DirtyStore): void {
    for (const turn of this.#turns) turn.made ??= store.made
  }

  /** What a segment says of before a turn. */
  overIn(segment: number): Over {
    const turns = this.#turns.filter(({ upTo }) => segment <= upTo)
    return {
      key: (key) => turns.some(({ turned, before }) => turned.includes(before.find(key, 0, key.length).route.name)),
      functions: turns.some(({ turned }) => turned.includes(OF_FUNCTIONS)),
    }
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

/** Where none were mirrored none came to be in doubt. */
function doubtsFunctions({ turned, before }: Turn, places: string): boolean {
  const former = functionPlacesOf(before.config)
  return turned.includes(OF_FUNCTIONS) && former !== '' && !areSamePlaces(former, places)
}

/** The pairs are of one moment: what a route gets, it does not hand on. */
function heirsOf({ routes }: Turn, rerouted: Rerouted): string[] {
  return rerouted.flatMap(([from, to]) => (routes.has(from) ? [to] : []))
}
