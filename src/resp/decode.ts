import { UnderstudyError } from '../base/errors.ts'
import {
  ASTERISK,
  COLON,
  COMMA,
  CR,
  DOLLAR,
  EQUALS,
  EXCLAMATION,
  GREATER,
  HASH,
  LF,
  MINUS,
  OPEN_PAREN,
  PERCENT,
  PIPE,
  PLUS,
  TILDE,
  UNDERSCORE,
  ZERO,
} from './bytes.ts'
import {
  DoubleReply,
  ErrorReply,
  MapReply,
  PushReply,
  type Reply,
  SetReply,
  SimpleReply,
  VerbatimReply,
} from './reply.ts'

/**
 * One complete reply frame to a value.
 *
 *   reply     = line | bulk | aggregate | attribute reply
 *   line      = ("+" | "-" | ":" | "_" | "#" | "," | "(") text CR LF
 *   bulk      = ("$" | "!" | "=") length CR LF bytes CR LF     "$-1" is nil
 *   aggregate = ("*" | "~" | ">") count CR LF reply{count}     "*-1" is nil
 *             | "%" count CR LF reply{2 * count}
 *   attribute = "|" count CR LF reply{2 * count}               read and dropped
 *
 * The nesting is kept on a stack of our own, so that a hostile peer cannot exhaust the thread's; MAX_DEPTH bounds it because
 * those who walk a decoded reply may recurse. A count is believed only as far as the bytes that are there could hold it.
 * Source of the grammar: redis.io, "Redis serialization protocol specification". Streamed types are not sent by any server.
 */
export const MAX_DEPTH = 1024

/** `_\r\n`: no reply is shorter. */
const MIN_REPLY_BYTES = 3

interface Level {
  readonly type: number
  /** Replies still to come, keys and values counted apart. */
  remaining: number
  readonly items: Reply[]
}

/** Where `line` and `length` left off. One per call: nothing is shared between decodes. */
interface Cursor {
  readonly buf: Buffer
  readonly end: number
  at: number
}

/**
 * Decodes exactly the frame `buf[start .. end)`. The value owns its bytes (bulks are copied).
 * @throws UnderstudyError PROTOCOL for malformed bytes, a frame that ends early, or bytes left over.
 */
export function decodeReply(buf: Buffer, start: number, end: number): Reply {
  const cursor: Cursor = { buf, at: start, end }
  const levels: Level[] = []
  for (;;) {
    let value = decodeOne(cursor, levels)
    if (value === OPENED) continue
    for (;;) {
      const level = levels.at(-1)
      if (level === undefined) {
        if (cursor.at !== end) throw malformed('bytes follow the reply')
        return value
      }
      level.items.push(value)
      level.remaining--
      if (level.remaining > 0) break
      levels.pop()
      if (level.type === PIPE) break
      value = close(level)
    }
  }
}

/** Says that `decodeOne` pushed a level whose items come next. */
const OPENED = new SimpleReply('')

