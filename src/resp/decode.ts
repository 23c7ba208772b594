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
import { bulk, type Cursor, length, line, MIN_REPLY_BYTES, malformed, typeByte } from './reply-cursor.ts'

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

interface Level {
  readonly type: number
  /** Replies still to come, keys and values counted apart. */
  remaining: number
  readonly items: Reply[]
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
