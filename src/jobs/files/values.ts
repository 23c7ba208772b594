import { ErrorReply, type Reply, SimpleReply } from '../../resp/reply.ts'
import { expiryOf, isSameExpiry } from '../compare/expiry.ts'
import type { StoreConnection } from '../stores/store-connection.ts'
import { atOneMoment } from '../stores/transaction.ts'
import { readStream, type StreamValue, sameStream, streamWrites } from './stream-value.ts'

/** What a key holds, in a form that files can keep: the same for equal keys. Texts are bytes. */
export type KeyValue =
  | { readonly type: 'string'; readonly value: Buffer }
  | { readonly type: 'list' | 'set'; readonly value: readonly Buffer[] }
  /** Fields and values, or members and scores, in turn. */
  | { readonly type: 'hash' | 'zset'; readonly value: readonly Buffer[] }
  | { readonly type: 'stream'; readonly value: StreamValue }
  /** Of a module's type, or one that is younger than this: as DUMP gives it, for a store that knows the type. */
  | { readonly type: 'payload'; readonly of: string; readonly value: Buffer }

export interface KeyRecord {
  readonly database: number
  /** The application's name of it. */
  readonly key: Buffer
  readonly of: KeyValue
  /** ms since the epoch; null: never. */
  readonly expiresAtMs: number | null
}

/** Elements of one command that writes. */
const CHUNK = 500
/** Elements, and bytes of a text, of one that reads. */
const READ_ELEMENTS = 10_000
const READ_BYTES = 8 * 1024 * 1024
/** A key that changes while it is read in pieces is read again, so often. */
const MAX_READS = 3

/** What was read of one moment. */
interface Found {
  readonly of: KeyValue
  readonly expiresAtMs: number | null
}

/** Reads what a key holds; null: it is not there; a text: why it cannot be read so. A large one is read in pieces. Rejects with StoreLost. */
export async function readValue(connection: StoreConnection, name: Buffer): Promise<Found | string | null> {
  for (let n = 0; n < MAX_READS; n++) {
    const type = await connection.ask(['TYPE', name])
    if (!(type instanceof SimpleReply)) return `the store answers ${type instanceof ErrorReply ? type.code : 'no type'}`
    if (type.text === 'none') return null
    const found = await readOnce(connection, name, type.text)
    if (found !== CHANGED) return found
  }
  return 'it is written to all the time'
}

const CHANGED = Symbol('another key has its name by now, or it has another time of expiry')

async function readOnce(
  connection: StoreConnection,
  name: Buffer,
  type: string,
): Promise<Found | string | null | typeof CHANGED> {
  if (type === 'stream') {
    const found = await readStream(connection, name)
    return typeof found === 'string' ? found : { of: { type, value: found.value }, expiresAtMs: expiryOf(found.ttlMs) }
  }
  const reads = READS[type]
  const size = reads === undefined ? 0 : await connection.ask([reads.size, name])
  if (size instanceof ErrorReply) return refusal(size)
  const held =
    reads !== undefined && Number(size) > reads.atOnce
      ? await inPieces(connection, name, reads, Number(size))
      : await whole(connection, name, type, reads?.whole ?? ['DUMP'])
  if (held === CHANGED) return CHANGED
  if (held instanceof ErrorReply) return refusal(held)
  const { value, expiresAtMs } = held
  if (value === null || (value.length === 0 && type !== 'string')) return null
  if (reads === undefined) return { of: { type: 'payload', of: type, value: value as Buffer }, expiresAtMs }
  const cannot = type === 'hash' ? await fieldExpiries(connection, name, value as readonly Buffer[]) : null
  return cannot ?? { of: { type, value } as KeyValue, expiresAtMs }
}

type Content = Buffer | readonly Buffer[] | null
type Held = { readonly value: Content; readonly expiresAtMs: number | null }

