import type { LuaCall, LuaExpression, LuaFunction, LuaName, LuaTable, LuaVariable } from './lua-outline.ts'
import { type LuaScopes, MAX_DEPTH } from './lua-scopes.ts'
import { type LuaWords, NoScript } from './lua-words.ts'

/** The expressions of a Lua script, each read where the words stand. `lua-parser.ts` reads the statements around them, and those within a function. */
export class LuaExpressions {
  readonly all: LuaExpression[] = []
  /** By the first word of its arguments, as in the outline. */
  readonly calls = new Map<number, LuaCall>()
  readonly #words: LuaWords
  readonly #scopes: LuaScopes
  readonly #body: () => void

  /** `body`: reads the statements of a function, and the end of it. */
  constructor(words: LuaWords, scopes: LuaScopes, body: () => void) {
    this.#words = words
    this.#scopes = scopes
    this.#body = body
  }

  /** A name by itself. */
  reference(): LuaName {
    const from = this.#words.at
    const text = this.#words.name()
    return this.#add({ kind: 'name', text, variable: this.#scopes.find(text), from, to: from })
  }

  list(): LuaExpression[] {
    const list = [this.one()]
    while (this.#words.take(',')) list.push(this.one())
    return list
  }

  /** What binds closer does not matter: with an operator it is computed. */
  one(): LuaExpression {
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
    if (this.#words.take('function')) return this.function(from, false)
    if (this.#words.take('...')) return this.#add({ kind: 'rest', from, to: from })
    if (CONSTANTS.has(this.#words.word())) {
      this.#words.at++
      return this.#add({ kind: 'constant', from, to: from })
    }
    return this.suffixed()
  }

  /** A name or an expression in brackets, and the indexes and calls behind it. */
  suffixed(): LuaExpression {
    const from = this.#words.at
    let expression: LuaExpression
    if (this.#words.take('(')) {
      const inner = this.one()
      this.#words.expect(')')
      expression = this.#add({ kind: 'group', inner, from, to: this.#words.at - 1 })
    } else expression = this.reference()
    for (let length = 0; ; length++) {
      if (length > MAX_DEPTH) throw new NoScript()
      if (this.#words.take('.')) expression = this.member(expression)
      else if (this.#words.take('[')) {
        const key = this.one()
        this.#words.expect(']')
        expression = this.#add({ kind: 'index', object: expression, key, from, to: this.#words.at - 1 })
      } else if (this.#words.take(':')) expression = this.#call(expression, this.#words.name())
      else if (this.#words.word() === '(' || this.#words.word() === '{' || this.#words.token?.kind === 'string')
        expression = this.#call(expression, null)
      else return expression
    }
  }

  /** The name behind a dot. */
  member(object: LuaExpression): LuaExpression {
    const at = this.#words.at
    const key = this.#add({ kind: 'string', text: this.#words.name(), from: at, to: at } as const)
    return this.#add({ kind: 'index', object, key, from: object.from, to: at })
  }

  #call(callee: LuaExpression, method: string | null): LuaCall {
    const open = this.#words.at
    let args: LuaExpression[] = []
    if (this.#words.take('(')) {
      if (this.#words.word() !== ')') args = this.list()
      this.#words.expect(')')
    } else if (this.#words.word() === '{' || this.#words.token?.kind === 'string') args = [this.#simple()]
    else throw new NoScript()
    const call = this.#add({ kind: 'call', callee, method, args, from: callee.from, to: this.#words.at - 1 } as const)
    this.calls.set(open, call)
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
      this.one()
      this.#words.expect(']')
    } else if (this.#words.token?.kind === 'name' && next?.kind === 'mark' && next.text === '=') {
      const name = this.#words.name()
      this.#words.expect('=')
      return { name, value: this.one() }
    } else return { name: null, value: this.one() }
    this.#words.expect('=')
    return { name: null, value: this.one() }
  }

  /** From its parameters on. */
  function(from: number, isMethod: boolean): LuaFunction {
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
      this.#body()
    })
    this.#scopes.within = outer
    return this.#add({ kind: 'function', parameters, from, to: this.#words.at - 1 })
  }

  #add<T extends LuaExpression>(expression: T): T {
    this.all.push(expression)
    return expression
  }
}

const CONSTANTS: ReadonlySet<string> = new Set(['nil', 'true', 'false'])
const UNARY: ReadonlySet<string> = new Set(['-', 'not', '#'])
const BINARY: ReadonlySet<string> = new Set([
  ...['+', '-', '*', '/', '%', '^', '..', '==', '~=', '<', '>', '<=', '>=', 'and', 'or'],
])
