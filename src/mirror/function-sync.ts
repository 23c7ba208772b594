import { command } from '../command/effects/building.ts'
import type { Args } from '../command/effects.ts'
import type { CommandSpec } from '../command/spec.ts'
import type { Reply } from '../resp/reply.ts'
import type { Route } from '../routing/route.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import type { DataPathContext } from './context.ts'
import type { DirtySet } from './dirty-set.ts'
import { askAboutFunctions, LIST_FUNCTIONS, librariesOf } from './function-list.ts'
import { isUnknownCommand } from './store-errors.ts'

/** After the first failure, and at most. */
const RETRY_MS = 1_000
const MAX_RETRY_MS = 15_000
/** It cannot be done: tried again in case the server is replaced by another. */
const HOPELESS_MS = 60_000
/** By its code: no error that passes by itself. */
const REFUSAL = /^(ERR|NOPERM) /

/** FUNCTION LOAD, DELETE, FLUSH, RESTORE: they write, and name no key. */
export function changesFunctions(spec: CommandSpec | null): boolean {
  return spec?.write === true && spec.name.startsWith('FUNCTION ')
}

/**
 * The shadow's functions may not be the primary's any more. `removed`: it may also have some that the primary has not; else such are left alone, for they may be there on
 * purpose.
 */
export function doubtFunctions({ routes: { fallback } }: DataPathContext, dirty: DirtySet, removed: boolean): void {
  // Functions are mirrored by the route `*`.
  if (fallback.shadow === null || fallback.shadow.store === fallback.primary.store) return
  dirty.toVerify.mark(fallback.name, 'functions')
  if (removed) dirty.toVerify.mark(fallback.name, 'functions-removed')
}

/** The same because of this command. Nothing, if it is not about functions. */
export function doubtFunctionsOf(context: DataPathContext, dirty: DirtySet, spec: CommandSpec | null): void {
  if (changesFunctions(spec)) doubtFunctions(context, dirty, true)
}

/**
 * Makes the shadow's libraries of functions equal to the primary's where an effect on them was lost, as state copies do for keys.
 *
 *   in doubt ─▶ FUNCTION LIST WITHCODE of both ─┬─ equal, and nothing was in doubt again meanwhile ─▶ certain
 *       ▲                                       └─ FUNCTION LOAD REPLACE, FUNCTION DELETE on the shadow ─┐
 *       └────────────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * The doubt is a cause of `VerifyMarks`: it stands on disk and closes the gate of a switch. A library that the shadow refuses (another server's API) keeps it so until somebody has loaded one there that does
 * the same (`standsFor`).
 */
export class FunctionSync {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  #running = false
  #notBeforeMs = 0
  #failures = 0
  #said = ''
  /** Of the last attempt. */
  #refusedNow: readonly string[] = []
  #refusedBecause: string | null = null
  /** By name: what has been refused, and what the shadow had then. */
  readonly #refused = new Map<string, Refused>()

  constructor(context: DataPathContext, dirty: DirtySet) {
    this.#context = context
    this.#dirty = dirty
  }

  /** Names of libraries that the shadow of the route `*` does not take. */
  get refused(): readonly string[] {
    return this.#refusedNow
  }

  /** The code of the first refusal; null: nothing is refused. */
  get refusedBecause(): string | null {
    return this.#refusedBecause
  }

