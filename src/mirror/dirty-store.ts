import { join } from 'node:path'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { UnderstudyError } from '../base/errors.ts'
import type { Routing } from '../config/routing.ts'
import { inTransaction, openDatabase } from '../state/database.ts'
import { openOrSetAside, setAside } from '../state/set-aside.ts'
import type { Run } from '../upstream/own-connections.ts'
import { DIRTY_REASONS, type DirtyChanges, type DirtyReason } from './dirty-key.ts'
import type { DirtySet } from './dirty-set.ts'
import { newRunName } from './run-name.ts'
import { VERIFY_CAUSES } from './verify-marks.ts'

const MIGRATIONS = [
  `CREATE TABLE dirty_keys (id INTEGER PRIMARY KEY, route TEXT NOT NULL, database INTEGER NOT NULL, key BLOB NOT NULL,
     reason TEXT NOT NULL, since_ms INTEGER NOT NULL);
   CREATE TABLE routes_to_verify (route TEXT PRIMARY KEY) WITHOUT ROWID`,
  `CREATE TABLE primaries (route TEXT PRIMARY KEY, primary_end TEXT NOT NULL) WITHOUT ROWID`,
  // Why routes need a verify; and which process each store of a mirrored route was last (`store-identity.ts`).
  `CREATE TABLE verify_causes (route TEXT NOT NULL, cause TEXT NOT NULL, PRIMARY KEY (route, cause)) WITHOUT ROWID;
   INSERT INTO verify_causes SELECT route, 'state-lost' FROM routes_to_verify;
   DROP TABLE routes_to_verify;
   CREATE TABLE store_runs (store TEXT PRIMARY KEY, run_id TEXT NOT NULL) WITHOUT ROWID`,
  // What each run called its connections (`own-connections.ts`).
  'CREATE TABLE runs (number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL)',
  // The routes in force, one row (`config/routing.ts`, as JSON). Whoever changes that shape empties it.
  'CREATE TABLE routing (text TEXT NOT NULL)',
  // The last failover of each store of a mirrored route that is behind Sentinels, as they count (`store-identity.ts`).
  'CREATE TABLE store_epochs (store TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID',
  // Libraries of functions that are to be deleted on the shadow (`function-sync.ts`).
  'CREATE TABLE removed_libraries (route TEXT NOT NULL, library TEXT NOT NULL, PRIMARY KEY (route, library)) WITHOUT ROWID',
]

/** What one commit holds at most: a few milliseconds of the data path's thread. */
const ROWS_PER_COMMIT = 4_000
const RETRY_MS = 1_000
/** Earlier runs whose connections a store may still have. */
const RUNS = 16

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
    this.#database = openOrSetAside(this.#path, MIGRATIONS, (error, name) => events.damaged(error, name))
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
    const offsetMs = Date.now() - performance.now()
    for (const { route, cause } of this.#database.prepare('SELECT * FROM verify_causes').all() as {
      route: string
      cause: string
    }[]) {
      const known = VERIFY_CAUSES.find((one) => one === cause)
      this.#dirty.toVerify.mark(route, known ?? 'state-lost')
    }
    const removed = this.#database.prepare('SELECT * FROM removed_libraries').all() as {
      route: string
      library: string
    }[]
    for (const { route, library } of removed) this.#dirty.toVerify.removed(route, library)
    const runs = this.#database.prepare('SELECT * FROM store_runs').all() as { store: string; run_id: string }[]
    this.#storeRuns = new Map(runs.map((row) => [row.store, row.run_id]))
    const epochs = this.#database.prepare('SELECT * FROM store_epochs').all() as { store: string; epoch: number }[]
    this.#storeEpochs = new Map(epochs.map((row) => [row.store, row.epoch]))
    const primaries = this.#database.prepare('SELECT * FROM primaries').all() as {
      route: string
      primary_end: string
    }[]
    this.#primaries = new Map(primaries.map((row) => [row.route, row.primary_end]))
    const routing = this.#database.prepare('SELECT text FROM routing').get() as { text: string } | undefined
    this.#routing = routing === undefined ? null : (JSON.parse(routing.text) as Routing)
    this.#loadRuns()
    const rows = this.#database.prepare('SELECT * FROM dirty_keys ORDER BY since_ms, id').iterate()
    for (const row of rows as Iterable<Row>) {
      const reason = (DIRTY_REASONS as readonly string[]).includes(row.reason) ? (row.reason as DirtyReason) : 'crash'
      this.#dirty.restore(row.route, row.database, row.key, reason, row.since_ms - offsetMs)
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

  #loadRuns(): void {
    const former = this.#database.prepare('SELECT name FROM runs').all() as { name: string }[]
    this.#run = { name: this.#run.name, former: new Set(former.map(({ name }) => name)) }
    try {
      inTransaction(this.#database, () => {
        this.#database.prepare('INSERT INTO runs (name) VALUES (?)').run(this.#run.name)
        this.#database.exec(`DELETE FROM runs WHERE number <= (SELECT MAX(number) FROM runs) - ${RUNS}`)
      })
    } catch (error) {
      // A full disk: what this run leaves the next one does not know, which the next commit says of everything.
      if (isDamage(error)) throw error
    }
  }

  #writeRows(count: number): void {
    const offsetMs = Date.now() - performance.now()
    if (this.#routesChanged) {
      this.#replaceAll('verify_causes', this.#dirty.toVerify.all())
      this.#replaceAll('removed_libraries', this.#dirty.toVerify.allRemoved())
      this.#replaceAll('primaries', this.#primaries)
      this.#replaceAll('store_runs', this.#storeRuns)
      this.#replaceRouting()
      this.#replaceAll('store_epochs', this.#storeEpochs)
    }
    for (let i = 0; i < count; i++) {
      const id = this.#queue[this.#head + i]!
      const row = this.#dirty.unwritten.write(id)
      if (row === null) this.#remove.run(id)
      else this.#put.run(id, row.route, row.database, row.key, row.reason, Math.round(row.sinceMs + offsetMs))
    }
  }

  #replaceRouting(): void {
    if (this.#routing === null) return
    this.#database.exec('DELETE FROM routing')
    this.#database.prepare('INSERT INTO routing VALUES (?)').run(JSON.stringify(this.#routing))
  }

  #replaceAll(table: string, rows: Iterable<readonly [string, string | number]>): void {
    this.#database.exec(`DELETE FROM ${table}`)
    const put = this.#database.prepare(`INSERT INTO ${table} VALUES (?, ?)`)
    for (const row of rows) put.run(...row)
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
    this.#database = openDatabase(this.#path, MIGRATIONS)
    this.#prepare()
    this.#database.prepare('INSERT INTO runs (name) VALUES (?)').run(this.#run.name)
    this.#routesChanged = true
    this.#dirty.unwritten.rewrite()
  }
}

interface Row {
  readonly id: number
  readonly route: string
  readonly database: number
  readonly key: Uint8Array
  readonly reason: string
  readonly since_ms: number
}

/** The file alone, for whoever looks at it while no data path has it open. Throws as `openDatabase` does. */
export function openDirtyDatabase(stateDir: string): DatabaseSync {
  return openDatabase(join(stateDir, 'dirty.db'), MIGRATIONS)
}

/** Of SQLite's codes: SQLITE_CORRUPT, SQLITE_NOTADB. */
export function isDamage(error: unknown): boolean {
  if (error instanceof UnderstudyError) return error.code === 'STATE_CORRUPT'
  const code = ((error as { errcode?: number }).errcode ?? 0) & 0xff
  return code === 11 || code === 26
}
