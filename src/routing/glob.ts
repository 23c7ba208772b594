/**
 * A pattern as KEYS, SCAN MATCH and PSUBSCRIBE take it, over bytes:
 *
 *     ?       any byte                    [abc] [a-z] [^x]   one of, one not of
 *     *       any bytes, also none        \x                 x itself
 *
 * Odd cases are what Redis makes of them (util.c, `stringmatchlen`): a class that is not closed ends with the pattern, `]` right behind `[` closes an empty
 * class, a range may be written backwards, and a single `\` at the end is itself.
 */
export class Glob {
  /** As written. Do not write to it. */
  readonly text: Buffer
  /** The bytes that every match begins with; up to the first wildcard. */
  readonly prefix: Buffer
  /** It has no wildcard: it matches `prefix` alone. */
  readonly literal: boolean
  readonly #tokens: readonly Token[]

  constructor(text: Buffer) {
    this.text = text
    this.#tokens = tokensOf(text)
    const wild = this.#tokens.findIndex((token) => typeof token !== 'number')
    this.literal = wild === -1
    this.prefix = Buffer.from((wild === -1 ? this.#tokens : this.#tokens.slice(0, wild)) as number[])
  }

  /** True for the pattern `*`. */
  get matchesAll(): boolean {
    return this.#tokens.length === 1 && this.#tokens[0] === STAR
  }

  /** Every token but the star takes one byte, so it is enough to come back to the last star. */
  matches(bytes: Buffer): boolean {
    const tokens = this.#tokens
    let at = 0
    let token = 0
    let star = -1
    let starAt = 0
    while (at < bytes.length) {
      const next = tokens[token]
      if (next === STAR) {
        star = token++
        starAt = at
      } else if (next !== undefined && takes(next, bytes[at]!)) {
        token++
        at++
      } else if (star !== -1) {
        token = star + 1
        at = ++starAt
      } else return false
    }
    while (tokens[token] === STAR) token++
    return token === tokens.length
  }
}

/** `bytes` as a pattern that matches nothing else. */
export function escapeGlob(bytes: Buffer): Buffer {
  const escaped: number[] = []
  for (const byte of bytes) {
    if (SPECIAL.includes(byte)) escaped.push(BACKSLASH)
    escaped.push(byte)
  }
  return Buffer.from(escaped)
}

/** A byte; any byte; any bytes; the bytes that are set. */
type Token = number | typeof ANY | typeof STAR | Uint8Array

const ANY = 'any'
const STAR = 'star'
const BACKSLASH = 0x5c
const SPECIAL = Buffer.from('*?[]\\^-')
const [ASTERISK, QUESTION, OPEN, CLOSE, CARET, DASH] = [0x2a, 0x3f, 0x5b, 0x5d, 0x5e, 0x2d]

function takes(token: Token, byte: number): boolean {
  if (typeof token === 'number') return token === byte
  return token === ANY || (token !== STAR && token[byte] === 1)
}

function tokensOf(text: Buffer): Token[] {
  const tokens: Token[] = []
  let at = 0
  while (at < text.length) {
    const byte = text[at]!
    if (byte === ASTERISK) {
      if (tokens.at(-1) !== STAR) tokens.push(STAR)
      at++
    } else if (byte === QUESTION) {
      tokens.push(ANY)
      at++
    } else if (byte === OPEN) {
      const [set, next] = readClass(text, at + 1)
      tokens.push(set)
      at = next
    } else {
      if (byte === BACKSLASH && at + 1 < text.length) at++
      tokens.push(text[at]!)
      at++
    }
  }
  return tokens
}

/** The class whose first byte behind `[` is at `from`, and where the pattern goes on. */
function readClass(text: Buffer, from: number): [Uint8Array, number] {
  const not = text[from] === CARET
  const set = new Uint8Array(256).fill(not ? 1 : 0)
  const member = not ? 0 : 1
  let at = not ? from + 1 : from
  while (at < text.length && text[at] !== CLOSE) {
    if (text[at] === BACKSLASH && at + 1 < text.length) {
      set[text[at + 1]!] = member
      at += 2
    } else if (at + 2 < text.length && text[at + 1] === DASH) {
      const [one, other] = [text[at]!, text[at + 2]!]
      set.fill(member, Math.min(one, other), Math.max(one, other) + 1)
      at += 3
    } else set[text[at++]!] = member
  }
  return [set, at + 1]
}
