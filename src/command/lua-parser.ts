import type { LuaCall, LuaExpression, LuaFunction, LuaName, LuaOutline, LuaTable, LuaVariable } from './lua-outline.ts'
import type { LuaToken } from './lua-tokens.ts'

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

class NoScript extends Error {}

interface Scope {
  readonly names: Map<string, LuaVariable>
  readonly outer: Scope | null
}

class Parser {
  readonly #tokens: readonly LuaToken[]
  #at = 0
  #depth = 0
  /** Variables that are known at this place. */
  #declared = 0
  #scope: Scope = { names: new Map(), outer: null }
  /** Parameters of the function that is being read; null: the script itself. */
  #within: readonly LuaVariable[] | null = null
  readonly #expressions: LuaExpression[] = []
  readonly #variables: LuaVariable[] = []
  readonly #targets = new Set<LuaExpression>()
  readonly #given = new Map<LuaExpression, LuaExpression>()
  readonly #returned: LuaOutline['returned'][number][] = []
  readonly #calls = new Map<number, LuaCall>()

  constructor(tokens: readonly LuaToken[]) {
    this.#tokens = tokens
  }

  script(): LuaOutline {
    this.#block()
    if (this.#at < this.#tokens.length) throw new NoScript()
    return {
      expressions: this.#expressions,
      variables: this.#variables,
      targets: this.#targets,
      given: this.#given,
      returned: this.#returned,
      calls: this.#calls,
    }
  }

  // Words

  /** The word at hand, if it is none of a string. */
  #word(): string {
    const token = this.#tokens[this.#at]
    return token === undefined || token.kind === 'string' ? '' : token.text
  }

  #take(text: string): boolean {
    if (this.#word() !== text) return false
    this.#at++
    return true
  }

  #expect(text: string): void {
    if (!this.#take(text)) throw new NoScript()
  }