  /** Called on the clock's tick. */
  run(nowMs: number): void {
    const { routes, stores } = this.#context
    const route = routes.fallback
    if (this.#running || nowMs < this.#notBeforeMs || !this.#dirty.toVerify.hasCause(route.name, 'functions')) return
    if (route.shadow === null) return
    const primary = stores[route.primary.store]!.shared(0, 2)
    const shadow = stores[route.shadow.store]!.shadow(0)
    if (primary.state !== 'up' || shadow.state !== 'up') return
    this.#running = true
    this.#compare(route, primary, shadow)
  }

  #compare(route: Route, primary: Pipeline, shadow: Pipeline): void {
    const { toVerify } = this.#dirty
    const times = toVerify.times(route.name)
    const answers: (Libraries | string)[] = []
    const answered = (which: 0 | 1, answer: Libraries | string): void => {
      answers[which] = answer
      const [there, here] = answers
      if (there === undefined || here === undefined) return
      // Without functions there is nothing to be different.
      if (typeof there === 'string')
        return isUnknownCommand(there) ? this.#certain(route) : this.#later(there, route.primary.storeName)
      if (typeof here === 'string') {
        // One that knows no functions has none, either.
        if (there.size === 0 && isUnknownCommand(here)) return this.#certain(route)
        if (REFUSAL.test(here)) this.#areRefused([...there.keys()], here)
        return this.#later(here, route.shadow!.storeName)
      }
      const steps = differences(there, here, toVerify.hasCause(route.name, 'functions-removed'), this.#refused)
      if (steps.length > 0) this.#send(route, steps, there, here, shadow)
      else if (toVerify.times(route.name) === times) this.#certain(route)
      else this.#running = false
    }
    askAboutFunctions(primary, LIST_FUNCTIONS, (reply) =>
      answered(0, typeof reply === 'string' ? reply : byName(reply)),
    )
    askAboutFunctions(shadow, LIST_FUNCTIONS, (reply) => answered(1, typeof reply === 'string' ? reply : byName(reply)))
  }

  /** Then both are compared again. */
  #send(route: Route, steps: readonly Step[], there: Libraries, here: Libraries, shadow: Pipeline): void {
    let open = steps.length
    let failed: string | null = null
    let because: string | null = null
    const refused: string[] = []
    for (const { library, args } of steps) {
      askAboutFunctions(shadow, args, (reply) => {
        if (typeof reply === 'string') {
          failed ??= reply
          const wanted = there.get(library)
          if (wanted !== undefined && REFUSAL.test(reply)) {
            refused.push(library)
            because ??= reply
            const known = this.#refused.get(library)
            if (known?.wanted.equals(wanted.code) !== true)
              this.#refused.set(library, { wanted: wanted.code, had: here.get(library)?.code ?? null })
          }
        }
        if (--open > 0) return
        this.#areRefused(refused, because)
        if (failed === null) this.#running = false
        else this.#later(failed, route.shadow!.storeName)
      })
    }
  }

  #certain({ name }: Route): void {
    this.#running = false
    this.#failures = 0
    this.#said = ''
    this.#areRefused([], null)
    this.#dirty.toVerify.lift(name, 'functions')
    this.#dirty.toVerify.lift(name, 'functions-removed')
    this.#context.log({ level: 'info', msg: "the shadow's functions are the primary's", fields: { route: name } })
  }

  /** Error texts may quote a script: only the code is told. */
  #areRefused(libraries: readonly string[], error: string | null): void {
    this.#refusedNow = libraries
    this.#refusedBecause = error === null ? null : codeOf(error)
  }

  #later(error: string, store: string): void {
    this.#running = false
    const hopeless = /^ERR unknown/i.test(error)
    const retryMs = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** this.#failures++)
    this.#notBeforeMs = this.#context.clock.nowMs + (hopeless ? HOPELESS_MS : retryMs)
    const library = this.#refusedNow.join(', ') || null
    if (this.#said === `${store} ${library}`) return
    this.#said = `${store} ${library}`
    this.#context.log({
      level: 'warn',
      msg: 'functions cannot be brought to the shadow; it is tried again',
      fields: { library, store, reason: codeOf(error) },
    })
  }
}

function codeOf(error: string): string {
  return error.split(' ', 1)[0] ?? 'unknown'
}

interface Library {
  readonly code: Buffer
  /** Names. */
  readonly functions: ReadonlySet<string>
}

/** By name. */
type Libraries = ReadonlyMap<string, Library>

/** A source that the shadow does not take. */
interface Refused {
  readonly wanted: Buffer
  /** What it had under that name when it first said so; null: nothing. */
  readonly had: Buffer | null
}

interface Step {
  readonly library: string
  readonly args: Args
}

/** What makes `here` the same as `there`. */
function differences(
  there: Libraries,
  here: Libraries,
  removes: boolean,
  refused: ReadonlyMap<string, Refused>,
): Step[] {
  const steps: Step[] = []
  // First: a function of a library that is gone there may be part of another one now.
  if (removes)
    for (const library of here.keys())
      if (!there.has(library)) steps.push({ library, args: command('FUNCTION', 'DELETE', library) })
  for (const [library, wanted] of there) {
    const found = here.get(library)
    if (found?.code.equals(wanted.code) || standsFor(found, wanted, refused.get(library))) continue
    steps.push({ library, args: command('FUNCTION', 'LOAD', 'REPLACE', wanted.code) })
  }
  return steps
}

/**
 * Somebody has loaded a library of the same functions since the shadow has refused the primary's: written for that server, it is taken to do the same. What it had before may be an older one.
 */
function standsFor(found: Library | undefined, { code, functions }: Library, refused: Refused | undefined): boolean {
  if (found === undefined || refused === undefined || !refused.wanted.equals(code)) return false
  if (refused.had?.equals(found.code) || found.functions.size !== functions.size) return false
  return [...functions].every((name) => found.functions.has(name))
}

function byName(reply: Reply): Libraries {
  return new Map(
    librariesOf(reply).map(({ name, code, functions }) => [
      name,
      { code, functions: new Set(functions.map((one) => one.name)) },
    ]),
  )
}
