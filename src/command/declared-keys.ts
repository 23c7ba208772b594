import type { LuaCall, LuaExpression, LuaFunction, LuaOutline, LuaVariable } from './lua-outline.ts'

/**
 * Which expressions of a script are certainly keys that it declares. The list of them is `KEYS`, or the first parameter of a function of a library, and stays what it was given only if nothing is done with it
 * but what is known to read it.
 *
 *   KEYS[1]                                   one of them
 *   local key, keys = KEYS[1], KEYS           another name for one, and for the list, as long as it is given no other value
 *   for _, key in ipairs(KEYS) do             one of them
 *   unpack(KEYS)                              all of them
 *   KEYS[1] .. ':x', KEYS[1] or ARGV[1]       none of them
 *   KEYS[1] = 'x', table.insert(KEYS, 'x')    nothing is known of the list any more: see `areChanged`
 */
export class DeclaredKeys {
  /** The list may be changed, or is handed to what is not understood. */
  readonly areChanged: boolean
  /** Words that name the list or a key. */
  readonly namedBy: ReadonlySet<number>
  /** Those of them that only give it another name. */
  readonly passedOn: ReadonlySet<number>
  readonly #outline: LuaOutline
  /** Global names that the script gives a value, or something in them. */
  readonly #redefined: ReadonlySet<string>
  /** The first parameters of functions that only the server calls. */
  readonly #lists = new Set<LuaVariable>()
  /** All parameters of those. */
  readonly #calledByServer = new Set<readonly LuaVariable[]>()

  constructor(outline: LuaOutline) {
    this.#outline = outline
    this.#redefined = new Set([...outline.targets].map((target) => redefinedBy(target)))
    this.#findRegistered()
    const names = outline.expressions.filter((expression) => expression.kind === 'name')
    const read = this.#readings()
    this.areChanged = names.some((name) => this.#isList(name) && !read.has(name))
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
      UNPACK.has(this.#function(expression)) &&
      expression.args.length > 0 &&
      this.#isList(expression.args[0]!)
    )
  }

  /** As the last argument it may stand for several, or for none. */
  maySpread(expression: LuaExpression): boolean {
    return expression.kind === 'rest' || (expression.kind === 'call' && !ONE_VALUE.test(this.#function(expression)))
  }

  #isList(expression: LuaExpression): boolean {
    if (expression.kind !== 'name') return false
    const { variable, text } = expression
    if (variable === null) return text === 'KEYS' && !this.#redefined.has(text)
    if (variable.assigned) return false
    return this.#lists.has(variable) || (variable.value !== null && this.#isList(variable.value))
  }

  /** `key` of `for _, key in ipairs(KEYS) do` */
  #isWalkedKey({ walked }: LuaVariable): boolean {
    const [walk, ...more] = walked?.values ?? []
    if (walked?.place !== 1 || walk?.kind !== 'call' || more.length > 0) return false
    return WALKING.has(this.#function(walk)) && walk.args.length === 1 && this.#isList(walk.args[0]!)
  }

  /** `table.concat` of a call of it, also by another name; empty: one of the script's own, or a method. */
  #function({ callee, method }: LuaCall): string {
    return method === null ? this.#pathOf(callee) : ''
  }

  #pathOf(expression: LuaExpression): string {
    if (expression.kind === 'index') {
      const object = this.#pathOf(expression.object)
      return object === '' || expression.key.kind !== 'string' ? '' : `${object}.${expression.key.text}`
    }
    if (expression.kind !== 'name') return ''
    const { variable, text } = expression
    if (variable === null) return this.#redefined.has(text) ? '' : text
    return variable.assigned || variable.value === null ? '' : this.#pathOf(variable.value)
  }

  /** `redis.register_function('name', f)` and `redis.register_function{function_name = 'name', callback = f}`. */
  #findRegistered(): void {
    const { expressions } = this.#outline
    const callbacks = new Set<LuaExpression>()
    for (const expression of expressions) {
      if (expression.kind !== 'call' || !REGISTER.has(this.#function(expression))) continue
      const [first, second] = expression.args
      if (first?.kind === 'table') {
        for (const { name, value } of first.fields) if (name === 'callback') callbacks.add(value)
      } else if (second !== undefined) callbacks.add(second)
    }
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
      else if (expression.kind === 'call' && READING.has(this.#function(expression)))
        for (const arg of expression.args) read.add(arg)
    }
    for (const { value, walked, assigned } of variables) {
      if (value !== null && !assigned) read.add(value)
      // Elsewhere they answer with the list itself.
      const [walk] = walked?.values ?? []
      if (walk?.kind === 'call' && WALKING.has(this.#function(walk))) for (const arg of walk.args) read.add(arg)
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

/** The function itself, or the one that a local name was given when it was declared. */
function calledBy(expression: LuaExpression): LuaFunction | null {
  if (expression.kind === 'function') return expression
  if (expression.kind !== 'name' || expression.variable === null || expression.variable.assigned) return null
  const { value } = expression.variable
  return value === null ? null : calledBy(value)
}

/** Another value of a local name changes nothing in what it named before. */
function redefinedBy(target: LuaExpression): string {
  return target.kind === 'name' && target.variable !== null ? '' : rootOf(target)
}

/** The global name by which a target is reached, maybe by way of local ones; empty: none. */
function rootOf(target: LuaExpression): string {
  if (target.kind === 'index') return rootOf(target.object)
  if (target.kind === 'group') return rootOf(target.inner)
  if (target.kind !== 'name') return ''
  const { variable, text } = target
  if (variable === null) return text
  return variable.value === null ? '' : rootOf(variable.value)
}

const UNPACK: ReadonlySet<string> = new Set(['unpack', 'table.unpack'])
const WALKING: ReadonlySet<string> = new Set(['ipairs', 'pairs'])
const REGISTER: ReadonlySet<string> = new Set(['redis.register_function', 'server.register_function'])
/** They neither change a table that they are given nor answer with it. */
const READING: ReadonlySet<string> = new Set([
  ...['unpack', 'table.unpack', 'next', 'type', 'table.concat', 'table.getn', 'table.maxn', 'cjson.encode'],
  'cmsgpack.pack',
])
/** They answer with exactly one value. */
const ONE_VALUE =
  /^(?:(?:redis|server)\.(?:p?call|sha1hex)|cjson\.encode|cmsgpack\.pack|struct\.pack|bit\.\w+|tostring|tonumber|type|table\.concat|string\.(?:format|sub|lower|upper|rep|reverse|len)|math\.(?:abs|ceil|floor|max|min|pow|random|sqrt))$/
