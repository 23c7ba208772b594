import { isUtf8 } from 'node:buffer'
import { bytesOfBase64 } from '../../base/base64.ts'
import { isExpiry } from '../compare/expiry.ts'
import { MAX_LINE_BYTES } from './lines.ts'
import { isDatabase } from './record-format.ts'
import type { StreamValue } from './stream-value.ts'
import type { KeyRecord, KeyValue } from './values.ts'

/** The line of a JSONL file that stands for the key, with its line feed; null: no line is so long. How it is written: `FileFormat`. */
export function lineOf({ database, key, of, expiresAtMs }: KeyRecord): Buffer | null {
  try {
    const held =
      of.type === 'payload' ? { type: of.of, payload: base64Of(of.value) } : { type: of.type, value: jsonOf(of) }
    const line = Buffer.from(`${JSON.stringify({ key: textOf(key), ...held, expiresAtMs, database })}\n`)
    return line.length <= MAX_LINE_BYTES ? line : null
  } catch (error) {
    if (error instanceof RangeError || (error as NodeJS.ErrnoException).code === 'ERR_STRING_TOO_LONG') return null
    throw error
  }
}

/** The key that a line stands for; null: it is none as this format writes it. */
export function recordOfLine(text: string): KeyRecord | null {
  try {
    const {
      key,
      type = 'string',
      value,
      payload,
      expiresAtMs = null,
      database = 0,
    } = JSON.parse(text) as Record<string, unknown>
    const of: KeyValue | null =
      payload === undefined
        ? keyValueOf(type as string, value)
        : { type: 'payload', of: String(type), value: bytesOf(payload) }
    if (of === null || (expiresAtMs !== null && !isExpiry(expiresAtMs)) || !isDatabase(database)) return null
    return { database, key: bytesOf(key), of, expiresAtMs }
  } catch {
    return null
  }
}

type Text = string | { readonly base64: string }

function jsonOf({ type, value }: Exclude<KeyValue, { type: 'payload' }>): unknown {
  if (type === 'string') return textOf(value)
  if (type === 'stream') return jsonOfStream(value)
  if (type === 'list' || type === 'set') return value.map(textOf)
  // An object cannot have a field that is no text: then it is a list of pairs.
  const pairs = value.flatMap((item, i) => (i % 2 === 0 ? [[textOf(item), textOf(value[i + 1]!)] as const] : []))
  if (type === 'hash' && pairs.every(([field]) => typeof field === 'string')) return Object.fromEntries(pairs)
  return type === 'zset'
    ? pairs.map(([member, score]) => [member, Number.isFinite(Number(score)) ? Number(score) : score])
    : pairs
}

function jsonOfStream({ entries, groups, ...facts }: StreamValue): unknown {
  return {
    entries: entries.map(({ id, fields }) => [id, fields.map(textOf)]),
    ...facts,
    groups: groups.map(({ name, consumers, pending, ...group }) => ({
      name: textOf(name),
      ...group,
      consumers: consumers.map(textOf),
      pending: pending.map(({ id, consumer, deliveredAtMs, deliveries }) => [
        id,
        textOf(consumer),
        deliveredAtMs,
        deliveries,
      ]),
    })),
  }
}

/** Throws for what is none. */
function streamOf(json: unknown): StreamValue {
  const { entries, lastId, maxDeletedId = null, entriesAdded = null, groups = [] } = json as StreamJson
  return {
    entries: entries.map(([id, fields]) => ({ id: idOf(id), fields: fields.map(bytesOf) })),
    lastId: idOf(lastId ?? entries.at(-1)![0]),
    maxDeletedId: maxDeletedId === null ? null : idOf(maxDeletedId),
    entriesAdded: entriesAdded === null ? null : Number(entriesAdded),
    groups: groups.map((group) => ({
      name: bytesOf(group.name),
      lastId: idOf(group.lastId),
      entriesRead: typeof group.entriesRead === 'number' ? group.entriesRead : null,
      consumers: (group.consumers ?? []).map(bytesOf),
      pending: (group.pending ?? []).map(([id, consumer, deliveredAtMs, deliveries]) => ({
        id: idOf(id),
        consumer: bytesOf(consumer),
        deliveredAtMs: Number(deliveredAtMs),
        deliveries: Number(deliveries),
      })),
    })),
  }
}

interface StreamJson {
  readonly entries: readonly (readonly [unknown, readonly unknown[]])[]
  readonly lastId?: unknown
  readonly maxDeletedId?: unknown
  readonly entriesAdded?: unknown
  readonly groups?: readonly {
    readonly name: unknown
    readonly lastId: unknown
    readonly entriesRead?: unknown
    readonly consumers?: readonly unknown[]
    readonly pending?: readonly (readonly [unknown, unknown, unknown, unknown])[]
  }[]
}

/** Throws for what is no ID of a stream. */
function idOf(id: unknown): string {
  const text = String(id)
  if (!/^\d+-\d+$/.test(text)) throw new TypeError('no ID of a stream')
  return text
}

function keyValueOf(type: string, value: unknown): KeyValue | null {
  switch (type) {
    case 'string':
      return { type, value: bytesOf(value) }
    case 'list':
    case 'set':
      return { type, value: (value as unknown[]).map(bytesOf) }
    case 'hash':
      return { type, value: pairsOf(value).flatMap(([field, held]) => [bytesOf(field), bytesOf(held)]) }
    case 'zset':
      return { type, value: pairsOf(value).flatMap(([member, score]) => [bytesOf(member), scoreOf(score)]) }
    case 'stream':
      return { type, value: streamOf(value) }
    default:
      return null
  }
}

/** Throws for what is neither an object nor a list of pairs. */
function pairsOf(value: unknown): (readonly [unknown, unknown])[] {
  if (!Array.isArray(value)) {
    if (typeof value !== 'object' || value === null) throw new TypeError('neither an object nor pairs')
    return Object.entries(value)
  }
  if (!value.every((pair) => Array.isArray(pair) && pair.length === 2)) throw new TypeError('no pairs')
  return value as [unknown, unknown][]
}

/** A number may be as large as it likes: the store keeps it as one, too. */
function scoreOf(score: unknown): Buffer {
  return typeof score === 'number' ? Buffer.from(String(score)) : bytesOf(score)
}

function base64Of(bytes: Buffer): Text {
  return { base64: bytes.toString('base64') }
}

/** UTF-8 where the bytes are that, else base64. */
function textOf(bytes: Buffer): Text {
  return isUtf8(bytes) ? bytes.toString('utf8') : base64Of(bytes)
}

/** Throws for what is neither a text, a number, nor base64; and for what would come out as other bytes: halves of characters, and whole numbers that JSON has rounded. */
function bytesOf(text: unknown): Buffer {
  if (typeof text === 'string' && text.isWellFormed()) return Buffer.from(text, 'utf8')
  if (typeof text === 'number' && (Number.isSafeInteger(text) || !Number.isInteger(text)))
    return Buffer.from(String(text))
  const bytes = bytesOfBase64((text as { base64?: unknown } | null)?.base64)
  if (bytes === null) throw new TypeError('neither text nor base64')
  return bytes
}
