import { join } from 'node:path'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Routing } from '../../config/routing.ts'
import { inTransaction, openDatabase } from '../../state/database.ts'
import { openOrSetAside, setAside } from '../../state/set-aside.ts'
import type { Run } from '../../upstream/connection/own-connections.ts'
import { newRunName } from '../crash/run-name.ts'
import {
  DIRTY_MIGRATIONS,
  type DirtyRow,
  isDamage,
  pairsIn,
  replacePairs,
  replaceRouting,
  routingIn,
} from './dirty-database.ts'
import { DIRTY_REASONS, type DirtyChanges, type DirtyReason } from './dirty-key.ts'
import type { DirtySet } from './dirty-set.ts'
import { enterRun, formerRuns } from './run-table.ts'
import { VERIFY_CAUSES } from './verify-marks.ts'

/** What one commit holds at most: a few milliseconds of the data path's thread. */
const ROWS_PER_COMMIT = 4_000
const RETRY_MS = 1_000

export interface DirtyStoreEvents {
  /** The file was damaged: it lies under another name, and what was in it is not known any more. */
  damaged(error: Error, setAside: string): void
  /** Nothing can be written now (disk full). Told once until `recovered`. */
  failed(error: Error): void
  recovered(): void
}

/**
 * The dirty set on disk: `dirty.db` in the state directory, the data path's own file. The set in memory is what counts while the process lives; here it is written down, some milliseconds
 * behind (`flush`, on the clock's tick), so that it is known after the process has ended, however it did.
 *
 *   DirtySet ──keyChanged(id)──▶ queue of ids ──flush──▶ one commit: row of the id, or none
 *
 * A row has the number of the key's place in memory, so no row is ever looked for by its key. Nothing waits for the disk: a commit that fails leaves the
 * queue as it was, and is tried again each second. Commits are not synced: they survive the end of the process, not that of the machine.
 */
export class DirtyStore implements DirtyChanges {
  readonly #path: string
  readonly #dirty: DirtySet
  readonly #events: DirtyStoreEvents
  #database: DatabaseSync
  #put!: StatementSync
  #remove!: StatementSync
  #queue: number[] = []
  #head = 0
  #written = 0
  #routesChanged = false
  #primaries: ReadonlyMap<string, string> = new Map()
  #routing: Routing | null = null
  #storeRuns: ReadonlyMap<string, string> = new Map()
  #storeEpochs: ReadonlyMap<string, number> = new Map()
  #evictedKeys: ReadonlyMap<string, number> = new Map()
  #run: Run = { name: newRunName(), former: new Set() }
  /** Why the last commit failed; null: it did not. */
  #trouble: Error | null = null
  #retryMs = 0

  /** Opens the file and fills `dirty` from it. Throws STATE_UNUSABLE as `openDatabase`. */
  constructor(stateDir: string, dirty: DirtySet, events: DirtyStoreEvents) {
    this.#path = join(stateDir, 'dirty.db')
    this.#dirty = dirty
    this.#events = events
    // From the beginning: that the file was damaged is the first thing to be written into the new one.
    dirty.unwritten.listener = this
    this.#database = openOrSetAside(this.#path, DIRTY_MIGRATIONS, (error, name) => events.damaged(error, name))
    this.#prepare()
    try {
      this.#load()
    } catch (error) {
      if (!isDamage(error)) throw error
      this.#setAside(error as Error)
      this.#reopen()
    }
  }

  // --- told by the set

  keyChanged(id: number): void {
    this.#queue.push(id)
  }

  routeChanged(): void {
    this.#routesChanged = true
  }

  // --- for those who wait until something stands on disk

  /** Number of changes of keys so far. */
  get made(): number {
    return this.#written + this.#queue.length - this.#head
  }

  /** Whether the first `made` changes, and every route to verify, stand on disk. */
  holds(made: number): boolean {
    return this.#written >= made && !this.#routesChanged
  }

  get failing(): boolean {
    return this.#trouble !== null
  }

  /** Which end of each mirrored route was its primary when this was last told: the direction in which its dirty keys are to be copied. '': not known. And the places of functions (`primariesOf`). */
  get primaries(): ReadonlyMap<string, string> {
    return this.#primaries
  }

  /** The routes that were in force when this was last told; null: not known. */
  get routing(): Routing | null {
    return this.#routing
  }

  /** Which they are from now on, and the routes in force. */
  setRoutes(primaries: ReadonlyMap<string, string>, routing: Routing): void {
    this.#primaries = primaries
    this.#routing = routing
    this.#routesChanged = true
  }

