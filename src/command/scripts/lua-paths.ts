import type { LuaCall, LuaExpression, LuaFunction, LuaOutline, LuaVariable } from './lua-outline.ts'

/** Which functions of the server's own a script calls, under whatever local names. */
export class LuaPaths {
  readonly #outline: LuaOutline
  /** Global names that the script gives a value, or something in them. */
  readonly #redefined: ReadonlySet<string>
  // A name may be another's other name, and that one a third's: each is followed once.
  readonly #ofVariables = new Map<LuaVariable, string>()
  readonly #calledByVariables = new Map<LuaVariable, LuaFunction | null>()

  constructor(outline: LuaOutline) {
    this.#outline = outline
    this.#redefined = new Set([...outline.targets].map((target) => redefinedBy(target)))
  }

  /** The script gives the global name another value, or something in it. */
  isRedefined(name: string): boolean {
    return this.#redefined.has(name)
  }

  /** `table.concat` of a call of it, also by another name; empty: one of the script's own, or a method. */
  calledIn({ callee, method }: LuaCall): string {
    return method === null ? this.of(callee) : ''
  }

  /** `table.concat`; empty: it is nothing that the server has given. */
  of(expression: LuaExpression): string {
    if (expression.kind === 'index') {
      const object = this.of(expression.object)
      return object === '' || expression.key.kind !== 'string' ? '' : `${object}.${expression.key.text}`
    }
    if (expression.kind !== 'name') return ''
    const { variable, text } = expression
    if (variable === null) return this.#redefined.has(text) ? '' : text
    if (variable.assigned || variable.value === null) return ''
    let path = this.#ofVariables.get(variable)
    if (path === undefined) this.#ofVariables.set(variable, (path = this.of(variable.value)))
    return path
  }

  /** The function itself, or the one that a local name was given when it was declared. */
  calledBy(expression: LuaExpression): LuaFunction | null {
    if (expression.kind === 'function') return expression
    if (expression.kind !== 'name' || expression.variable === null || expression.variable.assigned) return null
    const { variable } = expression
    if (variable.value === null) return null
    let called = this.#calledByVariables.get(variable)
    if (called === undefined) this.#calledByVariables.set(variable, (called = this.calledBy(variable.value)))
    return called
  }

  /** Tables that are only read where they are named: what is not among these may be changed there, or handed to whom nobody knows. */
  readings(): Set<LuaExpression> {
    const { expressions, variables, targets } = this.#outline
    const read = new Set<LuaExpression>()
    for (const expression of expressions) {
      if (expression.kind === 'index' && !targets.has(expression)) read.add(expression.object)
      else if (expression.kind === 'length') read.add(expression.of)
      else if (expression.kind === 'call' && READING.has(this.calledIn(expression)))
        for (const arg of expression.args) read.add(arg)
    }
    // Elsewhere they answer with the table itself.
    for (const variable of variables) for (const arg of walkedBy(variable, this)) read.add(arg)
    return read
  }

  /** `redis.register_function('name', f)` and `redis.register_function{function_name = 'name', callback = f}`. */
  registrations(): Registration[] {
    return this.#outline.expressions.flatMap((call) => {
      if (call.kind !== 'call' || !REGISTER.has(this.calledIn(call))) return []
      const [first, second] = call.args
      if (first === undefined) return []
      if (first.kind !== 'table') return [{ call, name: first, callback: second ?? null }]
      const field = (name: string): LuaExpression | null => first.fields.find((one) => one.name === name)?.value ?? null
      return [{ call, name: field('function_name'), callback: field('callback') }]
    })
  }
}

/** A call by which a library says that it has a function. Null: not written there. */
export interface Registration {
  readonly call: LuaCall
  readonly name: LuaExpression | null
  readonly callback: LuaExpression | null
}

/** Arguments of these calls are walked, in the loops that begin with them. */
export function walkedBy({ walked }: LuaVariable, paths: LuaPaths): readonly LuaExpression[] {
  const [walk] = walked?.values ?? []
  return walk?.kind === 'call' && WALKING.has(paths.calledIn(walk)) ? walk.args : []
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

const REGISTER: ReadonlySet<string> = new Set(['redis.register_function', 'server.register_function'])
const WALKING: ReadonlySet<string> = new Set(['ipairs', 'pairs'])
/** They neither change a table that they are given nor answer with it. */
const READING: ReadonlySet<string> = new Set([
  ...['unpack', 'table.unpack', 'next', 'type', 'table.concat', 'table.getn', 'table.maxn', 'cjson.encode'],
  'cmsgpack.pack',
])
