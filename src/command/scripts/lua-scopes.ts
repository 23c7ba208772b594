import type { LuaExpression, LuaVariable } from './lua-outline.ts'
import { NoScript } from './lua-words.ts'

/** Servers take 200 levels, as they count them, and 200 variables of a function. Both, and the length of `a.b.c`, are followed by recursion. */
export const MAX_DEPTH = 500
const MAX_VARIABLES = 1_000

interface Scope {
  readonly names: Map<string, LuaVariable>
  readonly outer: Scope | null
}

/** Which variable a name means at the place of a Lua script that is being read. Too many of them, or too many levels, throw NoScript. */
export class LuaScopes {
  /** All there have been. */
  readonly variables: LuaVariable[] = []
  /** Parameters of the function that is being read; null: the script itself. */
  within: readonly LuaVariable[] | null = null
  #depth = 0
  /** Variables that are known at this place. */
  #declared = 0
  #scope: Scope = { names: new Map(), outer: null }

  declare(name: string, value: LuaExpression | null, walked: LuaVariable['walked'] = null): LuaVariable {
    if (this.#declared++ > MAX_VARIABLES) throw new NoScript()
    const variable = { value, walked, within: this.within, assigned: false }
    this.variables.push(variable)
    this.#scope.names.set(name, variable)
    return variable
  }

  /** Null: a global. */
  find(name: string): LuaVariable | null {
    for (let scope: Scope | null = this.#scope; scope !== null; scope = scope.outer) {
      const variable = scope.names.get(name)
      if (variable !== undefined) return variable
    }
    return null
  }

  /** What `read` declares ends with it. */
  nested(read: () => void): void {
    const outer = this.#scope
    const declared = this.#declared
    this.enter()
    this.#scope = { names: new Map(), outer }
    read()
    this.#scope = outer
    this.#declared = declared
    this.leave()
  }

  /** One level deeper, with the same variables. */
  enter(): void {
    if (this.#depth++ > MAX_DEPTH) throw new NoScript()
  }

  leave(): void {
    this.#depth--
  }
}
