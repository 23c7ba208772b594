import type { Route } from '../../routing/route.ts'
import type { AckWaiter } from '../shadow/ack-waiter.ts'
import { DirtyFigures } from './dirty-figures.ts'
import { type DirtyGroup, DirtyGroups, hashInGroup } from './dirty-groups.ts'
import { DirtyHandles } from './dirty-handles.ts'
import { DIRTY_REASONS, type DirtyKey, type DirtyReason } from './dirty-key.ts'
import {
  ATTEMPTS,
  BY_AGE,
  BY_TURN,
  DirtyTable,
  GROUP_OF,
  HOT,
  POSTPONED,
  READY,
  REASON,
  STATE,
  TAKEN,
  VERSION,
} from './dirty-table.ts'
import { DirtyUnwritten } from './dirty-unwritten.ts'
import { DirtyWaiters } from './dirty-waiters.ts'
import { DirtyWalk } from './dirty-walk.ts'
import { PostponedKeys } from './postponed-keys.ts'
import { type VerifyCause, VerifyMarks } from './verify-marks.ts'

/**
 * The keys whose shadow may differ from the primary. A key leaves only by a state copy that succeeded (invariant 4).
 *
 *   mark ─▶ ready ──take──▶ being copied ─┬─ copied, not marked meanwhile ─▶ out
 *             ▲                           ├─ copied, marked meanwhile ─────▶ ready
 *             └──wake── postponed ◀───────┴─ failed
 *
 * Bounded in keys (`limit`, of a route) and in memory: beyond, the set only remembers that the route as a whole needs a verify, loudly, instead of growing. What
 * changes is told to `unwritten`, and somebody writes it down (`dirty-store.ts`).
 */
