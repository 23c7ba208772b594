import { ByteCells } from '../../base/byte-cells.ts'

/**
 * The memory of the dirty set: a million keys in about 100 MB, found by their bytes, kept in order, and nothing for the garbage collector to
 * look at. It knows no reasons and no routes: what a field means is the set's business (`dirty-set.ts`).
 *
 *   page     [ record | record | ... ]    sixteen numbers a record, its number ("id") is its place
 *   bucket   ─▶ record ─▶ record          by hash, chained through the records; in shards, so that growing never takes long
 *   list     first ⇄ record ⇄ last        chained through the records: by age, and by what may be copied next
 */
export class DirtyTable {
  readonly #cells = new ByteCells()
  #pages: Page[] = []
  #shards: (Int32Array | undefined)[] = []
  #shardSizes = new Int32Array(SHARDS)
  #free = -1
  #used = 0
  #size = 0

  /** Records in use. */
  get size(): number {
    return this.#size
  }

  /** Memory taken, in bytes. */
  get bytes(): number {
    return this.#pages.length * PAGE * (STRIDE * 4 + 16) + this.#cells.bytes
  }

  /** The record of the key `buf[start .. end)` in `group`; -1: none. `hash`: of both. */
  find(group: number, hash: number, buf: Uint8Array, start: number, end: number): number {
    const shard = this.#shards[hash >>> SHARD_SHIFT]
    if (shard === undefined) return -1
    let id = shard[hash & (shard.length - 1)]! - 1
    while (id !== -1) {
      const { ints } = this.#pages[id >>> PAGE_BITS]!
      const at = (id & PAGE_MASK) * STRIDE
      if (
        ints[at + HASH] === (hash | 0) &&
        ints[at + GROUP] === group &&
        this.#cells.equals(ints[at + CELL]!, ints[at + LENGTH]!, buf, start, end)
      )
        return id
      id = ints[at + CHAIN]! - 1
    }
    return -1
  }

  /** A new record; every field is 0 but what is given. */
  add(group: number, hash: number, buf: Uint8Array, start: number, end: number): number {
    let id = this.#free
    if (id === -1) id = this.#used++
    else this.#free = this.get(id, NEXT) - 1
    this.#fill(id, group, hash, buf, start, end)
    return id
  }

  remove(id: number): void {
    const hash = this.get(id, HASH) >>> 0
    const shard = this.#shards[hash >>> SHARD_SHIFT]!
    const bucket = hash & (shard.length - 1)
    const after = this.get(id, CHAIN)
    let other = shard[bucket]! - 1
    if (other === id) shard[bucket] = after
    else {
      while (this.get(other, CHAIN) !== id + 1) other = this.get(other, CHAIN) - 1
      this.set(other, CHAIN, after)
    }
    this.#shardSizes[hash >>> SHARD_SHIFT]!--
    this.#cells.free(this.get(id, CELL), this.get(id, LENGTH))
    this.#size--
    this.set(id, STATE, 0)
    this.#giveBack(id)
  }

  /** Lets all memory go. Only when `size` is 0. */
  clear(): void {
    this.#cells.clear()
    this.#pages = []
    this.#shards = []
    this.#shardSizes = new Int32Array(SHARDS)
    this.#free = -1
    this.#used = 0
  }

  get(id: number, field: number): number {
    return this.#pages[id >>> PAGE_BITS]!.ints[(id & PAGE_MASK) * STRIDE + field]!
  }

  set(id: number, field: number, value: number): void {
    this.#pages[id >>> PAGE_BITS]!.ints[(id & PAGE_MASK) * STRIDE + field] = value
  }

  sinceMs(id: number): number {
    return this.#pages[id >>> PAGE_BITS]!.sinceMs[id & PAGE_MASK]!
  }

  setSinceMs(id: number, ms: number): void {
    this.#pages[id >>> PAGE_BITS]!.sinceMs[id & PAGE_MASK] = ms
  }

  dueMs(id: number): number {
    return this.#pages[id >>> PAGE_BITS]!.dueMs[id & PAGE_MASK]!
  }

  setDueMs(id: number, ms: number): void {
    this.#pages[id >>> PAGE_BITS]!.dueMs[id & PAGE_MASK] = ms
  }

