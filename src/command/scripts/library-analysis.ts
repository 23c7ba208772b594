import type { CommandTable } from '../table.ts'
import { DeclaredKeys } from './declared-keys.ts'
import type { LuaExpression, LuaFunction, LuaOutline } from './lua-outline.ts'
import { luaOutline } from './lua-parser.ts'
import { LuaPaths, type Registration } from './lua-paths.ts'
import { type LuaToken, luaTokens } from './lua-tokens.ts'
import { ModuleState } from './module-state.ts'
import { Analysis, aliasesIn } from './script-analysis.ts'
import { UNTOLD } from './script-commands.ts'
import { bothOf, type ScriptFacts, UNREADABLE } from './script-facts.ts'

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
  readonly #paths: LuaPaths
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
  /** Those of `#parts` that a function of them names; undefined: that are named by what is everybody's. */
  readonly #named = new Map<LuaFunction | undefined, Set<LuaFunction>>()
  readonly #facts = new Map<LuaFunction | undefined, PartFacts>()

  constructor(tokens: readonly LuaToken[], outline: LuaOutline, commands: CommandTable) {
    this.#tokens = tokens
    this.#outline = outline
    this.#commands = commands
    const paths = new LuaPaths(outline)
    this.#paths = paths
    this.#state = new ModuleState(tokens, outline, paths)
    this.#keys = new DeclaredKeys(outline, paths)
    this.#registered = paths.registrations().filter(({ call }) => !this.#state.isInFunction(call))
    this.#aliases = aliasesIn(tokens)
    this.#owners = new Array(tokens.length)
    this.#divide()
    this.#follow()
  }

  facts(untold: boolean): LibraryFacts {
    const everybodys = this.#ofPart(undefined)
    const all = [...this.#words.keys()].reduce((sum, owner) => join(sum, this.#ofPart(owner)), everybodys)
    const others = { ...all.facts, untold: all.facts.untold || untold, varies: all.facts.varies ?? MAY_KEEP }
    const functions = new Map<string, ScriptFacts>()
    for (const { name, callback } of this.#registered) {
      if (name?.kind !== 'string' || name.text.includes('\\')) continue
      const called = callback === null ? null : this.#paths.calledBy(callback)
      const part = called === null || functions.has(name.text) ? null : join(everybodys, this.#ofPart(called))
      functions.set(name.text, part === null || part.keeps ? others : part.facts)
    }
    return { functions, others }
  }

  /** Of a function's own words, and of the functions that it reaches: those that it names have been declared before it. Undefined: of what is everybody's. */
  #ofPart(owner: LuaFunction | undefined): PartFacts {
    const known = this.#facts.get(owner)
    if (known !== undefined) return known
    const words = this.#words.get(owner) ?? []
    let part: PartFacts = { facts: this.#analyse(words), keeps: this.#state.isUsedIn(words) }
    if (words.some((i) => UNTOLD.test(this.#tokens[i]!.text)))
      part = { ...part, facts: { ...part.facts, untold: true } }
    // For one that names itself.
    this.#facts.set(owner, part)
    for (const named of this.#named.get(owner) ?? []) part = join(part, this.#ofPart(named))
    this.#facts.set(owner, part)
    return part
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
      const called = this.#paths.calledBy(name)
      if (called === null || !this.#parts.has(called)) continue
      const by = this.#owners[name.from]
      const named = this.#named.get(by)
      if (named === undefined) this.#named.set(by, new Set([called]))
      else named.add(called)
    }
  }
}

const MAY_KEEP = 'it may keep something between two calls'

/** Of some words of the library. */
interface PartFacts {
  readonly facts: ScriptFacts
  /** They name a variable in which another call may have left something. */
  readonly keeps: boolean
}

function join(one: PartFacts, other: PartFacts): PartFacts {
  return one === other ? one : { facts: bothOf(one.facts, other.facts), keeps: one.keeps || other.keeps }
}
