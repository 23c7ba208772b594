import type { RouteState } from '../../routing/route.ts'
import type { DataPathContext } from '../context.ts'
import { OnItsWay } from '../shadow/on-its-way.ts'

interface Told {
  /** Of the routes for which it was said. */
  readonly generation: number
  readonly complete: readonly RouteState[]
  /** What was on its way to them then. */
  readonly onItsWay: OnItsWay
}

/**
 * Notes of routes whether their shadows hold all that the primary holds (`RouteState.shadowComplete`), as the main thread says it. What was on its way at that moment may be made of a key that the shadow lacks all the same: a listing does not
 * find what is renamed behind its place, and has ended before the shadow has answered the renaming. So a shadow counts as complete when all that was on its way has arrived.
 */
export class CompleteShadows {
  readonly #context: DataPathContext
  readonly #sweeping: () => boolean
  #told: Told | null = null

  /** `sweeping`: a command that changes every key is on its way to a shadow. */
  constructor(context: DataPathContext, sweeping: () => boolean) {
    this.#context = context
    this.#sweeping = sweeping
  }

  /** These routes' shadows are complete, and no others, by the configuration of that generation. Of another one that says nothing. */
  tell(names: readonly string[], generation: number): void {
    const { routes, stores, copies } = this.#context
    if (generation !== routes.generation) return
    for (const { name, state } of routes.routes) if (!names.includes(name)) state.shadowComplete = false
    const begun = routes.routes.filter(({ name, state }) => names.includes(name) && !state.shadowComplete)
    const ends = begun.flatMap(({ primary, shadow }) => [primary, ...(shadow === null ? [] : [shadow])])
    const between = new Set(ends.map(({ store }) => stores[store]!))
    const onItsWay = new OnItsWay([...between], copies, this.#sweeping)
    this.#told = { generation, complete: begun.map(({ state }) => state), onItsWay }
    this.run()
  }

  /** Called on the clock's tick. */
  run(): void {
    if (this.#told === null) return
    const { generation, complete, onItsWay } = this.#told
    // What was said of the routes before says nothing of these, and is said anew.
    if (generation !== this.#context.routes.generation) this.#told = null
    else if (onItsWay.hasArrived()) {
      this.#told = null
      for (const state of complete) state.shadowComplete = true
    }
  }
}
