import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { printableKey } from '../base/printable-key.ts'
import type { MismatchClass, Phase } from '../config/config.ts'
import { inTransaction } from '../state/database.ts'
import { Acknowledgements } from './acknowledgements.ts'
import type { Finding, MismatchCause } from './finding.ts'
import { foldKey } from './key-pattern.ts'
import type { Mismatch, MismatchFilter, MismatchKey } from './mismatch.ts'

/**
 * Confirmed differences in `state.db`, so that they survive a restart.
 *
 *   mismatches       one a route, command, class, cause and key pattern: what people read
 *   mismatch_keys    one a key of those, for the export
 *
 * Bounded by number and age: the oldest go. Times are of the wall clock.
 */
export class MismatchStore {
  /** What of them is known, and to be ignored. */
  readonly acknowledgements: Acknowledgements
  readonly #database: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()
  /** By route, class and command, since the process started: what the metric shows. */
  readonly #totals = new Map<string, { route: string; class: MismatchClass; command: string; count: number }>()
  #sinceSweep = 0

  constructor(database: DatabaseSync) {
    this.#database = database
    this.acknowledgements = new Acknowledgements(database)
  }

  /** Records a finding; gives the mismatch it belongs to. */
  add(finding: Finding): Mismatch {
    if (!finding.acknowledged && finding.cause !== 'baseline') this.#countTotal(finding)
    if (++this.#sinceSweep >= SWEEP_EVERY) this.sweep(finding.atMs)
    const key = printableKey(finding.key)
    const { route, command, database, atMs, phase, detail, primary, shadow, count } = finding
    const paths = JSON.stringify(finding.paths)
    return inTransaction(this.#database, () => {
      const { id } = this.#statement(UPSERT_MISMATCH).get(
        route,
        command,
        finding.class,
        finding.cause ?? '',
        foldKey(key),
        atMs,
        atMs,
        count,
        database,
        key,
        phase,
        detail,
        paths,
        primary,
        shadow,
      ) as { id: number }
      this.#statement(UPSERT_KEY).run(id, database, key, atMs, atMs, count, phase, detail, paths, primary, shadow)
      return this.#view(this.#statement(`${SELECT_MISMATCH} WHERE id = ?`).get(id) as unknown as MismatchRow, atMs)
    })
  }

  /** Newest first. */
  list(filter: MismatchFilter, nowMs: number): Mismatch[] {
    const { where, values } = conditions(filter)
    const limit = filter.limit ?? 100
    const list: Mismatch[] = []
    const rows = this.#statement(`${SELECT_MISMATCH}${where} ORDER BY last_seen DESC, id DESC`).iterate(...values)
    for (const row of rows) {
      const view = this.#view(row as unknown as MismatchRow, nowMs)
      if (filter.acknowledged !== undefined && (view.acknowledged !== null) !== filter.acknowledged) continue
      list.push(view)
      if (list.length >= limit) break
    }
    return list
  }

  /** Every key of every mismatch that the filter lets through, newest first. */
  *keys(filter: Omit<MismatchFilter, 'limit'>, nowMs: number): Generator<MismatchKey> {
    const { where, values } = conditions(filter)
    const rows = this.#database.prepare(`${SELECT_KEYS}${where} ORDER BY k.last_seen DESC, k.rowid DESC`).all(...values)
    for (const row of rows as unknown as KeyRow[]) {
      const isKnown = this.acknowledgements.covering(row, nowMs) !== undefined
      if (filter.acknowledged === undefined || isKnown === filter.acknowledged) yield keyView(row)
    }
  }

  /**
   * Forgets printable keys that are equal now, where they were seen to differ before `sinceMs` only; a mismatch of which no key is left goes with them.
   * Not those whose cause lies not in the data: it is still there. What was seen later than now was seen before the clock was set back.
   */
  mended(route: string, database: number, keys: readonly string[], sinceMs: number, nowMs: number): void {
    inTransaction(this.#database, () => {
      for (const key of keys) this.#statement(FORGET_KEY).run(database, key, sinceMs, nowMs, route)
      this.#statement(FORGET_EMPTY).run(route, sinceMs, nowMs)
      this.#statement(ANOTHER_EXAMPLE).run(route)
    })
  }

  totals(route: string): { class: MismatchClass; command: string; count: number }[] {
    return [...this.#totals.values()].filter((total) => total.route === route)
  }

  /** Lets what is too old or too much go. */
  sweep(nowMs: number): void {
    this.#sinceSweep = 0
    const oldest = nowMs - MAX_AGE_MS
    this.#statement('DELETE FROM mismatch_keys WHERE last_seen < ?').run(oldest)
    this.#statement(
      'DELETE FROM mismatch_keys WHERE rowid IN (SELECT rowid FROM mismatch_keys ORDER BY last_seen DESC LIMIT -1 OFFSET ?)',
    ).run(MAX_KEYS)
    this.#statement('DELETE FROM mismatches WHERE last_seen < ?').run(oldest)
    this.#statement(
      'DELETE FROM mismatches WHERE id IN (SELECT id FROM mismatches ORDER BY last_seen DESC LIMIT -1 OFFSET ?)',
    ).run(MAX_MISMATCHES)
    this.acknowledgements.sweep(oldest)
  }

  byId(id: number, nowMs: number): Mismatch | undefined {
    const row = this.#statement(`${SELECT_MISMATCH} WHERE id = ?`).get(id)
    return row === undefined ? undefined : this.#view(row as unknown as MismatchRow, nowMs)
  }

  #view(row: MismatchRow, nowMs: number): Mismatch {
    const { id, route, command, class: of, pattern, count, keys, database, key, phase, detail, primary, shadow } = row
    const cause = row.cause === '' ? null : row.cause
    const known = this.acknowledgements.covering(row, nowMs)
    return {
      id,
      route,
      command,
      class: of,
      cause,
      pattern,
      firstSeen: isoTime(row.first_seen),
      lastSeen: isoTime(row.last_seen),
      count,
      keys,
      database,
      key,
      phase,
      detail,
      paths: JSON.parse(row.paths) as string[],
      primary,
      shadow,
      acknowledged:
        known === undefined
          ? null
          : { until: known.untilMs === null ? null : isoTime(known.untilMs), reason: known.reason },
    }
  }

  #countTotal({ route, class: of, command, count }: Finding): void {
    const name = `${route}\0${of}\0${command}`
    const total = this.#totals.get(name)
    if (total === undefined) this.#totals.set(name, { route, class: of, command, count })
    else total.count += count
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (statement === undefined) this.#statements.set(sql, (statement = this.#database.prepare(sql)))
    return statement
  }
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}

