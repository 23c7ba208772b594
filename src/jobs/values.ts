import { ErrorReply, type Reply, SimpleReply } from '../resp/reply.ts'
import type { StoreConnection } from './store-connection.ts'
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

/** Reads what a key holds; null: it is not there; a text: why it cannot be read so. A large one is read in pieces. Rejects with StoreLost. */
export async function readValue(
  connection: StoreConnection,
  name: Buffer,
): Promise<{ of: KeyValue; expiresAtMs: number | null } | string | null> {
  const [type, ttl] = await Promise.all([connection.ask(['TYPE', name]), connection.ask(['PTTL', name])])
  if (!(type instanceof SimpleReply)) return `the store answers ${type instanceof ErrorReply ? type.code : 'no type'}`
  if (type.text === 'none') return null
  if (ttl instanceof ErrorReply) return `the store answers ${ttl.code}`
  const of = await contentOf(connection, name, type.text)
  if (of === null || typeof of === 'string') return of
  return { of, expiresAtMs: typeof ttl === 'number' && ttl >= 0 ? Date.now() + ttl : null }
}

async function contentOf(connection: StoreConnection, name: Buffer, type: string): Promise<KeyValue | string | null> {
  if (type === 'stream') {
    const value = await readStream(connection, name)
    return typeof value === 'string' ? value : { type, value }
  }
  const reads = READS[type]
  if (reads === undefined) return readPayload(connection, name, type)
  for (let n = 0; n < MAX_READS; n++) {
    const size = await connection.ask([reads.size, name])
    if (size instanceof ErrorReply) return `the store answers ${size.code}`
    const value = await reads.read(connection, name, Number(size))
    if (value instanceof ErrorReply) return `the store answers ${value.code}`
    if (value === null || (value.length === 0 && type !== 'string')) return null
    const cannot = type === 'hash' ? await fieldExpiries(connection, name, value as readonly Buffer[]) : null
    if (cannot !== null) return cannot
    if (Number(size) <= reads.atOnce || (await connection.ask([reads.size, name])) === size)
      return { type, value } as KeyValue
  }
  return 'it is written to all the time'
}

/** What DUMP says of a key, whatever its type. */
async function readPayload(connection: StoreConnection, name: Buffer, type: string): Promise<KeyValue | string | null> {
  const payload = await connection.ask(['DUMP', name])
  if (payload instanceof ErrorReply) return `the store answers ${payload.code}`
  return payload === null ? null : { type: 'payload', of: type, value: payload as Buffer }
}

type Read = (
  connection: StoreConnection,
  name: Buffer,
  size: number,
) => Promise<Buffer | readonly Buffer[] | ErrorReply | null>

interface Reads {
  readonly size: string
  /** What is not larger is read by one command. */
  readonly atOnce: number
  readonly read: Read
}

const ELEMENTS = { atOnce: READ_ELEMENTS }

const READS: Readonly<Record<string, Reads>> = {
  string: {
    size: 'STRLEN',
    atOnce: READ_BYTES,
    read: async (connection, name, size) => {
      if (size <= READ_BYTES) return (await connection.ask(['GET', name])) as Buffer | ErrorReply | null
      const pieces = await ranges(connection, ['GETRANGE', name], size, READ_BYTES)
      return pieces instanceof ErrorReply ? pieces : Buffer.concat(pieces as Buffer[])
    },
  },
  list: { ...ELEMENTS, size: 'LLEN', read: byIndex('LRANGE') },
  zset: { ...ELEMENTS, size: 'ZCARD', read: byIndex('ZRANGE', 'WITHSCORES') },
  set: { ...ELEMENTS, size: 'SCARD', read: byCursor('SMEMBERS', 'SSCAN', 1) },
  hash: { ...ELEMENTS, size: 'HLEN', read: byCursor('HGETALL', 'HSCAN', 2) },
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
function byCursor(whole: string, scan: string, per: number): Read {
  return async (connection, name, size) => {
    if (size <= READ_ELEMENTS) return (await connection.ask([whole, name])) as readonly Buffer[] | ErrorReply
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
