import type { Route, RouteState } from '../../routing/route.ts'
import type { RouteTable } from '../../routing/route-table.ts'
import type { DataPathContext } from '../context.ts'
import { OnItsWay } from '../shadow/on-its-way.ts'
import type { WasCalled } from '../stores/known-stores.ts'
import type { DirtyKey } from './dirty-key.ts'
import type { DirtySet } from './dirty-set.ts'
import { inheritedCauses, isOfFunctions } from './verify-marks.ts'

/** Of a tick. */
const SLICE_MS = 4

type WasPrimary = (store: string) => boolean

interface Move {
  readonly from: string
  /** Routes that get keys of it: each counts a write that is not done as long as it is not known which of them are dirty, and what was on its way then has not arrived, so that no switch comes between. */
  readonly to: readonly RouteState[]
  /** Whether a store was the primary of its keys, which nobody has looked after since; null: no matter. */
  readonly wasPrimary: WasPrimary | null
  /** Of the dirty keys each has been looked at. */
  walked: boolean
  /** What the former route had in flight when its keys went: it counts that itself, whosever the keys are now. */
  readonly onItsWay: OnItsWay
}

/**
 * Dirty keys follow their keys when these go to another route: its gates count them, and its shadow is where they are copied to. A little in every tick, for there may be millions.
 *
 * What a route needs a verify for, the routes that get its keys need one for as well: what could not be named there cannot be named here.
 */
export class Rehoming {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  readonly #sweeping: () => boolean
  #moves: Move[] = []

  /** `sweeping`: a command that changes every key is on its way to a shadow. */
  constructor(context: DataPathContext, dirty: DirtySet, sweeping: () => boolean) {
    this.#context = context
    this.#dirty = dirty
    this.#sweeping = sweeping
  }

  /** A new table is in force, in which the second route of each pair has keys that were the first one's. `former`: the table of before. */
  begin(rerouted: readonly (readonly [from: string, to: string])[], former: RouteTable | null = null): void {
    for (const from of new Set(rerouted.map(([name]) => name))) {
      const names = rerouted.flatMap(([name, to]) => (name === from ? [to] : []))
      this.#begin(from, names, null, former?.byName(from) ?? null)
    }
  }

  /** The process has begun: routes that the last run had dirty keys of, and that are gone. `primaries`: stores that were theirs, by route ('': not known); `wasCalled`: as that run called them. */
  recover(primaries: ReadonlyMap<string, string>, wasCalled: WasCalled): void {
    const { routes } = this.#context.routes
    const everyone = routes.map(({ name }) => name)
    const marked = [...this.#dirty.toVerify.all()].map(([name]) => name)
    for (const name of new Set([...this.#dirty.routes(), ...marked])) {
      if (everyone.includes(name)) continue
      const primary = primaries.get(name)
      const wasPrimary: WasPrimary = (store) => wasCalled(store, primary!)
      this.#begin(name, everyone, primary === undefined ? null : wasPrimary)
    }
  }

  /** Called on the clock's tick. */
  run(): void {
    if (this.#moves.length === 0) return
    this.#walk()
    this.#moves = this.#moves.filter((move) => !move.walked || !this.#isOver(move))
  }

  #walk(): void {
    const move = this.#moves.find(({ walked }) => !walked)
    if (move === undefined) return
    const untilMs = performance.now() + SLICE_MS
    do {
      const entry = this.#dirty.walk.next(move.from)
      if (entry === null) return this.#walked(move)
      this.#look(entry, move)
    } while (performance.now() < untilMs)
  }

  #begin(from: string, to: readonly string[], wasPrimary: WasPrimary | null, former: Route | null = null): void {
    const { routes, stores } = this.#context
    const gaining = routes.routes.filter(({ name, shadow }) => shadow !== null && to.includes(name))
    const { toVerify } = this.#dirty
    const causes = toVerify.causes(from).filter((cause) => !isOfFunctions(cause))
    const present = routes.byName(from)
    // What is said of a route that goes on under its name has been turned with its roles.
    const isTurned = former !== null && present !== undefined && isExchanged(former, present)
    for (const route of gaining) {
      const isOther = former !== null && isExchanged(former, route) !== isTurned
      for (const cause of causes)
        for (const inherited of inheritedCauses(cause, isOther)) toVerify.mark(route.name, inherited)
    }
    const states = gaining.map(({ state }) => state)
    for (const state of states) state.backlogCommands++
    this.#dirty.walk.begin(from)
    const ends = new Set(gaining.flatMap(({ primary, shadow }) => [stores[primary.store]!, stores[shadow!.store]!]))
    const onItsWay = new OnItsWay([...ends], this.#context.copies, this.#sweeping)
    this.#moves.push({ from, to: states, wasPrimary, walked: false, onItsWay })
    this.run()
  }

  #look(entry: DirtyKey, { from, wasPrimary }: Move): void {
    const { route } = this.#context.routes.find(entry.key, 0, entry.key.length)
    if (route.name === from) return
    // Copying would put what the new primary has over what it lacks (`Durability`, of a route that was turned).
    if (wasPrimary?.(route.primary.storeName) === false) this.#dirty.toVerify.mark(route.name, 'turned')
    // Since when it is dirty says how it may be copied (`mannerOf`).
    else if (route.shadow !== null) this.#dirty.mark(route, entry.database, entry.key, entry.reason, entry.sinceMs)
    this.#dirty.discard(entry)
  }

  #walked(move: Move): void {
    move.walked = true
    const { from } = move
    // What is left of one that is gone, or mirrors nothing any more, means nothing.
    if ((this.#context.routes.byName(from)?.shadow ?? null) === null) this.#dirty.forget(from)
  }

  #isOver({ to, onItsWay }: Move): boolean {
    if (!onItsWay.hasArrived()) return false
    for (const state of to) state.backlogCommands--
    return true
  }
}

/** The primary of `next` is what was the shadow of `former`, and another keyspace than its primary. */
function isExchanged(former: Route, next: Route): boolean {
  const { keyspace } = next.primary
  return keyspace === former.shadow?.keyspace && keyspace !== former.primary.keyspace
}
