import { LuaExpressions } from './lua-expressions.ts'
import type { LuaExpression, LuaOutline, LuaVariable } from './lua-outline.ts'
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

/** Its statements. */
class Parser {
  readonly #words: LuaWords
  readonly #scopes = new LuaScopes()
  readonly #expressions: LuaExpressions
  readonly #targets = new Set<LuaExpression>()
  readonly #given = new Map<LuaExpression, LuaExpression>()
  readonly #returned: LuaOutline['returned'][number][] = []

  constructor(tokens: readonly LuaToken[]) {
    this.#words = new LuaWords(tokens)
    this.#expressions = new LuaExpressions(this.#words, this.#scopes, () => this.#blockToEnd())
  }

  script(): LuaOutline {
    this.#block()
    if (!this.#words.isAtEnd) throw new NoScript()
    return {
      expressions: this.#expressions.all,
      variables: this.#scopes.variables,
      targets: this.#targets,
      given: this.#given,
      returned: this.#returned,
      calls: this.#expressions.calls,
    }
  }

  /** Statements up to a word that no statement begins with; their variables end with them. */
  #block(): void {
    this.#scopes.nested(() => this.#statements())
  }

  #statements(): void {
    while (!this.#words.isAtEnd && !BLOCK_ENDS.has(this.#words.word())) {
      if (this.#words.take('return')) {
        const none = this.#words.isAtEnd || this.#words.word() === ';' || BLOCK_ENDS.has(this.#words.word())
        this.#returned.push({ values: none ? [] : this.#expressions.list(), by: this.#scopes.within })
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
      this.#expressions.one()
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
      variable.value = this.#expressions.function(from, false)
      return
    }
    const names = this.#names()
    const values = this.#words.take('=') ? this.#expressions.list() : []
    for (const [i, name] of names.entries()) this.#scopes.declare(name, values[i] ?? null)
  }

  #names(): string[] {
    const names = [this.#words.name()]
    while (this.#words.take(',')) names.push(this.#words.name())
    return names
  }

  #if(): void {
    do {
      this.#expressions.one()
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
    const values = this.#expressions.list()
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
      this.#expressions.one()
    })
  }

  #namedFunction(): void {
    let target: LuaExpression = this.#expressions.reference()
    let isMethod = false
    for (let length = 0; !isMethod && (this.#words.word() === '.' || this.#words.word() === ':'); length++) {
      if (length > MAX_DEPTH) throw new NoScript()
      isMethod = this.#words.word() === ':'
      this.#words.at++
      target = this.#expressions.member(target)
    }
    this.#assign(target, this.#expressions.function(this.#words.at, isMethod))
  }

  #callOrAssignment(): void {
    const first = this.#expressions.suffixed()
    if (this.#words.word() !== '=' && this.#words.word() !== ',') {
      if (first.kind !== 'call') throw new NoScript()
      return
    }
    const targets = [first]
    while (this.#words.take(',')) targets.push(this.#expressions.suffixed())
    this.#words.expect('=')
    const values = this.#expressions.list()
    for (const [i, target] of targets.entries()) this.#assign(target, values[i])
  }

  #assign(target: LuaExpression, value: LuaExpression | undefined): void {
    if (target.kind !== 'name' && target.kind !== 'index') throw new NoScript()
    this.#targets.add(target)
    if (value !== undefined) this.#given.set(target, value)
    if (target.kind === 'name' && target.variable !== null) target.variable.assigned = true
  }
}

const BLOCK_ENDS: ReadonlySet<string> = new Set(['end', 'else', 'elseif', 'until'])
