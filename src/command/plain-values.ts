import type { DeclaredKeys } from './declared-keys.ts'
import type { LuaExpression } from './lua-outline.ts'
import type { LuaPaths } from './lua-paths.ts'
import type { LuaToken } from './lua-tokens.ts'

/**
 * Which values of a script `tostring` tells alike on every server. Of a table, a function or a thread it tells where that lies in memory.
 *
 *   tostring(ARGV[1]), tostring(1 + n), tostring(#t)        alike
 *   tostring(tonumber(x)), tostring(redis.call(...))        alike: what the server answers is a number or a string wherever that is of use
 *   local n = redis.call('get', KEYS[1]) ... tostring(n)    alike
 *   tostring({}), tostring(print), tostring(a or b)         not, or not known
 */
export class PlainValues {
  readonly #tokens: readonly LuaToken[]
  readonly #keys: DeclaredKeys
  readonly #paths: LuaPaths

  constructor(tokens: readonly LuaToken[], keys: DeclaredKeys) {
    this.#tokens = tokens
    this.#keys = keys
    this.#paths = keys.paths
  }

  has(expression: LuaExpression): boolean {
    switch (expression.kind) {
      case 'string':
      case 'number':
      case 'constant':
      case 'length':
        return true
      case 'group':
        return this.has(expression.inner)
      case 'computed':
        return !this.#tokens
          .slice(expression.from, expression.to + 1)
          .some(({ text }) => text === 'and' || text === 'or')
      case 'call':
        return !this.#keys.maySpread(expression)
      case 'index':
        return (
          this.#keys.isKey(expression) ||
          this.#paths.of(expression.object) === 'ARGV' ||
          this.#isReply(expression.object)
        )
      case 'name':
        if (this.#keys.isKey(expression)) return true
        return isConstant(expression) && this.has(expression.variable.value)
      default:
        return false
    }
  }

  #isReply(expression: LuaExpression): boolean {
    if (expression.kind === 'call') return CALL.test(this.#paths.calledIn(expression))
    return expression.kind === 'name' && isConstant(expression) && this.#isReply(expression.variable.value)
  }
}

/** It has the value that it was declared with. */
function isConstant(
  name: LuaExpression & { kind: 'name' },
): name is typeof name & { variable: { value: LuaExpression } } {
  return name.variable !== null && !name.variable.assigned && name.variable.value !== null
}

const CALL = /^(?:redis|server)\.p?call$/
