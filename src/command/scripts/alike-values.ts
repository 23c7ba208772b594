import type { DeclaredKeys } from './declared-keys.ts'
import type { LuaCall, LuaExpression, LuaOutline } from './lua-outline.ts'
import { walkedBy } from './lua-paths.ts'
import type { LuaToken } from './lua-tokens.ts'
import { LISTS, type PlainValues, VALUES } from './plain-values.ts'
import { WITH_SCORES } from './script-commands.ts'

/**
 * Which values of a script every server puts down in the same words. Of a number that it is given as an argument Redis before 7.2 writes 17 digits, later ones and Valkey as many as it takes, so it must certainly be a
 * small integer; and what `cjson.encode` and `cmsgpack.pack` make of a table with named fields is in an order that is not the same everywhere.
 *
 *   ARGV[1], KEYS[1], 'x' .. n, tostring(n)            alike
 *   #ARGV, redis.call('llen', KEYS[1]), 17             alike
 *   10 - 0.1, tonumber(ARGV[1]) + 1, math.floor(n)     not, or not known
 *   cjson.encode({ARGV[1], 5})                         alike
 *   cjson.encode({id = ARGV[1], n = 5})                not
 */
export class AlikeValues {
  readonly #tokens: readonly LuaToken[]
  readonly #outline: LuaOutline
  readonly #keys: DeclaredKeys
  readonly #plain: PlainValues

  constructor(tokens: readonly LuaToken[], outline: LuaOutline, keys: DeclaredKeys, plain: PlainValues) {
    this.#tokens = tokens
    this.#outline = outline
    this.#keys = keys
    this.#plain = plain
  }

