import { repliesWithKeys } from '../reply-keys.ts'
import type { CommandSpec } from '../spec.ts'
import type { CommandTable } from '../table.ts'
import { AlikeValues } from './alike-values.ts'
import { DeclaredKeys } from './declared-keys.ts'
import { KeyArguments } from './key-arguments.ts'
import type { LuaExpression, LuaOutline } from './lua-outline.ts'
import { luaOutline } from './lua-parser.ts'
import { LuaPaths } from './lua-paths.ts'
import { type LuaToken, luaTokens } from './lua-tokens.ts'
import { PlainValues } from './plain-values.ts'
import {
  ABOUT_ALL_KEYS,
  ELSEWHERE,
  MESSAGES,
  NO_QUEUE,
  PUBLISHING,
  RELATIVE,
  SCORES,
  UNTOLD,
  VARYING,
} from './script-commands.ts'
import { INERT, type ScriptFacts, UNREADABLE } from './script-facts.ts'
import { API, CALLS, ENCODERS, HARMLESS, HIDING, OPAQUE, OWN, UNORDERED } from './script-globals.ts'

/**
 * Reads a Lua script (EVAL): whether it may be carried out again on the shadow. Libraries of functions: `library-analysis.ts`.
 *
 *   redis.call('incr', KEYS[1])     a call by a literal name, of a command that does the same everywhere, on a declared key
 *   local call = redis.call         may be called by another name
 *   local key = KEYS[1]             and so may a key (`DeclaredKeys`)
 *   anything else with `redis`      not understood
 */
export function analyseScript(source: string, commands: CommandTable): ScriptFacts {
  const tokens = luaTokens(source)
  if (tokens === null) return UNREADABLE
  const outline = luaOutline(tokens)
  // The server will most likely refuse it, too, in its own words; and without these names it could do nothing.
  if (outline === null) return tokens.some(reachesOut) ? UNREADABLE : INERT
  const facts = new Analysis(tokens, outline, new DeclaredKeys(outline, new LuaPaths(outline)), commands).facts()
  return UNTOLD.test(source) ? { ...facts, untold: true } : facts
}

function reachesOut({ kind, text }: LuaToken): boolean {
  return kind === 'name' && (API.has(text) || OPAQUE.has(text) || text === 'KEYS')
}

/** Of a script, or of some of its words, as far as they alone do it. */
export class Analysis {
  readonly #tokens: readonly LuaToken[]
  readonly #words: readonly number[]
  readonly #commands: CommandTable
  readonly #calls: ReadonlySet<string>
  readonly #outline: LuaOutline
  readonly #keys: DeclaredKeys
  readonly #keyArguments: KeyArguments
  readonly #plain: PlainValues
  readonly #alike: AlikeValues
  #writes = false
  #varies: string | null = null
  #variesByServer = false
  #declaresKeys = true
  #tellsNames = false
  #asksForAllKeys = false
  #looksIntoQueues = false
  #untold = false
  #computesCommands = false
  readonly #publishesTo = new Set<string | null>()

  /** `words`: places of those that count, in their order; `aliases`: as `aliasesIn` says. */
  constructor(
    tokens: readonly LuaToken[],
    outline: LuaOutline,
    keys: DeclaredKeys,
    commands: CommandTable,
    words: readonly number[] = tokens.map((_, i) => i),
    aliases: ReadonlySet<string> = aliasesIn(tokens),
  ) {
    this.#tokens = tokens
    this.#outline = outline
    this.#commands = commands
    this.#keys = keys
    this.#words = words
    this.#calls = aliases
    this.#keyArguments = new KeyArguments(keys)
    this.#plain = new PlainValues(tokens, keys)
    this.#alike = new AlikeValues(tokens, outline, keys, this.#plain)
    if (keys.changedBy.size > 0 && words.some((word) => keys.changedBy.has(word))) this.#declaresKeys = false
  }

  facts(): ScriptFacts {
    for (const i of this.#words) this.#look(i)
    return {
      writes: this.#writes,
      varies: this.#varies,
      variesByServer: this.#variesByServer,
      declaresKeys: this.#declaresKeys,
      tellsNames: this.#tellsNames || this.#keyArguments.tellsNames(this.#tokens, this.#words),
      asksForAllKeys: this.#asksForAllKeys,
      looksIntoQueues: this.#looksIntoQueues,
      untold: this.#untold,
      computesCommands: this.#computesCommands,
      publishesTo: [...this.#publishesTo],
    }
  }

  #text(i: number): string {
    return textAt(this.#tokens, i)
  }

  #doubt(why: string): void {
    this.#varies ??= why
  }

  #opaque(why: string): void {
    this.#writes = true
    this.#declaresKeys = false
    this.#looksIntoQueues = true
    this.#computesCommands = true
    this.#doubt(why)
  }

