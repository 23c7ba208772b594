import { append } from '../../base/append.ts'
import { compareIds, rangeBehind, wholeId } from '../../base/stream-id.ts'
import { command } from '../../command/effects/building.ts'
import { elements } from '../../command/effects/reading.ts'
import type { Args } from '../../command/effects.ts'
import type { Reply } from '../../resp/reply.ts'
import { grouped, KEY, LATER, type Pieces, RESTART, type Taken, type Verdict, WHOLE } from './pieces.ts'
import {
  consumersOf,
  factsOf,
  groupsOf,
  type PendingEntry,
  pendingOf,
  type StreamFacts,
  type StreamGroup,
} from './stream-replies.ts'

/**
 * A stream: its groups' names, what is pending, then the entries from the first to the last; and with the last entries, side by side, all that is about the groups.
 *
 *   names      XINFO GROUPS
 *   pending    XPENDING of each group        ids of which some are not in the stream any more
 *   entries    XRANGE, range by range        what is added meanwhile is read later
 *   end        XRANGE, XINFO, XPENDING, XINFO CONSUMERS
 *
 * A group can have an entry pending that was deleted. No command makes such a thing, so the copy gets an entry of that id, which is deleted when the claims have been made. What was trimmed
 * from the head meanwhile is trimmed at the end by the length, what was deleted in the middle is deleted there too. Source of the commands: what an append-only file is rewritten with.
 */
export class StreamPieces implements Pieces {
  readonly #key: Buffer
  readonly #nowMs: () => number
  /** The shadow is Redis 7.0 or newer: ENTRIESADDED and the like. */
  readonly #countsEntries: boolean
  #phase: 'names' | 'pending' | 'entries' | 'end' = 'names'
  #groups: Buffer[] = []
  /** Ids that are pending, or were deleted before they were read, ascending; from `#next` on not met yet. */
  #pendingIds: string[] = []
  #next = 0
  #last = '0-0'
  #asked = WHOLE
  /** To be deleted from the copy: stand-ins, and what was deleted meanwhile. */
  #surplus: string[] = []
  /** Something has been added to the copy. */
  #made = false
  /** From the last entry of one round to the first of the next, ascending: what was trimmed there before it could be read may have been delivered, and cannot be added any more. */
  readonly #gaps: (readonly [after: string, before: string])[] = []

  /** `nowMs`: the primary's clock. */
  constructor(key: Buffer, nowMs: () => number, countsEntries: boolean) {
    this.#key = key
    this.#nowMs = nowMs
    this.#countsEntries = countsEntries
  }

  reads(size: number): readonly Args[] {
    const key = this.#key
    this.#asked = size
    const [start, end] = this.#last === '0-0' ? ['-', '+'] : rangeBehind(this.#last)
    const range = command('XRANGE', key, start, end, 'COUNT', size)
    const pending = this.#groups.map((group) => command('XPENDING', key, group, '-', '+', WHOLE))
    switch (this.#phase) {
      case 'names':
        return [command('XINFO', 'GROUPS', key)]
      case 'pending':
        return [command('XINFO', 'GROUPS', key), ...pending]
      case 'entries':
        return [range]
      case 'end':
        return [
          range,
          command('XINFO', 'STREAM', key),
          command('XINFO', 'GROUPS', key),
          ...pending,
          ...this.#groups.map((group) => command('XINFO', 'CONSUMERS', key, group)),
        ]
    }
  }

  take(replies: readonly Reply[]): Taken | null {
    // What is not understood is not nothing: a copy would lack it.
    if (replies.some((reply) => elements(reply) === null)) return null
    switch (this.#phase) {
      case 'names':
        return this.#takeNames(replies[0]!)
      case 'pending':
        if (!this.#sameGroups(replies[0]!)) return this.#takeNames(replies[0]!)
        this.#expect(replies.slice(1).flatMap(pendingOf))
        this.#phase = this.#asked >= WHOLE ? 'end' : 'entries'
        return { writes: [], done: false }
      case 'entries': {
        const writes = this.#entries(replies[0]!)
        if ((elements(replies[0]) ?? []).length < this.#asked) this.#phase = 'end'
        return { writes, done: false }
      }
      case 'end':
        return this.#takeEnd(replies)
    }
  }

  effect(name: string, args: Args): Verdict {
    switch (name) {
      case 'XDEL':
        for (const arg of args.slice(2)) this.#deleted(wholeId(arg.toString('latin1')))
        return LATER
      case 'XADD':
      case 'XTRIM':
      case 'XSETID':
      case 'XACK':
      case 'XCLAIM':
      case 'XGROUP CREATE':
      case 'XGROUP SETID':
      case 'XGROUP DESTROY':
      case 'XGROUP CREATECONSUMER':
      case 'XGROUP DELCONSUMER':
      case 'XREADGROUP':
        return LATER
      default:
        return this.#made ? RESTART : LATER
    }
  }

  /** One that is not read yet may have been delivered before, and be pending at the end. */
  #deleted(id: string): void {
    this.#surplus.push(id)
    if (compareIds(id, this.#last) > 0) this.#meet(id)
  }

  /** An id that gets a stand-in where the entries have none, behind the last that was read. */
  #meet(id: string): void {
    const ids = this.#pendingIds
    let [from, to] = [this.#next, ids.length]
    while (from < to) {
      const middle = (from + to) >> 1
      if (compareIds(ids[middle]!, id) < 0) from = middle + 1
      else to = middle
    }
    if (ids[from] !== id) ids.splice(from, 0, id)
  }

  /** It was delivered and trimmed before it could be read. */
  #isInGap(id: string): boolean {
    let [from, to] = [0, this.#gaps.length]
    while (from < to) {
      const middle = (from + to) >> 1
      const [after, before] = this.#gaps[middle]!
      if (compareIds(id, after) <= 0) to = middle
      else if (compareIds(id, before) < 0) return true
      else from = middle + 1
    }
    return false
  }

  #takeNames(reply: Reply): Taken | null {
    const groups = groupsOf(reply)
    if (groups === null) return null
    this.#groups = groups.map(({ name }) => name)
    // Without groups nothing is pending.
    if (groups.length > 0) this.#phase = 'pending'
    else this.#phase = this.#asked >= WHOLE ? 'end' : 'entries'
    return { writes: [], done: false }
  }

  #sameGroups(reply: Reply): boolean {
    const groups = groupsOf(reply) ?? []
    return groups.length === this.#groups.length && groups.every(({ name }, i) => name.equals(this.#groups[i]!))
  }

  #expect(pending: readonly PendingEntry[]): void {
    this.#pendingIds = [...new Set(pending.map(({ id }) => id))].sort(compareIds)
    this.#next = 0
  }

