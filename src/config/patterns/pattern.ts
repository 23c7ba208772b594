import { UnderstudyError } from '../../base/errors.ts'

/**
 * A pattern over keys, as a route's `keys` gives it.
 *
 *     pattern = { literal | capture } [ "*" ]
 *     capture = "{" name "}"      one or more bytes, up to the literal that follows it: where that ends the pattern, the one at
 *                                 the end of the key, else its first occurrence behind the capture's first byte
 *     "*"     = at the end only   the rest, which may be empty
 *     literal = any text; "{{" and "}}" stand for one brace
 *
 *     worker:{id}:jobs      prefix `worker:`   wildcards [ {id} ]                suffix `:jobs`
 *     {app}:job:{id}        prefix ``          wildcards [ {app} until `:job:`, {id} ]
 *     job:*                 prefix `job:`      wildcards [ * ]
 *
 * Two wildcards always have a literal between them, so there is exactly one way to match a key: nothing is tried twice, and
 * matching is linear for the patterns people write. Keys are bytes; the text of a pattern counts as its UTF-8 bytes.
 *
 * The literal at the end is looked for at the end, so that `worker:{id}:jobs` is what it looks like, every key that begins and ends
 * so, and `worker:{id}:jobs` -> `worker:{id}:steps` can be undone for every id (see `KeyRename`).
 */
export class KeyPattern {
  /** As written. */
  readonly text: string
  /** Names of the captures, in their order in the pattern. */
  readonly captures: readonly string[]
  /** The bytes every matching key begins with; the whole key for a pattern without wildcards. Do not write to it. */
  readonly literalPrefix: Buffer
  /** What follows the prefix. */
  readonly wildcards: readonly Wildcard[]
  /** The literal behind the last wildcard; empty when there is none. Do not write to it. */
  readonly literalSuffix: Buffer
  /** See `comparePatterns`. */
  readonly specificity: readonly [exact: number, literalBytes: number, prefixBytes: number, ending: number]

  private constructor(text: string, tokens: Tokens) {
    const { prefix, wildcards, suffix } = tokens
    this.text = text
    this.literalPrefix = prefix
    this.wildcards = wildcards
    this.literalSuffix = suffix
    this.captures = wildcards.flatMap((wildcard) => (wildcard.name === null ? [] : [wildcard.name]))
    const between = wildcards.reduce((sum, wildcard) => sum + (wildcard.until?.length ?? 0), 0)
    const ending = wildcards.length === 0 || suffix.length > 0 ? 2 : this.endsInStar ? 0 : 1
    this.specificity = [wildcards.length === 0 ? 1 : 0, prefix.length + between + suffix.length, prefix.length, ending]
  }

  /** Throws UnderstudyError CONFIG_INVALID whose message says what is wrong, where in the pattern, and what to write instead. */
  static parse(text: string): KeyPattern {
    return new KeyPattern(text, parseTokens(text))
  }

  /** True for the pattern `*`, which every key matches. */
  get isCatchAll(): boolean {
    return this.literalPrefix.length === 0 && this.wildcards.length === 1 && this.endsInStar
  }

  get endsInStar(): boolean {
    return this.wildcards.at(-1)?.name === null
  }

  /** Whether the key `buf[start, end)` matches. Allocates nothing. */
  matches(buf: Buffer, start: number, end: number): boolean {
    return this.locate(buf, start, end, null)
  }

  /**
   * Matches `buf[start, end)` and writes where each wildcard's bytes are: `[begin, end)` of the i-th at `offsets[2i]`,
   * `offsets[2i + 1]` (offsets into `buf`; undefined content when the key does not match). Allocates nothing.
   */
  locate(buf: Buffer, start: number, end: number, offsets: Int32Array | null): boolean {
    const prefix = this.literalPrefix
    const suffix = this.literalSuffix
    const stop = end - suffix.length
    let at = start + prefix.length
    if (at > stop) return false
    for (let i = 0; i < prefix.length; i++) if (buf[start + i] !== prefix[i]) return false
    for (let i = 0; i < suffix.length; i++) if (buf[stop + i] !== suffix[i]) return false
    const wildcards = this.wildcards
    for (let i = 0; i < wildcards.length; i++) {
      const wildcard = wildcards[i]!
      const begin = at
      let finish = stop
      if (wildcard.until === null) {
        at = stop
        if (wildcard.name !== null && begin === stop) return false
      } else {
        finish = indexOfLiteral(buf, wildcard.until, begin + 1, stop)
        if (finish < 0) return false
        at = finish + wildcard.until.length
      }
      if (offsets !== null) {
        offsets[2 * i] = begin
        offsets[2 * i + 1] = finish
      }
    }
    return at === stop
  }
}

