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

const RETRY_MS = 1_000
/** It cannot be done: tried again in case the server is replaced by another. */
const HOPELESS_MS = 60_000

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
 * The doubt is a cause of `VerifyMarks`: it stands on disk and closes the gate of a switch.
 */
export class FunctionSync {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  #running = false
  #notBeforeMs = 0
  #saidHopeless = false

  constructor(context: DataPathContext, dirty: DirtySet) {
    this.#context = context
    this.#dirty = dirty
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
      if (typeof there === 'string') return isUnknownCommand(there) ? this.#certain(route) : this.#later(there)
      if (typeof here === 'string') return this.#later(here)
      const commands = differences(there, here, toVerify.hasCause(route.name, 'functions-removed'))
      if (commands.length > 0) this.#send(commands, shadow)
      else if (toVerify.times(route.name) === times) this.#certain(route)
      else this.#running = false
    }
    askAboutFunctions(primary, LIST_FUNCTIONS, (reply) =>
      answered(0, typeof reply === 'string' ? reply : codesOf(reply)),
    )
    askAboutFunctions(shadow, LIST_FUNCTIONS, (reply) =>
      answered(1, typeof reply === 'string' ? reply : codesOf(reply)),
    )
  }

  /** Then both are compared again. */
  #send(commands: readonly Args[], shadow: Pipeline): void {
    let open = commands.length
    let failed: string | null = null
    for (const args of commands) {
      askAboutFunctions(shadow, args, (reply) => {
        if (typeof reply === 'string') failed ??= reply
        if (--open > 0) return
        if (failed === null) this.#running = false
        else this.#later(failed)
      })
    }
  }

  #certain({ name }: Route): void {
    this.#running = false
    this.#saidHopeless = false
    this.#dirty.toVerify.lift(name, 'functions')
    this.#dirty.toVerify.lift(name, 'functions-removed')
    this.#context.log({ level: 'info', msg: "the shadow's functions are the primary's", fields: { route: name } })
  }

  #later(error: string): void {
    this.#running = false
    const hopeless = /^ERR unknown/i.test(error)
    this.#notBeforeMs = this.#context.clock.nowMs + (hopeless ? HOPELESS_MS : RETRY_MS)
    if (this.#saidHopeless) return
    this.#saidHopeless = true
    this.#context.log({
      level: 'warn',
      msg: 'functions cannot be brought to the shadow; it is tried again',
      // Error texts may quote a script: only the code goes to the log.
      fields: { reason: error.split(' ', 1)[0] ?? 'unknown' },
    })
  }
}

/** Source by name. */
type Libraries = ReadonlyMap<string, Buffer>

/** What makes `here` the same as `there`. */
function differences(there: Libraries, here: Libraries, removes: boolean): Args[] {
  const commands: Args[] = []
  // First: a function of a library that is gone there may be part of another one now.
  if (removes) for (const name of here.keys()) if (!there.has(name)) commands.push(command('FUNCTION', 'DELETE', name))
  for (const [name, code] of there) {
    if (here.get(name)?.equals(code) !== true) commands.push(command('FUNCTION', 'LOAD', 'REPLACE', code))
  }
  return commands
}

function codesOf(reply: Reply): Libraries {
  return new Map(librariesOf(reply).map(({ name, code }) => [name, code]))
}