  /** A view, valid until the record is removed. */
  key(id: number): Buffer {
    return this.#cells.view(this.get(id, CELL), this.get(id, LENGTH))
  }

  // --- lists

  /** Puts the record at the end of a list. A record is in one list per link at most. */
  append(list: IdList, link: Link, id: number): void {
    this.set(id, link, 0)
    this.set(id, link + 1, list.last + 1)
    if (list.last === -1) list.first = id
    else this.set(list.last, link, id + 1)
    list.last = id
  }

  unlink(list: IdList, link: Link, id: number): void {
    const next = this.get(id, link) - 1
    const previous = this.get(id, link + 1) - 1
    if (next === -1) list.last = previous
    else this.set(next, link + 1, previous + 1)
    if (previous === -1) list.first = next
    else this.set(previous, link, next + 1)
  }

  /** The one behind `id` in its list; -1: it is the last. */
  following(link: Link, id: number): number {
    return this.get(id, link) - 1
  }

  // --- memory

  #fill(id: number, group: number, hash: number, buf: Uint8Array, start: number, end: number): void {
    const page = (this.#pages[id >>> PAGE_BITS] ??= new Page())
    const at = (id & PAGE_MASK) * STRIDE
    const { ints } = page
    // What is not written to disk yet of the record that had this number before is still so.
    const unwritten = ints[at + UNWRITTEN]!
    ints.fill(0, at, at + STRIDE)
    ints[at + UNWRITTEN] = unwritten
    ints[at + HASH] = hash
    ints[at + GROUP] = group
    ints[at + CELL] = this.#cells.put(buf, start, end)
    ints[at + LENGTH] = end - start
    this.#size++
    const number = hash >>> SHARD_SHIFT
    let shard = this.#shards[number]
    if (shard === undefined) this.#shards[number] = shard = new Int32Array(SHARD_MIN)
    else if (this.#shardSizes[number]! >= shard.length) shard = this.#grow(number, shard)
    this.#shardSizes[number]!++
    const bucket = hash & (shard.length - 1)
    ints[at + CHAIN] = shard[bucket]!
    shard[bucket] = id + 1
  }

  #grow(number: number, old: Int32Array): Int32Array {
    const shard = new Int32Array(old.length * 2)
    for (let bucket = 0; bucket < old.length; bucket++) {
      let id = old[bucket]! - 1
      while (id !== -1) {
        const next = this.get(id, CHAIN) - 1
        const to = this.get(id, HASH) & (shard.length - 1)
        this.set(id, CHAIN, shard[to]!)
        shard[to] = id + 1
        id = next
      }
    }
    this.#shards[number] = shard
    return shard
  }

  #giveBack(id: number): void {
    this.set(id, NEXT, this.#free + 1)
    this.#free = id
  }
}

/** Ends of a list of records; -1: empty. */
export interface IdList {
  first: number
  last: number
}

const STRIDE = 16
// Fields of a record. What refers to a record is one more than its number, so that 0 is none.
const HASH = 0
const GROUP = 1
const CELL = 2
const LENGTH = 3
const CHAIN = 4
/** Links of the two lists: next, and behind it previous. */
const NEXT = 5
const NEWER = 7
type Link = typeof NEXT | typeof NEWER
/** The order of work. */
export const BY_TURN: Link = NEXT
/** The order of marks. */
export const BY_AGE: Link = NEWER
export const GROUP_OF = GROUP
export const STATE = 9
export const REASON = 10
export const ATTEMPTS = 11
export const VERSION = 12
/** Stays with the number when the record goes: its change is still to be written. */
export const UNWRITTEN = 13
export const HOT = 14

/** What `STATE` says. */
export const TAKEN = 1
export const READY = 2
/** And the delay in ms on top: which list of postponed ones it is in. */
export const POSTPONED = 3

const PAGE_BITS = 10
const PAGE = 1 << PAGE_BITS
const PAGE_MASK = PAGE - 1

class Page {
  readonly ints = new Int32Array(PAGE * STRIDE)
  readonly sinceMs = new Float64Array(PAGE)
  readonly dueMs = new Float64Array(PAGE)
}

const SHARDS = 256
const SHARD_SHIFT = 24
const SHARD_MIN = 16