function decodeOne(cursor: Cursor, levels: Level[]): Reply {
  const type = typeByte(cursor)
  switch (type) {
    case PLUS:
      return new SimpleReply(line(cursor))
    case MINUS:
      return new ErrorReply(line(cursor))
    case COLON:
      return integer(line(cursor))
    case DOLLAR: {
      // $
      const bytes = bulk(cursor)
      return bytes === null ? null : Buffer.from(bytes)
    }
    case UNDERSCORE:
      if (line(cursor) !== '') throw malformed('a null with content')
      return null
    case HASH:
      return boolean(line(cursor))
    case COMMA:
      return double(line(cursor))
    case OPEN_PAREN: {
      // (
      const text = line(cursor)
      if (!/^[+-]?\d+$/.test(text)) throw malformed('a big number that is none')
      return BigInt(text[0] === '+' ? text.slice(1) : text)
    }
    case EXCLAMATION:
      return new ErrorReply(present(bulk(cursor)).toString('latin1'))
    case EQUALS: {
      // =
      const bytes = present(bulk(cursor))
      if (bytes.length < 4 || bytes[3] !== COLON) throw malformed('a verbatim string without its format')
      return new VerbatimReply(bytes.toString('latin1', 0, 3), Buffer.from(bytes.subarray(4)))
    }
    case ASTERISK:
    case TILDE:
    case GREATER:
    case PERCENT:
    case PIPE: {
      // |
      const count = length(cursor)
      if (count === -1) {
        if (type !== ASTERISK) throw malformed('an aggregate of negative size')
        return null
      }
      const items = type === PERCENT || type === PIPE ? count * 2 : count
      if (items * MIN_REPLY_BYTES > cursor.end - cursor.at) throw malformed('an aggregate larger than its frame')
      if (items === 0) return type === PIPE ? OPENED : close({ type, remaining: 0, items: [] })
      if (levels.length === MAX_DEPTH) throw malformed(`replies nested deeper than ${MAX_DEPTH}`)
      levels.push({ type, remaining: items, items: [] })
      return OPENED
    }
    default:
      throw malformed(`no reply begins with byte 0x${type.toString(16).padStart(2, '0')}`)
  }
}

function close(level: Level): Reply {
  const { items } = level
  switch (level.type) {
    case TILDE:
      return new SetReply(items)
    case GREATER:
      return new PushReply(items)
    case PERCENT: {
      const entries: [Reply, Reply][] = []
      for (let i = 0; i < items.length; i += 2) entries.push([items[i]!, items[i + 1]!])
      return new MapReply(entries)
    }
    default:
      return items
  }
}

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

function typeByte(cursor: Cursor): number {
  if (cursor.at >= cursor.end) throw malformed('the frame ends early')
  return cursor.buf[cursor.at++]!
}

/** Offset of the CR that ends the line the cursor is in. */
function lineEnd(cursor: Cursor): number {
  const at = cursor.buf.indexOf(CR, cursor.at)
  if (at === -1 || at + 1 >= cursor.end) throw malformed('the frame ends early')
  if (cursor.buf[at + 1] !== LF) throw malformed('CR without LF')
  return at
}

/** One byte per character, so that texts with any bytes survive a decode and an encode. */
function line(cursor: Cursor): string {
  const at = lineEnd(cursor)
  const text = cursor.buf.toString('latin1', cursor.at, at)
  cursor.at = at + 2
  return text
}

/** A length or count: digits, or `-1`. */
function length(cursor: Cursor): number {
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
function bulk(cursor: Cursor): Buffer | null {
  const size = length(cursor)
  if (size === -1) return null
  const end = cursor.at + size
  if (end + 2 > cursor.end) throw malformed('the frame ends early')
  if (cursor.buf[end] !== CR || cursor.buf[end + 1] !== LF) throw malformed('a bulk without CR LF behind it')
  const bytes = cursor.buf.subarray(cursor.at, end)
  cursor.at = end + 2
  return bytes
}

function present(bytes: Buffer | null): Buffer {
  if (bytes === null) throw malformed('a nil that has no such form')
  return bytes
}

function integer(text: string): number | bigint {
  const first = text.charCodeAt(0)
  const digits = first === MINUS || first === PLUS ? 1 : 0
  if (text.length === digits || text.length > 20 || /\D/.test(text.slice(digits)))
    throw malformed('an integer that is none')
  const value = Number(text)
  if (Number.isSafeInteger(value)) return value === 0 ? 0 : value
  return BigInt(digits === 1 && first === PLUS ? text.slice(1) : text)
}

function boolean(text: string): boolean {
  if (text !== 't' && text !== 'f') throw malformed('a boolean that is none')
  return text === 't'
}

function double(text: string): DoubleReply {
  if (!/^(?:-?inf|-?nan|[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)$/.test(text)) throw malformed('a double that is none')
  return new DoubleReply(text)
}

function malformed(what: string): UnderstudyError {
  return new UnderstudyError('PROTOCOL', `Malformed reply: ${what}.`)
}
