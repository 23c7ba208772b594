import { append } from '../../../base/append.ts'
import { compareIds, rangeBehind, wholeId } from '../../../base/stream-id.ts'
import { command, word } from '../../../command/effects/building.ts'
import { elements } from '../../../command/effects/reading.ts'
import type { Args } from '../../../command/effects.ts'
import { consumerMade } from '../../../command/stream-consumer.ts'
import type { Reply } from '../../../resp/reply.ts'
import { KEY, LATER, type Pieces, RESTART, type Taken, type Verdict, WHOLE } from './pieces.ts'
import { headOf, rangeOf, type StreamRange, writesOf } from './stream-range.ts'
import { consumersOf, factsOf, groupsOf, pendingOf, type StreamFacts, type StreamGroup } from './stream-replies.ts'

/**
 * A stream, range by range of its ids: the entries, and what is pending of them with each group; with the last range, side by side, what is of the whole.
 *
 *   names      XINFO GROUPS
 *   ranges     XRANGE, XPENDING of each group, the first entry where it is not known
 *   end        the last range, XINFO STREAM, XINFO GROUPS, XINFO CONSUMERS of each group
 *
 * The copy is at every moment what the stream and its groups are up to an id (`#last`). What is written to such ids is done to the copy, too; what is written to those behind is read later. What was trimmed from
 * the head is trimmed from the copy at the end, by the length. Source of the commands: what an append-only file is rewritten with.
 */
export class StreamPieces implements Pieces {
  readonly #key: Buffer
  readonly #nowMs: () => number
  /** The shadow is Redis 7.0 or newer: ENTRIESADDED and the like. */
  readonly #countsEntries: boolean
  #phase: 'names' | 'ranges' | 'end' = 'names'
  #groups: readonly Buffer[] = []
  /** Those that this round asks for, and how much of each. */
  #asked: readonly Buffer[] = []
  #askedSize = WHOLE
  #askedEntries = WHOLE
  /** So many entries, at most, are worth asking for: where much more is pending than there are entries, a range has few of them. */
  #mostEntries = WHOLE
  #last = '0-0'
  /** There is a copy: it has its groups. */
  #made = false
  /** The first entry; null: there is none. It can be large, so it is asked for once, and again behind what may have taken it. */
  #head: string | null = null
  #knowsHead = false
  #askedHead = false
  /** The copy has entries that have been trimmed. */
  #trims = false

  /** `nowMs`: the primary's clock. */
  constructor(key: Buffer, nowMs: () => number, countsEntries: boolean) {
    this.#key = key
    this.#nowMs = nowMs
    this.#countsEntries = countsEntries
  }

