import { decodeReply } from '../../src/resp/decode.ts'
import { MapReply, type Reply, SetReply } from '../../src/resp/reply.ts'

/**
 * How the two answers are compared where bytes cannot be equal:
 *
 *   unordered   the same elements in any order
 *   numbers     the same but for numbers
 *   kind        both the same error, or both of the same type
 *   ignored     not at all
 */
type Comparison = 'unordered' | 'numbers' | 'kind' | 'ignored'

export interface Exception {
  /** The form begins so, in upper case. */
  readonly form: string
  readonly compare: Comparison
  readonly reason: string
  /** Only inside MULTI. */
  readonly inMulti?: boolean
}

const HASH_ORDER = 'the order of a hash table depends on a seed that each server draws'
const RANDOM = 'the answer is random'
const CLOCK = 'it tells the time, or how long something took'
const CLIENTS = 'ids, addresses and descriptors of connections'
const SERVER = 'numbers of the server itself: memory, connections, run id, port'

/** Every form whose answers are not compared byte by byte. */
export const EXCEPTIONS: readonly Exception[] = [
  ...each('unordered', HASH_ORDER, 'KEYS, SCAN, COMMAND, ACL CAT, PUBSUB CHANNELS, PUBSUB SHARDCHANNELS'),
  ...each('unordered', HASH_ORDER, 'UNSUBSCRIBE, PUNSUBSCRIBE, SUNSUBSCRIBE, CONFIG GET MAXMEMORY*'),
  ...each('kind', RANDOM, 'RANDOMKEY, ACL GENPASS, LOLWUT, HRANDFIELD H, SRANDMEMBER SET, ZRANDMEMBER Z, SPOP SET'),
  ...each('kind', CLOCK, 'TIME, LASTSAVE, ACL LOG, SLOWLOG GET, SLOWLOG LEN, OBJECT IDLETIME, XINFO, XPENDING'),
  ...each('kind', CLOCK, 'TTL E, PTTL E, LATENCY LATEST, LATENCY HISTOGRAM, LATENCY RESET, XADD X *'),
  ...each('kind', CLIENTS, 'CLIENT ID, CLIENT INFO, CLIENT LIST'),
  ...each('kind', 'it holds the time at which a consumer was seen', 'DUMP X'),
  ...each('ignored', 'whether another one is under way', 'BGSAVE, BGREWRITEAOF'),
  ...each('ignored', 'whether replies are under way on the connection', 'SCRIPT DEBUG'),
  ...each('numbers', CLIENTS, 'HELLO'),
  ...each('kind', SERVER, 'INFO, MEMORY, DEBUG OBJECT, DEBUG JMAP, LATENCY DOCTOR, ROLE'),
]

/** What is never sent, and why. */
export const NEVER_SENT: readonly { readonly form: RegExp; readonly reason: string }[] = [
  { form: /^(SHUTDOWN|SHUTDOWN (NOSAVE|SAVE|NOW|FORCE))$/i, reason: 'it ends the server' },
  { form: /^(SYNC|PSYNC .*)$/i, reason: 'the answer is a stream that is no RESP; see `replica-stream.test.ts`' },
  { form: /^PFSELFTEST$/i, reason: 'a test of the server itself, which takes it half a second' },
  { form: /^MONITOR$/i, reason: 'from then on the server tells of every command of everybody; see `pubsub.test.ts`' },
  { form: /^DEBUG PROTOCOL push$/i, reason: 'inside MULTI its push is dropped; see `mended-replies.test.ts`' },
]

/** What is not compared where every key has another name at the store, and why. */
const UNDER_OTHER_NAMES: readonly { readonly form: RegExp; readonly reason: string }[] = [
  { form: /^SWAPDB\b/i, reason: 'refused: it would hit what else is on the server' },
  { form: /^DEBUG (DIGEST$|SDSLEN)/i, reason: 'the server looks at the bytes of the names' },
  { form: /^EVAL return redis\.call\('(INCR|NONSENSE)'/, reason: 'refused: scripts that make names, or may' },
]

export function differsUnderOtherNames(text: string): boolean {
  return UNDER_OTHER_NAMES.some(({ form }) => form.test(text))
}

export function exceptionOf(text: string, inMulti: boolean): Exception | undefined {
  const upper = text.toUpperCase()
  const fits = ({ form }: Exception): boolean => upper === form || upper.startsWith(`${form} `)
  return (
    EXCEPTIONS.find((exception) => exception.inMulti === true && inMulti && fits(exception)) ??
    EXCEPTIONS.find((exception) => exception.inMulti !== true && fits(exception))
  )
}

export function neverSent(text: string): boolean {
  return NEVER_SENT.some(({ form }) => form.test(text))
}

/** The frame in the form in which it has to be the same on both sides. */
export function comparable(frame: string, compare: Comparison | undefined): string {
  if (compare === 'ignored') return ''
  if (compare === undefined || /^[-cs]/.test(frame)) return frame
  if (compare === 'numbers') return frame.replace(/\d+/g, 'N')
  if (compare === 'kind') return frame[0]!
  const bytes = Buffer.from(frame, 'latin1')
  return JSON.stringify(sorted(decodeReply(bytes, 0, bytes.length)))
}

function sorted(reply: Reply): unknown {
  if (Buffer.isBuffer(reply)) return reply.toString('latin1')
  if (reply instanceof MapReply)
    return { map: inOrder(reply.entries.map(([key, value]) => [sorted(key), sorted(value)])) }
  if (reply instanceof SetReply) return { set: inOrder(reply.members.map(sorted)) }
  if (Array.isArray(reply)) return inOrder((reply as Reply[]).map(sorted))
  return reply
}

function inOrder(values: unknown[]): unknown[] {
  return values.map((value) => JSON.stringify(value)).sort()
}

function each(compare: Comparison, reason: string, forms: string): Exception[] {
  return forms.split(', ').map((form) => ({ form, compare, reason }))
}
