/** A word of a Lua script. Names and punctuation stand for themselves; a string is its content (escapes as written). */
export interface LuaToken {
  readonly kind: 'name' | 'string' | 'number' | 'mark'
  readonly text: string
}

/**
 * A Lua 5.1 script in words, without comments and the `#!` line. Null: it ends within a string or comment, or holds what no script can; the server then refuses it. Source of the
 * grammar: the Lua 5.1 reference manual, section 2.1.
 */
export function luaTokens(source: string): LuaToken[] | null {
  const tokens: LuaToken[] = []
  let at = source.startsWith('#') ? lineEnd(source, 0) : 0
  while (at < source.length) {
    const rest = NEXT
    rest.lastIndex = at
    const found = rest.exec(source)
    if (found === null) return null
    at = rest.lastIndex
    const [, comment, open, quote, name, number, mark] = found
    if (comment !== undefined) {
      const long = longOpening(source, at)
      at = long === null ? commentEnd(source, at) : longEnd(source, at, long)
      if (at === -1) return null
    } else if (open !== undefined) {
      const end = longEnd(source, at - open.length, open)
      if (end === -1) return null
      tokens.push({ kind: 'string', text: source.slice(at, end - open.length) })
      at = end
    } else if (quote !== undefined) {
      const end = quotedEnd(source, at, quote)
      if (end === -1) return null
      tokens.push({ kind: 'string', text: source.slice(at, end) })
      at = end + 1
    } else if (name !== undefined) tokens.push({ kind: 'name', text: name })
    else if (number !== undefined) tokens.push({ kind: 'number', text: number })
    else if (mark !== undefined) tokens.push({ kind: 'mark', text: mark })
  }
  return tokens
}

const NEXT =
  /\s*(?:(--)|(\[=*\[)|(["'])|([A-Za-z_]\w*)|(0[xX][\da-fA-F]+|\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|(\.\.\.|\.\.|==|~=|<=|>=|[-+*/%^#<>=(){}[\];:,.])|$)/y

/** Where the string ends whose content begins at `from`: at this quote; -1: nowhere. By a loop: an expression that knows of escapes has no room for strings of megabytes. */
function quotedEnd(source: string, from: number, quote: string): number {
  for (let at = from; at < source.length; at++) {
    const char = source[at]
    if (char === quote) return at
    if (char === '\n') return -1
    if (char === '\\') at++
  }
  return -1
}

function lineEnd(source: string, from: number): number {
  const end = source.indexOf('\n', from)
  return end === -1 ? source.length : end
}

/** Unlike the `#!` line, which the server takes off, a comment ends at a carriage return as well. */
function commentEnd(source: string, from: number): number {
  const length = source.slice(from).search(/[\n\r]/)
  return length === -1 ? source.length : from + length
}

function longOpening(source: string, at: number): string | null {
  return /^\[=*\[/.exec(source.slice(at, at + 64))?.[0] ?? null
}

/** Behind the bracket that closes the one at `from`; -1: there is none. */
function longEnd(source: string, from: number, open: string): number {
  const close = open.replaceAll('[', ']')
  const end = source.indexOf(close, from + open.length)
  return end === -1 ? -1 : end + close.length
}