  /** What is at `i` makes a call of the function before it without brackets: `redis.call 'flushall'`. */
  #isBareArgument(i: number): boolean {
    return this.#tokens[i]?.kind === 'string' || this.#text(i) === '{'
  }

  #look(i: number): void {
    const token = this.#tokens[i]!
    const name = token.text
    // `table.foreach`, `table['foreach']`, or of whatever that is called.
    if (name === 'foreach' && (token.kind === 'name' || this.#text(i - 1) === '['))
      this.#doubt('it walks a table in no order (foreach)')
    if (token.kind !== 'name') return
    if (this.#text(i - 1) === '.') return
    if (API.has(name)) this.#lookAtApi(i)
    else if (this.#calls.has(name)) {
      if (this.#text(i + 1) === '(') this.#call(i, i + 1)
      else if (this.#text(i - 1) !== 'local') this.#opaque(`it passes ${name} on`)
    } else if (name === 'math' && !this.#isOfMath(i)) this.#doubt('it may use random numbers')
    else if (name === 'tostring' && !this.#isOfPlainValue(i))
      this.#doubt('it may write where something lies in memory (tostring)')
    else if (ENCODERS.has(name)) this.#lookAtEncoder(i)
    else if (OWN.has(name)) this.#doubt(`it uses ${name}`)
    else if (HIDING.has(name)) this.#doubt(HIDES)
    else if (UNORDERED.has(name)) this.#doubt(`it walks a table in no order (${name})`)
    else if (OPAQUE.has(name)) this.#opaque(`it uses ${name}`)
  }

  /** `math.floor`: what it gives is the same everywhere. By another name, or by a computed one, it may be `math.random`. */
  #isOfMath(i: number): boolean {
    return this.#text(i + 1) === '.' && !this.#text(i + 2).startsWith('random')
  }

  /** The `tostring` at `i` is called, and not handed on. */
  #isOfPlainValue(i: number): boolean {
    const [arg] = this.#outline.calls.get(i + 1)?.args ?? []
    return arg !== undefined && this.#plain.has(arg)
  }

  /** `cjson.encode(...)` */
  #lookAtEncoder(i: number): void {
    const member = this.#text(i + 1) === '.' ? this.#text(i + 2) : ''
    if (member === 'decode' || member === 'unpack' || member === 'null') return
    const call = this.#outline.calls.get(i + 3)
    if (call === undefined || !call.args.every((arg) => this.#alike.isEncodedAlike(arg))) this.#variesByServer = true
  }

  #lookAtApi(i: number): void {
    const member = this.#text(i + 1) === '.' ? this.#text(i + 2) : ''
    if (HIDING.has(member)) this.#doubt(HIDES)
    if (CALLS.has(member)) {
      if (this.#text(i + 3) === '(') this.#call(i, i + 3)
      // Its other name was looked for.
      else if (this.#text(i - 3) !== 'local' || this.#isBareArgument(i + 3))
        this.#opaque(`it passes ${this.#text(i)}.${member} on`)
    } else if (!HARMLESS.has(member) && !member.startsWith('LOG_')) {
      this.#opaque(`it uses ${this.#text(i)}.${member || '...'}`)
    }
  }

  /** A call from `start` on whose `(` is at `open`. */
  #call(start: number, open: number): void {
    const args = this.#outline.calls.get(open)?.args
    const first = args?.[0]
    if (args === undefined || first?.kind !== 'string') {
      this.#opaque('it calls a command by a computed name')
      return
    }
    const name = first.text.toUpperCase()
    const spec = this.#commands.byName(name)
    if (spec === undefined) {
      this.#opaque(`it calls ${name}`)
      return
    }
    if (!spec.readonly && !MESSAGES.has(name)) this.#writes = true
    if (ELSEWHERE.has(name) && !(name === 'COPY' && this.#copiesHere(args))) {
      this.#declaresKeys = false
      this.#untold = true
    }
    if (repliesWithKeys(spec)) this.#tellsNames = true
    if (!NO_QUEUE.test(name) && (this.#isUsed(start) || hasSeveralKeys(spec))) this.#looksIntoQueues = true
    if (ABOUT_ALL_KEYS.has(name)) this.#asksForAllKeys = true
    if (PUBLISHING.has(name)) {
      const channel = args[1]
      this.#publishesTo.add(channel?.kind === 'string' ? channel.text : null)
    }
    const why = this.#variesBy(name, args)
    if (why !== null) this.#doubt(why)
    if (!args.every((arg) => this.#alike.has(arg)) || this.#usesScores(name, args, start, open))
      this.#variesByServer = true
    if (!this.#keyArguments.areDeclared(subcommandOf(spec, args), args)) this.#declaresKeys = false
  }

  /** It asks for scores, and does more than to answer with them. */
  #usesScores(name: string, args: readonly LuaExpression[], start: number, open: number): boolean {
    if (!SCORES.has(name) && !this.#alike.mayAskForScores(name, args)) return false
    return this.#isUsed(start) && !this.#keys.isAnswer(this.#outline.calls.get(open)!)
  }

  /** COPY source destination [REPLACE]: without its DB. */
  #copiesHere(args: readonly LuaExpression[]): boolean {
    const options = args.slice(3)
    if (args.length < 3 || this.#keys.maySpread(args.at(-1)!)) return false
    return options.every((option) => option.kind === 'string' && option.text.toUpperCase() === 'REPLACE')
  }

  /** Something is done with the value of what begins at `start`: it is no statement. A string before it may be a part of one. */
  #isUsed(start: number): boolean {
    const before = this.#tokens[start - 1]
    if (before === undefined) return false
    if (before.kind === 'mark') return !ENDS.has(before.text)
    return before.kind === 'name' && VALUE_FOLLOWS.has(before.text)
  }

  /** Why a command need not do the same on another server with the same data, at another time; null: it does. */
  #variesBy(name: string, args: readonly LuaExpression[]): string | null {
    if (VARYING.has(name)) return `it calls ${name}`
    if (RELATIVE.has(name)) return `it sets a relative time (${name})`
    if (name === 'SET' && (this.#keys.maySpread(args.at(-1)!) || !args.slice(3).every((arg) => isPlainSetOption(arg))))
      return 'it sets a relative time (SET)'
    return null
  }
}

/** `local call = redis.call` */
export function aliasesIn(tokens: readonly LuaToken[]): ReadonlySet<string> {
  const aliases = new Set<string>()
  const text = (i: number): string => textAt(tokens, i)
  for (let i = 0; i < tokens.length; i++) {
    if (text(i) !== 'local' || text(i + 2) !== '=' || !API.has(text(i + 3))) continue
    if (text(i + 4) === '.' && CALLS.has(text(i + 5)) && text(i + 6) !== '(') aliases.add(text(i + 1))
  }
  return aliases
}

/** Empty: a string, or none. */
function textAt(tokens: readonly LuaToken[], i: number): string {
  const token = tokens[i]
  return token === undefined || token.kind === 'string' ? '' : token.text
}

/** XGROUP CREATE of XGROUP, where the second word is written out. */
function subcommandOf(spec: CommandSpec, [, second]: readonly LuaExpression[]): CommandSpec {
  const literal = second?.kind === 'string' ? second.text.toUpperCase() : ''
  return spec.subcommands?.get(literal) ?? spec
}

/** It may bring what is in one key to another. */
function hasSeveralKeys({ name, keyFinder, firstKey, lastKey }: CommandSpec): boolean {
  return name !== 'DEL' && name !== 'UNLINK' && (keyFinder !== 'plain' || lastKey !== firstKey)
}

function isPlainSetOption(arg: LuaExpression): boolean {
  return arg.kind === 'string' && /^(NX|XX|GET|KEEPTTL)$/i.test(arg.text)
}

const HIDES = 'it may go on behind an error (pcall)'
/** Behind these a statement may begin. */
const ENDS: ReadonlySet<string> = new Set([')', ']', '}', ';'])
/** What follows these is a value. */
const VALUE_FOLLOWS: ReadonlySet<string> = new Set([
  ...['return', 'and', 'or', 'not', 'if', 'elseif', 'while', 'until', 'in'],
])
