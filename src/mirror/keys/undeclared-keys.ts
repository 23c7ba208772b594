import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import type { Route } from '../../routing/route.ts'
import type { Store } from '../../upstream/store.ts'
import type { DataPathContext } from '../context.ts'
import type { DirtySet } from '../dirty/dirty-set.ts'
import { runsScript, type ScriptEffects } from '../effects/script-effects.ts'
import { RecentlyTold } from '../shadow/recently-told.ts'
import { ToldKeys } from './told-keys.ts'

/**
 * Keys that scripts write without declaring them. Where the primary tells which they are (`ToldKeys`), they are copied. Where it does not, nobody can name them: routes need a verify.
 */
export class UndeclaredKeys {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  readonly #scripts: ScriptEffects
  readonly #told: ToldKeys
  /** Keys that were told, and dirty from then on. */
  readonly recent = new RecentlyTold()

  constructor(context: DataPathContext, dirty: DirtySet, scripts: ScriptEffects) {
    this.#context = context
    this.#dirty = dirty
    this.#scripts = scripts
    this.#told = new ToldKeys(context, {
      written: (store, database, name) => this.#written(store, database, name),
      missed: (own) => doubtUndeclaredKeys(context, dirty, own),
    })
  }

  /**
   * The command, of the route, runs a script that writes to keys which it does not declare, or one whose source has not been seen, where some keys are mirrored: those may be another route's than the
   * keys that it declares. `changes`: functions may be others when it is executed.
   */
  areWrittenBy(spec: CommandSpec, view: CommandView, route: Route, changes = false): boolean {
    if (!runsScript(spec) || view.argc < 2 || !this.#mirrorsAny(route)) return false
    if (changes && spec.name === 'FCALL') return true
    const facts = this.#scripts.factsIn(spec, view, route)
    return facts === null || (facts.writes && !facts.declaresKeys)
  }

  /** The command runs such a script, and has to wait for a moment: the primary is being asked to tell what it writes; or a function, and the primary is being asked what that does. */
  keepWaiting(spec: CommandSpec, view: CommandView, route: Route): boolean {
    if (!this.areWrittenBy(spec, view, route)) return false
    return this.#scripts.isAwaited(spec, view, route) || !this.isReady(route)
  }

  /** Such a script of the route need not wait. */
  isReady(route: Route): boolean {
    return this.#told.ready(this.#primaryOf(route))
  }

  /** Such a script is about to be pushed, for one of these databases. `ended` follows. */
  leave(route: Route, databases: readonly number[]): void {
    route.state.undeclared++
    this.#told.leaves(this.#primaryOf(route), databases)
  }

  /** It has been answered, or lost. `mayHaveRun`: it was not refused as a whole; `keysAreOfOne`: it declares keys, and all of them are the route's. */
  ended(route: Route, mayHaveRun: boolean, keysAreOfOne: boolean): void {
    this.#told.ended(this.#primaryOf(route), mayHaveRun, keysAreOfOne ? route : null)
  }

  /** Such a script ran, and nobody knows all that it wrote, or for which route. */
  doubt(): void {
    doubtUndeclaredKeys(this.#context, this.#dirty, null)
  }

  /** What such scripts of the route write at the moment is told in full. Holds for one that has ended until the event loop turns. */
  areTold(route: Route): boolean {
    return this.#told.covers(this.#primaryOf(route))
  }

  /** A number for `isTold`: of what such scripts of the route have written that have ended by now. */
  endedUntil(route: Route): number {
    return this.#told.endedUntil(this.#primaryOf(route))
  }

  /** All of that is known: dirty, or in doubt. */
  isTold(route: Route, endedUntil: number): boolean {
    return this.#told.isTold(this.#primaryOf(route), endedUntil)
  }

  /** What the route's primary has answered may be the doing of such a script. Whether all that these have written by now is told, to be asked until it is; null: it is already. */
  catchUp(route: Route): (() => boolean) | null {
    return this.#told.catchUp(this.#primaryOf(route))
  }

  /** Such scripts have been answered, and what they wrote, to keys that may be the route's, is not known yet. */
  mayOwe(route: Route): boolean {
    const owed = this.#told.owed(this.#primaryOf(route))
    if (owed === undefined || owed.size === 0) return false
    for (const own of owed) if (mayReach(own, route)) return true
    return false
  }

  /** The same for any route. */
  get areOwed(): boolean {
    return this.#told.areOwed
  }

  /** Understudy itself tracks every key there. */
  isToldBy(store: Store): boolean {
    return this.#told.listensTo(store)
  }

  /** A client's command about every key of the route's primary is about to be pushed. `flushed` follows. */
  flushes({ name }: CommandSpec, route: Route): void {
    if (name !== 'SWAPDB') this.#told.flushes(this.#primaryOf(route))
  }

  /** It has been answered, or lost. */
  flushed({ name }: CommandSpec, route: Route, mayHaveRun: boolean): void {
    if (name !== 'SWAPDB') this.#told.flushed(this.#primaryOf(route), mayHaveRun)
  }

  tick(nowMs: number): void {
    this.#told.tick(nowMs)
  }

  #mirrorsAny({ primary }: Route): boolean {
    return this.#context.routes.routes.some((other) => other.shadow !== null && other.primary.store === primary.store)
  }

  #primaryOf({ primary }: Route): Store {
    return this.#context.stores[primary.store]!
  }

  #written(store: Store, database: number, name: Buffer): void {
    const { routes, stores, clock } = this.#context
    const index = stores.indexOf(store)
    const key = index === -1 ? null : routes.viewOf(index).nameOf(name, 0, name.length)
    if (key === null) return
    const rule = routes.find(key, 0, key.length)
    const { route } = rule
    // Of a key whose primary this is not (any more: then a forced switch has said what there is to say) nobody has written what is mirrored.
    if (route.shadow === null || !routes.isOn(rule, index)) return
    this.recent.add(database, key)
    this.#dirty.mark(route, database, key, 'state-copy', clock.nowMs)
  }
}

/**
 * The shadow may not have what a script has done to keys that it does not declare: nobody can name them, and they may be any route's. `own`: the route whose keys it declares; if that says of its scripts that they touch
 * no key of another one (`scripts: warn`), they are its own, or none. Null: it declares none, or keys of several, or nobody knows which script it was.
 */
export function doubtUndeclaredKeys({ routes }: DataPathContext, { toVerify }: DirtySet, own: Route | null): void {
  for (const route of routes.routes)
    if (route.shadow !== null && mayReach(own, route)) toVerify.mark(route.name, 'script')
}

/** Such a script, `own` as above, may have written keys of the route. */
function mayReach(own: Route | null, { name }: Route): boolean {
  return own?.config.scripts !== 'warn' || own.name === name
}