  /** As `setRoutes`, written down at once. Gives why not; null: they are. Otherwise those of before stay. */
  replaceRoutes(primaries: ReadonlyMap<string, string>, routing: Routing, nowMs: number): Error | null {
    const before = [this.#primaries, this.#routing] as const
    this.setRoutes(primaries, routing)
    this.#retryMs = 0
    this.flush(nowMs, 0)
    if (!this.#routesChanged) return null
    ;[this.#primaries, this.#routing] = before
    return this.#trouble ?? new Error('it was not written')
  }

  /** It stands in the file before the first connection is opened. */
  get run(): Run {
    return this.#run
  }

  /** `run_id` of the stores of mirrored routes, as they were when this was last told. */
  get storeRuns(): ReadonlyMap<string, string> {
    return this.#storeRuns
  }

  /** Number of the last failover of those behind Sentinels. */
  get storeEpochs(): ReadonlyMap<string, number> {
    return this.#storeEpochs
  }

  setStoreRuns(storeRuns: ReadonlyMap<string, string>, storeEpochs: ReadonlyMap<string, number>): void {
    this.#storeRuns = storeRuns
    this.#storeEpochs = storeEpochs
    this.#routesChanged = true
  }

  /** As `ShadowLimits` tells them. */
  get evictedKeys(): ReadonlyMap<string, number> {
    return this.#evictedKeys
  }

  setEvictedKeys(counts: ReadonlyMap<string, number>): void {
    this.#evictedKeys = counts
    this.#routesChanged = true
  }

  /** Writes what has changed, at most `limit` keys. */
  flush(nowMs: number, limit = ROWS_PER_COMMIT): void {
    const count = Math.min(limit, this.#queue.length - this.#head)
    if ((count === 0 && !this.#routesChanged) || nowMs < this.#retryMs) return
    try {
      if (!this.#database.isOpen) this.#reopen()
      inTransaction(this.#database, () => this.#writeRows(count))
    } catch (error) {
      for (let i = 0; i < count; i++) this.#dirty.unwritten.failed(this.#queue[this.#head + i]!)
      if (isDamage(error)) this.#setAside(error as Error)
      this.#fail(error as Error, nowMs)
      return
    }
    this.#written += count
    this.#head += count
    this.#routesChanged = false
    if (this.#head === this.#queue.length) {
      this.#queue = []
      this.#head = 0
      this.#dirty.settle()
    }
    if (this.#trouble === null) return
    this.#trouble = null
    this.#events.recovered()
  }

  /** Everything that has changed, whatever it takes; true when it stands on disk. */
  flushAll(nowMs: number): boolean {
    this.#retryMs = 0
    this.flush(nowMs, Number.POSITIVE_INFINITY)
    return this.holds(this.made)
  }

  close(): void {
    this.#dirty.unwritten.listener = null
    this.#database.close()
  }

  // --- inside

  #prepare(): void {
    // A checkpoint would wait for the disk in the middle of the clients' commands.
    this.#database.exec('PRAGMA synchronous = OFF')
    this.#put = this.#database.prepare('INSERT OR REPLACE INTO dirty_keys VALUES (?, ?, ?, ?, ?, ?)')
    this.#remove = this.#database.prepare('DELETE FROM dirty_keys WHERE id = ?')
  }

  /** Rows get new numbers, oldest first, in one commit with the old ones' end. */
  #load(): void {
    const nowMs = Date.now()
    const offsetMs = nowMs - performance.now()
    for (const [route, cause] of pairsIn(this.#database, 'verify_causes')) {
      const known = VERIFY_CAUSES.find((one) => one === cause)
      this.#dirty.toVerify.mark(route, known ?? 'state-lost')
    }
    for (const [route, library] of pairsIn(this.#database, 'removed_libraries'))
      this.#dirty.toVerify.removed(route, library)
    this.#storeRuns = new Map(pairsIn(this.#database, 'store_runs'))
    this.#storeEpochs = new Map(pairsIn<number>(this.#database, 'store_epochs'))
    this.#evictedKeys = new Map(pairsIn<number>(this.#database, 'evicted_keys'))
    this.#primaries = new Map(pairsIn(this.#database, 'primaries'))
    this.#routing = routingIn(this.#database)
    this.#run = { name: this.#run.name, former: formerRuns(this.#database) }
    enterRun(this.#database, this.#run.name)
    const rows = this.#database.prepare('SELECT * FROM dirty_keys ORDER BY since_ms, id').iterate()
    for (const row of rows as Iterable<DirtyRow>) {
      const reason = (DIRTY_REASONS as readonly string[]).includes(row.reason) ? (row.reason as DirtyReason) : 'crash'
      // Later than now: the clock was set back since. An age below zero would look like that of a key that will be copied at once.
      const sinceMs = Math.min(row.since_ms, nowMs) - offsetMs
      this.#dirty.restore(row.route, row.database, row.key, reason, sinceMs)
    }
    const count = this.#queue.length
    if (count === 0) return
    inTransaction(this.#database, () => {
      this.#database.exec('DELETE FROM dirty_keys')
      this.#writeRows(count)
    })
    this.#written = count
    this.#queue = []
    this.#routesChanged = false
  }

  #writeRows(count: number): void {
    const offsetMs = Date.now() - performance.now()
    if (this.#routesChanged) {
      replacePairs(this.#database, 'verify_causes', this.#dirty.toVerify.all())
      replacePairs(this.#database, 'removed_libraries', this.#dirty.toVerify.allRemoved())
      replacePairs(this.#database, 'primaries', this.#primaries)
      replacePairs(this.#database, 'store_runs', this.#storeRuns)
      if (this.#routing !== null) replaceRouting(this.#database, this.#routing)
      replacePairs(this.#database, 'store_epochs', this.#storeEpochs)
      replacePairs(this.#database, 'evicted_keys', this.#evictedKeys)
    }
    for (let i = 0; i < count; i++) {
      const id = this.#queue[this.#head + i]!
      const row = this.#dirty.unwritten.write(id)
      if (row === null) this.#remove.run(id)
      else this.#put.run(id, row.route, row.database, row.key, row.reason, Math.round(row.sinceMs + offsetMs))
    }
  }

  #fail(error: Error, nowMs: number): void {
    this.#retryMs = nowMs + RETRY_MS
    const isNew = this.#trouble === null
    this.#trouble = error
    if (isNew) this.#events.failed(error)
  }

  #setAside(error: Error): void {
    try {
      this.#database.close()
    } catch {
      // It is damaged: nothing more is asked of it.
    }
    this.#events.damaged(error, setAside(this.#path))
  }

  /** A new file, for all that is known in memory. */
  #reopen(): void {
    this.#database = openDatabase(this.#path, DIRTY_MIGRATIONS)
    this.#prepare()
    this.#database.prepare('INSERT INTO runs (name) VALUES (?)').run(this.#run.name)
    this.#routesChanged = true
    this.#dirty.unwritten.rewrite()
  }
}