interface MismatchRow {
  id: number
  route: string
  command: string
  class: MismatchClass
  cause: MismatchCause | ''
  pattern: string
  first_seen: number
  last_seen: number
  count: number
  keys: number
  database: number
  key: string
  phase: Phase
  detail: string
  paths: string
  primary: string
  shadow: string
}

type KeyRow = MismatchRow & { mismatch: number }

function keyView(row: KeyRow): MismatchKey {
  const { mismatch, route, command, class: of, database, key, phase, count, detail, primary, shadow } = row
  return {
    mismatch,
    route,
    command,
    class: of,
    cause: row.cause === '' ? null : row.cause,
    database,
    key,
    phase,
    firstSeen: isoTime(row.first_seen),
    lastSeen: isoTime(row.last_seen),
    count,
    detail,
    paths: JSON.parse(row.paths) as string[],
    primary,
    shadow,
  }
}

function conditions(filter: Pick<MismatchFilter, 'route' | 'class' | 'command'>): {
  where: string
  values: SQLInputValue[]
} {
  const given = (['route', 'class', 'command'] as const).filter((name) => filter[name] !== undefined)
  const where = given.length === 0 ? '' : ` WHERE ${given.map((name) => `m.${name} = ?`).join(' AND ')}`
  return { where, values: given.map((name) => filter[name]!) }
}

const SELECT_MISMATCH =
  'SELECT m.*, (SELECT count(*) FROM mismatch_keys k WHERE k.mismatch = m.id) AS keys FROM mismatches m'

const SELECT_KEYS = `SELECT m.route, m.command, m.class, m.cause, m.pattern, k.* FROM mismatch_keys k JOIN mismatches m ON m.id = k.mismatch`

const UPSERT_MISMATCH = `
  INSERT INTO mismatches (route, command, class, cause, pattern, first_seen, last_seen, count, database, key, phase, detail, paths, "primary", shadow)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (route, command, class, cause, pattern) DO UPDATE SET
    last_seen = excluded.last_seen, count = count + excluded.count, database = excluded.database, key = excluded.key,
    phase = excluded.phase, detail = excluded.detail, paths = excluded.paths, "primary" = excluded."primary", shadow = excluded.shadow
  RETURNING id`

const UPSERT_KEY = `
  INSERT INTO mismatch_keys (mismatch, database, key, first_seen, last_seen, count, phase, detail, paths, "primary", shadow)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (mismatch, database, key) DO UPDATE SET
    last_seen = excluded.last_seen, count = count + excluded.count, phase = excluded.phase,
    detail = excluded.detail, paths = excluded.paths, "primary" = excluded."primary", shadow = excluded.shadow`

const FORGET_KEY = `
  DELETE FROM mismatch_keys WHERE database = ? AND key = ? AND (last_seen < ? OR last_seen > ?)
    AND mismatch IN (SELECT id FROM mismatches WHERE route = ? AND cause NOT IN ('same-data', 'baseline'))`

const FORGET_EMPTY = `
  DELETE FROM mismatches WHERE route = ? AND (last_seen < ? OR last_seen > ?)
    AND NOT EXISTS (SELECT 1 FROM mismatch_keys k WHERE k.mismatch = mismatches.id)`

const ANOTHER_EXAMPLE = `
  UPDATE mismatches SET (database, key, phase, detail, paths, "primary", shadow) = (
      SELECT k.database, k.key, k.phase, k.detail, k.paths, k."primary", k.shadow FROM mismatch_keys k
      WHERE k.mismatch = mismatches.id ORDER BY k.last_seen DESC LIMIT 1)
    WHERE route = ? AND EXISTS (SELECT 1 FROM mismatch_keys k WHERE k.mismatch = mismatches.id)
      AND NOT EXISTS (SELECT 1 FROM mismatch_keys k
        WHERE k.mismatch = mismatches.id AND k.database = mismatches.database AND k.key = mismatches.key)`

const MAX_MISMATCHES = 2_000
const MAX_KEYS = 10_000
const MAX_AGE_MS = 30 * 24 * 3_600_000
const SWEEP_EVERY = 100
