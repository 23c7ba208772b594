import type { Args } from '../../command/effects.ts'
import type { KnownScript } from '../../command/scripts/script-book.ts'
import type { ScriptFacts } from '../../command/scripts/script-facts.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import { argsOf, type CommandView } from '../../resp/command-view.ts'
import type { Route } from '../../routing/route.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import { ScriptLoads } from '../../upstream/pipeline/script-loads.ts'
import type { DataPathContext } from '../context.ts'
import type { DirtySet } from '../dirty/dirty-set.ts'
import type { SentFunctions } from '../functions/sent-functions.ts'

/**
 * What the mirror knows of scripts and functions. It sees to it that the shadow has a script whose source has passed (`ScriptBook`) before it is called there. Of functions the primary has the sources (`FunctionBook`); run again on the shadow is only what the shadow has, and as it has it (`SentFunctions`).
 */
export class ScriptEffects {
  readonly #context: DataPathContext
  readonly #loads = new ScriptLoads()
  readonly #parser = new CommandParser()
  readonly #dirty: DirtySet
  readonly #functions: SentFunctions

  constructor(context: DataPathContext, dirty: DirtySet, functions: SentFunctions) {
    this.#context = context
    this.#dirty = dirty
    this.#functions = functions
  }

  /** Of a command of the route where it lies in a buffer: as `factsOf`. */
  factsIn(spec: CommandSpec, { buf, start, end }: CommandView, route: Route): ScriptFacts | null {
    const { scripts, commands } = this.#context
    if (spec.name === 'EVAL') return scripts.read(buf, start[1]!, end[1]!).factsBy(commands)
    const name = buf.toString('latin1', start[1]!, end[1]!)
    if (spec.name === 'EVALSHA') return scripts.bySha(name)?.factsBy(commands) ?? null
    return this.#functionFacts(name, route, 0)
  }

  /** The command calls a function of which the store is being asked what it does. */
  isAwaited({ name }: CommandSpec, { buf, start, end }: CommandView, { primary }: Route): boolean {
    if (name !== 'FCALL') return false
    return this.#context.functions.find(primary.storeName, buf.toString('latin1', start[1]!, end[1]!)) === 'unread'
  }

  /** Of the command EVAL, EVALSHA or FCALL of a client's database; null: its source has not been seen. */
  factsOf(args: Args, database: number): ScriptFacts | null {
    const { commands } = this.#context
    switch (nameOf(args)) {
      case 'EVAL':
      case 'EVALSHA':
        return this.#scriptOf(args)?.factsBy(commands) ?? null
      default:
        return this.#functionFacts(args[1]!.toString('latin1'), this.#routeOf(args), database)
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
      (shadow.store === primary.store ||
        this.#functions.has(shadow.storeName, found.library, found.digest, database)) &&
      !this.#dirty.toVerify.hasCause(this.#context.routes.fallback.name, 'functions')
    if (!isThere) return found.factsUnsent
    const facts = this.#context.functions.jsonIsChanged ? found.factsOfChangedJson : found.facts
    found.isRunAgain ||= facts.varies === null
    return facts
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

  /** Loads the script of an EVALSHA on the shadow, ahead of what is queued next, if it is known and not loaded there. */
  load(args: Args, route: Route, database: number): void {
    const { shadow, primary } = route
    if (shadow === null || shadow.store === primary.store) return
    const script = this.#scriptOf(args)
    if (script !== undefined) this.#loads.ahead(this.#context.stores[shadow.store]!.shadows.to(database), script, route)
  }

  /** The same ahead of a read, which goes to the shadow as it is: for as long as the application counts on the script. */
  loadForRead({ name }: CommandSpec, { buf, start, end }: CommandView, route: Route, pipeline: Pipeline): void {
    if (name !== 'EVALSHA_RO') return
    const script = this.#context.scripts.bySha(buf.toString('latin1', start[1]!, end[1]!))
    if (script?.isLoaded) this.#loads.ahead(pipeline, script, route)
  }

  /** Of EVAL or EVALSHA. */
  #scriptOf(args: Args): KnownScript | undefined {
    const { scripts } = this.#context
    const named = args[1]!
    return nameOf(args) === 'EVAL' ? scripts.read(named, 0, named.length) : scripts.bySha(named.toString('latin1'))
  }

  /** A command about scripts or functions has succeeded on the primary. */
  note(name: string, args: Args): void {
    const { routes } = this.#context
    switch (name) {
      case 'SCRIPT FLUSH':
        this.#loads.forgetAll()
        return
      case 'FUNCTION LOAD':
      case 'FUNCTION DELETE':
      case 'FUNCTION FLUSH':
      case 'FUNCTION RESTORE': {
        const { primary, shadow } = routes.fallback
        // One store has it already, and nothing is sent.
        if (shadow !== null && shadow.store !== primary.store) this.#functions.sent(name, args, shadow.storeName)
      }
    }
  }

  /** The shadow may have lost its scripts. */
  forgetLoaded(): void {
    this.#loads.forgetAll()
  }

  #argsIn(bytes: Buffer, start: number, end: number): Args {
    this.#parser.parse(bytes, start, end)
    return argsOf(this.#parser)
  }
}

function nameOf(args: Args): string {
  return args[0]!.toString('latin1').toUpperCase()
}

/** EVAL, EVALSHA, FCALL: what it does is up to its source. */
export function runsScript({ name }: CommandSpec): boolean {
  return name === 'EVAL' || name === 'EVALSHA' || name === 'FCALL'
}
