import type { LuaCall, LuaExpression, LuaFunction, LuaName, LuaOutline, LuaTable, LuaVariable } from './lua-outline.ts'
import { LuaScopes, MAX_DEPTH } from './lua-scopes.ts'
import type { LuaToken } from './lua-tokens.ts'
import { LuaWords, NoScript } from './lua-words.ts'

/**
 * What a Lua 5.1 script is made of, with its names resolved. Null: it is no script, or nested deeper than a server takes. It need not refuse all that a server refuses, for that does nothing there.
 * Source of the grammar: the Lua 5.1 reference manual, section 8.
 */
export function luaOutline(tokens: readonly LuaToken[]): LuaOutline | null {
  try {
    return new Parser(tokens).script()
  } catch (error) {
    if (error instanceof NoScript) return null
    throw error
  }
}

class Parser {
  readonly #words: LuaWords
  readonly #scopes = new LuaScopes()
  readonly #expressions: LuaExpression[] = []
  readonly #targets = new Set<LuaExpression>()
  readonly #given = new Map<LuaExpression, LuaExpression>()
  readonly #returned: LuaOutline['returned'][number][] = []
  readonly #calls = new Map<number, LuaCall>()

  constructor(tokens: readonly LuaToken[]) {
    this.#words = new LuaWords(tokens)
  }

  script(): LuaOutline {
    this.#block()
    if (!this.#words.isAtEnd) throw new NoScript()
    return {
      expressions: this.#expressions,
      variables: this.#scopes.variables,
      targets: this.#targets,
      given: this.#given,
      returned: this.#returned,
      calls: this.#calls,
    }
  }

  // Names

  #reference(): LuaName {
    const from = this.#words.at
    const text = this.#words.name()
    return this.#add({ kind: 'name', text, variable: this.#scopes.find(text), from, to: from })
  }