/** The type, too: another key may have the name by now. */
async function whole(
  connection: StoreConnection,
  name: Buffer,
  type: string,
  [command, ...options]: readonly string[],
): Promise<Held | ErrorReply | typeof CHANGED> {
  const reads = [
    ['TYPE', name],
    ['PTTL', name],
    [command!, name, ...options],
  ]
  const replies = await atOneMoment(connection, reads)
  if (replies instanceof ErrorReply) return replies
  const [now, ttlMs, value] = replies
  if (!(now instanceof SimpleReply) || now.text !== type) return CHANGED
  return value instanceof ErrorReply ? value : { value: value as Content, expiresAtMs: expiryOf(ttlMs) }
}

async function inPieces(
  connection: StoreConnection,
  name: Buffer,
  reads: Reads,
  size: number,
): Promise<Held | ErrorReply | typeof CHANGED> {
  const expiresAtMs = expiryOf(await connection.ask(['PTTL', name]))
  const value = await reads.pieces(connection, name, size)
  if (value instanceof ErrorReply) return value
  const [after, ttlMs] = await Promise.all([connection.ask([reads.size, name]), connection.ask(['PTTL', name])])
  return after === size && isSameExpiry(expiryOf(ttlMs), expiresAtMs) ? { value, expiresAtMs } : CHANGED
}

function refusal({ code }: ErrorReply): string | typeof CHANGED {
  return code === 'WRONGTYPE' ? CHANGED : `the store answers ${code}`
}

type Read = (
  connection: StoreConnection,
  name: Buffer,
  size: number,
) => Promise<Buffer | readonly Buffer[] | ErrorReply>

interface Reads {
  readonly size: string
  /** What is not larger is read by one command. */
  readonly atOnce: number
  /** That command; the name is its second word. */
  readonly whole: readonly string[]
  readonly pieces: Read
}

const ELEMENTS = { atOnce: READ_ELEMENTS }

const READS: Readonly<Record<string, Reads>> = {
  string: {
    size: 'STRLEN',
    atOnce: READ_BYTES,
    whole: ['GET'],
    pieces: async (connection, name, size) => {
      const pieces = await ranges(connection, ['GETRANGE', name], size, READ_BYTES)
      return pieces instanceof ErrorReply ? pieces : Buffer.concat(pieces as Buffer[])
    },
  },
  list: { ...ELEMENTS, size: 'LLEN', whole: ['LRANGE', '0', '-1'], pieces: byIndex('LRANGE') },
  zset: {
    ...ELEMENTS,
    size: 'ZCARD',
    whole: ['ZRANGE', '0', '-1', 'WITHSCORES'],
    pieces: byIndex('ZRANGE', 'WITHSCORES'),
  },
  set: { ...ELEMENTS, size: 'SCARD', whole: ['SMEMBERS'], pieces: byCursor('SSCAN', 1) },
  hash: { ...ELEMENTS, size: 'HLEN', whole: ['HGETALL'], pieces: byCursor('HSCAN', 2) },
}

function byIndex(command: string, ...options: string[]): Read {
  return async (connection, name, size) => {
    const pieces = await ranges(connection, [command, name], size, READ_ELEMENTS, ...options)
    return pieces instanceof ErrorReply ? pieces : (pieces as readonly (readonly Buffer[])[]).flat()
  }
}

async function ranges(
  connection: StoreConnection,
  head: readonly (Buffer | string)[],
  size: number,
  per: number,
  ...options: string[]
): Promise<readonly Reply[] | ErrorReply> {
  const pieces: Reply[] = []
  for (let from = 0; from < size; from += per) {
    const piece = await connection.ask([...head, String(from), String(from + per - 1), ...options])
    if (piece instanceof ErrorReply) return piece
    pieces.push(piece)
  }
  return pieces
}

/** `per`: replies for one element, of which the first tells it. SCAN may give one twice. */
function byCursor(scan: string, per: number): Read {
  return async (connection, name) => {
    const elements = new Map<string, readonly Buffer[]>()
    let cursor = '0'
    do {
      const reply = await connection.ask([scan, name, cursor, 'COUNT', READ_ELEMENTS])
      if (reply instanceof ErrorReply) return reply
      const [next, items] = reply as unknown as readonly [Buffer, readonly Buffer[]]
      for (let i = 0; i < items.length; i += per) elements.set(items[i]!.toString('latin1'), items.slice(i, i + per))
      cursor = next.toString('latin1')
    } while (cursor !== '0')
    return [...elements.values()].flat()
  }
}

