import { command } from '../../command/effects/building.ts'
import type { Args } from '../../command/effects.ts'
import type { Reply } from '../../resp/reply.ts'
import type { Route } from '../../routing/route.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { DataPathContext } from '../context.ts'
import type { DirtySet } from '../dirty/dirty-set.ts'
import { codeOf, isUnknownCommand, refusedCommand } from '../stores/store-errors.ts'
import { askAboutFunctions, LIST_FUNCTIONS, librariesOf } from './function-list.ts'
import { areSamePlaces, doesBegin, functionPlacesOf, isTurned } from './function-places.ts'
import { type FunctionLibrary, FunctionRefusals } from './function-refusals.ts'
import type { SentFunctions } from './sent-functions.ts'

/** After the first failure, and at most. */
const RETRY_MS = 1_000
const MAX_RETRY_MS = 15_000
/** It cannot be done: tried again in case the server is replaced by another. */
const HOPELESS_MS = 60_000
/** Other places than any: no store has this name. */
const NOT_KNOWN = '?'
/** By its code: no error that passes by itself. */
const REFUSAL = /^(ERR|NOPERM) /

/**
 * Makes the shadow's libraries of functions equal to the primary's where an effect on them was lost, as state copies do for keys.
 *
 *   in doubt ─▶ FUNCTION LIST WITHCODE of both ─┬─ equal, and nothing was in doubt again meanwhile ─▶ certain
 *       ▲                                       └─ FUNCTION LOAD REPLACE, FUNCTION DELETE on the shadow ─┐
 *       └────────────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * They are in doubt where mirroring begins, too: no backfill brings functions.
 *
 * The doubt is a cause of `VerifyMarks`: it stands on disk and closes the gate of a switch. A library that the shadow refuses (another server's API) keeps it so until somebody has loaded one there that does
 * the same (`FunctionRefusals`). Deleted on the shadow is only what was deleted on the primary, as far as is known, while it was this one's shadow: what else it has alone may be a neighbour's.
 *
 * Where the primary is changed in that state, by force, the former one has what the new one lacks: nothing is brought in the new direction before a verify, as of keys (cause 'turned').
 */
export class FunctionSync {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  readonly #sent: SentFunctions
  #running = false
  #notBeforeMs = 0
  #failures = 0
  #said = ''
  /** They were found to differ, and that was said; null: not since they were last the same. */
  #differing: string | null = null
  /** Whose functions are in doubt, if any are (`functionPlacesOf`). */
  #places: string
  readonly refusals = new FunctionRefusals()

  constructor(context: DataPathContext, dirty: DirtySet, sent: SentFunctions) {
    this.#context = context
    this.#dirty = dirty
    this.#sent = sent
    this.#places = functionPlacesOf(context.routes.config)
  }

  /** The last run's doubts are known. `places`: between which; empty: some may be of before these were changed; null: it did not say. */
  recover(places: string | null): void {
    this.#places = places === '' ? NOT_KNOWN : (places ?? '')
    this.routesChanged()
  }

