import type { CommandSpec } from '../../command/spec.ts'
import { ASTERISK, CR, PERCENT, TILDE } from '../../resp/bytes.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { wordArg } from '../session/arguments.ts'

/**
 * How the target's answer, which comes in RESP2, becomes what a client has to be told.
 *
 *   same   the bytes are right as they are
 *   map    RESP3 says a map where RESP2 says an array of names and values
 *   set    RESP3 says a set where RESP2 says an array
 */
export type ReadForm = 'same' | 'map' | 'set'

/**
 * Null: the target is not asked, and the source answers. That is so for a cursor, which belongs to the store that gave it, and for a RESP3 client's read
 * whose reply has numbers or nesting that RESP2 does not show (scores, STREAMS).
 */
export function readForm(spec: CommandSpec, view: CommandView, protocol: 2 | 3): ReadForm | null {
  if (CURSORS.has(spec.name)) return null
  if (protocol === 2) return 'same'
  if (SAME.has(spec.name)) return 'same'
  if (RANGES.has(spec.name)) return hasWord(view, 'WITHSCORES') ? null : 'same'
  if (spec.name === 'HGETALL') return 'map'
  return SETS.has(spec.name) ? 'set' : null
}

/** The RESP2 array `buf[start .. end)` as a RESP3 map or set: only its header changes. */
export function asResp3(form: 'map' | 'set', buf: Buffer, start: number, end: number): Buffer {
  if (buf[start] !== ASTERISK) return Buffer.from(buf.subarray(start, end))
  const header = buf.indexOf(CR, start)
  if (form === 'set') {
    const copy = Buffer.from(buf.subarray(start, end))
    copy[0] = TILDE
    return copy
  }
  const pairs = Number(buf.toString('latin1', start + 1, header)) / 2
  return Buffer.concat([Buffer.from(`${String.fromCharCode(PERCENT)}${pairs}`), buf.subarray(header, end)])
}

function hasWord(view: CommandView, word: string): boolean {
  for (let i = 4; i < view.argc; i++) {
    if (view.end[i]! - view.start[i]! === word.length && wordArg(view, i) === word) return true
  }
  return false
}

const words = (text: string): ReadonlySet<string> => new Set(text.split(/\s+/))

const CURSORS = words('HSCAN SSCAN ZSCAN')
const SETS = words('SMEMBERS SINTER SUNION SDIFF')
const RANGES = words('ZRANGE ZREVRANGE ZRANGEBYSCORE ZREVRANGEBYSCORE ZRANGEBYLEX ZREVRANGEBYLEX')
/** Numbers, strings and plain lists: alike in both protocols. A nil is a miss, and the source's to say. */
const SAME = words(
  `
  GET MGET STRLEN GETRANGE SUBSTR EXISTS TTL PTTL EXPIRETIME PEXPIRETIME TYPE GETBIT BITCOUNT BITPOS
  LLEN LRANGE LINDEX HGET HMGET HLEN HEXISTS HSTRLEN HKEYS HVALS SCARD SISMEMBER SMISMEMBER SINTERCARD
  ZCARD ZCOUNT ZLEXCOUNT XLEN XRANGE XREVRANGE`.trim(),
)
