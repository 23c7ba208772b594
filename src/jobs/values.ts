import { ErrorReply, type Reply, SimpleReply } from '../resp/reply.ts'
import type { StoreConnection } from './store-connection.ts'

/** What a key holds, in a form that files can keep: the same for equal keys. Texts are bytes. */
export type KeyValue =
  | { readonly type: 'string'; readonly value: Buffer }
  | { readonly type: 'list' | 'set'; readonly value: readonly Buffer[] }
  /** Fields and values, or members and scores, in turn. */
  | { readonly type: 'hash' | 'zset'; readonly value: readonly Buffer[] }

export interface KeyRecord {
  readonly database: number
  /** The application's name of it. */
  readonly key: Buffer
  readonly of: KeyValue
  /** ms since the epoch; null: never. */
  readonly expiresAtMs: number | null
}

/** Elements of one command. */
const CHUNK = 500

/** Reads what a key holds; null: it is not there; a text: why it cannot be read so. Rejects with StoreLost. */
export async function readValue(
  connection: StoreConnection,
  name: Buffer,
): Promise<{ of: KeyValue; expiresAtMs: number | null } | string | null> {
  const [type, ttl] = await Promise.all([connection.ask(['TYPE', name]), connection.ask(['PTTL', name])])
  const read = READS[type instanceof SimpleReply ? type.text : '']
  if (type instanceof SimpleReply && type.text === 'none') return null
  if (read === undefined) return `keys of this type (${textOf(type)}) cannot be written to such a file`
  const value = await connection.ask(read(name))
  if (value instanceof ErrorReply) return `the store answers ${value.code}`
  if (value === null) return null
  const expiresAtMs = typeof ttl === 'number' && ttl >= 0 ? Date.now() + ttl : null
  const kind = (type as SimpleReply).text as KeyValue['type']
  if (kind === 'string') return { of: { type: kind, value: value as Buffer }, expiresAtMs }
  return { of: { type: kind, value: value as readonly Buffer[] }, expiresAtMs }
}

/** Commands that make the key from nothing. */
export function writesOf(
  name: Buffer,
  { of, expiresAtMs }: Pick<KeyRecord, 'of' | 'expiresAtMs'>,
): (Buffer | string)[][] {
  const commands: (Buffer | string)[][] = [['DEL', name]]
  if (of.type === 'string') commands.push(['SET', name, of.value])
  else {
    const items = of.type === 'zset' ? swapped(of.value) : of.value
    for (let i = 0; i < items.length; i += CHUNK) commands.push([WRITES[of.type], name, ...items.slice(i, i + CHUNK)])
  }
  if (expiresAtMs !== null) commands.push(['PEXPIREAT', name, String(Math.round(expiresAtMs))])
  return commands
}

/** Whether two are the same, whatever the order where there is none. */
export function sameValue(one: KeyValue, other: KeyValue): boolean {
  return one.type === other.type && canonical(one) === canonical(other)
}

function canonical({ type, value }: KeyValue): string {
  if (type === 'string') return value.toString('latin1')
  const texts = value.map((item) => item.toString('latin1'))
  if (type === 'list') return JSON.stringify(texts)
  if (type === 'set') return JSON.stringify(texts.sort())
  const pairs = texts.flatMap((text, i) =>
    i % 2 === 0 ? [[text, type === 'zset' ? scoreText(texts[i + 1]!) : texts[i + 1]]] : [],
  )
  return JSON.stringify(pairs.sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)))
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

function textOf(reply: Reply): string {
  return reply instanceof SimpleReply ? reply.text : 'unknown'
}

const READS: Readonly<Record<string, (name: Buffer) => (Buffer | string)[]>> = {
  string: (name) => ['GET', name],
  list: (name) => ['LRANGE', name, '0', '-1'],
  set: (name) => ['SMEMBERS', name],
  hash: (name) => ['HGETALL', name],
  zset: (name) => ['ZRANGE', name, '0', '-1', 'WITHSCORES'],
}

const WRITES = { list: 'RPUSH', set: 'SADD', hash: 'HSET', zset: 'ZADD' } as const