  /** XADDs of these entries, and of stand-ins before and among them for pending ids that have none. */
  #entries(reply: Reply): Args[] {
    const list: Args[] = []
    const before = this.#last
    for (const entry of elements(reply) ?? []) {
      const [id, fields] = elements(entry) ?? []
      if (!Buffer.isBuffer(id)) continue
      const text = id.toString('latin1')
      if (this.#last === before) this.#gaps.push([before, text])
      append(list, this.#standIns(text))
      if (this.#pendingIds[this.#next] === text) this.#next++
      list.push([Buffer.from('XADD'), KEY, id, ...((elements(fields) ?? []) as Buffer[])])
      this.#last = text
    }
    if (list.length > 0) this.#made = true
    return list
  }

  /** For pending ids before `id`; null: for all that are left. */
  #standIns(id: string | null): Args[] {
    const list: Args[] = []
    for (; this.#next < this.#pendingIds.length; this.#next++) {
      const missing = this.#pendingIds[this.#next]!
      if (id !== null && compareIds(missing, id) >= 0) break
      this.#surplus.push(missing)
      list.push(command('XADD', KEY, missing, '', ''))
      this.#made = true
    }
    return list
  }

  #takeEnd(replies: readonly Reply[]): Taken | null {
    const [range, info, groupsReply] = replies
    const groups = groupsOf(groupsReply!)
    const facts = factsOf(info!)
    if (groups === null || facts === null) return null
    if (!this.#sameGroups(groupsReply!)) {
      // A group came or went: asked again with the names of now. Only what is pending in a new group can be missing, and that is in the stream.
      this.#groups = groups.map(({ name }) => name)
      return { writes: [], done: false }
    }
    // Nothing has been copied so far: these reads are all there is.
    if (!this.#made) this.#expect(groups.flatMap((_group, i) => pendingOf(replies[3 + i]!)))
    const entries = this.#entries(range!)
    if ((elements(range) ?? []).length >= this.#asked) return { writes: entries, done: false }
    const pending = groups.map((_group, i) => pendingOf(replies[3 + i]!))
    const met = new Set(this.#pendingIds)
    for (const { id } of pending.flat()) {
      if (met.has(id)) continue
      if (this.#isInGap(id)) return null
      if (compareIds(id, this.#last) > 0) this.#meet(id)
    }
    const consumers = groups.map((_group, i) => consumersOf(replies[3 + groups.length + i]!))
    const writes = [...entries, ...this.#standIns(null)]
    // What has no entry and no group still is a key.
    if (!this.#made && groups.length === 0) writes.push(command('XADD', KEY, 'MAXLEN', 0, '0-1', '', ''))
    for (const [i, group] of groups.entries()) append(writes, this.#groupWrites(group, pending[i]!, consumers[i]!))
    append(writes, this.#deletions(facts))
    writes.push(command('XTRIM', KEY, 'MAXLEN', '=', facts.length), this.#setId(facts))
    return { writes, done: true }
  }

  #groupWrites(
    { name, lastId, entriesRead }: StreamGroup,
    pending: readonly PendingEntry[],
    consumers: readonly Buffer[],
  ): Args[] {
    const read = this.#countsEntries && entriesRead !== null ? ['ENTRIESREAD', entriesRead] : []
    const list = [command('XGROUP', 'CREATE', KEY, name, lastId, 'MKSTREAM', read)]
    for (const consumer of consumers) list.push(command('XGROUP', 'CREATECONSUMER', KEY, name, consumer))
    const nowMs = this.#nowMs()
    for (const { id, consumer, idleMs, deliveries } of pending) {
      const when = ['TIME', nowMs - idleMs, 'RETRYCOUNT', deliveries]
      list.push(command('XCLAIM', KEY, name, consumer, 0, id, when, 'FORCE', 'JUSTID'))
    }
    return list
  }

  /**
   * Where nothing was ever deleted, what is missing was trimmed, so the stand-ins are at the head and are trimmed too: XDEL would leave a greatest deleted id, which XSETID cannot take back to none.
   */
  #deletions({ maxDeleted }: StreamFacts): Args[] {
    if (maxDeleted?.toString('latin1') === '0-0') return []
    return grouped(
      ['XDEL', KEY],
      this.#surplus.map((id) => Buffer.from(id)),
      1,
    )
  }

  #setId({ lastId, added, maxDeleted }: StreamFacts): Args {
    if (!this.#countsEntries || added === null || maxDeleted === null) return command('XSETID', KEY, lastId)
    return command('XSETID', KEY, lastId, 'ENTRIESADDED', added, 'MAXDELETEDID', maxDeleted)
  }
}
