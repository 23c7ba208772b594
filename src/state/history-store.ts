import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { inTransaction } from './database.ts'

/**
 * How long points are kept, by the time they stand for: the finer, the shorter.
 *
 *     every 2 s      for 10 min    300 points
 *     every 30 s     for 3 h       360
 *     every 5 min    for 24 h      288
 */
export const RESOLUTIONS = [
  { range: '10m', stepMs: 2_000, keepMs: 10 * 60_000 },
  { range: '3h', stepMs: 30_000, keepMs: 3 * 3_600_000 },
  { range: '24h', stepMs: 300_000, keepMs: 24 * 3_600_000 },
] as const

/** Switches are few; more than this many in a day are not shown. */
const MAX_SWITCHES = 500

/** What a series can hold: a number, or null where there was nothing to measure. */
export type Point = Readonly<Record<string, number | null>>

export interface StoredPoint {
  readonly atMs: number
  readonly point: Point
}

export interface StoredSwitch {
  readonly atMs: number
  readonly route: string
  readonly from: string
  readonly to: string
  readonly pauseMs: number
}

/** The tables behind the charts. Bounded by `RESOLUTIONS`, whatever the clock does. */
export class HistoryStore {
  readonly #database: DatabaseSync
  readonly #insert: StatementSync
  readonly #prune: StatementSync
  readonly #select: StatementSync
  readonly #insertSwitch: StatementSync
  readonly #pruneSwitches: StatementSync
  readonly #selectSwitches: StatementSync

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#insert = database.prepare('INSERT OR REPLACE INTO history (step_ms, route, at, point) VALUES (?, ?, ?, ?)')
    // Points of the future are of a clock that was set back: they would never grow old.
    this.#prune = database.prepare('DELETE FROM history WHERE step_ms = ? AND route = ? AND (at < ? OR at > ?)')
    this.#select = database.prepare(
      'SELECT at, point FROM history WHERE step_ms = ? AND route = ? AND at >= ? ORDER BY at',
    )
    this.#insertSwitch = database.prepare(
      'INSERT INTO history_switches (at, route, from_phase, to_phase, pause_ms) VALUES (?, ?, ?, ?, ?)',
    )
    this.#pruneSwitches = database.prepare('DELETE FROM history_switches WHERE at < ? OR at > ?')
    this.#selectSwitches = database.prepare(
      `SELECT at, route, from_phase, to_phase, pause_ms FROM history_switches WHERE at >= ? ORDER BY at DESC LIMIT ${MAX_SWITCHES}`,
    )
  }

  /** Writes the points of one moment, a point a route, and forgets what is too old. */
  append(resolution: (typeof RESOLUTIONS)[number], atMs: number, points: ReadonlyMap<string, Point>): void {
    const { stepMs, keepMs } = resolution
    inTransaction(this.#database, () => {
      for (const [route, point] of points) {
        this.#insert.run(stepMs, route, atMs, JSON.stringify(point))
        this.#prune.run(stepMs, route, atMs - keepMs, atMs)
      }
    })
  }

  /** Forgets the routes that are not among these; one that comes back begins anew. */
  keepRoutes(routes: readonly string[]): void {
    const known = this.#database.prepare('SELECT DISTINCT route FROM history').all() as { route: string }[]
    const forget = this.#database.prepare('DELETE FROM history WHERE route = ?')
    for (const { route } of known) if (!routes.includes(route)) forget.run(route)
  }

  /** Oldest first. */
  read(stepMs: number, route: string, sinceMs: number): StoredPoint[] {
    const rows = this.#select.all(stepMs, route, sinceMs) as { at: number; point: string }[]
    return rows.map(({ at, point }) => ({ atMs: at, point: JSON.parse(point) as Point }))
  }

  appendSwitch({ atMs, route, from, to, pauseMs }: StoredSwitch): void {
    this.#insertSwitch.run(atMs, route, from, to, pauseMs)
    this.#pruneSwitches.run(atMs - RESOLUTIONS[2].keepMs, atMs)
  }

  /** Newest first. */
  switches(sinceMs: number): StoredSwitch[] {
    const rows = this.#selectSwitches.all(sinceMs) as Record<string, string | number>[]
    return rows.map((row) => ({
      atMs: row['at'] as number,
      route: row['route'] as string,
      from: row['from_phase'] as string,
      to: row['to_phase'] as string,
      pauseMs: row['pause_ms'] as number,
    }))
  }
}
