import type { LuaExpression, LuaOutline, LuaVariable } from './lua-outline.ts'
import type { LuaPaths } from './lua-paths.ts'
import type { LuaToken } from './lua-tokens.ts'

/**
 * Variables of a library itself that its functions use, and that may hold something else at the next call: each server has its own.
 *
 *   local TTL, warn = 60, redis.LOG_WARNING       the same for ever
 *   local names = { cart = 'c' }                  the same, as long as it is only read, and nothing in it could be changed
 *   local M = {} function M.add(key) ... end      the same: it is filled while the library is loaded
 *   local n = 0 ... n = n + 1                     not: another value
 *   local seen = {} ... seen[key] = true          not: something in it
 *   local step = counter()                        not known (a server has none of Lua's own functions while it loads a library)
 */
export class ModuleState {
  readonly #outline: LuaOutline
  readonly #paths: LuaPaths
  readonly #tokens: readonly LuaToken[]
  /** Words within functions. */
  readonly #inFunction: Uint8Array
  /** Names of tables by which nothing in them can be changed. */
  readonly #read: ReadonlySet<LuaExpression>
  /** Where each variable is named. */
  readonly #names = new Map<LuaVariable, LuaExpression[]>()
  /** `M.add` of `M.add = 1`, by `M`. */
  readonly #filled = new Map<LuaExpression, LuaExpression>()
  readonly #fixed = new Map<LuaVariable, boolean>()
  /** Words by which functions name such variables. */
  readonly #words: ReadonlySet<number>

  constructor(tokens: readonly LuaToken[], outline: LuaOutline, paths: LuaPaths) {
    this.#tokens = tokens
    this.#outline = outline
    this.#paths = paths
    this.#inFunction = new Uint8Array(tokens.length)
    for (const { kind, from, to } of outline.expressions)
      if (kind === 'function') this.#inFunction.fill(1, from, to + 1)
    this.#read = paths.readings()
    for (const expression of outline.expressions) {
      if (expression.kind !== 'name' || expression.variable === null) continue
      const names = this.#names.get(expression.variable)
      if (names === undefined) this.#names.set(expression.variable, [expression])
      else names.push(expression)
    }
    for (const target of outline.targets) if (target.kind === 'index') this.#filled.set(target.object, target)
    const words = outline.expressions.flatMap((expression) =>
      expression.kind === 'name' &&
      expression.variable !== null &&
      expression.variable.within === null &&
      this.isInFunction(expression) &&
      !this.#keepsItsValue(expression.variable)
        ? [expression.from]
        : [],
    )
    this.#words = new Set(words)
  }

  isInFunction({ from }: LuaExpression): boolean {
    return this.#inFunction[from] === 1
  }

  /** One of the words names such a variable. */
  isUsedIn(words: readonly number[]): boolean {
    return this.#words.size > 0 && words.some((word) => this.#words.has(word))
  }

  #keepsItsValue(variable: LuaVariable): boolean {
    const { value, assigned } = variable
    if (assigned || value === null) return false
    return this.#isFixed(value) || this.#isFlat(variable)
  }

  /** What it is can never be changed: no table, and nothing that a call may have made. */
  #isFixed(expression: LuaExpression): boolean {
    switch (expression.kind) {
      case 'string':
      case 'number':
      case 'constant':
      case 'function':
      case 'length':
        return true
      case 'group':
        return this.#isFixed(expression.inner)
      case 'computed':
        return !this.#tokens
          .slice(expression.from, expression.to + 1)
          .some(({ text }) => text === 'and' || text === 'or')
      case 'index':
        if (this.#paths.of(expression) !== '') return true
        return (
          expression.object.kind === 'name' &&
          expression.object.variable !== null &&
          this.#isFlat(expression.object.variable)
        )
      case 'name': {
        const { variable } = expression
        if (variable === null) return this.#paths.of(expression) !== ''
        return !variable.assigned && variable.value !== null && this.#isFixed(variable.value)
      }
      default:
        return false
    }
  }

  /** A table of such values, that only the library itself fills, while it is loaded. */
  #isFlat(variable: LuaVariable): boolean {
    const known = this.#fixed.get(variable)
    if (known !== undefined) return known
    // For one that refers to itself.
    this.#fixed.set(variable, false)
    const { value, assigned } = variable
    const flat =
      !assigned &&
      value?.kind === 'table' &&
      value.fields.every((field) => this.#isFixed(field.value)) &&
      (this.#names.get(variable) ?? []).every((name) => this.#isOnlyRead(name))
    this.#fixed.set(variable, flat)
    return flat
  }

  #isOnlyRead(name: LuaExpression): boolean {
    if (this.#read.has(name)) return true
    const target = this.#filled.get(name)
    const given = target === undefined ? undefined : this.#outline.given.get(target)
    return given !== undefined && !this.isInFunction(target!) && this.#isFixed(given)
  }
}