export class DirtySet {
  readonly #table = new DirtyTable()
  readonly #groups = new DirtyGroups(DIRTY_REASONS.length)
  readonly #handles = new DirtyHandles(this.#table, this.#groups)
  readonly #waiters = new DirtyWaiters()
  readonly #postponed = new PostponedKeys(this.#table)
  readonly walk: DirtyWalk = new DirtyWalk(this.#table, this.#groups, (id) => this.#handles.of(id))
  readonly figures: DirtyFigures = new DirtyFigures(this.#table, this.#groups)
  readonly #limit: number
  readonly #limitBytes: number
  /** Routes of which more may differ than these keys. */
  readonly toVerify: VerifyMarks
  /** For the one who writes it down. */
  readonly unwritten: DirtyUnwritten = new DirtyUnwritten(this.#table, this.#groups)

  /** `onVerify`: a route needs a verify from now on, or for another cause as well. */
  constructor(
    limit: number,
    onVerify: (route: string, cause: VerifyCause) => void = () => {},
    limitBytes = LIMIT_BYTES,
  ) {
    this.#limit = limit
    this.#limitBytes = limitBytes
    this.toVerify = new VerifyMarks(onVerify, () => this.unwritten.routeChanged())
  }

  get size(): number {
    return this.#table.size
  }

  /** Memory taken by keys, in bytes. */
  get bytes(): number {
    return this.#table.bytes
  }

  /** Dirty keys of a route. */
  count(route: string): number {
    return this.#groups.count(route)
  }

  /** Only a verify of the whole route can tell what differs. */
  needsVerify(route: string): boolean {
    return this.toVerify.has(route)
  }

  has(route: string, database: number, key: Buffer): boolean {
    if (this.#table.size === 0) return false
    const group = this.#groups.find(route, database)
    if (group === undefined || group.size === 0) return false
    return this.#table.find(group.number, hashInGroup(group, key), key, 0, key.length) !== -1
  }

  /** As it is now; null: it is not dirty. */
  find(route: string, database: number, key: Buffer): DirtyKey | null {
    const group = this.#table.size === 0 ? undefined : this.#groups.find(route, database)
    const id = group === undefined ? -1 : this.#idOf(group, key)
    return id === -1 ? null : this.#handles.of(id)
  }

  /** `sinceMs`: now, or since when it has been dirty elsewhere. `waiter`: told when the key is clean. */
  mark(
    route: Route,
    database: number,
    key: Buffer,
    reason: DirtyReason,
    sinceMs: number,
    waiter: AckWaiter | null = null,
  ): void {
    const table = this.#table
    const group = this.#groups.of(route.name, database)
    const hash = hashInGroup(group, key)
    let id = table.find(group.number, hash, key, 0, key.length)
    if (id !== -1) {
      table.set(id, VERSION, table.get(id, VERSION) + 1)
      if (sinceMs < table.sinceMs(id)) table.setSinceMs(id, sinceMs)
      this.#setReason(group, id, reason)
      this.#handles.marked(id)
    } else if (this.count(route.name) >= this.#limit || table.bytes > this.#limitBytes) {
      this.toVerify.mark(route.name, 'overflow')
      if (waiter !== null) waiter.failed = true
      return
    } else {
      id = this.#add(group, hash, key, reason, sinceMs)
      this.unwritten.keyChanged(id)
      route.state.dirtied++
    }
    if (waiter !== null) this.#waiters.add(id, table.get(id, VERSION), waiter)
  }

  // --- for the one who copies

  /** Routes that have dirty keys. */
  routes(): Iterable<string> {
    return this.#groups.routes()
  }

  /** Databases in which a route has dirty keys now. */
  dirtyDatabases(route: string): number[] {
    return this.#groups
      .ofRoute(route)
      .filter(({ size }) => size > 0)
      .map(({ database }) => database)
  }

  /** Whether a key of the database may be copied now. */
  isReady(route: string, database: number): boolean {
    return (this.#groups.find(route, database)?.ready.first ?? -1) !== -1
  }

  /** All of a route, oldest first within a database. One may be marked, copied or discarded meanwhile; another route's too. */
  *keys(route: string): Generator<DirtyKey> {
    for (const group of this.#groups.ofRoute(route)) {
      for (let id = group.byAge.first; id !== -1; ) {
        const next = this.#table.following(BY_AGE, id)
        yield this.#handles.of(id)
        id = next
      }
    }
  }

  /** Takes the oldest key of a database that may be copied now; `copied` or `postpone` puts an end to it. No database: of the first that has one. */
  take(route: string, database: number | null = null): DirtyKey | undefined {
    const group = this.#groups
      .ofRoute(route)
      .find((one) => one.ready.first !== -1 && (database === null || one.database === database))
    if (group === undefined) return undefined
    const id = group.ready.first
    this.#table.unlink(group.ready, BY_TURN, id)
    this.#table.set(id, STATE, TAKEN)
    return this.#handles.take(id)
  }

  /** A state copy that was begun at `version` has been acknowledged by the shadow. True when the key is clean now. `readMs`: when it was read as a whole, so that all marks up to `version` are
   * settled, whatever came after; null: from several places of history, which is worth nothing when something came after. */
  copied(entry: DirtyKey, version: number, readMs: number | null = null): boolean {
    const id = this.#endOf(entry)
    if (id === -1) return true
    const group = this.#groups.at(this.#table.get(id, GROUP_OF))
    if (this.#table.get(id, VERSION) === version) {
      entry.gone = true
      this.#remove(group, id, true)
      return true
    }
    this.#table.set(id, ATTEMPTS, 0)
    entry.attempts = 0
    this.#makeReady(group, id)
    if (readMs !== null) this.#settleUpTo(group, id, version, readMs)
    return false
  }

  /** What came up to `version` is on the shadow: the rest is younger than `readMs`. */
  #settleUpTo(group: DirtyGroup, id: number, version: number, readMs: number): void {
    this.#table.setSinceMs(id, readMs)
    this.walk.leaves(group, id)
    this.#table.unlink(group.byAge, BY_AGE, id)
    this.#table.append(group.byAge, BY_AGE, id)
    this.#setHot(group, id, 1)
    this.#waiters.settle(id, version)
  }

  /** Somebody waits for the key to be clean. */
  isAwaited({ route, database, key }: DirtyKey): boolean {
    const group = this.#groups.find(route, database)
    return group !== undefined && this.#waiters.has(this.#idOf(group, key))
  }

  /** It could not be copied: not again before `delayMs` have passed. */
  postpone(entry: DirtyKey, nowMs: number, delayMs: number): void {
    const id = this.#endOf(entry)
    if (id === -1) return
    const table = this.#table
    this.#postponed.add(id, nowMs, delayMs)
    table.set(id, STATE, POSTPONED + delayMs)
    table.set(id, ATTEMPTS, entry.attempts)
    if (entry.attempts > 0) this.#setHot(this.#groups.at(table.get(id, GROUP_OF)), id, 0)
  }

  /** Makes those ready whose delay is over. */
  wake(nowMs: number): void {
    this.#postponed.wake(nowMs, (id) => this.#makeReady(this.#groups.at(this.#table.get(id, GROUP_OF)), id))
  }

  // --- when routes change

  /** The route mirrors no more: its dirty keys mean nothing. */
  forget(route: string): void {
    this.drop(route)
    this.toVerify.clear(route)
  }

  /** Its dirty keys are not to be copied. No database: those of all. */
  drop(route: string, database: number | null = null): void {
    for (const group of this.#groups.ofRoute(route)) {
      if (database !== null && group.database !== database) continue
      while (group.byAge.first !== -1) this.#remove(group, group.byAge.first, false)
    }
  }

  /** The key belongs to another route now, where it has been marked. */
  discard(entry: DirtyKey): void {
    const group = this.#groups.find(entry.route, entry.database)
    const id = group === undefined ? -1 : this.#idOf(group, entry.key)
    if (id !== -1) this.#remove(group!, id, false)
  }

  // --- for the one who writes it down

  /** A key that stood on disk. */
  restore(route: string, database: number, key: Uint8Array, reason: DirtyReason, sinceMs: number): void {
    const group = this.#groups.of(route, database)
    if (this.#idOf(group, key) !== -1) return
    this.unwritten.keyChanged(this.#add(group, hashInGroup(group, key), key, reason, sinceMs))
  }

  /** Everything has been written: memory that is not needed any more can go. */
  settle(): void {
    if (this.#table.size === 0 && this.#table.bytes > 0) this.#table.clear()
  }

  // --- inside

  #add(group: DirtyGroup, hash: number, key: Uint8Array, reason: DirtyReason, sinceMs: number): number {
    const table = this.#table
    const id = table.add(group.number, hash, key, 0, key.length)
    const number = NUMBER_OF.get(reason)!
    table.set(id, REASON, number)
    table.set(id, VERSION, 1)
    table.setSinceMs(id, sinceMs)
    table.append(group.byAge, BY_AGE, id)
    this.#makeReady(group, id)
    group.size++
    group.reasons[number]!++
    return id
  }

  #makeReady(group: DirtyGroup, id: number): void {
    this.#table.set(id, STATE, READY)
    this.#table.append(group.ready, BY_TURN, id)
  }

  #setReason(group: DirtyGroup, id: number, reason: DirtyReason): void {
    const number = NUMBER_OF.get(reason)!
    const before = this.#table.get(id, REASON)
    if (before === number) return
    group.reasons[before]!--
    group.reasons[number]!++
    this.#table.set(id, REASON, number)
    this.#handles.reasonChanged(id, reason)
  }

  #setHot(group: DirtyGroup, id: number, hot: 0 | 1): void {
    group.hot += hot - this.#table.get(id, HOT)
    this.#table.set(id, HOT, hot)
  }

  #remove(group: DirtyGroup, id: number, ok: boolean): void {
    const table = this.#table
    this.#setHot(group, id, 0)
    const state = table.get(id, STATE)
    if (state === READY) table.unlink(group.ready, BY_TURN, id)
    else if (state >= POSTPONED) this.#postponed.remove(id, state - POSTPONED)
    else this.#handles.removed(id)
    this.walk.leaves(group, id)
    table.unlink(group.byAge, BY_AGE, id)
    group.size--
    group.reasons[table.get(id, REASON)]!--
    this.unwritten.keyChanged(id)
    table.remove(id)
    if (this.unwritten.listener === null) this.settle()
    this.#waiters.end(id, ok)
  }

  /** Ends what `take` began: the number of the key, which is in no list now; -1 when it is not in the set any more. */
  #endOf(entry: DirtyKey): number {
    if (entry.gone) return -1
    const group = this.#groups.find(entry.route, entry.database)
    const id = group === undefined ? -1 : this.#idOf(group, entry.key)
    if (id === -1) {
      entry.gone = true
      return -1
    }
    const state = this.#table.get(id, STATE)
    // It was not taken: somebody copies by `keys`.
    if (state === READY) this.#table.unlink(group!.ready, BY_TURN, id)
    else if (state >= POSTPONED) this.#postponed.remove(id, state - POSTPONED)
    this.#table.set(id, STATE, TAKEN)
    this.#handles.release(id)
    return id
  }

  #idOf(group: DirtyGroup, key: Uint8Array): number {
    return this.#table.find(group.number, hashInGroup(group, key), key, 0, key.length)
  }
}

/** Of keys in memory: about two million short ones. */
const LIMIT_BYTES = 224 * 1024 * 1024
const NUMBER_OF = new Map<string, number>(DIRTY_REASONS.map((reason, i) => [reason, i]))