/** Redis 7.4: fields may have times of their own, and then it gives why such a key cannot be had. Older servers do not know the question. */
async function fieldExpiries(
  connection: StoreConnection,
  name: Buffer,
  pairs: readonly Buffer[],
): Promise<string | null> {
  const fields = pairs.filter((_, i) => i % 2 === 0)
  for (let i = 0; i < fields.length; i += READ_ELEMENTS) {
    const some = fields.slice(i, i + READ_ELEMENTS)
    const times = await connection.ask(['HPEXPIRETIME', name, 'FIELDS', some.length, ...some])
    if (times instanceof ErrorReply)
      return /^ERR unknown command/i.test(times.text) ? null : `the store answers ${times.code}`
    if (Array.isArray(times) && times.some((time) => typeof time === 'number' && time > 0))
      return 'its fields have times of expiry of their own, which such a file does not hold'
  }
  return null
}

/** Commands that make the key from nothing. `counts`: the store is Redis 7.0 or newer. */
export function writesOf(
  name: Buffer,
  { of, expiresAtMs }: Pick<KeyRecord, 'of' | 'expiresAtMs'>,
  counts: boolean,
): (Buffer | string)[][] {
  const commands = contentsOf(name, of, counts)
  if (expiresAtMs !== null) commands.push(['PEXPIREAT', name, String(Math.round(expiresAtMs))])
  return commands
}

function contentsOf(name: Buffer, of: KeyValue, counts: boolean): (Buffer | string)[][] {
  switch (of.type) {
    case 'string':
      return [['SET', name, of.value]]
    case 'payload':
      return [['RESTORE', name, '0', of.value]]
    case 'stream':
      return streamWrites(name, of.value, counts)
    default: {
      const commands: (Buffer | string)[][] = []
      const items = of.type === 'zset' ? swapped(of.value) : of.value
      for (let i = 0; i < items.length; i += CHUNK) commands.push([WRITES[of.type], name, ...items.slice(i, i + CHUNK)])
      return commands
    }
  }
}

/** Whether two are the same, whatever the order where there is none. Not for payloads: those of one value can differ. */
export function sameValue(one: KeyValue, other: KeyValue): boolean {
  if (one.type === 'stream' && other.type === 'stream') return sameStream(one.value, other.value)
  if (one.type === 'string' && other.type === 'string') return one.value.equals(other.value)
  return one.type === other.type && sameElements(one as Elements, other as Elements)
}

type Elements = Extract<KeyValue, { value: readonly Buffer[] }>

/** Without sorting: a key can have a million of them. */
function sameElements(one: Elements, other: Elements): boolean {
  const { type } = one
  if (one.value.length !== other.value.length) return false
  if (type === 'list') return one.value.every((item, i) => item.equals(other.value[i]!))
  const rest = asMap(one)
  return [...asMap(other)].every(([item, value]) => {
    const own = rest.get(item)
    return own !== undefined && (type === 'zset' ? scoreText(own) === scoreText(value) : own === value)
  })
}

/** Members without values, fields with theirs, members with their scores. */
function asMap({ type, value }: Elements): Map<string, string> {
  const per = type === 'set' ? 1 : 2
  const map = new Map<string, string>()
  for (let i = 0; i < value.length; i += per)
    map.set(value[i]!.toString('latin1'), per === 1 ? '' : value[i + 1]!.toString('latin1'))
  return map
}

/** The same text for the same score, however it is spelled. */
function scoreText(text: string): string {
  const score = Number(text)
  return Number.isFinite(score) ? String(score) : text
}

/** ZADD wants the score first. */
function swapped(items: readonly Buffer[]): Buffer[] {
  return items.flatMap((item, i) => (i % 2 === 0 ? [items[i + 1]!, item] : []))
}

const WRITES = { list: 'RPUSH', set: 'SADD', hash: 'HSET', zset: 'ZADD' } as const
