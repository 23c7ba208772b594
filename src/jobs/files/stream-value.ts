import { append } from '../../base/append.ts'
import { compareIds, rangeBehind } from '../../base/stream-id.ts'
import { consumerMade } from '../../command/stream-consumer.ts'
import { ErrorReply, type Reply } from '../../resp/reply.ts'
import type { StoreConnection } from '../stores/store-connection.ts'
import { atOneMoment } from '../stores/transaction.ts'

/** Everything that a stream is: its entries, what it remembers of those that are gone, and its groups. IDs are texts. */
export interface StreamValue {
  readonly entries: readonly StreamEntry[]
  readonly lastId: string
  /** As Redis 7.0 tells them; null: not known. */
  readonly maxDeletedId: string | null
  readonly entriesAdded: number | null
  readonly groups: readonly StreamGroup[]
}

export interface StreamEntry {
  readonly id: string
  /** Fields and values in turn. */
  readonly fields: readonly Buffer[]
}

export interface StreamGroup {
  readonly name: Buffer
  readonly lastId: string
  readonly entriesRead: number | null
  readonly consumers: readonly Buffer[]
  readonly pending: readonly PendingEntry[]
}

export interface PendingEntry {
  readonly id: string
  readonly consumer: Buffer
  /** ms since the epoch. */
  readonly deliveredAtMs: number
  readonly deliveries: number
}

/** Entries of one read. */
const RANGE = 2_000
/** XPENDING wants a number. */
const ALL = 1_000_000_000
/** A stream that loses entries or groups while it is read is read again, so often. */
const MAX_READS = 3

/** Reads a stream, range by range, and the end of it with its groups and what PTTL says in one transaction. A text: why it cannot be read. Rejects with StoreLost. */
export async function readStream(
  connection: StoreConnection,
  name: Buffer,
): Promise<{ readonly value: StreamValue; readonly ttlMs: Reply } | string> {
  for (let reads = 0; reads < MAX_READS; reads++) {
    const entries: StreamEntry[] = []
    for (let isEnd = false; !isEnd; ) {
      const some = await connection.ask(['XRANGE', name, ...behind(entries), 'COUNT', RANGE])
      if (some instanceof ErrorReply) return `the store answers ${some.code}`
      append(entries, entriesOf(some))
      isEnd = (some as readonly Reply[]).length < RANGE
    }
    // A short one is read whole in the transaction: all of it is of one moment.
    if (entries.length < RANGE) entries.length = 0
    const before = (await connection.ask(['XINFO', 'GROUPS', name])) as readonly Reply[] | ErrorReply
    if (before instanceof ErrorReply) return `the store answers ${before.code}`
    const names = before.map((group) => factsOf(group).get('name') as Buffer)
    const commands = [
      ['PTTL', name],
      ['XRANGE', name, ...behind(entries)],
      ['XINFO', 'STREAM', name],
      ['XINFO', 'GROUPS', name],
      ...names.map((group) => ['XPENDING', name, group, '-', '+', ALL]),
      ...names.map((group) => ['XINFO', 'CONSUMERS', name, group]),
    ]
    const nowMs = Date.now()
    const replies = await atOneMoment(connection, commands)
    if (replies instanceof ErrorReply) return `the store answers ${replies.code}`
    const error = replies.find((reply) => reply instanceof ErrorReply)
    const [ttlMs, range, info, groups, ...ofGroups] = replies
    const same = Array.isArray(groups) && sameNames(groups, names)
    if (error !== undefined || !same) continue
    append(entries, entriesOf(range!))
    const facts = factsOf(info!)
    if (facts.get('length') !== entries.length) continue
    const value: StreamValue = {
      entries,
      lastId: textOf(facts.get('last-generated-id')),
      maxDeletedId: facts.has('max-deleted-entry-id') ? textOf(facts.get('max-deleted-entry-id')) : null,
      entriesAdded: numberOf(facts.get('entries-added')),
      groups: groups.map((group: Reply, i: number) => groupOf(group, ofGroups[i]!, ofGroups[names.length + i]!, nowMs)),
    }
    return { value, ttlMs: ttlMs! }
  }
  return 'it loses entries all the time'
}

/**
 * Commands that make the stream from nothing, as an append-only file is rewritten with. A group can have an entry pending that is gone: the stream gets one of that ID, which is deleted when it has been claimed.
 * `counts`: the store is Redis 7.0 or newer, and takes ENTRIESADDED and the like.
 */