  /** Another table is in force: doubts are those of the route that is `*` now. */
  routesChanged(): void {
    const { name, shadow } = this.#context.routes.fallback
    const { toVerify } = this.#dirty
    const [before, places] = [this.#places, functionPlacesOf(this.#context.routes.config)]
    this.#places = places
    const isSame = areSamePlaces(places, before)
    if (!isSame) toVerify.forgetRemoved()
    for (const [other, cause] of [...toVerify.all()]) {
      if (other === name || cause !== 'functions') continue
      if (shadow !== null) toVerify.handOnFunctions(other, name)
      else toVerify.functionsSettled(other)
    }
    if (isSame) return
    this.refusals.clear()
    this.#notBeforeMs = 0
    this.#failures = 0
    this.#said = ''
    this.#differing = null
    if (isTurned(before, places) && toVerify.hasCause(name, 'functions')) {
      toVerify.mark(name, 'turned')
      this.#context.log({
        level: 'error',
        msg: 'the primary was changed while the functions of the two stores differed: the new one may lack libraries that the former one has; none is brought over before a verify of the route',
        fields: { route: name },
      })
    }
    if (doesBegin(before, places)) toVerify.mark(name, 'functions')
  }

  /** Called on the clock's tick. */
  run(nowMs: number): void {
    const { routes, stores } = this.#context
    const route = routes.fallback
    if (this.#running || nowMs < this.#notBeforeMs || !this.#dirty.toVerify.hasCause(route.name, 'functions')) return
    if (route.shadow === null || this.#dirty.toVerify.hasCause(route.name, 'turned')) return
    const primary = stores[route.primary.store]!.shared(0, 2)
    const shadow = stores[route.shadow.store]!.shadows.to(0)
    if (primary.state !== 'up' || shadow.state !== 'up') return
    this.#running = true
    this.#compare(route, primary, shadow)
  }

  #compare(route: Route, primary: Pipeline, shadow: Pipeline): void {
    const { toVerify } = this.#dirty
    const times = toVerify.functionTimes(route.name)
    const answers: (Libraries | string)[] = []
    const answered = (which: 0 | 1, answer: Libraries | string): void => {
      if (answers[which] !== undefined) return
      answers[which] = answer
      const [there, here] = answers
      if (there === undefined || here === undefined) return
      if (this.#context.routes.fallback !== route) return this.#again()
      // Without functions there is nothing to be different.
      if (typeof there === 'string')
        return isUnknownCommand(there) ? this.#certain(route, times) : this.#later(there, route.primary.storeName)
      const removed = toVerify.hasCause(route.name, 'functions-removed') ? null : toVerify.removedLibraries(route.name)
      if (typeof here === 'string') {
        // Nothing is to be deleted: or there is nothing, for it knows no functions.
        const hasNone = removed?.size === 0 || refusedCommand(here)?.absent === true
        if (there.size === 0 && hasNone) return this.#certain(route, times)
        if (REFUSAL.test(here)) this.refusals.attempted([...there.keys()], here)
        return this.#later(here, route.shadow!.storeName)
      }
      const steps = differences(there, here, removed, this.refusals)
      if (steps.length > 0) this.#send(route, steps, there, here, shadow)
      else if (toVerify.functionTimes(route.name) === times) {
        const same = [...there].filter(([name, { code }]) => here.get(name)?.code.equals(code))
        this.#sent.compared(route.shadow!.storeName, new Map(same.map(([name, { code }]) => [name, code])))
        this.#certain(route, times)
      } else this.#again()
    }
    askAboutFunctions(
      primary,
      LIST_FUNCTIONS,
      (reply) => answered(0, typeof reply === 'string' ? reply : byName(reply)),
      // What has changed since is on the shadow by the time that the answer comes, and would be undone by it.
      () => answered(0, 'LATE a node of the cluster is silent'),
    )
    askAboutFunctions(shadow, LIST_FUNCTIONS, (reply) => answered(1, typeof reply === 'string' ? reply : byName(reply)))
  }

  /** Then both are compared again. A switch waits until it is done. */
  #send(route: Route, steps: readonly Step[], there: Libraries, here: Libraries, shadow: Pipeline): void {
    let open = steps.length
    let failed: string | null = null
    let because: string | null = null
    const notTaken: string[] = []
    const places = this.#places
    this.#sayDiffering(route, steps)
    route.state.backlogCommands++
    for (const { library, args } of steps) {
      askAboutFunctions(shadow, args, (reply) => {
        if (typeof reply === 'string') {
          failed ??= reply
          const wanted = there.get(library)
          if (wanted !== undefined && REFUSAL.test(reply)) {
            notTaken.push(library)
            because ??= reply
            this.refusals.refused(library, wanted.code, here.get(library)?.code ?? null)
          } else if (refusedCommand(reply) !== null) because ??= reply
        }
        if (--open > 0) return
        route.state.backlogCommands--
        if (this.#places !== places) {
          this.refusals.clear()
          return this.#again()
        }
        this.refusals.attempted(notTaken, because)
        if (failed === null) this.#again()
        else this.#later(failed, route.shadow!.storeName)
      })
    }
  }

  /** From the beginning, with the next tick. */
  #again(): void {
    this.#running = false
  }

  /** Unless they have been in doubt again since the route's `functionTimes` were these. */
  #certain({ name }: Route, times: number): void {
    this.#running = false
    if (this.#dirty.toVerify.functionTimes(name) !== times) return
    this.#failures = 0
    this.#said = ''
    this.refusals.attempted([], null)
    this.#dirty.toVerify.functionsSettled(name)
    if (this.#differing !== null)
      this.#context.log({ level: 'info', msg: "the shadow's functions are the primary's", fields: { route: name } })
    this.#differing = null
  }

  #sayDiffering({ name }: Route, steps: readonly Step[]): void {
    const library = steps.map((step) => step.library).join(', ')
    if (this.#differing === library) return
    this.#differing = library
    this.#context.log({
      level: 'warn',
      msg: "the shadow's functions are not the primary's; they are brought over",
      fields: { route: name, library },
    })
  }

  #later(error: string, store: string): void {
    this.#running = false
    const hopeless = refusedCommand(error)?.absent === true
    const retryMs = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** this.#failures++)
    this.#notBeforeMs = this.#context.clock.nowMs + (hopeless ? HOPELESS_MS : retryMs)
    const library = this.refusals.libraries.join(', ') || null
    this.#differing ??= ''
    if (this.#said === `${store} ${library}`) return
    this.#said = `${store} ${library}`
    this.#context.log({
      level: 'warn',
      msg: 'functions cannot be brought to the shadow; it is tried again',
      fields: { library, store, reason: codeOf(error) },
    })
  }
}

/** By name. */
type Libraries = ReadonlyMap<string, FunctionLibrary>

interface Step {
  readonly library: string
  readonly args: Args
}

/** What makes `here` the same as `there`. `removed`: of what only `here` has, that is deleted; null: all. */
function differences(
  there: Libraries,
  here: Libraries,
  removed: ReadonlySet<string> | null,
  refusals: FunctionRefusals,
): Step[] {
  const steps: Step[] = []
  // First: a function of a library that is gone there may be part of another one now.
  for (const library of here.keys())
    if (!there.has(library) && removed?.has(library) !== false)
      steps.push({ library, args: command('FUNCTION', 'DELETE', library) })
  for (const [library, wanted] of there) {
    const found = here.get(library)
    if (found?.code.equals(wanted.code) || refusals.standsFor(library, found, wanted)) continue
    steps.push({ library, args: command('FUNCTION', 'LOAD', 'REPLACE', wanted.code) })
  }
  return steps
}

function byName(reply: Reply): Libraries {
  return new Map(
    librariesOf(reply).map(({ name, code, functions }) => [
      name,
      { code, functions: new Set(functions.map((one) => one.name)) },
    ]),
  )
}