  /** As an argument of a command. */
  has(expression: LuaExpression): boolean {
    switch (expression.kind) {
      case 'string':
      case 'constant':
      case 'length':
        return true
      case 'number':
        return Number.isSafeInteger(Number(expression.text))
      case 'group':
        return this.has(expression.inner)
      case 'computed':
        return this.#isAlikeSpan(expression.from, expression.to)
      case 'call':
        return this.#isAlikeAnswer(expression)
      case 'index':
        return this.#keys.isKey(expression) || this.#isListOfStrings(expression.object)
      case 'name': {
        const { variable } = expression
        if (variable === null || variable.assigned) return false
        if (variable.value !== null) return this.#keys.isKey(expression) || this.has(variable.value)
        const [list] = walkedBy(variable, this.#keys.paths)
        return list !== undefined && (variable.walked?.place === 0 || this.#isListOfStrings(list))
      }
      default:
        return false
    }
  }

  /** What `cjson.encode` and `cmsgpack.pack` make of it. */
  isEncodedAlike(expression: LuaExpression): boolean {
    switch (expression.kind) {
      case 'table':
        // `{[key] = value}` has no name either.
        return expression.fields.every(
          ({ name, value }) =>
            name === null && this.#tokens[value.from - 1]?.text !== '=' && this.isEncodedAlike(value),
        )
      case 'name':
        if (this.#isListOfStrings(expression) || this.#plain.has(expression)) return true
        return (
          this.#keys.isUntouched(expression) &&
          expression.variable !== null &&
          expression.variable.value !== null &&
          this.isEncodedAlike(expression.variable.value)
        )
      default:
        return this.#plain.has(expression) || this.#isListOfStrings(expression)
    }
  }

  /** The command has `WITHSCORES` or `INCR`, or what may be that: where an option may stand is something else than a word or a number, and it is not one of the two numbers of `LIMIT`. */
  mayAskForScores(name: string, args: readonly LuaExpression[]): boolean {
    const isWord = (i: number, words: RegExp): boolean => {
      const arg = args[i]
      return arg?.kind === 'string' && words.test(arg.text)
    }
    if (!WITH_SCORES.test(name)) return false
    if (this.#keys.maySpread(args.at(-1)!)) return true
    return args.some((arg, i) => {
      if (arg.kind === 'string') return isWord(i, /^(?:withscores?|incr)$/i)
      if (arg.kind === 'number') return false
      // A score and a member come last.
      if (name === 'ZADD') return i > 1 && i < args.length - 2
      return RANGES.test(name) && i > 3 && !isWord(i - 1, /^limit$/i) && !isWord(i - 2, /^limit$/i)
    })
  }

  #isAlikeAnswer(call: LuaCall): boolean {
    const { callee, method, args } = call
    if (method !== null) return STRING_METHOD.test(method) && this.has(callee)
    const called = this.#keys.paths.calledIn(call)
    if (CALL.test(called)) return answersBy(call, ANSWERS)
    if (UNPACK.has(called)) return args[0] !== undefined && this.#isListOfStrings(args[0])
    return ALIKE.test(called)
  }

  /** Of strings, or of small integers. */
  #isListOfStrings(expression: LuaExpression): boolean {
    if (this.#keys.isList(expression) || this.#keys.isArguments(expression)) return true
    if (expression.kind === 'call')
      return CALL.test(this.#keys.paths.calledIn(expression)) && answersBy(expression, ANSWERED_LISTS)
    if (expression.kind !== 'name' || !this.#keys.isUntouched(expression)) return false
    const value = expression.variable?.value ?? null
    return value !== null && this.#isListOfStrings(value)
  }

  /** What is computed of the words `from` to `to`, by the operator that binds the least. */
  #isAlikeSpan(from: number, to: number): boolean {
    const operators: number[] = []
    let depth = 0
    for (let i = from; i <= to; i++) {
      const { kind, text } = this.#tokens[i]!
      if (kind === 'string') continue
      if (OPEN.has(text)) depth++
      else if (CLOSE.has(text)) depth--
      else if (depth === 0 && OPERATORS.has(text)) operators.push(i)
    }
    const has = (words: ReadonlySet<string>): boolean => operators.some((i) => words.has(this.#tokens[i]!.text))
    if (has(CHOICES)) {
      const ends = [...operators.filter((i) => CHOICES.has(this.#tokens[i]!.text)), to + 1]
      return ends.every((end, n) => this.#isAlikeSpan(n === 0 ? from : ends[n - 1]! + 1, end - 1))
    }
    // No server takes a boolean.
    if (has(COMPARISONS) || has(JOINS)) return true
    if (operators.length > 0) return this.#isNegative(from, to)
    const whole = this.#outline.expressions.find((one) => one.from === from && one.to === to)
    return whole !== undefined && whole.kind !== 'computed' && this.has(whole)
  }

  /** `-1` */
  #isNegative(from: number, to: number): boolean {
    const number = Number(this.#tokens[to]!.text)
    return to === from + 1 && this.#tokens[from]!.text === '-' && Number.isSafeInteger(number) && number !== 0
  }
}

function answersBy({ args: [command] }: LuaCall, commands: ReadonlySet<string>): boolean {
  return command?.kind === 'string' && commands.has(command.text.toUpperCase())
}

const CALL = /^(?:redis|server)\.p?call$/
const UNPACK: ReadonlySet<string> = new Set(['unpack', 'table.unpack'])
const STRING_METHOD = /^(?:format|sub|lower|upper|rep|reverse|len|byte|gsub|match|find)$/
/** They answer with strings, or with small integers. */
const ALIKE =
  /^(?:(?:redis|server)\.sha1hex|cjson\.encode|cmsgpack\.pack|struct\.pack|bit\.\w+|tostring|type|table\.concat|string\.(?:format|sub|lower|upper|rep|reverse|len|byte|char|gsub|match|find))$/
/** Answered with numbers that may be large, or with fractions. */
const NUMBERS = /^(?:INCRBY|INCR|DECRBY|DECR|HINCRBY|ZSCORE|ZINCRBY|ZMSCORE)$/
const ANSWERS: ReadonlySet<string> = new Set(
  [...VALUES, 'LPOP', 'RPOP', 'ZRANK', 'ZREVRANK'].filter((name) => !NUMBERS.test(name)),
)
const ANSWERED_LISTS: ReadonlySet<string> = new Set([...LISTS].filter((name) => !NUMBERS.test(name)))
const RANGES = /^Z(?:REV)?RANGE/
const OPEN: ReadonlySet<string> = new Set(['(', '[', '{'])
const CLOSE: ReadonlySet<string> = new Set([')', ']', '}'])
const CHOICES: ReadonlySet<string> = new Set(['and', 'or'])
const COMPARISONS: ReadonlySet<string> = new Set(['==', '~=', '<', '>', '<=', '>=', 'not'])
const JOINS: ReadonlySet<string> = new Set(['..'])
const OPERATORS: ReadonlySet<string> = new Set([...CHOICES, ...COMPARISONS, ...JOINS, '+', '-', '*', '/', '%', '^'])
