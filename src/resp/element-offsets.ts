import {
  ASTERISK,
  COLON,
  COMMA,
  DOLLAR,
  EQUALS,
  EXCLAMATION,
  GREATER,
  HASH,
  MINUS,
  OPEN_PAREN,
  PERCENT,
  PIPE,
  PLUS,
  TILDE,
  UNDERSCORE,
} from './bytes.ts'
import { bulk, type Cursor, length, lineEnd, MIN_REPLY_BYTES, malformed, typeByte } from './reply-cursor.ts'

/**
 * Where the elements of the array frame `buf[start .. end)` lie, undecoded: element i is `buf[offsets[i] .. offsets[i + 1])`, so
 * there is one offset more than elements. null when the frame is no array (an error, a nil). An element's attributes belong to it.
 * @throws UnderstudyError PROTOCOL for malformed bytes.
 */
export function elementOffsets(buf: Buffer, start: number, end: number): Int32Array | null {
  const cursor: Cursor = { buf, at: start, end }
  while (buf[cursor.at] === PIPE && cursor.at < end) skipAttribute(cursor)
  if (typeByte(cursor) !== ASTERISK) return null
  const count = length(cursor)
  if (count === -1) return null
  if (count * MIN_REPLY_BYTES > end - cursor.at) throw malformed('an aggregate larger than its frame')
  const offsets = new Int32Array(count + 1)
  offsets[0] = cursor.at
  for (let i = 1; i <= count; i++) {
    skip(cursor, 1)
    offsets[i] = cursor.at
  }
  if (cursor.at !== end) throw malformed('bytes follow the reply')
  return offsets
}

function skipAttribute(cursor: Cursor): void {
  cursor.at++
  const count = length(cursor)
  if (count < 0) throw malformed('an aggregate of negative size')
  skip(cursor, count * 2)
}

/** Passes over `replies` replies: nesting only adds to how many are still to come, so a number is all the stack it needs. */
function skip(cursor: Cursor, replies: number): void {
  for (let remaining = replies; remaining > 0; remaining--) {
    switch (typeByte(cursor)) {
      case DOLLAR:
      case EXCLAMATION:
      case EQUALS:
        bulk(cursor)
        break
      case ASTERISK:
      case TILDE:
      case GREATER:
        remaining += Math.max(0, length(cursor))
        break
      case PERCENT:
        remaining += 2 * Math.max(0, length(cursor))
        break
      case PIPE:
        remaining += 2 * Math.max(0, length(cursor)) + 1
        break
      case PLUS:
      case MINUS:
      case COLON:
      case UNDERSCORE:
      case HASH:
      case COMMA:
      case OPEN_PAREN:
        cursor.at = lineEnd(cursor) + 2
        break
      default:
        throw malformed('no reply begins with that byte')
    }
  }
}
