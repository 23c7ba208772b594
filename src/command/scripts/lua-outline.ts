/** An expression of a Lua script: what is needed to tell whose value it is. `from` and `to`: its first and its last word. */
export type LuaExpression =
  | LuaName
  | LuaIndex
  | LuaCall
  | LuaFunction
  | LuaTable
  | (Span & { readonly kind: 'string' | 'number'; readonly text: string })
  /** One value of whatever is in the brackets. */
  | (Span & { readonly kind: 'group'; readonly inner: LuaExpression })
  | (Span & { readonly kind: 'length'; readonly of: LuaExpression })
  /** `nil`, `true` and `false`; `...`; and whatever is computed with operators. */
  | (Span & { readonly kind: 'constant' | 'rest' | 'computed' })

interface Span {
  readonly from: number
  readonly to: number
}

export interface LuaName extends Span {
  readonly kind: 'name'
  readonly text: string
  /** null: a global one. */
  readonly variable: LuaVariable | null
}

/** `object[key]`, `object.key`. */
export interface LuaIndex extends Span {
  readonly kind: 'index'
  readonly object: LuaExpression
  readonly key: LuaExpression
}

export interface LuaCall extends Span {
  readonly kind: 'call'
  readonly callee: LuaExpression
  /** `callee:method(...)` */
  readonly method: string | null
  readonly args: readonly LuaExpression[]
}

export interface LuaFunction extends Span {
  readonly kind: 'function'
  readonly parameters: readonly LuaVariable[]
}

export interface LuaTable extends Span {
  readonly kind: 'table'
  /** Of `{a, b = c}`: `a` and `c`. */
  readonly fields: readonly { readonly name: string | null; readonly value: LuaExpression }[]
}

/** A local variable, a parameter, or a variable of a loop. */
export interface LuaVariable {
  /** The value that it was declared with; null: none that is written next to it. */
  readonly value: LuaExpression | null
  /** What a loop walks (`for a, b in these do`), and the how manieth of its variables it is. */
  readonly walked: { readonly values: readonly LuaExpression[]; readonly place: number } | null
  /** Parameters of the function that it is a variable of; null: of the script itself, whose variables the functions of a library share. */
  readonly within: readonly LuaVariable[] | null
  /** It is given another value somewhere. */
  assigned: boolean
}

export interface LuaOutline {
  /** All there are, those within others too. */
  readonly expressions: readonly LuaExpression[]
  readonly variables: readonly LuaVariable[]
  /** What stands on the left of a `=`, or is the name of a function: names and indexes. */
  readonly targets: ReadonlySet<LuaExpression>
  /** What stands opposite a target; none: it is one of more targets than values. */
  readonly given: ReadonlyMap<LuaExpression, LuaExpression>
  readonly returned: readonly {
    readonly values: readonly LuaExpression[]
    readonly by: readonly LuaVariable[] | null
  }[]
  /** By the first word of its arguments: a bracket. */
  readonly calls: ReadonlyMap<number, LuaCall>
}
