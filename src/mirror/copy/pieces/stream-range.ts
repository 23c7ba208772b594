import { append } from '../../../base/append.ts'
import { compareIds } from '../../../base/stream-id.ts'
import { command } from '../../../command/effects/building.ts'
import { elements } from '../../../command/effects/reading.ts'
import type { Args } from '../../../command/effects.ts'
import type { Reply } from '../../../resp/reply.ts'
import { grouped, KEY } from './pieces.ts'
import type { PendingEntry } from './stream-replies.ts'

interface Entry {
  readonly id: string
  /** The id, then fields and values in turn. */
  readonly words: Args
}

/** What a stream has between two ids, at one moment. */
export interface StreamRange {
  readonly entries: readonly Entry[]
  /** Of each group. */
  readonly pending: readonly (readonly PendingEntry[])[]
  /** Its greatest id; null: there is nothing in it. */
  readonly last: string | null
  /** Nothing is behind it. */
  readonly isLast: boolean
}

/**
 * The range that is known as a whole, of replies that begin at one id: to XRANGE, of which `entriesAsked` were asked for, and to XPENDING of each group, of which `pendingAsked` were. It ends where the first of
 * those ends that may go on.
 */
export function rangeOf(
  found: readonly Reply[],
  pending: readonly (readonly PendingEntry[])[],
  entriesAsked: number,
  pendingAsked: number,
): StreamRange {
  const entries = found.map(entryOf)
  const ends = [
    ...(entries.length < entriesAsked ? [] : [entries.at(-1)!.id]),
    ...pending.flatMap((list) => (list.length < pendingAsked ? [] : [list.at(-1)!.id])),
  ].sort(compareIds)
  const end = ends[0]
  if (end !== undefined) {
    return { entries: upTo(entries, end), pending: pending.map((list) => upTo(list, end)), last: end, isLast: false }
  }
  const last = [entries.at(-1), ...pending.map((list) => list.at(-1))].flatMap((one) => one?.id ?? []).sort(compareIds)
  return { entries, pending, last: last.at(-1) ?? null, isLast: true }
}

/** The first entry's id, of an answer to XRANGE; null: there is none. */
export function headOf(reply: Reply): string | null {
  const [first] = elements(reply) ?? []
  return first === undefined ? null : entryOf(first).id
}

function entryOf(reply: Reply): Entry {
  const [id, fields] = elements(reply) ?? []
  return { id: (id as Buffer).toString('latin1'), words: [id as Buffer, ...((elements(fields) ?? []) as Buffer[])] }
}

/** Of a list in the order of its ids. */
function upTo<T extends { readonly id: string }>(list: readonly T[], id: string): readonly T[] {
  let [from, to] = [0, list.length]
  while (from < to) {
    const middle = (from + to) >> 1
    if (compareIds(list[middle]!.id, id) <= 0) from = middle + 1
    else to = middle
  }
  return list.slice(0, from)
}

/**
 * The commands that add a range to a copy which has all before it. `first`: the first entry of the whole stream; null: it has none.
 *
 * A group can have an entry pending that is not in the stream any more. No command makes such a thing, so the copy gets an entry of that id, which goes when it has been claimed. One from before the first entry goes by XTRIM,
 * and with it what the copy has of before that: XDEL would leave a greatest deleted id, which XSETID cannot take back to none, and where it was trimmed there may be none. One from among the entries was deleted, whatever the
 * stream says of that: one that was loaded from before 7.0 does not know.
 */
export function writesOf(
  { entries, pending }: StreamRange,
  first: string | null,
  groups: readonly Buffer[],
  nowMs: number,
): readonly Args[] {
  const there = new Set(entries.map(({ id }) => id))
  const gone = [...new Set(pending.flatMap((list) => list.map(({ id }) => id)))].filter((id) => !there.has(id))
  const [before, among]: [Entry[], Entry[]] = [[], []]
  for (const id of gone.sort(compareIds)) {
    const isBefore = first === null || compareIds(id, first) < 0
    ;(isBefore ? before : among).push({ id, words: [Buffer.from(id), NOTHING, NOTHING] })
  }
  const writes: Args[] = []
  const add = (list: readonly Entry[]): void => {
    for (const { words } of list) writes.push([XADD, KEY, ...words])
  }
  const early = new Set(before.map(({ id }) => id))
  const claim = (isEarly: boolean): void => {
    for (const [i, group] of groups.entries()) {
      const wanted = pending[i]!.filter(({ id }) => early.has(id) === isEarly)
      append(writes, claims(group, wanted, nowMs))
    }
  }
  if (before.length > 0) {
    add(before)
    claim(true)
    writes.push(command('XTRIM', KEY, 'MAXLEN', '=', 0))
  }
  add(among.length === 0 ? entries : [...entries, ...among].sort((one, other) => compareIds(one.id, other.id)))
  claim(false)
  append(
    writes,
    grouped(
      ['XDEL', KEY],
      among.map(({ words }) => words[0]!),
      1,
    ),
  )
  return writes
}

/** Entries that were delivered together are claimed together. */
function claims(group: Buffer, pending: readonly PendingEntry[], nowMs: number): Args[] {
  const alike = new Map<string, PendingEntry[]>()
  for (const entry of pending) {
    const name = `${entry.idleMs} ${entry.deliveries} ${entry.consumer.toString('latin1')}`
    const others = alike.get(name)
    if (others === undefined) alike.set(name, [entry])
    else others.push(entry)
  }
  return [...alike.values()].flatMap((list) => {
    const { consumer, idleMs, deliveries } = list[0]!
    const when = command('TIME', nowMs - idleMs, 'RETRYCOUNT', deliveries, 'FORCE', 'JUSTID')
    const ids = list.map(({ id }) => Buffer.from(id))
    return grouped(command('XCLAIM', KEY, group, consumer, 0), ids, 1).map((some) => [...some, ...when])
  })
}

const XADD = Buffer.from('XADD')
const NOTHING = Buffer.alloc(0)
