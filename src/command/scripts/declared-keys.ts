import type { LuaExpression, LuaFunction, LuaName, LuaOutline, LuaVariable } from './lua-outline.ts'
import { type LuaPaths, walkedBy } from './lua-paths.ts'

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
  /** Those by which the list is counted: `#KEYS`. */
  readonly countedBy: ReadonlySet<number>
  readonly #outline: LuaOutline
  readonly paths: LuaPaths
  /** The first parameters of functions that only the server calls. */
  readonly #lists = new Set<LuaVariable>()
  /** Of local names, as far as they have been followed. */
  readonly #keyVariables = new Map<LuaVariable, boolean>()
  readonly #listVariables = new Map<LuaVariable, boolean>()
  /** Variables, and global names, in whose value something may be changed. */
  readonly #touched = new Set<LuaVariable | string>()
  /** All parameters of those. */
  readonly #calledByServer = new Set<readonly LuaVariable[]>()
  readonly #answers: ReadonlySet<LuaExpression>

  constructor(outline: LuaOutline, paths: LuaPaths) {
    this.#outline = outline
    this.paths = paths
    this.#findRegistered()
    const names = outline.expressions.filter((expression) => expression.kind === 'name')
    this.#answers = new Set(
      outline.returned.flatMap(({ values, by }) => (by === null || this.#calledByServer.has(by) ? values : [])),
    )
    const read = this.#readings()
    for (const name of names) if (!read.has(name)) this.#touch(name)
    this.changedBy = new Set(names.filter((name) => this.isList(name) && !read.has(name)).map(({ from }) => from))
    this.namedBy = new Set(names.filter((name) => this.isList(name) || this.isKey(name)).map(({ from }) => from))
    this.countedBy = new Set(
      outline.expressions.flatMap((length) => (length.kind === 'length' && this.isList(length.of) ? [length.to] : [])),
    )
    this.passedOn = new Set(outline.variables.flatMap((variable) => this.#givenWords(variable)))
  }

  /** Its value is one of the keys (or nil). */
  isKey(expression: LuaExpression): boolean {
    switch (expression.kind) {
      case 'group':
        return this.isKey(expression.inner)
      case 'index':
        return this.isList(expression.object)
      case 'name': {
        const { variable } = expression
        if (variable === null || variable.assigned) return false
        let known = this.#keyVariables.get(variable)
        if (known === undefined) {
          known = variable.value === null ? this.#isWalkedKey(variable) : this.isKey(variable.value)
          this.#keyVariables.set(variable, known)
        }
        return known
      }
      default:
        return false
    }
  }

  /** `unpack(KEYS)` */
  isAllKeys(expression: LuaExpression): boolean {
    return (
      expression.kind === 'call' &&
      UNPACK.has(this.paths.calledIn(expression)) &&
      expression.args.length > 0 &&
      this.isList(expression.args[0]!)
    )
  }

  /** It is the server that takes it, as the answer of the script. */
  isAnswer(expression: LuaExpression): boolean {
    return this.#answers.has(expression)
  }

  /** As the last argument it may stand for several, or for none. */
  maySpread(expression: LuaExpression): boolean {
    return (
      expression.kind === 'rest' || (expression.kind === 'call' && !ONE_VALUE.test(this.paths.calledIn(expression)))
    )
  }

  /** The list of arguments: `ARGV`, or the second parameter of a function of a library. Nothing but a string is put into it. */
  isArguments(expression: LuaExpression): boolean {
    if (expression.kind !== 'name' || !this.isUntouched(expression)) return false
    const { variable } = expression
    if (variable === null) return this.paths.of(expression) === 'ARGV'
    if (variable.value !== null) return this.isArguments(variable.value)
    return [...this.#calledByServer].some((parameters) => parameters[1] === variable)
  }

  /** What is in the table of this name stays as it was given: it is only read, by whatever names it has. */
  isUntouched({ variable, text }: LuaName): boolean {
    return variable === null ? !this.#touched.has(text) : !variable.assigned && !this.#touched.has(variable)
  }

  isList(expression: LuaExpression): boolean {
    if (expression.kind !== 'name') return false
    const { variable, text } = expression
    if (variable === null) return text === 'KEYS' && !this.paths.isRedefined(text)
    if (variable.assigned) return false
    let known = this.#listVariables.get(variable)
    if (known === undefined) {
      known = this.#lists.has(variable) || (variable.value !== null && this.isList(variable.value))
      this.#listVariables.set(variable, known)
    }
    return known
  }

  /** `key` of `for _, key in ipairs(KEYS) do` */
  #isWalkedKey(variable: LuaVariable): boolean {
    if (variable.walked?.place !== 1 || variable.walked.values.length > 1) return false
    const walked = walkedBy(variable, this.paths)
    return walked.length === 1 && this.isList(walked[0]!)
  }

  #findRegistered(): void {
    const callbacks = new Set(
      this.paths.registrations().flatMap(({ callback }) => (callback === null ? [] : [callback])),
    )
    // Whoever else has one may call it with another list.
    const shared = new Set<LuaFunction | null>()
    for (const other of this.#outline.expressions)
      if (other.kind === 'name' && !callbacks.has(other)) shared.add(this.paths.calledBy(other))
    for (const callback of callbacks) {
      const called = this.paths.calledBy(callback)
      if (called === null || shared.has(called)) continue
      this.#calledByServer.add(called.parameters)
      if (called.parameters.length > 0) this.#lists.add(called.parameters[0]!)
    }
  }

  /** Where the list is only read. */
  #readings(): Set<LuaExpression> {
    const { variables } = this.#outline
    const read = this.paths.readings()
    for (const { value, assigned } of variables) if (value !== null && !assigned) read.add(value)
    for (const value of this.#answers) read.add(value)
    return read
  }

  /** By whatever names it was given before. */
  #touch({ variable, text }: LuaName): void {
    const touched = variable ?? text
    if (this.#touched.has(touched)) return
    this.#touched.add(touched)
    if (variable?.value?.kind === 'name') this.#touch(variable.value)
  }

  #givenWords({ value, assigned }: LuaVariable): number[] {
    if (value === null || assigned || !(this.isKey(value) || this.isList(value))) return []
    return Array.from({ length: value.to - value.from + 1 }, (_, i) => value.from + i)
  }
}

const UNPACK: ReadonlySet<string> = new Set(['unpack', 'table.unpack'])
/** They answer with exactly one value. */
const ONE_VALUE =
  /^(?:(?:redis|server)\.(?:p?call|sha1hex)|cjson\.encode|cmsgpack\.pack|struct\.pack|bit\.\w+|tostring|tonumber|type|table\.concat|string\.(?:format|sub|lower|upper|rep|reverse|len)|math\.(?:abs|ceil|floor|max|min|pow|random|sqrt))$/
