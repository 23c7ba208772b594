import { DeclaredKeys } from './declared-keys.ts'
import type { LuaExpression, LuaFunction, LuaOutline } from './lua-outline.ts'
import { luaOutline } from './lua-parser.ts'
import { calledBy, LuaPaths, type Registration } from './lua-paths.ts'
import { type LuaToken, luaTokens } from './lua-tokens.ts'
import { ModuleState } from './module-state.ts'
import { Analysis, aliasesIn, placesOf, type ScriptFacts, UNREADABLE } from './script-analysis.ts'
import { UNTOLD } from './script-commands.ts'
import type { CommandTable } from './table.ts'

/** What can be told of the functions of a library by reading it. */
export interface LibraryFacts {
  /** By the names that they are registered by, where these are written out. */
  readonly functions: ReadonlyMap<string, ScriptFacts>
  /** Of any other function that it may have: whatever stands anywhere in it. */
  readonly others: ScriptFacts
}

/**
 * Reads a library of functions, and tells of each what it alone does: its own words, those of the library's local functions that it names, and those of theirs.
 *
 *   #!lua name=carts
 *   local TTL = 60                                       everybody's
 *   local function note(key) ... end                     its words are add's
 *   local function drop(keys) ... end                    drop's alone
 *   redis.register_function('add', function(keys) ... note(keys[1]) ... end)
 *   redis.register_function('drop', drop)
 *
 * Where that is not certain, it is told of the function what is true of the library as a whole: it uses a variable in which another may have left something (`ModuleState`), its name is computed, or it is registered from within a function. In doubt, as
 * of scripts, the worse.
 */
export function analyseLibrary(source: string, commands: CommandTable): LibraryFacts {
  const tokens = luaTokens(source)
  const outline = tokens === null ? null : luaOutline(tokens)
  if (tokens === null || outline === null) return { functions: new Map(), others: UNREADABLE }
  return new LibraryReader(tokens, outline, commands).facts(UNTOLD.test(source))
}

class LibraryReader {
  readonly #tokens: readonly LuaToken[]
  readonly #outline: LuaOutline
  readonly #commands: CommandTable
  readonly #state: ModuleState
  readonly #keys: DeclaredKeys
  readonly #registered: readonly Registration[]
  /** Functions that count only for who names them. */
  readonly #parts = new Set<LuaFunction>()
  /** By word: the function of `#parts` that it stands in; absent: everybody's. */
  readonly #owners: (LuaFunction | undefined)[]
  /** The words of each. */
  readonly #words = new Map<LuaFunction | undefined, number[]>()
  readonly #aliases: ReadonlySet<string>
  /** Those of `#parts` that a function of them names; null: that are named by what is everybody's. */
  readonly #named = new Map<LuaFunction | null, Set<LuaFunction>>()

  constructor(tokens: readonly LuaToken[], outline: LuaOutline, commands: CommandTable) {
    this.#tokens = tokens
    this.#outline = outline
    this.#commands = commands
    const paths = new LuaPaths(outline)
    this.#state = new ModuleState(tokens, outline, paths)
    this.#keys = new DeclaredKeys(outline, paths)
    this.#registered = paths.registrations().filter(({ call }) => !this.#state.isInFunction(call))
    this.#aliases = aliasesIn(tokens)
    this.#owners = new Array(tokens.length)
    this.#divide()
    this.#follow()
  }

  facts(untold: boolean): LibraryFacts {
    const whole = this.#analyse(placesOf(this.#tokens))
    const others = { ...whole, untold: whole.untold || untold, varies: whole.varies ?? MAY_KEEP }
    const functions = new Map<string, ScriptFacts>()
    let read = 0
    for (const { name, callback } of this.#registered) {
      if (name?.kind !== 'string' || name.text.includes('\\')) continue
      const called = callback === null ? null : calledBy(callback)
      const words = called === null || functions.has(name.text) ? null : this.#wordsOf(called)
      read += words?.length ?? 0
      if (read > MAX_WORDS_READ) return { functions: new Map(), others }
      functions.set(name.text, words === null ? others : this.#factsOf(words, others))
    }
    return { functions, others }
  }

  /** Everybody's words, and those of what the function reaches. */
  #wordsOf(called: LuaFunction): number[] {
    const reached = new Set<LuaFunction | undefined>([undefined])
    const follow = (one: LuaFunction | null): void => {
      for (const next of this.#named.get(one) ?? []) {
        if (reached.has(next)) continue
        reached.add(next)
        follow(next)
      }
    }
    follow(null)
    reached.add(called)
    follow(called)
    return [...reached].flatMap((owner) => this.#words.get(owner) ?? []).sort((one, other) => one - other)
  }

  #factsOf(words: readonly number[], others: ScriptFacts): ScriptFacts {
    if (this.#state.isUsedIn(words)) return others
    const facts = this.#analyse(words)
    const untold = words.some((i) => UNTOLD.test(this.#tokens[i]!.text))
    return untold ? { ...facts, untold } : facts
  }

  #analyse(words: readonly number[]): ScriptFacts {
    return new Analysis(this.#tokens, this.#outline, this.#keys, this.#commands, words, this.#aliases).facts()
  }

  /** The library's local functions that never are anything else, and functions that are written where they are registered. */
  #divide(): void {
    for (const { value, within, assigned } of this.#outline.variables)
      if (within === null && !assigned && value?.kind === 'function') this.#parts.add(value)
    for (const { callback } of this.#registered) if (callback?.kind === 'function') this.#parts.add(callback)
    for (const part of this.#parts) this.#owners.fill(part, part.from, part.to + 1)
    for (let i = 0; i < this.#owners.length; i++) {
      const owner = this.#owners[i]
      const words = this.#words.get(owner)
      if (words === undefined) this.#words.set(owner, [i])
      else words.push(i)
    }
  }

  #follow(): void {
    const callbacks = new Set<LuaExpression | null>(this.#registered.map(({ callback }) => callback))
    for (const name of this.#outline.expressions) {
      if (name.kind !== 'name' || callbacks.has(name)) continue
      const called = calledBy(name)
      if (called === null || !this.#parts.has(called)) continue
      const by = this.#owners[name.from] ?? null
      const named = this.#named.get(by)
      if (named === undefined) this.#named.set(by, new Set([called]))
      else named.add(called)
    }
  }
}

const MAY_KEEP = 'it may keep something between two calls'
/** Beyond it the functions are not told apart. */
const MAX_WORDS_READ = 5_000_000
