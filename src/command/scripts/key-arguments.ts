import { viewOf } from '../../resp/command-view.ts'
import { findKeys, KeyPositions } from '../keys.ts'
import type { CommandSpec } from '../spec.ts'
import type { DeclaredKeys } from './declared-keys.ts'
import type { LuaExpression } from './lua-outline.ts'
import type { LuaToken } from './lua-tokens.ts'

/** The keys of the commands that a script calls: whether each is one that it declares; and, when all calls have been looked at, whether it does anything else with names of keys. */
export class KeyArguments {
  readonly #keys: DeclaredKeys
  /** Words that stand for a key where a command takes one. */
  readonly #asKeys = new Set<number>()

  constructor(keys: DeclaredKeys) {
    this.#keys = keys
  }

  /** Every key of this call is one of the script's. `args`: with the command's name. */
  areDeclared(spec: CommandSpec, args: readonly LuaExpression[]): boolean {
    if (spec.subcommands !== null) return false
    if (spec.keyFinder !== 'plain') return this.#areFoundKeysDeclared(spec, args)
    if (spec.firstKey === 0) return true
    const end = args.length - 1
    const last = spec.lastKey < 0 ? args.length + spec.lastKey : spec.lastKey
    for (let i = spec.firstKey; i <= last; i += spec.keyStep) {
      const arg = args[i]
      if (arg !== undefined && !this.#takesKey(arg)) return false
    }
    // Further keys may be among what the last argument stands for.
    const mayHoldKeys = spec.lastKey < 0 || spec.lastKey > end
    return !mayHoldKeys || !this.#keys.maySpread(args[end]!) || this.#keys.isAllKeys(args[end]!)
  }

  /** Where its keys are depends on other arguments: all of them are keys, or written out. */
  #areFoundKeysDeclared(spec: CommandSpec, args: readonly LuaExpression[]): boolean {
    const texts = args.map((arg) => (this.#keys.isKey(arg) ? KEY : literalOf(arg)))
    if (!texts.every((text) => text !== null)) return false
    findKeys(spec, viewOf(texts.map((text) => Buffer.from(text, 'latin1'))), POSITIONS)
    const { count, complete, patternCount } = POSITIONS
    const found = new Set(POSITIONS.index.subarray(0, count))
    if (!complete || patternCount > 0 || !args.every((arg, i) => found.has(i) === this.#keys.isKey(arg))) return false
    for (const i of found) this.#takesKey(args[i]!)
    return true
  }

  #takesKey(arg: LuaExpression): boolean {
    if (!this.#keys.isKey(arg) && !this.#keys.isAllKeys(arg)) return false
    for (let i = arg.from; i <= arg.to; i++) this.#asKeys.add(i)
    return true
  }

  /** Names of keys are used for something else than to reach them in the calls so far. `words`: places of those that count. */
  tellsNames(tokens: readonly LuaToken[], words: readonly number[]): boolean {
    return words.some((i) => this.#isTold(tokens[i]!, i, wordOf(tokens[i - 1])))
  }

  /** A name of a key that is used for something else than to reach it, or to count them. */
  #isTold({ kind, text }: LuaToken, i: number, before: string): boolean {
    const { passedOn, countedBy } = this.#keys
    if (kind !== 'name' || this.#asKeys.has(i) || passedOn.has(i) || countedBy.has(i)) return false
    return this.#keys.namedBy.has(i) || (text === 'KEYS' && before !== '.')
  }
}

/** Empty: it is a string, or there is none. */
function wordOf(token: LuaToken | undefined): string {
  return token === undefined || token.kind === 'string' ? '' : token.text
}

/** What the server is given; null: that is computed, or written in a way of its own. */
function literalOf(arg: LuaExpression): string | null {
  if (arg.kind === 'string') return arg.text.includes('\\') ? null : arg.text
  return arg.kind === 'number' && Number.isSafeInteger(Number(arg.text)) ? String(Number(arg.text)) : null
}

/** Stands for a key's name, where only its place is asked for. */
const KEY = 'key'
const POSITIONS = new KeyPositions()