  reads(size: number): readonly Args[] {
    const key = this.#key
    if (this.#phase === 'names') {
      this.#askedSize = size
      return [command('XINFO', 'GROUPS', key)]
    }
    this.#asked = this.#groups
    this.#askedSize = size
    this.#askedEntries = Math.min(size, this.#mostEntries)
    const ids = rangeBehind(this.#last)
    this.#askedHead = !this.#knowsHead
    const range = [
      command('XRANGE', key, ids, 'COUNT', this.#askedEntries),
      ...this.#asked.map((group) => command('XPENDING', key, group, ids, size)),
      ...(this.#askedHead ? [command('XRANGE', key, '-', '+', 'COUNT', 1)] : []),
    ]
    if (this.#phase === 'ranges') return range
    return [
      ...range,
      command('XINFO', 'STREAM', key),
      command('XINFO', 'GROUPS', key),
      ...this.#asked.map((group) => command('XINFO', 'CONSUMERS', key, group)),
    ]
  }

  take(replies: readonly Reply[]): Taken | null {
    // What is not understood is not nothing: a copy would lack it.
    if (replies.some((reply) => elements(reply) === null)) return null
    return this.#phase === 'names' ? this.#takeNames(replies) : this.#takeRange(replies)
  }

  #takeNames([groupsReply]: readonly Reply[]): Taken | null {
    const groups = groupsOf(groupsReply!)
    if (groups === null) return null
    this.#groups = groups.map(({ name }) => name)
    this.#phase = this.#askedSize >= WHOLE ? 'end' : 'ranges'
    return { writes: [], done: false }
  }

  #takeRange(replies: readonly Reply[]): Taken | null {
    // A group came or went before this was read, and has not been asked for.
    if (this.#asked !== this.#groups) return { writes: [], done: false }
    const count = this.#asked.length
    const found = elements(replies[0]) ?? []
    const pending = replies.slice(1, 1 + count).map(pendingOf)
    if (this.#askedHead) this.#head = headOf(replies[1 + count]!)
    else if (!this.#knowsHead) return { writes: [], done: false }
    this.#knowsHead = true
    const range = rangeOf(found, pending, this.#askedEntries, this.#askedSize)
    const writes: Args[] = this.#made ? [] : this.#groups.map(makeGroup)
    if (this.#phase === 'ranges' || !range.isLast) {
      this.#takeWrites(writes, range)
      const { length } = range.entries
      this.#mostEntries = Math.min(WHOLE, length < found.length ? Math.max(FEW, length * 2) : this.#mostEntries * 2)
      if (range.isLast) this.#phase = 'end'
      return { writes, done: false }
    }
    const [info, groupsReply, ...consumers] = replies.slice(1 + count + (this.#askedHead ? 1 : 0))
    const groups = groupsOf(groupsReply!)
    const facts = factsOf(info!)
    // One that was made or destroyed on another way.
    if (groups === null || facts === null || !this.#isAll(groups)) return null
    this.#takeWrites(writes, range)
    // What has no entry and no group still is a key.
    if (!this.#made) writes.push(command('XADD', KEY, 'MAXLEN', 0, '0-1', '', ''))
    for (const [i, group] of this.#asked.entries()) {
      for (const consumer of consumersOf(consumers[i]!))
        writes.push(command(consumerMade(KEY, group, consumer, this.#countsEntries)))
    }
    for (const group of groups) writes.push(this.#moveGroup(group))
    writes.push(command('XTRIM', KEY, 'MAXLEN', '=', facts.length), this.#setId(facts))
    return { writes, done: true }
  }

  #takeWrites(writes: Args[], range: StreamRange): void {
    append(writes, writesOf(range, this.#head, this.#asked, this.#nowMs()))
    if (range.last !== null) this.#last = range.last
    if (writes.length > 0) this.#made = true
  }

  #isAll(groups: readonly StreamGroup[]): boolean {
    return groups.length === this.#groups.length && groups.every(({ name }) => this.#has(name))
  }

  #has(group: Buffer | undefined): boolean {
    return group !== undefined && this.#groups.some((one) => one.equals(group))
  }

  /** How far a group has read. */
  #moveGroup({ name, lastId, entriesRead }: StreamGroup): Args {
    const read = this.#countsEntries && entriesRead !== null ? ['ENTRIESREAD', entriesRead] : []
    return command('XGROUP', 'SETID', KEY, name, lastId, read)
  }

  #setId({ lastId, added, maxDeleted }: StreamFacts): Args {
    if (!this.#countsEntries || added === null || maxDeleted === null) return command('XSETID', KEY, lastId)
    return command('XSETID', KEY, lastId, 'ENTRIESADDED', added, 'MAXDELETEDID', maxDeleted)
  }

  // --- what is written meanwhile

  effect(name: string, args: Args): Verdict {
    switch (name) {
      case 'XADD':
        return this.#added(args)
      case 'XDEL':
        this.#knowsHead = false
        return this.#ofRead(args, 2)
      case 'XTRIM':
        return this.#trimmed(args, 2)
      case 'XSETID':
      case 'XGROUP SETID':
        return LATER
      case 'XACK':
        return this.#ofRead(args, 3)
      case 'XCLAIM':
        return this.#has(args[2]) ? this.#ofRead(args, 5) : this.#elsewise()
      case 'XREADGROUP':
        // It counts one more delivery of entries that are there. The copy has some that are not.
        if (this.#trims || !this.#has(args[2])) return this.#elsewise()
        return this.#also([...args.slice(0, -2), KEY, args.at(-1)!])
      case 'XGROUP CREATE':
        this.#groups = [...this.#groups, args[3]!]
        return this.#also(makeGroup(args[3]!))
      case 'XGROUP DESTROY':
        this.#groups = this.#groups.filter((group) => !group.equals(args[3]!))
        return this.#also(command('XGROUP', 'DESTROY', KEY, args[3]!))
      case 'XGROUP CREATECONSUMER':
      case 'XGROUP DELCONSUMER':
        return this.#has(args[3]) ? this.#also([args[0]!, args[1]!, KEY, ...args.slice(3)]) : this.#elsewise()
      default:
        return this.#elsewise()
    }
  }

  #also(one: Args): Verdict {
    return this.#made ? { kind: 'also', commands: [one] } : LATER
  }

  /** Nothing of it is lost where nothing has been copied yet. */
  #elsewise(): Verdict {
    this.#knowsHead = false
    return this.#made ? RESTART : LATER
  }

  /** The ids from `from` on, up to what is no id: those that have been read; the others come with their range. */
  #ofRead(args: Args, from: number): Verdict {
    let to = from
    while (to < args.length && isId(args[to]!)) to++
    const ids = args.slice(from, to).filter((id) => this.#isRead(id))
    return ids.length === 0 ? LATER : this.#also([args[0]!, KEY, ...args.slice(2, from), ...ids, ...args.slice(to)])
  }

  #isRead(id: Buffer): boolean {
    return compareIds(wholeId(id.toString('latin1')), this.#last) <= 0
  }

  #added(args: Args): Verdict {
    const at = isId(args[2]!) ? 2 : 5
    if (at === 5 && this.#trimmed(args.slice(0, at), 2) === RESTART) return RESTART
    // Behind an XSETID that has turned the ids back.
    return isId(args[at] ?? KEY) && !this.#isRead(args[at]!) ? LATER : this.#elsewise()
  }

  /** MAXLEN or MINID at `at`: the length at the end tells what it has left. Anything more than a threshold changes what is pending, too. */
  #trimmed(args: Args, at: number): Verdict {
    const isPlain = ['MAXLEN', 'MINID'].includes(word(args[at])) && args.length <= at + 3
    if (!isPlain) return this.#elsewise()
    this.#trims = this.#made
    this.#knowsHead = false
    return LATER
  }
}

const FEW = 16

/** Where it is comes last (`#moveGroup`). */
function makeGroup(name: Buffer): Args {
  return command('XGROUP', 'CREATE', KEY, name, 0, 'MKSTREAM')
}

function isId(arg: Buffer): boolean {
  return /^\d+(-\d+)?$/.test(arg.toString('latin1', 0, 64))
}
