import type { LuaExpression, LuaOutline, LuaVariable } from './lua-outline.ts'
import { calledBy, type LuaPaths, READING, walkedBy } from './lua-paths.ts'

/**
 * Which expressions of a script are certainly keys that it declares. The list of them is `KEYS`, or the first parameter of a function of a library, and stays what it was given only if nothing is done with it
 * but what is known to read it.
 *
 *   KEYS[1]                                   one of them
 *   local key, keys = KEYS[1], KEYS           another name for one, and for the list, as long as it is given no other value
 *   for _, key in ipairs(KEYS) do             one of them
 *   unpack(KEYS)                              all of them
 *   KEYS[1] .. ':x', KEYS[1] or ARGV[1]       none of them
 *   KEYS[1] = 'x', table.insert(KEYS, 'x')    nothing is known of the list any more: see `changedBy`
 */
export class DeclaredKeys {
  /** Words by which the list may be changed, or is handed to what is not understood. */
  readonly changedBy: ReadonlySet<number>
  /** Words that name the list or a key. */
  readonly namedBy: ReadonlySet<number>
  /** Those of them that only give it another name. */
  readonly passedOn: ReadonlySet<number>
  readonly #outline: LuaOutline
  readonly #paths: LuaPaths
  /** The first parameters of functions that only the server calls. */
  readonly #lists = new Set<LuaVariable>()
  /** All parameters of those. */
  readonly #calledByServer = new Set<readonly LuaVariable[]>()

  constructor(outline: LuaOutline, paths: LuaPaths) {
    this.#outline = outline
    this.#paths = paths
    this.#findRegistered()
    const names = outline.expressions.filter((expression) => expression.kind === 'name')
    const read = this.#readings()
    this.changedBy = new Set(names.filter((name) => this.#isList(name) && !read.has(name)).map(({ from }) => from))
    this.namedBy = new Set(names.filter((name) => this.#isList(name) || this.isKey(name)).map(({ from }) => from))
    this.passedOn = new Set(outline.variables.flatMap((variable) => this.#givenWords(variable)))
  }

  /** Its value is one of the keys (or nil). */
  isKey(expression: LuaExpression): boolean {
    switch (expression.kind) {
      case 'group':
        return this.isKey(expression.inner)
      case 'index':
        return this.#isList(expression.object)
      case 'name': {
        const { variable } = expression
        if (variable === null || variable.assigned) return false
        return variable.value === null ? this.#isWalkedKey(variable) : this.isKey(variable.value)
      }
      default:
        return false
    }
  }

  /** `unpack(KEYS)` */
  isAllKeys(expression: LuaExpression): boolean {
    return (
      expression.kind === 'call' &&
      UNPACK.has(this.#paths.calledIn(expression)) &&
      expression.args.length > 0 &&
      this.#isList(expression.args[0]!)
    )
  }

  /** As the last argument it may stand for several, or for none. */
  maySpread(expression: LuaExpression): boolean {
    return (
      expression.kind === 'rest' || (expression.kind === 'call' && !ONE_VALUE.test(this.#paths.calledIn(expression)))
    )
  }

  #isList(expression: LuaExpression): boolean {
    if (expression.kind !== 'name') return false
    const { variable, text } = expression
    if (variable === null) return text === 'KEYS' && !this.#paths.isRedefined(text)
    if (variable.assigned) return false
    return this.#lists.has(variable) || (variable.value !== null && this.#isList(variable.value))
  }

  /** `key` of `for _, key in ipairs(KEYS) do` */
  #isWalkedKey(variable: LuaVariable): boolean {
    if (variable.walked?.place !== 1 || variable.walked.values.length > 1) return false
    const walked = walkedBy(variable, this.#paths)
    return walked.length === 1 && this.#isList(walked[0]!)
  }

  #findRegistered(): void {
    const { expressions } = this.#outline
    const callbacks = new Set(
      this.#paths.registrations().flatMap(({ callback }) => (callback === null ? [] : [callback])),
    )
    for (const callback of callbacks) {
      const called = calledBy(callback)
      if (called === null) continue
      // Whoever else has it may call it with another list.
      const isShared = expressions.some(
        (other) => other.kind === 'name' && calledBy(other) === called && !callbacks.has(other),
      )
      if (isShared) continue
      this.#calledByServer.add(called.parameters)
      if (called.parameters.length > 0) this.#lists.add(called.parameters[0]!)
    }
  }

  /** Where the list is only read. */
  #readings(): Set<LuaExpression> {
    const { expressions, variables, targets, returned } = this.#outline
    const read = new Set<LuaExpression>()
    for (const expression of expressions) {
      if (expression.kind === 'index' && !targets.has(expression)) read.add(expression.object)
      else if (expression.kind === 'length') read.add(expression.of)
      else if (expression.kind === 'call' && READING.has(this.#paths.calledIn(expression)))
        for (const arg of expression.args) read.add(arg)
    }
    for (const variable of variables) {
      if (variable.value !== null && !variable.assigned) read.add(variable.value)
      // Elsewhere they answer with the list itself.
      for (const arg of walkedBy(variable, this.#paths)) read.add(arg)
    }
    // The server takes it.
    for (const { values, by } of returned)
      if (by === null || this.#calledByServer.has(by)) for (const value of values) read.add(value)
    return read
  }

  #givenWords({ value, assigned }: LuaVariable): number[] {
    if (value === null || assigned || !(this.isKey(value) || this.#isList(value))) return []
    return Array.from({ length: value.to - value.from + 1 }, (_, i) => value.from + i)
  }
}

const UNPACK: ReadonlySet<string> = new Set(['unpack', 'table.unpack'])
/** They answer with exactly one value. */
const ONE_VALUE =
  /^(?:(?:redis|server)\.(?:p?call|sha1hex)|cjson\.encode|cmsgpack\.pack|struct\.pack|bit\.\w+|tostring|tonumber|type|table\.concat|string\.(?:format|sub|lower|upper|rep|reverse|len)|math\.(?:abs|ceil|floor|max|min|pow|random|sqrt))$/