  #assign(target: LuaExpression, value: LuaExpression | undefined): void {
    if (target.kind !== 'name' && target.kind !== 'index') throw new NoScript()
    this.#targets.add(target)
    if (value !== undefined) this.#given.set(target, value)
    if (target.kind === 'name' && target.variable !== null) target.variable.assigned = true
  }

  // Statements

  /** Statements up to a word that no statement begins with; their variables end with them. */
  #block(): void {
    this.#scopes.nested(() => this.#statements())
  }

  #statements(): void {
    while (!this.#words.isAtEnd && !BLOCK_ENDS.has(this.#words.word())) {
      if (this.#words.take('return')) {
        const none = this.#words.isAtEnd || this.#words.word() === ';' || BLOCK_ENDS.has(this.#words.word())
        this.#returned.push({ values: none ? [] : this.#list(), by: this.#scopes.within })
      } else this.#statement()
      this.#words.take(';')
    }
  }

  #statement(): void {
    if (this.#words.take('local')) this.#local()
    else if (this.#words.take('if')) this.#if()
    else if (this.#words.take('for')) this.#for()
    else if (this.#words.take('function')) this.#namedFunction()
    else if (this.#words.take('repeat')) this.#repeat()
    else if (this.#words.take('while')) {
      this.#expression()
      this.#words.expect('do')
      this.#blockToEnd()
    } else if (this.#words.take('do')) this.#blockToEnd()
    else if (!this.#words.take('break')) this.#callOrAssignment()
  }

  #blockToEnd(): void {
    this.#block()
    this.#words.expect('end')
  }

  #local(): void {
    const from = this.#words.at
    if (this.#words.take('function')) {
      // Its own name is known within it.
      const variable: LuaVariable & { value: LuaExpression | null } = this.#scopes.declare(this.#words.name(), null)
      variable.value = this.#function(from, false)
      return
    }
    const names = this.#names()
    const values = this.#words.take('=') ? this.#list() : []
    for (const [i, name] of names.entries()) this.#scopes.declare(name, values[i] ?? null)
  }

  #names(): string[] {
    const names = [this.#words.name()]
    while (this.#words.take(',')) names.push(this.#words.name())
    return names
  }

  #if(): void {
    do {
      this.#expression()
      this.#words.expect('then')
      this.#block()
    } while (this.#words.take('elseif'))
    if (this.#words.take('else')) this.#block()
    this.#words.expect('end')
  }

  #for(): void {
    const names = this.#names()
    const counts = this.#words.take('=')
    if (!counts) this.#words.expect('in')
    const values = this.#list()
    this.#words.expect('do')
    this.#scopes.nested(() => {
      for (const [place, name] of names.entries()) this.#scopes.declare(name, null, counts ? null : { values, place })
      this.#blockToEnd()
    })
  }

  /** The condition knows the variables of the block. */
  #repeat(): void {
    this.#scopes.nested(() => {
      this.#statements()
      this.#words.expect('until')
      this.#expression()
    })
  }

  #namedFunction(): void {
    let target: LuaExpression = this.#reference()
    let isMethod = false
    for (let length = 0; !isMethod && (this.#words.word() === '.' || this.#words.word() === ':'); length++) {
      if (length > MAX_DEPTH) throw new NoScript()
      isMethod = this.#words.word() === ':'
      this.#words.at++
      target = this.#member(target)
    }
    this.#assign(target, this.#function(this.#words.at, isMethod))
  }

  #callOrAssignment(): void {
    const first = this.#suffixed()
    if (this.#words.word() !== '=' && this.#words.word() !== ',') {
      if (first.kind !== 'call') throw new NoScript()
      return
    }
    const targets = [first]
    while (this.#words.take(',')) targets.push(this.#suffixed())
    this.#words.expect('=')
    const values = this.#list()
    for (const [i, target] of targets.entries()) this.#assign(target, values[i])
  }

  // Expressions

  #add<T extends LuaExpression>(expression: T): T {
    this.#expressions.push(expression)
    return expression
  }

  #list(): LuaExpression[] {
    const list = [this.#expression()]
    while (this.#words.take(',')) list.push(this.#expression())
    return list
  }

  /** What binds closer does not matter: with an operator it is computed. */
  #expression(): LuaExpression {
    this.#scopes.enter()
    const from = this.#words.at
    const first = this.#operand()
    let computed = false
    for (; BINARY.has(this.#words.word()); computed = true) {
      this.#words.at++
      this.#operand()
    }
    this.#scopes.leave()
    return computed ? this.#add({ kind: 'computed', from, to: this.#words.at - 1 }) : first
  }

  #operand(): LuaExpression {
    const from = this.#words.at
    const word = this.#words.word()
    if (!UNARY.has(word)) return this.#simple()
    this.#scopes.enter()
    this.#words.at++
    const of = this.#operand()
    this.#scopes.leave()
    const to = this.#words.at - 1
    return this.#add(word === '#' ? { kind: 'length', of, from, to } : { kind: 'computed', from, to })
  }

  #simple(): LuaExpression {
    const from = this.#words.at
    const { token } = this.#words
    if (token?.kind === 'string' || token?.kind === 'number') {
      this.#words.at++
      return this.#add({ kind: token.kind, text: token.text, from, to: from })
    }
    if (this.#words.word() === '{') return this.#table()
    if (this.#words.take('function')) return this.#function(from, false)
    if (this.#words.take('...')) return this.#add({ kind: 'rest', from, to: from })
    if (CONSTANTS.has(this.#words.word())) {
      this.#words.at++
      return this.#add({ kind: 'constant', from, to: from })
    }
    return this.#suffixed()
  }

  /** A name or an expression in brackets, and the indexes and calls behind it. */
  #suffixed(): LuaExpression {
    const from = this.#words.at
    let expression: LuaExpression
    if (this.#words.take('(')) {
      const inner = this.#expression()
      this.#words.expect(')')
      expression = this.#add({ kind: 'group', inner, from, to: this.#words.at - 1 })
    } else expression = this.#reference()
    for (let length = 0; ; length++) {
      if (length > MAX_DEPTH) throw new NoScript()
      if (this.#words.take('.')) expression = this.#member(expression)
      else if (this.#words.take('[')) {
        const key = this.#expression()
        this.#words.expect(']')
        expression = this.#add({ kind: 'index', object: expression, key, from, to: this.#words.at - 1 })
      } else if (this.#words.take(':')) expression = this.#call(expression, this.#words.name())
      else if (this.#words.word() === '(' || this.#words.word() === '{' || this.#words.token?.kind === 'string')
        expression = this.#call(expression, null)
      else return expression
    }
  }

  /** The name behind a dot. */
  #member(object: LuaExpression): LuaExpression {
    const at = this.#words.at
    const key = this.#add({ kind: 'string', text: this.#words.name(), from: at, to: at } as const)
    return this.#add({ kind: 'index', object, key, from: object.from, to: at })
  }

  #call(callee: LuaExpression, method: string | null): LuaCall {
    const open = this.#words.at
    let args: LuaExpression[] = []
    if (this.#words.take('(')) {
      if (this.#words.word() !== ')') args = this.#list()
      this.#words.expect(')')
    } else if (this.#words.word() === '{' || this.#words.token?.kind === 'string') args = [this.#simple()]
    else throw new NoScript()
    const call = this.#add({ kind: 'call', callee, method, args, from: callee.from, to: this.#words.at - 1 } as const)
    this.#calls.set(open, call)
    return call
  }

  #table(): LuaTable {
    const from = this.#words.at
    this.#words.expect('{')
    const fields: LuaTable['fields'][number][] = []
    while (!this.#words.take('}')) {
      fields.push(this.#field())
      if (!this.#words.take(',') && !this.#words.take(';') && this.#words.word() !== '}') throw new NoScript()
    }
    return this.#add({ kind: 'table', fields, from, to: this.#words.at - 1 })
  }

  #field(): LuaTable['fields'][number] {
    const next = this.#words.tokens[this.#words.at + 1]
    if (this.#words.take('[')) {
      this.#expression()
      this.#words.expect(']')
    } else if (this.#words.token?.kind === 'name' && next?.kind === 'mark' && next.text === '=') {
      const name = this.#words.name()
      this.#words.expect('=')
      return { name, value: this.#expression() }
    } else return { name: null, value: this.#expression() }
    this.#words.expect('=')
    return { name: null, value: this.#expression() }
  }

  /** From its parameters on. */
  #function(from: number, isMethod: boolean): LuaFunction {
    const outer = this.#scopes.within
    const parameters: LuaVariable[] = []
    this.#scopes.within = parameters
    this.#scopes.nested(() => {
      this.#words.expect('(')
      if (isMethod) parameters.push(this.#scopes.declare('self', null))
      for (let more = this.#words.word() !== ')'; more; ) {
        const isRest = this.#words.take('...')
        if (!isRest) parameters.push(this.#scopes.declare(this.#words.name(), null))
        more = !isRest && this.#words.take(',')
      }
      this.#words.expect(')')
      this.#blockToEnd()
    })
    this.#scopes.within = outer
    return this.#add({ kind: 'function', parameters, from, to: this.#words.at - 1 })
  }
}

const BLOCK_ENDS: ReadonlySet<string> = new Set(['end', 'else', 'elseif', 'until'])
const CONSTANTS: ReadonlySet<string> = new Set(['nil', 'true', 'false'])
const UNARY: ReadonlySet<string> = new Set(['-', 'not', '#'])
const BINARY: ReadonlySet<string> = new Set([
  ...['+', '-', '*', '/', '%', '^', '..', '==', '~=', '<', '>', '<=', '>=', 'and', 'or'],
])
