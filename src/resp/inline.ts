import { CR, LF } from './bytes.ts'

/**
 * Splits an inline command (`SET key "a value"\r\n`, what one types into telnet) as Redis' `sdssplitargs` does: arguments apart
 * by white space; "double quotes" with \n \r \t \b \a \\ \" and \xHH; 'single quotes' with \' only; a closing quote must be
 * followed by white space or the end, but for `quotesWithin` (Valkey since 9.1), where the word goes on behind it. Returns null for unbalanced quotes. `line` holds no line end.
 */
export function splitInline(line: Buffer, quotesWithin = false): Buffer[] | null {
  const args: Buffer[] = []
  let i = 0
  for (;;) {
    while (i < line.length && isSpace(line[i]!)) i++
    if (i >= line.length) return args
    const bytes: number[] = []
    let quote = 0
    for (;;) {
      if (i >= line.length) {
        if (quote !== 0) return null
        break
      }
      const c = line[i]!
      if (quote === 0) {
        if (isSpace(c) || c === 0) break
        if (c === DOUBLE || c === SINGLE) quote = c
        else bytes.push(c)
        i++
        continue
      }
      if (c === quote) {
        if (quotesWithin) {
          quote = 0
          i++
          continue
        }
        if (i + 1 < line.length && !isSpace(line[i + 1]!)) return null
        i++
        break
      }
      if (c === BACKSLASH && i + 1 < line.length) {
        const hex = quote === DOUBLE && line[i + 1] === X ? line.toString('latin1', i + 2, i + 4) : ''
        if (/^[0-9a-fA-F]{2}$/.test(hex)) {
          bytes.push(Number.parseInt(hex, 16))
          i += 4
          continue
        }
        const next = line[i + 1]!
        if (quote === DOUBLE) {
          bytes.push(ESCAPES.get(next) ?? next)
          i += 2
          continue
        }
        if (next === SINGLE) {
          bytes.push(next)
          i += 2
          continue
        }
      }
      bytes.push(c)
      i++
    }
    args.push(Buffer.from(bytes))
    if (i < line.length && line[i] === 0) return args
  }
}

const DOUBLE = 34 // "
const SINGLE = 39 // '
const BACKSLASH = 92
const X = 120

const ESCAPES = new Map([
  [110, 10], // \n
  [114, 13], // \r
  [116, 9], // \t
  [98, 8], // \b
  [97, 7], // \a
])

function isSpace(byte: number): boolean {
  return byte === 32 || (byte >= 9 && byte <= 13)
}

/** A byte of a request as the text of an error may quote it. */
export function printable(byte: number): string {
  // An error is one line.
  if (byte === CR || byte === LF) return ' '
  return byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '?'
}