export function streamWrites(name: Buffer, value: StreamValue, counts: boolean): (Buffer | string)[][] {
  const { entries, lastId, maxDeletedId, entriesAdded, groups } = value
  const present = new Set(entries.map(({ id }) => id))
  const gone = [...new Set(groups.flatMap(({ pending }) => pending.map(({ id }) => id)))].filter(
    (id) => !present.has(id),
  )
  const all = [...entries, ...gone.map((id): StreamEntry => ({ id, fields: [NOTHING, NOTHING] }))]
  if (gone.length > 0) all.sort((one, other) => compareIds(one.id, other.id))
  const commands: (Buffer | string)[][] = all.map(({ id, fields }) => ['XADD', name, id, ...fields])
  // What has no entry is a key all the same.
  if (all.length === 0) commands.push(['XADD', name, 'MAXLEN', '0', '0-1', NOTHING, NOTHING])
  for (const group of groups) {
    const read = counts && group.entriesRead !== null ? ['ENTRIESREAD', String(group.entriesRead)] : []
    commands.push(['XGROUP', 'CREATE', name, group.name, group.lastId, ...read])
    for (const consumer of group.consumers) commands.push(consumerMade(name, group.name, consumer, counts))
    for (const { id, consumer, deliveredAtMs, deliveries } of group.pending) {
      const when = ['TIME', String(deliveredAtMs), 'RETRYCOUNT', String(deliveries)]
      commands.push(['XCLAIM', name, group.name, consumer, '0', id, ...when, 'FORCE', 'JUSTID'])
    }
  }
  // From among the entries it was deleted, whatever the stream says: one that was loaded from before 7.0 does not know. What is gone from before them is trimmed: XDEL would leave a greatest deleted ID.
  const among = entries.length === 0 ? [] : gone.filter((id) => compareIds(id, entries[0]!.id) > 0)
  for (const id of among) commands.push(['XDEL', name, id])
  if (gone.length > among.length) commands.push(['XTRIM', name, 'MAXLEN', '=', String(entries.length)])
  const more =
    counts && entriesAdded !== null && maxDeletedId !== null
      ? ['ENTRIESADDED', String(entriesAdded), 'MAXDELETEDID', maxDeletedId]
      : []
  commands.push(['XSETID', name, lastId, ...more])
  return commands
}

/** Whether two are the same, but for when their entries were delivered. What only one side counts (Redis 7.0) is not looked at. */
export function sameStream(one: StreamValue, other: StreamValue): boolean {
  const counted = [one, other].every(({ entriesAdded, maxDeletedId }) => entriesAdded !== null && maxDeletedId !== null)
  if (counted && one.entriesAdded !== other.entriesAdded) return false
  const [deleted, elsewhere] = [one, other].map(({ maxDeletedId }) => (maxDeletedId === '0-0' ? null : maxDeletedId))
  if (deleted !== null && elsewhere !== null && deleted !== elsewhere) return false
  if (one.lastId !== other.lastId || one.entries.length !== other.entries.length) return false
  if (textOfGroups(one) !== textOfGroups(other)) return false
  return one.entries.every(({ id, fields }, i) => {
    const entry = other.entries[i]!
    return (
      id === entry.id &&
      fields.length === entry.fields.length &&
      fields.every((field, n) => field.equals(entry.fields[n]!))
    )
  })
}

function textOfGroups({ groups }: StreamValue): string {
  const text = (bytes: Buffer): string => bytes.toString('latin1')
  return JSON.stringify(
    groups
      .map((group) => [
        text(group.name),
        group.lastId,
        group.consumers.map(text).sort(),
        group.pending.map(({ id, consumer, deliveries }) => [id, text(consumer), deliveries]),
      ])
      .sort(([one], [other]) => (String(one) < String(other) ? -1 : 1)),
  )
}

const NOTHING = Buffer.alloc(0)

/** From behind the last one on. */
function behind(entries: readonly StreamEntry[]): readonly [start: string, end: string] {
  const last = entries.at(-1)
  return last === undefined ? ['-', '+'] : rangeBehind(last.id)
}

function entriesOf(reply: Reply): StreamEntry[] {
  return (reply as readonly (readonly [Buffer, readonly Buffer[]])[]).map(([id, fields]) => ({
    id: id.toString('latin1'),
    fields,
  }))
}

function groupOf(group: Reply, pending: Reply, consumers: Reply, nowMs: number): StreamGroup {
  const facts = factsOf(group)
  return {
    name: facts.get('name') as Buffer,
    lastId: textOf(facts.get('last-delivered-id')),
    entriesRead: numberOf(facts.get('entries-read')),
    consumers: (consumers as readonly Reply[]).map((consumer) => factsOf(consumer).get('name') as Buffer),
    pending: (pending as readonly (readonly [Buffer, Buffer, number, number])[]).map(
      ([id, consumer, idleMs, deliveries]) => ({
        id: id.toString('latin1'),
        consumer,
        deliveredAtMs: nowMs - idleMs,
        deliveries,
      }),
    ),
  }
}

function sameNames(groups: readonly Reply[], names: readonly Buffer[]): boolean {
  return (
    groups.length === names.length && groups.every((group, i) => names[i]!.equals(factsOf(group).get('name') as Buffer))
  )
}

/** What XINFO answers: names and values in turn. */
function factsOf(reply: Reply): Map<string, Reply> {
  const flat = Array.isArray(reply) ? (reply as readonly Reply[]) : []
  return new Map(flat.flatMap((name, i) => (i % 2 === 0 ? [[textOf(name), flat[i + 1]!] as const] : [])))
}

function textOf(reply: Reply | undefined): string {
  return Buffer.isBuffer(reply) ? reply.toString('latin1') : String(reply)
}

function numberOf(reply: Reply | undefined): number | null {
  return typeof reply === 'number' ? reply : null
}
