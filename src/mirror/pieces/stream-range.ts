import { append } from '../../base/append.ts'
import { compareIds } from '../../base/stream-id.ts'
import { command } from '../../command/effects/building.ts'
import { elements } from '../../command/effects/reading.ts'
import type { Args } from '../../command/effects.ts'
import type { Reply } from '../../resp/reply.ts'
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
 * The commands that add a range to a copy which has all before it.
 *
 * A group can have an entry pending that is not in the stream any more. No command makes such a thing, so the copy gets an entry of that id, which goes when it has been claimed: by XDEL. Where nothing was ever deleted
 * (`onlyTrimmed`), it was trimmed, and so was all before it, also what the copy has: by XTRIM, for XDEL would leave a greatest deleted id, which XSETID cannot take back to none.
 */
export function writesOf(
  { entries, pending }: StreamRange,
  groups: readonly Buffer[],
  nowMs: number,
  onlyTrimmed: boolean,
): { readonly writes: Args[]; readonly reliesOnTrims: boolean } {
  const there = new Set(entries.map(({ id }) => id))
  const gone = new Map<string, Entry>()
  for (const { id } of pending.flat())
    if (!there.has(id)) gone.set(id, { id, words: [Buffer.from(id), NOTHING, NOTHING] })
  const writes: Args[] = []
  const add = (list: readonly Entry[]): void => {
    for (const { words } of list) writes.push([XADD, KEY, ...words])
  }
  const claim = (isWanted: (id: string) => boolean): void => {
    for (const [i, group] of groups.entries())
      append(
        writes,
        claims(
          group,
          pending[i]!.filter(({ id }) => isWanted(id)),
          nowMs,
        ),
      )
  }
  const reliesOnTrims = onlyTrimmed && gone.size > 0
  const standIns = [...gone.values()]
  if (reliesOnTrims) {
    add(standIns.sort((one, other) => compareIds(one.id, other.id)))
    claim((id) => gone.has(id))
    writes.push(command('XTRIM', KEY, 'MAXLEN', '=', 0))
    add(entries)
    claim((id) => there.has(id))
  } else {
    add(gone.size === 0 ? entries : [...entries, ...standIns].sort((one, other) => compareIds(one.id, other.id)))
    claim(() => true)
    append(
      writes,
      grouped(
        ['XDEL', KEY],
        standIns.map(({ words }) => words[0]!),
        1,
      ),
    )
  }
  return { writes, reliesOnTrims }
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
  return [...alike.values()].map((list) => {
    const { consumer, idleMs, deliveries } = list[0]!
    const when = ['TIME', nowMs - idleMs, 'RETRYCOUNT', deliveries]
    return command(
      'XCLAIM',
      KEY,
      group,
      consumer,
      0,
      list.map(({ id }) => id),
      when,
      'FORCE',
      'JUSTID',
    )
  })
}

const XADD = Buffer.from('XADD')
const NOTHING = Buffer.alloc(0)