export interface Wildcard {
  /** null for the trailing `*`. */
  readonly name: string | null
  /** The literal that ends it; null for the last one: it reaches to the pattern's suffix. */
  readonly until: Buffer | null
}

interface Tokens {
  readonly prefix: Buffer
  readonly wildcards: readonly Wildcard[]
  readonly suffix: Buffer
}

/**
 * Which of two patterns wins a key that both match: negative when `a` does. A total preorder, by
 *
 *   1. no wildcard before any wildcard,
 *   2. more literal bytes,
 *   3. a longer literal prefix,
 *   4. the end: a literal before a capture before `*`.
 *
 * It respects containment: when every key of `a` is a key of `b` but not the other way round, `a` wins. (Fill the captures
 * of `a` with a byte that `b` does not have: `b`'s literals then lie in `a`'s literals in the same order, so `a` has at least as
 * many literal bytes, and with equally many the two can differ only in how they end.)
 */
export function comparePatterns(a: KeyPattern, b: KeyPattern): number {
  for (let i = 0; i < a.specificity.length; i++) {
    const difference = b.specificity[i]! - a.specificity[i]!
    if (difference !== 0) return difference
  }
  return 0
}

/** First position >= from of `literal` that lies wholly before `end`, or -1. `Buffer.indexOf` cannot be told where to stop. */
function indexOfLiteral(buf: Buffer, literal: Buffer, from: number, end: number): number {
  const length = literal.length
  const first = literal[0]
  const last = end - length
  next: for (let at = from; at <= last; at++) {
    if (buf[at] !== first) continue
    for (let i = 1; i < length; i++) if (buf[at + i] !== literal[i]) continue next
    return at
  }
  return -1
}

const CAPTURE_NAME = /^[A-Za-z_][A-Za-z0-9_-]*$/

function parseTokens(text: string): Tokens {
  const fail = (at: number, what: string): never => {
    throw new UnderstudyError('CONFIG_INVALID', `the pattern "${text}" ${what} (at character ${at + 1})`)
  }
  if (text === '') throw new UnderstudyError('CONFIG_INVALID', 'a pattern must not be empty; write "*" for every key')

  const names: (string | null)[] = []
  // literals[0] is the prefix, literals[i + 1] what follows the i-th wildcard.
  const literals: string[] = ['']
  let at = 0
  const addWildcard = (name: string | null): void => {
    if (names.length > 0 && literals.at(-1) === '') {
      fail(at, 'has two wildcards side by side, and nothing says where the first ends; put a literal between them')
    }
    if (name !== null && names.includes(name)) fail(at, `uses the name {${name}} twice; give each capture its own`)
    names.push(name)
    literals.push('')
  }

  while (at < text.length) {
    const char = text[at]!
    if (char === '{' || char === '}') {
      if (text[at + 1] === char) {
        literals[literals.length - 1] += char
        at += 2
        continue
      }
      if (char === '}') fail(at, 'closes a brace that was not opened; write "}}" for a literal brace')
      const close = text.indexOf('}', at)
      if (close < 0) fail(at, 'opens a brace and never closes it; write {name} for a capture, "{{" for a literal brace')
      const name = text.slice(at + 1, close)
      if (!CAPTURE_NAME.test(name)) {
        fail(
          at,
          `has a capture {${name}} that is not a name; use letters, digits, "_" and "-", or double the braces to mean them literally`,
        )
      }
      addWildcard(name)
      at = close + 1
    } else if (char === '*') {
      if (at !== text.length - 1) fail(at, 'has a "*" before its end; write a capture such as {rest} there')
      addWildcard(null)
      at++
    } else {
      literals[literals.length - 1] += char
      at++
    }
  }

  const wildcards = names.map((name, i) => {
    return { name, until: i === names.length - 1 ? null : Buffer.from(literals[i + 1]!) }
  })
  const suffix = names.length === 0 ? '' : literals.at(-1)!
  return { prefix: Buffer.from(literals[0]!), wildcards, suffix: Buffer.from(suffix) }
}
