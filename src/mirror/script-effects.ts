import type { Args } from '../command/effects.ts'
import type { ScriptFacts } from '../command/script-analysis.ts'
import type { CommandSpec } from '../command/spec.ts'
import { CommandParser } from '../resp/command-parser.ts'
import { argsOf, type CommandView } from '../resp/command-view.ts'
import { encodeCommand } from '../resp/encode.ts'
import type { Route } from '../routing/route.ts'
import type { ReplyOwner } from '../upstream/in-flight.ts'
import type { DataPathContext } from './context.ts'
import type { DirtySet } from './dirty-set.ts'
import { ScriptBook } from './script-book.ts'
import type { SentFunctions } from './sent-functions.ts'

/**
 * What the mirror knows of scripts and functions. It keeps every source of a script that passes, and sees to it that the shadow has a script before it is called there, so that neither the mirror nor, after a
 * switch, a client meets NOSCRIPT. Of functions the primary has the sources (`FunctionBook`); run again on the shadow is only what the shadow has, and as it has it (`SentFunctions`).
 */
export class ScriptEffects {
  readonly #context: DataPathContext
  readonly #book = new ScriptBook()
  readonly #parser = new CommandParser()
  readonly #dirty: DirtySet
  readonly #functions: SentFunctions

  constructor(context: DataPathContext, dirty: DirtySet, functions: SentFunctions) {
    this.#context = context
    this.#dirty = dirty
    this.#functions = functions
  }

  /** The same of a command of the route where it lies in a buffer. */
  factsIn(spec: CommandSpec, { buf, start, end }: CommandView, route: Route): ScriptFacts | null {
    const named = buf.subarray(start[1]!, end[1]!)
    if (spec.name === 'EVAL') return this.#book.learn(named, this.#context.commands).facts
    const name = named.toString('latin1')
    if (spec.name === 'EVALSHA') return this.#book.bySha(name)?.facts ?? null
    return this.#functionFacts(name, route, 0)
  }

  /** The command calls a function of which the store is being asked what it does. */
  isAwaited({ name }: CommandSpec, { buf, start, end }: CommandView, { primary }: Route): boolean {
    if (name !== 'FCALL') return false
    return this.#context.functions.find(primary.storeName, buf.toString('latin1', start[1]!, end[1]!)) === 'unread'
  }

  /** Of the command EVAL, EVALSHA or FCALL of a client's database; null: its source has not been seen. */
  factsOf(args: Args, database: number): ScriptFacts | null {
    const named = args[1]!.toString('latin1')
    switch (nameOf(args)) {
      case 'EVAL':
        return this.#book.learn(args[1]!, this.#context.commands).facts
      case 'EVALSHA':
        return this.#book.bySha(named)?.facts ?? null
      default:
        return this.#functionFacts(named, this.#routeOf(args), database)
    }
  }

  /** As `planCommand` finds it. */
  #routeOf(args: Args): Route {
    const { routes } = this.#context
    const key = Number(args[2]) > 0 ? args[3] : undefined
    return key === undefined ? routes.fallback : routes.find(key, 0, key.length).route
  }

  /** Null: nobody can tell what it does. `database`: decides whether it may be run again, and nothing else. */
  #functionFacts(name: string, { primary, shadow }: Route, database: number): ScriptFacts | null {
    const found = this.#context.functions.find(primary.storeName, name)
    if (typeof found === 'string') return null
    const isThere =
      shadow !== null &&
      this.#functions.has(shadow.storeName, found.library, found.digest, database) &&
      !this.#dirty.toVerify.hasCause(this.#context.routes.fallback.name, 'functions')
    if (!isThere) return found.factsUnsent
    found.isRunAgain ||= found.facts.varies === null
    return found.facts
  }

  /** What the script does to other keys may depend on what it finds where clients wait. */
  looksIntoQueues(bytes: Buffer, start: number, end: number): boolean {
    return this.factsOf(this.#argsIn(bytes, start, end), 0)?.looksIntoQueues ?? true
  }

  /** The command runs a script that is known to write to keys which it does not declare. */
  writesOtherKeys(spec: CommandSpec | null, bytes: Buffer, start: number, end: number): boolean {
    if (spec === null || !runsScript(spec)) return false
    const facts = this.factsOf(this.#argsIn(bytes, start, end), 0)
    return facts?.writes === true && !facts.declaresKeys
  }

  /** Loads the script of the command on the shadow, ahead of what is queued next, if it is known and not loaded there. */
  load(args: Args, route: Route, database: number): void {
    const { shadow, primary } = route
    if (shadow === null || shadow.store === primary.store || nameOf(args) === 'FCALL') return
    const script =
      nameOf(args) === 'EVAL'
        ? this.#book.learn(args[1]!, this.#context.commands)
        : this.#book.bySha(args[1]!.toString('latin1'))
    if (script === undefined) return
    const pipeline = this.#context.stores[shadow.store]!.shadow(database)
    if (!this.#book.needsLoading(pipeline, script.sha)) return
    const bytes = encodeCommand(['SCRIPT', 'LOAD', script.source])
    pipeline.push(this.#loading, bytes, 0, bytes.length).route = route
  }

  /** A command about scripts or functions has succeeded on the primary. */
  note(name: string, args: Args): void {
    const { commands, routes } = this.#context
    switch (name) {
      case 'SCRIPT LOAD':
        this.#book.learn(args[2]!, commands)
        return
      case 'SCRIPT FLUSH':
        this.#book.forgetLoaded()
        return
      case 'FUNCTION LOAD':
      case 'FUNCTION DELETE':
      case 'FUNCTION FLUSH':
      case 'FUNCTION RESTORE':
        if (routes.fallback.shadow !== null) this.#functions.sent(name, args, routes.fallback.shadow.storeName)
    }
  }

  /** The shadow may have lost its scripts. */
  forgetLoaded(): void {
    this.#book.forgetLoaded()
  }

  #argsIn(bytes: Buffer, start: number, end: number): Args {
    this.#parser.parse(bytes, start, end)
    return argsOf(this.#parser)
  }

  /** What comes of the loading shows when the script is called. */
  readonly #loading: ReplyOwner = {
    settle: () => {},
    lost: () => this.#book.forgetLoaded(),
    timedOut: () => {},
  }
}

function nameOf(args: Args): string {
  return args[0]!.toString('latin1').toUpperCase()
}

/** EVAL, EVALSHA, FCALL: what it does is up to its source. */
export function runsScript({ name }: CommandSpec): boolean {
  return name === 'EVAL' || name === 'EVALSHA' || name === 'FCALL'
}
