import { isUtf8 } from 'node:buffer'
import { open } from 'node:fs/promises'
import type { ClassicLevel } from 'classic-level'
import { UnderstudyError } from '../base/errors.ts'
import { linesOf } from './lines.ts'
import type { StreamValue } from './stream-value.ts'
import type { KeyRecord, KeyValue } from './values.ts'

/**
 * Files that keys come from and go to.
 *
 *   jsonl     one object a line:
 *             {"key":"job:1","type":"string","value":"queued","expiresAtMs":null,"database":0}
 *             lists and sets as arrays, hashes as objects, sorted sets as arrays of [member, score], where infinity is "inf" or "-inf"
 *             a stream as {entries: [[id, [field, value, ...]]], lastId, maxDeletedId, entriesAdded, groups: [{name, lastId, entriesRead, consumers, pending: [[id, consumer, deliveredAtMs, deliveries]]}]}
 *             a type of a module with its payload (as DUMP gives it) in place of a value: {"key":"b","type":"MBbloom--","payload":{"base64":"..."}}
 *             what is no UTF-8 text is {"base64":"..."} in its place
 *   leveldb   a directory of LevelDB, as small tools keep their locks: key `namespace:key`,
 *             value JSON {"value":"queued","expires":1767225600000}; strings only, a value that is no text is kept as JSON
 */
export type FileFormat = 'jsonl' | 'leveldb'

/** One record of a file, or why it cannot be understood. `place` is where to go on behind it. */
export interface FileRecord {
  readonly place: string
  /** About what it takes in memory. */
  readonly bytes: number
  readonly record: KeyRecord | string
}

/** Reads from behind `after` on (null: from the beginning). Throws JOB_REFUSED when it cannot be opened. */
export function readRecords(
  format: FileFormat,
  path: string,
  namespace: string,
  after: string | null,
): AsyncGenerator<FileRecord> {
  return format === 'jsonl' ? readLines(path, after) : readLevel(path, namespace, after)
}

export interface RecordWriter {
  /** Where the next record comes: part of checkpoints. */
  readonly place: string
  /** Resolves when they are in the file, for good. Gives reasons for those that it cannot hold, by index. */
  append(records: readonly KeyRecord[]): Promise<ReadonlyMap<number, string>>
  close(): Promise<void>
}

/** `goOn`: where an earlier run of the same job stood; null: there was none. Throws JOB_REFUSED when it cannot be had, or is there and should not be. */
export async function openWriter(
  format: FileFormat,
  path: string,
  namespace: string,
  goOn: string | null,
): Promise<RecordWriter> {
  try {
    return format === 'jsonl' ? await lineWriter(path, goOn) : await levelWriter(path, namespace, goOn)
  } catch (cause) {
    throw refused(path, cause)
  }
}

// --- JSONL

/** Places: the byte and the number of the line that is next. */
async function* readLines(path: string, after: string | null): AsyncGenerator<FileRecord> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw refused(path, cause)
  })
  let [from, line] = (after ?? '0 0').split(' ').map(Number) as [number, number]
  try {
    for await (const { text, end } of linesOf(file, from, true)) {
      line++
      from = end
      if (text?.trim() === '') continue
      const record = text === null ? null : recordOfLine(text)
      yield {
        place: `${from} ${line}`,
        bytes: text?.length ?? 0,
        record: record ?? `line ${line} is not a key as this format writes it`,
      }
    }
  } finally {
    await file.close().catch(() => {})
  }
}

/** Places: the length of the file. */
async function lineWriter(path: string, goOn: string | null): Promise<RecordWriter> {
  const file = await open(path, goOn === null ? 'ax' : 'a', 0o600)
  let length = Number(goOn ?? 0)
  // What was written behind the last checkpoint is written again.
  if (goOn !== null) await file.truncate(length)
  return {
    get place() {
      return String(length)
    },
    async append(records) {
      const reasons = new Map<number, string>()
      for (const [i, record] of records.entries()) {
        const line = lineOf(record)
        if (line === null) reasons.set(i, 'it is longer than a line can be')
        else {
          await file.appendFile(line)
          length += line.length
        }
      }
      await file.sync()
      return reasons
    },
    close: () => file.close(),
  }
}

type Text = string | { readonly base64: string }

/** Null: no text is so long. */
function lineOf({ database, key, of, expiresAtMs }: KeyRecord): Buffer | null {
  try {
    const held =
      of.type === 'payload' ? { type: of.of, payload: base64Of(of.value) } : { type: of.type, value: jsonOf(of) }
    return Buffer.from(`${JSON.stringify({ key: textOf(key), ...held, expiresAtMs, database })}\n`)
  } catch (error) {
    if (error instanceof RangeError || (error as NodeJS.ErrnoException).code === 'ERR_STRING_TOO_LONG') return null
    throw error
  }
}

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