  #name(): string {
    const token = this.#tokens[this.#at]
    if (token?.kind !== 'name' || KEYWORDS.has(token.text)) throw new NoScript()
    this.#at++
    return token.text
  }

  // Names

  #declare(name: string, value: LuaExpression | null, walked: LuaVariable['walked'] = null): LuaVariable {
    if (this.#declared++ > MAX_VARIABLES) throw new NoScript()
    const variable = { value, walked, within: this.#within, assigned: false }
    this.#variables.push(variable)
    this.#scope.names.set(name, variable)
    return variable
  }

  #reference(): LuaName {
    const from = this.#at
    const text = this.#name()
    let variable: LuaVariable | undefined
    for (let scope: Scope | null = this.#scope; scope !== null && variable === undefined; scope = scope.outer)
      variable = scope.names.get(text)
    return this.#add({ kind: 'name', text, variable: variable ?? null, from, to: from })
  }

  #assign(target: LuaExpression, value: LuaExpression | undefined): void {
    if (target.kind !== 'name' && target.kind !== 'index') throw new NoScript()
    this.#targets.add(target)
    if (value !== undefined) this.#given.set(target, value)
    if (target.kind === 'name' && target.variable !== null) target.variable.assigned = true
  }

  /** With a scope of its own. */
  #nested(read: () => void): void {
    const outer = this.#scope
    const declared = this.#declared
    if (this.#depth++ > MAX_DEPTH) throw new NoScript()
    this.#scope = { names: new Map(), outer }
    read()
    this.#scope = outer
    this.#declared = declared
    this.#depth--
  }

  // Statements

  /** Statements up to a word that no statement begins with; their variables end with them. */
  #block(): void {
    this.#nested(() => this.#statements())
  }

  #statements(): void {
    while (this.#at < this.#tokens.length && !BLOCK_ENDS.has(this.#word())) {
      if (this.#take('return')) {
        const none = this.#at === this.#tokens.length || this.#word() === ';' || BLOCK_ENDS.has(this.#word())
        this.#returned.push({ values: none ? [] : this.#list(), by: this.#within })
      } else this.#statement()
      this.#take(';')
    }
  }

  #statement(): void {
    if (this.#take('local')) this.#local()
    else if (this.#take('if')) this.#if()
    else if (this.#take('for')) this.#for()
    else if (this.#take('function')) this.#namedFunction()
    else if (this.#take('repeat')) this.#repeat()
    else if (this.#take('while')) {
      this.#expression()
      this.#expect('do')
      this.#blockToEnd()
    } else if (this.#take('do')) this.#blockToEnd()
    else if (!this.#take('break')) this.#callOrAssignment()
  }

  #blockToEnd(): void {
    this.#block()
    this.#expect('end')
  }

  #local(): void {
    const from = this.#at
    if (this.#take('function')) {
      // Its own name is known within it.
      const variable: LuaVariable & { value: LuaExpression | null } = this.#declare(this.#name(), null)
      variable.value = this.#function(from, false)
      return
    }
    const names = this.#names()
    const values = this.#take('=') ? this.#list() : []
    for (const [i, name] of names.entries()) this.#declare(name, values[i] ?? null)
  }

  #names(): string[] {
    const names = [this.#name()]
    while (this.#take(',')) names.push(this.#name())
    return names
  }

  #if(): void {
    do {
      this.#expression()
      this.#expect('then')
      this.#block()
    } while (this.#take('elseif'))
    if (this.#take('else')) this.#block()
    this.#expect('end')
  }

  #for(): void {
    const names = this.#names()
    const counts = this.#take('=')
    if (!counts) this.#expect('in')
    const values = this.#list()
    this.#expect('do')
    this.#nested(() => {
      for (const [place, name] of names.entries()) this.#declare(name, null, counts ? null : { values, place })
      this.#blockToEnd()
    })
  }

  /** The condition knows the variables of the block. */
  #repeat(): void {
    this.#nested(() => {
      this.#statements()
      this.#expect('until')
      this.#expression()
    })
  }

  #namedFunction(): void {
    let target: LuaExpression = this.#reference()
    let isMethod = false
    for (let length = 0; !isMethod && (this.#word() === '.' || this.#word() === ':'); length++) {
      if (length > MAX_DEPTH) throw new NoScript()
      isMethod = this.#word() === ':'
      this.#at++
      target = this.#member(target)
    }
    this.#assign(target, this.#function(this.#at, isMethod))
  }

  #callOrAssignment(): void {
    const first = this.#suffixed()
    if (this.#word() !== '=' && this.#word() !== ',') {
      if (first.kind !== 'call') throw new NoScript()
      return
    }
    const targets = [first]
    while (this.#take(',')) targets.push(this.#suffixed())
    this.#expect('=')
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
    while (this.#take(',')) list.push(this.#expression())
    return list
  }

  /** What binds closer does not matter: with an operator it is computed. */
  #expression(): LuaExpression {
    if (this.#depth++ > MAX_DEPTH) throw new NoScript()
    const from = this.#at
    const first = this.#operand()
    let computed = false
    for (; BINARY.has(this.#word()); computed = true) {
      this.#at++
      this.#operand()
    }
    this.#depth--
    return computed ? this.#add({ kind: 'computed', from, to: this.#at - 1 }) : first
  }

  #operand(): LuaExpression {
    const from = this.#at
    const word = this.#word()
    if (!UNARY.has(word)) return this.#simple()
    if (this.#depth++ > MAX_DEPTH) throw new NoScript()
    this.#at++
    const of = this.#operand()
    this.#depth--
    const to = this.#at - 1
    return this.#add(word === '#' ? { kind: 'length', of, from, to } : { kind: 'computed', from, to })
  }

  #simple(): LuaExpression {
    const from = this.#at
    const token = this.#tokens[from]
    if (token?.kind === 'string' || token?.kind === 'number') {
      this.#at++
      return this.#add({ kind: token.kind, text: token.text, from, to: from })
    }
    if (this.#word() === '{') return this.#table()
    if (this.#take('function')) return this.#function(from, false)
    if (this.#take('...')) return this.#add({ kind: 'rest', from, to: from })
    if (CONSTANTS.has(this.#word())) {
      this.#at++
      return this.#add({ kind: 'constant', from, to: from })
    }
    return this.#suffixed()
  }

  /** A name or an expression in brackets, and the indexes and calls behind it. */
  #suffixed(): LuaExpression {
    const from = this.#at
    let expression: LuaExpression
    if (this.#take('(')) {
      const inner = this.#expression()
      this.#expect(')')
      expression = this.#add({ kind: 'group', inner, from, to: this.#at - 1 })
    } else expression = this.#reference()
    for (let length = 0; ; length++) {
      if (length > MAX_DEPTH) throw new NoScript()
      if (this.#take('.')) expression = this.#member(expression)
      else if (this.#take('[')) {
        const key = this.#expression()
        this.#expect(']')
        expression = this.#add({ kind: 'index', object: expression, key, from, to: this.#at - 1 })
      } else if (this.#take(':')) expression = this.#call(expression, this.#name())
      else if (this.#word() === '(' || this.#word() === '{' || this.#tokens[this.#at]?.kind === 'string')
        expression = this.#call(expression, null)
      else return expression
    }
  }

  /** The name behind a dot. */
  #member(object: LuaExpression): LuaExpression {
    const at = this.#at
    const key = this.#add({ kind: 'string', text: this.#name(), from: at, to: at } as const)
    return this.#add({ kind: 'index', object, key, from: object.from, to: at })
  }

  #call(callee: LuaExpression, method: string | null): LuaCall {
    const open = this.#at
    let args: LuaExpression[] = []
    if (this.#take('(')) {
      if (this.#word() !== ')') args = this.#list()
      this.#expect(')')
    } else if (this.#word() === '{' || this.#tokens[open]?.kind === 'string') args = [this.#simple()]
    else throw new NoScript()
    const call = this.#add({ kind: 'call', callee, method, args, from: callee.from, to: this.#at - 1 } as const)
    this.#calls.set(open, call)
    return call
  }

  #table(): LuaTable {
    const from = this.#at
    this.#expect('{')
    const fields: LuaTable['fields'][number][] = []
    while (!this.#take('}')) {
      fields.push(this.#field())
      if (!this.#take(',') && !this.#take(';') && this.#word() !== '}') throw new NoScript()
    }
    return this.#add({ kind: 'table', fields, from, to: this.#at - 1 })
  }

  #field(): LuaTable['fields'][number] {
    const next = this.#tokens[this.#at + 1]
    if (this.#take('[')) {
      this.#expression()
      this.#expect(']')
    } else if (this.#tokens[this.#at]?.kind === 'name' && next?.kind === 'mark' && next.text === '=') {
      const name = this.#name()
      this.#expect('=')
      return { name, value: this.#expression() }
    } else return { name: null, value: this.#expression() }
    this.#expect('=')
    return { name: null, value: this.#expression() }
  }

  /** From its parameters on. */
  #function(from: number, isMethod: boolean): LuaFunction {
    const outer = this.#within
    const parameters: LuaVariable[] = []
    this.#within = parameters
    this.#nested(() => {
      this.#expect('(')
      if (isMethod) parameters.push(this.#declare('self', null))
      for (let more = this.#word() !== ')'; more; ) {
        const isRest = this.#take('...')
        if (!isRest) parameters.push(this.#declare(this.#name(), null))
        more = !isRest && this.#take(',')
      }
      this.#expect(')')
      this.#blockToEnd()
    })
    this.#within = outer
    return this.#add({ kind: 'function', parameters, from, to: this.#at - 1 })
  }
}

/** Servers take 200 levels, as they count them, and 200 variables of a function. Both, and the length of `a.b.c`, are followed by recursion. */
const MAX_DEPTH = 500
const MAX_VARIABLES = 1_000
const BLOCK_ENDS: ReadonlySet<string> = new Set(['end', 'else', 'elseif', 'until'])
const CONSTANTS: ReadonlySet<string> = new Set(['nil', 'true', 'false'])
const UNARY: ReadonlySet<string> = new Set(['-', 'not', '#'])
const BINARY: ReadonlySet<string> = new Set([
  ...['+', '-', '*', '/', '%', '^', '..', '==', '~=', '<', '>', '<=', '>=', 'and', 'or'],
])
const KEYWORDS: ReadonlySet<string> = new Set([
  ...['and', 'break', 'do', 'else', 'elseif', 'end', 'false', 'for', 'function', 'if', 'in', 'local', 'nil', 'not'],
  ...['or', 'repeat', 'return', 'then', 'true', 'until', 'while'],
])
