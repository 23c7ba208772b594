import type { Args } from '../../command/effects.ts'
import type { AckWaiter } from '../shadow/ack-waiter.ts'
import { handedOn } from '../stores/known-stores.ts'
import { type StoreFacts, UNKNOWN_STORE } from '../stores/store-facts.ts'

/** Where the effects of writes to a key go while it is being rebuilt. */
export interface RebuildTarget {
  /** A write to this key alone. `args`: its effect under the application's name, the command's name (both words) in `name`. */
  effect(name: string, args: Args, waiter: AckWaiter | null): void
  /** A write to this key and others: they have been marked dirty, and are copied anew. */
  abandon(): void
  /** A new segment of the intent log begins: what did not go to the key itself is to be noted in it. */
  noteIntent(): void
}

export interface CopyLimits {
  /** Keys that take more memory on the primary (MEMORY USAGE) are copied in pieces, so that neither store nor this process is busy with one for long. Infinity: never asked. */
  readonly bigKeyBytes: number
  /** Of one piece, about. */
  readonly pieceBytes: number
  /** Of the first piece: how large its elements are is not known yet. */
  readonly firstElements: number
  /** Of any. */
  readonly fewestElements: number
  /** Copies of a key may come to nothing for so long before its writes are held for one (`KeyHolds`). */
  readonly patienceMs: number
  /** The longest that writes to a key wait for one copy of it. */
  readonly holdMs: number
}

const LIMITS: CopyLimits = {
  bigKeyBytes: 4 * 1024 * 1024,
  pieceBytes: 64 * 1024,
  firstElements: 32,
  fewestElements: 8,
  patienceMs: 2_000,
  holdMs: 100,
}

/** A store as the one server that it was since `sinceMs` (coarse clock); infinite: it is being found out whether it is another one by now. */
export interface ServerSpan {
  readonly sinceMs: number
}

const FROM_THE_START: ServerSpan = { sinceMs: 0 }

/** What state copies know together: of the stores, of keys that are small, and which keys are being rebuilt piece by piece right now. */
export class CopyState {
  readonly limits: CopyLimits
  readonly #facts = new Map<string, StoreFacts>()
  #factsUntilMs = Number.NEGATIVE_INFINITY
  #servers = new Map<string, ServerSpan>()
  readonly #refused = new Map<string, number>()
  /** By key hash: the hash, and how often the key need not be measured again. */
  readonly #smallHash = new Uint32Array(SMALL_SLOTS)
  readonly #smallLeft = new Uint8Array(SMALL_SLOTS)
  /** A job and the repairer may copy a key at the same time: each of its copies is told of every write. */
  readonly #rebuilding = new Map<string, readonly RebuildTarget[]>()
  #reading = 0
  readonly #waiting: (() => void)[] = []

  constructor(limits: Partial<CopyLimits> = {}) {
    this.limits = { ...LIMITS, ...limits }
  }

  // --- stores

  /** What is known of a store by its name: its clock, what it understands. */
  learn(store: string, facts: StoreFacts): void {
    this.#facts.set(store, facts)
  }

  /** Each store will be learnt (`nowMs`: from now on). Where that does not come about it is taken for one with our clock. */
  expectFacts(nowMs: number): void {
    this.#factsUntilMs = nowMs + FACTS_WITHIN_MS
  }

  /** False: its clock has not been read yet, but will be. */
  knowsClock(store: string, nowMs: number): boolean {
    return nowMs > this.#factsUntilMs || this.#facts.has(store)
  }

  factsOf(store: string): StoreFacts {
    return this.#facts.get(store) ?? UNKNOWN_STORE
  }

  /** The store is another server since then, or may be one (infinite: it is being found out). */
  serverChanged(store: string, sinceMs: number): void {
    this.#servers.set(store, { sinceMs })
  }

  /** The same object for as long as it is the same server. */
  serverOf(store: string): ServerSpan {
    return this.#servers.get(store) ?? FROM_THE_START
  }

  /** Another table is in force. `former`: what its stores were called in the one before. */
  storesRenamed(former: ReadonlyMap<string, string>): void {
    this.#servers = handedOn(this.#servers, former)
  }

  /** Whether the store (or, for RESTORE, the pair of stores) has refused it lately. It is tried again now and then, for a server can be replaced by a newer one. */
  refuses(store: string, what: string, nowMs: number): boolean {
    if (this.#refused.size === 0) return false
    const at = this.#refused.get(`${store} ${what}`)
    return at !== undefined && nowMs - at < REFUSED_FOR_MS
  }

  /** True when that is news. */
  refused(store: string, what: string, nowMs: number): boolean {
    const name = `${store} ${what}`
    const known = this.#refused.has(name)
    this.#refused.set(name, nowMs)
    return !known
  }

  // --- keys that are known to be small

  /** Whether a key with this hash was small a moment ago. Keys do not become big within a few copies; one that does is copied in one piece once. */
  isSmall(hash: number): boolean {
    if (this.limits.bigKeyBytes === Number.POSITIVE_INFINITY) return true
    const slot = hash & (SMALL_SLOTS - 1)
    if (this.#smallHash[slot] !== hash || this.#smallLeft[slot] === 0) return false
    this.#smallLeft[slot]!--
    return true
  }

  /** The key takes so much on the primary. */
  measured(hash: number, bytes: number): void {
    if (bytes >= this.limits.bigKeyBytes / SMALL_SHARE) return
    const slot = hash & (SMALL_SLOTS - 1)
    this.#smallHash[slot] = hash
    this.#smallLeft[slot] = MEASURED_AGAIN_AFTER
  }

  // --- keys that are being rebuilt

  get rebuilding(): boolean {
    return this.#rebuilding.size > 0
  }

  rebuildsOf(database: number, key: Buffer): readonly RebuildTarget[] {
    return (this.#rebuilding.size === 0 ? undefined : this.#rebuilding.get(nameOf(database, key))) ?? NONE
  }

  /** Those that have pieces to read. */
  rebuilds(): readonly RebuildTarget[] {
    return [...this.#rebuilding.values()].flat()
  }

  begin(database: number, key: Buffer, rebuild: RebuildTarget): void {
    this.#rebuilding.set(nameOf(database, key), [...this.rebuildsOf(database, key), rebuild])
  }

  end(database: number, key: Buffer, rebuild: RebuildTarget): void {
    const left = this.rebuildsOf(database, key).filter((one) => one !== rebuild)
    if (left.length > 0) this.#rebuilding.set(nameOf(database, key), left)
    else this.#rebuilding.delete(nameOf(database, key))
  }

  /** Few pieces are read at the same time, whatever the number of big keys: clients' replies come behind them. `leave` has to follow. */
  enter(read: () => void): void {
    if (this.#reading >= PIECES_AT_ONCE) this.#waiting.push(read)
    else {
      this.#reading++
      read()
    }
  }

  leave(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#reading--
    else next()
  }
}

const NONE: readonly RebuildTarget[] = []
const SMALL_SLOTS = 1 << 14
const MEASURED_AGAIN_AFTER = 16
/** Keys below this part of what is big are not measured at every copy. */
const SMALL_SHARE = 16
/** Of the start. */
const FACTS_WITHIN_MS = 30_000
const REFUSED_FOR_MS = 60_000
const PIECES_AT_ONCE = 2

function nameOf(database: number, key: Buffer): string {
  return `${database} ${key.toString('latin1')}`
}
