import { bulk, elements } from '../../../command/effects/reading.ts'
import type { Reply } from '../../../resp/reply.ts'

/** An entry that a consumer has been given and has not acknowledged. */
export interface PendingEntry {
  readonly id: string
  readonly consumer: Buffer
  readonly idleMs: number
  readonly deliveries: number
}

/** A consumer group, as XINFO GROUPS tells of it. */
export interface StreamGroup {
  readonly name: Buffer
  readonly lastId: Buffer
  /** As 7.0 tells it; null: not known. */
  readonly entriesRead: number | null
}

/** What is of the stream as a whole, as XINFO STREAM tells it. */
export interface StreamFacts {
  readonly length: number
  readonly lastId: Buffer
  /** As 7.0 tells them; null: not known. */
  readonly added: number | null
  readonly maxDeleted: Buffer | null
}

/** Null: not as any server answers XINFO STREAM. */
export function factsOf(reply: Reply): StreamFacts | null {
  const fields = fieldsOf(reply)
  const length = fields.get('length')
  const lastId = bulk(fields.get('last-generated-id'))
  if (typeof length !== 'number' || lastId === null) return null
  return {
    length,
    lastId,
    added: numberOf(fields.get('entries-added')),
    maxDeleted: bulk(fields.get('max-deleted-entry-id')),
  }
}

/** Null: not as any server answers XINFO GROUPS. */
export function groupsOf(reply: Reply): StreamGroup[] | null {
  return (
    elements(reply)?.map((group) => {
      const fields = fieldsOf(group)
      return {
        name: bulk(fields.get('name'))!,
        lastId: bulk(fields.get('last-delivered-id'))!,
        entriesRead: numberOf(fields.get('entries-read')),
      }
    }) ?? null
  )
}

/** Names, of an answer to XINFO CONSUMERS. */
export function consumersOf(reply: Reply): Buffer[] {
  return (elements(reply) ?? []).map((consumer) => bulk(fieldsOf(consumer).get('name'))!)
}

/** Of an answer to XPENDING with a range: `[[id, consumer, idle ms, deliveries] ...]`. */
export function pendingOf(reply: Reply): PendingEntry[] {
  return (elements(reply) ?? []).map((entry) => {
    const [id, consumer, idle, deliveries] = elements(entry) ?? []
    return {
      id: bulk(id)!.toString('latin1'),
      consumer: bulk(consumer)!,
      idleMs: Number(idle),
      deliveries: Number(deliveries),
    }
  })
}

/** What XINFO answers: a map, flat in RESP2. */
function fieldsOf(reply: Reply | undefined): Map<string, Reply> {
  const flat = elements(reply) ?? []
  return new Map(flat.flatMap((name, i) => (i % 2 === 0 ? [[String(name), flat[i + 1]!] as const] : [])))
}

function numberOf(reply: Reply | undefined): number | null {
  return typeof reply === 'number' ? reply : null
}
