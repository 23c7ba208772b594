import { UnderstudyError } from '../base/errors.ts'
import { CR, LF, MINUS, ZERO } from './bytes.ts'

/**
 * Where in a frame, of which all is there, the reading of a reply has come to. What follows reads one piece of it each (`decode.ts` has the grammar), and goes on behind that.
 * All throw UnderstudyError PROTOCOL for malformed bytes, and for a frame that ends early.
 */
export interface Cursor {
  readonly buf: Buffer
  readonly end: number
  at: number
}

/** `_\r\n`: no reply is shorter. */
export const MIN_REPLY_BYTES = 3

export function typeByte(cursor: Cursor): number {
  if (cursor.at >= cursor.end) throw malformed('the frame ends early')
  return cursor.buf[cursor.at++]!
}

/** Offset of the CR that ends the line the cursor is in. */
export function lineEnd(cursor: Cursor): number {
  const at = cursor.buf.indexOf(CR, cursor.at)
  if (at === -1 || at + 1 >= cursor.end) throw malformed('the frame ends early')
  if (cursor.buf[at + 1] !== LF) throw malformed('CR without LF')
  return at
}

/** One byte per character, so that texts with any bytes survive a decode and an encode. */
export function line(cursor: Cursor): string {
  const at = lineEnd(cursor)
  const text = cursor.buf.toString('latin1', cursor.at, at)
  cursor.at = at + 2
  return text
}

/** A length or count: digits, or `-1`. */
export function length(cursor: Cursor): number {
  const at = lineEnd(cursor)
  const { buf } = cursor
  let n = 0
  if (at === cursor.at + 2 && buf[cursor.at] === MINUS && buf[cursor.at + 1] === ZERO + 1) n = -1
  else {
    if (at === cursor.at || at - cursor.at > 10) throw malformed('a length that is no number')
    for (let i = cursor.at; i < at; i++) {
      const digit = buf[i]! - ZERO
      if (digit < 0 || digit > 9) throw malformed('a length that is no number')
      n = n * 10 + digit
    }
  }
  cursor.at = at + 2
  return n
}

/** A view of a bulk's bytes; null for `$-1`. */
export function bulk(cursor: Cursor): Buffer | null {
  const size = length(cursor)
  if (size === -1) return null
  const end = cursor.at + size
  if (end + 2 > cursor.end) throw malformed('the frame ends early')
  if (cursor.buf[end] !== CR || cursor.buf[end + 1] !== LF) throw malformed('a bulk without CR LF behind it')
  const bytes = cursor.buf.subarray(cursor.at, end)
  cursor.at = end + 2
  return bytes
}

export function malformed(what: string): UnderstudyError {
  return new UnderstudyError('PROTOCOL', `Malformed reply: ${what}.`)
}
