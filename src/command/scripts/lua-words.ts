import type { LuaToken } from './lua-tokens.ts'

/** Thrown where a script's grammar ends. */
export class NoScript extends Error {}

/** Walks over a Lua script's tokens. What is expected and is not there throws NoScript. */
export class LuaWords {
  readonly tokens: readonly LuaToken[]
  /** The token at hand. */
  at = 0

  constructor(tokens: readonly LuaToken[]) {
    this.tokens = tokens
  }

  get isAtEnd(): boolean {
    return this.at >= this.tokens.length
  }

  get token(): LuaToken | undefined {
    return this.tokens[this.at]
  }

  /** The word at hand, if it is none of a string. */
  word(): string {
    const { token } = this
    return token === undefined || token.kind === 'string' ? '' : token.text
  }

  take(text: string): boolean {
    if (this.word() !== text) return false
    this.at++
    return true
  }

  expect(text: string): void {
    if (!this.take(text)) throw new NoScript()
  }

  /** The name at hand, which is no keyword. */
  name(): string {
    const { token } = this
    if (token?.kind !== 'name' || KEYWORDS.has(token.text)) throw new NoScript()
    this.at++
    return token.text
  }
}

const KEYWORDS: ReadonlySet<string> = new Set([
  ...['and', 'break', 'do', 'else', 'elseif', 'end', 'false', 'for', 'function', 'if', 'in', 'local', 'nil', 'not'],
  ...['or', 'repeat', 'return', 'then', 'true', 'until', 'while'],
])