function recordOfLine(text: string): KeyRecord | null {
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
    if (of === null || (expiresAtMs !== null && typeof expiresAtMs !== 'number')) return null
    if (!Number.isInteger(database) || (database as number) < 0) return null
    return { database: database as number, key: bytesOf(key), of, expiresAtMs }
  } catch {
    return null
  }
}

function keyValueOf(type: string, value: unknown): KeyValue | null {
  switch (type) {
    case 'string':
      return { type, value: bytesOf(value) }
    case 'list':
    case 'set':
      return { type, value: (value as unknown[]).map(bytesOf) }
    case 'hash':
    case 'zset': {
      const pairs = Array.isArray(value) ? (value as [unknown, unknown][]) : Object.entries(value as object)
      return { type, value: pairs.flatMap(([one, other]) => [bytesOf(one), bytesOf(other)]) }
    }
    case 'stream':
      return { type, value: streamOf(value) }
    default:
      return null
  }
}

function base64Of(bytes: Buffer): Text {
  return { base64: bytes.toString('base64') }
}

/** UTF-8 where the bytes are that, else base64. */
function textOf(bytes: Buffer): Text {
  return isUtf8(bytes) ? bytes.toString('utf8') : base64Of(bytes)
}

/** Throws for what is neither a text, a number, nor base64. */
function bytesOf(text: unknown): Buffer {
  if (typeof text === 'string') return Buffer.from(text, 'utf8')
  if (typeof text === 'number') return Buffer.from(String(text))
  return Buffer.from((text as { base64: string }).base64, 'base64')
}

// --- LevelDB

interface LevelValue {
  readonly value?: unknown
  readonly expires?: unknown
}

async function* readLevel(path: string, namespace: string, after: string | null): AsyncGenerator<FileRecord> {
  const level = await openLevel(path, false).catch((cause: unknown) => {
    throw refused(path, cause)
  })
  const prefix = prefixOf(namespace)
  try {
    const from = after === null ? { gte: prefix } : { gt: Buffer.from(after, 'base64') }
    for await (const [name, text] of level.iterator(from)) {
      if (!name.subarray(0, prefix.length).equals(prefix)) return
      const record = recordOfLevel(name.subarray(prefix.length), text)
      yield { place: name.toString('base64'), bytes: text.length, record }
    }
  } finally {
    await level.close()
  }
}

function recordOfLevel(key: Buffer, text: string): KeyRecord | string {
  try {
    const { value, expires } = JSON.parse(text) as LevelValue
    if (value === undefined || value === null) return 'its value is not JSON with a field "value"'
    const bytes = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
    const expiresAtMs = typeof expires === 'number' ? expires : null
    return { database: 0, key: Buffer.from(key), of: { type: 'string', value: bytes }, expiresAtMs }
  } catch {
    return 'its value is not JSON with a field "value"'
  }
}

async function levelWriter(path: string, namespace: string, goOn: string | null): Promise<RecordWriter> {
  const level = await openLevel(path, goOn === null)
  const prefix = prefixOf(namespace)
  return {
    // Written again, a key is as it was.
    place: '',
    async append(records) {
      const reasons = new Map<number, string>()
      const puts = records.flatMap(({ database, key, of, expiresAtMs }, i) => {
        const text = of.type === 'string' ? textOf(of.value) : null
        if (typeof text === 'string' && database === 0) {
          const value: LevelValue = { value: text, ...(expiresAtMs === null ? {} : { expires: expiresAtMs }) }
          return [{ type: 'put' as const, key: Buffer.concat([prefix, key]), value: JSON.stringify(value) }]
        }
        reasons.set(
          i,
          database === 0 ? 'LevelDB holds strings that are UTF-8 text only' : 'LevelDB holds database 0 only',
        )
        return []
      })
      await level.batch(puts, { sync: true })
      return reasons
    },
    close: () => level.close(),
  }
}

async function openLevel(path: string, fresh: boolean): Promise<ClassicLevel<Buffer, string>> {
  // It brings native code, which nobody needs who has no such directory.
  const { ClassicLevel: Level } = await import('classic-level')
  const level: ClassicLevel<Buffer, string> = new Level(path, {
    keyEncoding: 'buffer',
    valueEncoding: 'utf8',
    createIfMissing: fresh,
    errorIfExists: fresh,
  })
  await level.open()
  return level
}

function prefixOf(namespace: string): Buffer {
  return Buffer.from(namespace === '' ? '' : `${namespace}:`)
}

function refused(path: string, cause: unknown): UnderstudyError {
  const { code, message, cause: inner } = cause as NodeJS.ErrnoException & { cause?: Error }
  const why = code === 'EEXIST' ? 'it exists already' : (inner?.message ?? message)
  return new UnderstudyError('JOB_REFUSED', `${path} cannot be used: ${why}`, { cause })
}
