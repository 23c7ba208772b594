import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { UnderstudyError } from '../../base/errors.ts'
import type { Routing } from '../../config/routing.ts'
import { openDatabase } from '../../state/database.ts'

/** The tables of `dirty.db`: the dirty keys, and what is known of routes, stores and runs beside them. */
export const DIRTY_MIGRATIONS = [
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
  // How many keys shadows had evicted when they were last looked at (`shadow-limits.ts`).
  'CREATE TABLE evicted_keys (places TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID',
]

/** Of `dirty_keys`. */
export interface DirtyRow {
  readonly id: number
  readonly route: string
  readonly database: number
  readonly key: Uint8Array
  readonly reason: string
  readonly since_ms: number
}

/** Those of two columns: a name, and what is known of it. */
export type PairTable =
  | 'verify_causes'
  | 'removed_libraries'
  | 'primaries'
  | 'store_runs'
  | 'store_epochs'
  | 'evicted_keys'

export function pairsIn<Value extends string | number = string>(
  database: DatabaseSync,
  table: PairTable,
): (readonly [string, Value])[] {
  const rows = database.prepare(`SELECT * FROM ${table}`).all()
  return rows.map((row) => Object.values(row) as [string, Value])
}

export function replacePairs(
  database: DatabaseSync,
  table: PairTable,
  rows: Iterable<readonly [string, string | number]>,
): void {
  database.exec(`DELETE FROM ${table}`)
  const put = database.prepare(`INSERT INTO ${table} VALUES (?, ?)`)
  for (const row of rows) put.run(...row)
}

/** Null: none stands there. */
export function routingIn(database: DatabaseSync): Routing | null {
  const row = database.prepare('SELECT text FROM routing').get() as { text: string } | undefined
  return row === undefined ? null : (JSON.parse(row.text) as Routing)
}

export function replaceRouting(database: DatabaseSync, routing: Routing): void {
  database.exec('DELETE FROM routing')
  database.prepare('INSERT INTO routing VALUES (?)').run(JSON.stringify(routing))
}

/** Something has been written there. A file that is empty is left by a start that has set a damaged one aside, and found no room for another. */
export function hasDirtyDatabase(stateDir: string): boolean {
  return (statSync(join(stateDir, 'dirty.db'), { throwIfNoEntry: false })?.size ?? 0) > 0
}

/** The file alone, for whoever looks at it while no data path has it open. Throws as `openDatabase` does. */
export function openDirtyDatabase(stateDir: string): DatabaseSync {
  return openDatabase(join(stateDir, 'dirty.db'), DIRTY_MIGRATIONS)
}

/** Of SQLite's codes: SQLITE_CORRUPT, SQLITE_NOTADB. */
export function isDamage(error: unknown): boolean {
  if (error instanceof UnderstudyError) return error.code === 'STATE_CORRUPT'
  const code = ((error as { errcode?: number }).errcode ?? 0) & 0xff
  return code === 11 || code === 26
}
