import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { append } from '../../base/append.ts'
import { printableKey } from '../../base/printable-key.ts'
import { inTransaction } from '../../state/database.ts'
import { momentOf } from '../../state/moment.ts'
import type { Job, JobKey, JobKind, JobOptions, JobProgress, JobReport, JobState } from './job.ts'
import { isOver, JOB_TRANSITIONS } from './job.ts'

/** A key that a job lists, before it is numbered. */
export interface ListedKey {
  readonly database: number
  /** The application's name of it. */
  readonly key: Buffer
  readonly class: string
  readonly detail: string
}

/** Where a job stands. */
export interface JobStep {
  readonly progress: JobProgress
  readonly checkpoint: unknown
  readonly remarks: readonly string[]
  /** Those that it lists since the last step. */
  readonly keys: readonly ListedKey[]
  /** How many it had listed before. */
  readonly listed: number
}

/** What a state brings with it. */
export interface JobResult {
  readonly error?: string
  readonly report?: JobReport
  /** Left out: as it was saved last. */
  readonly progress?: JobProgress
}

/** Jobs that are over are kept, of each route and kind the latest so many: however many exports there are, or verifies of other routes, the last verify stays. */
const MAX_KEPT = 200
/** Keys that one job lists; beyond, they are only counted. */
const MAX_LISTED = 1_000_000

const NO_PROGRESS: JobProgress = {
  done: 0,
  total: null,
  rate: 0,
  etaSeconds: null,
  copied: 0,
  skipped: 0,
  failed: 0,
  compared: 0,
  different: 0,
  repaired: 0,
  deleted: 0,
}

/** Jobs in `state.db`: what there are, how far each has come, and the keys it lists. All of a step is in one commit, so a kill -9 leaves a job as it was at its last checkpoint. */
export class JobStore {
  readonly #database: DatabaseSync
  readonly #insertKey: StatementSync
  readonly #save: StatementSync

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#insertKey = database.prepare(
      'INSERT INTO job_keys (job, seq, database, key, class, detail) VALUES (?, ?, ?, ?, ?, ?)',
    )
    this.#save = database.prepare('UPDATE jobs SET progress = ?, checkpoint = ?, remarks = ? WHERE id = ?')
  }

  create(kind: JobKind, route: string, options: JobOptions, nowMs: number): Job {
    const { lastInsertRowid } = this.#database
      .prepare(`INSERT INTO jobs (kind, route, state, options, created_at, progress) VALUES (?, ?, 'queued', ?, ?, ?)`)
      .run(kind, route, JSON.stringify(options), momentOf(this.#database, nowMs), JSON.stringify(NO_PROGRESS))
    this.#forgetOld()
    return this.get(Number(lastInsertRowid))!
  }

  get(id: number): Job | undefined {
    const row = this.#database.prepare('SELECT * FROM jobs WHERE id = ?').get(id)
    return row === undefined ? undefined : jobOf(row as unknown as JobRow)
  }

  /** The newest first; without a limit all of them. */
  list(filter: { route?: string | undefined; states?: readonly JobState[] | undefined; limit?: number }): Job[] {
    const where: string[] = []
    const values: SQLInputValue[] = []
    if (filter.route !== undefined) {
      where.push('route = ?')
      values.push(filter.route)
    }
    if (filter.states !== undefined) {
      where.push(`state IN (${filter.states.map(() => '?').join(', ')})`)
      append(values, filter.states)
    }
    const condition = where.length === 0 ? '' : `WHERE ${where.join(' AND ')}`
    const rows = this.#database
      .prepare(`SELECT * FROM jobs ${condition} ORDER BY id DESC LIMIT ?`)
      .all(...values, filter.limit ?? -1)
    return (rows as unknown as JobRow[]).map(jobOf)
  }

  /** The newest job of each kind of a route. */
  newest(route: string): Job[] {
    const rows = this.#database
      .prepare('SELECT * FROM jobs WHERE id IN (SELECT max(id) FROM jobs WHERE route = ? GROUP BY kind)')
      .all(route)
    return (rows as unknown as JobRow[]).map(jobOf)
  }

  /** Those of a route that are done, the one that ended last first: one that was paused comes before such as began after it and ended meanwhile. */
  *done(route: string, kinds: readonly JobKind[]): Generator<Job> {
    const rows = this.#database
      .prepare(
        `SELECT * FROM jobs WHERE route = ? AND state = 'done' AND kind IN (${kinds.map(() => '?').join(', ')}) ORDER BY finished_at DESC, id DESC`,
      )
      .iterate(route, ...kinds)
    for (const row of rows) yield jobOf(row as unknown as JobRow)
  }

  /** Enters a state; throws on a transition that is not in the table (a defect). */
  enter(id: number, state: JobState, nowMs: number, result: JobResult = {}): Job {
    const was = this.get(id)!
    if (!JOB_TRANSITIONS[was.state].includes(state)) throw new Error(`job ${id}: ${was.state} -> ${state}`)
    const atMs = momentOf(this.#database, nowMs)
    this.#database
      .prepare(
        `UPDATE jobs SET state = ?, started_at = CASE WHEN ? = 'running' THEN coalesce(started_at, ?) ELSE started_at END,
           finished_at = ?, error = ?, report = coalesce(?, report), progress = coalesce(?, progress) WHERE id = ?`,
      )
      .run(
        state,
        state,
        atMs,
        isOver(state) ? atMs : null,
        result.error ?? null,
        result.report === undefined ? null : JSON.stringify(result.report),
        result.progress === undefined ? null : JSON.stringify(result.progress),
        id,
      )
    return this.get(id)!
  }

  /** What the job began with: this, when it has not begun before. */
  beganWith(id: number, shape: string): string {
    const row = this.#database
      .prepare('UPDATE jobs SET began_with = coalesce(began_with, ?) WHERE id = ? RETURNING began_with')
      .get(shape, id)
    return String(row?.['began_with'])
  }

  checkpoint(id: number): unknown {
    const row = this.#database.prepare('SELECT checkpoint FROM jobs WHERE id = ?').get(id)
    const text = row?.['checkpoint']
    return typeof text === 'string' ? JSON.parse(text) : null
  }

  /** What it had to remark when it was saved last. */
  remarks(id: number): string[] {
    const row = this.#database.prepare('SELECT remarks FROM jobs WHERE id = ?').get(id)
    return JSON.parse(String(row?.['remarks'] ?? '[]')) as string[]
  }

  /** One step of a job. */
  save(id: number, { progress, checkpoint, remarks, keys, listed }: JobStep): void {
    inTransaction(this.#database, () => {
      this.#save.run(JSON.stringify(progress), JSON.stringify(checkpoint), JSON.stringify(remarks), id)
      for (const [i, key] of keys.entries()) {
        if (listed + i >= MAX_LISTED) break
        this.#insertKey.run(id, listed + i + 1, key.database, key.key, key.class, key.detail)
      }
    })
  }

  forgetKeys(id: number): void {
    this.#database.prepare('DELETE FROM job_keys WHERE job = ?').run(id)
  }

  countKeys(id: number): number {
    const row = this.#database.prepare('SELECT max(seq) AS n FROM job_keys WHERE job = ?').get(id)
    return Number(row?.['n'] ?? 0)
  }

  /** Of a job's keys those after number `after`, as JSON. */
  keys(id: number, after: number, limit: number): JobKey[] {
    return this.#keyRows(id, after, limit).map((row) => ({
      seq: row.seq,
      database: row.database,
      key: printableKey(row.key),
      class: row.class,
      detail: row.detail,
    }))
  }

  /** The same, for another job. */
  listedKeys(id: number, after: number, limit: number): (ListedKey & { readonly seq: number })[] {
    return this.#keyRows(id, after, limit).map((row) => ({ ...row, key: Buffer.from(row.key) }))
  }

  classes(id: number): Record<string, number> {
    const rows = this.#database
      .prepare('SELECT class, count(*) AS n FROM job_keys WHERE job = ? GROUP BY class ORDER BY class')
      .all(id)
    return Object.fromEntries(rows.map((row) => [String(row['class']), Number(row['n'])]))
  }

  #keyRows(id: number, after: number, limit: number): KeyRow[] {
    return this.#database
      .prepare('SELECT seq, database, key, class, detail FROM job_keys WHERE job = ? AND seq > ? ORDER BY seq LIMIT ?')
      .all(id, after, limit) as unknown as KeyRow[]
  }

  #forgetOld(): void {
    const over = `SELECT id FROM (
      SELECT id, ${PLACE} AS place FROM jobs WHERE state IN ('done', 'failed', 'cancelled')
    ) WHERE place > ${MAX_KEPT} AND id NOT IN (${UNSETTLED})`
    inTransaction(this.#database, () => {
      this.#database.exec(`DELETE FROM job_keys WHERE job IN (${over}); DELETE FROM jobs WHERE id IN (${over})`)
    })
  }
}

/** The one that ended last has the first place. */
const PLACE = 'row_number() OVER (PARTITION BY route, kind ORDER BY finished_at DESC, id DESC)'

/**
 * Of each route the last verify of every key that is done, and verifies that list keys and ended since it began, which a repair may have yet to settle. Of samples not those that one has settled, as `unsettledVerify` decides:
 * of what ended behind them, repairs of what verifies list and verifies of every key, the first is a repair of the same side.
 */
const UNSETTLED = `
  WITH verifies AS (SELECT *, coalesce(options ->> 'sample', 1) >= 1 AS is_of_all FROM jobs WHERE kind = 'verify' AND state = 'done'),
    last AS (SELECT * FROM (SELECT *, ${PLACE} AS place FROM verifies WHERE is_of_all) WHERE place = 1),
    settlers AS MATERIALIZED (
      SELECT id, route, kind, finished_at, report ->> 'primary' AS side FROM verifies WHERE is_of_all UNION ALL
      SELECT id, route, kind, finished_at, report ->> 'primary' FROM jobs
        WHERE kind = 'repair' AND state = 'done' AND report ->> 'clean' AND NOT coalesce(options ->> 'dryRun', 0)
          AND (options ->> 'from' IS NULL OR 'verify' IN (SELECT value FROM json_each(options, '$.from'))))
  SELECT id FROM last UNION ALL
  SELECT verifies.id FROM verifies LEFT JOIN last USING (route)
    WHERE verifies.finished_at >= coalesce(last.started_at, 0) AND EXISTS (SELECT 1 FROM job_keys WHERE job = verifies.id)
      AND (verifies.is_of_all OR NOT coalesce((
        SELECT settlers.kind = 'repair' AND coalesce(settlers.side = verifies.report ->> 'primary', 1) FROM settlers
          WHERE settlers.route = verifies.route AND (settlers.finished_at, settlers.id) > (verifies.finished_at, verifies.id)
          ORDER BY settlers.finished_at, settlers.id LIMIT 1), 0))`

interface KeyRow {
  readonly seq: number
  readonly database: number
  readonly key: Uint8Array
  readonly class: string
  readonly detail: string
}

interface JobRow {
  readonly id: number
  readonly kind: string
  readonly route: string
  readonly state: string
  readonly options: string
  readonly created_at: number
  readonly started_at: number | null
  readonly finished_at: number | null
  readonly progress: string
  readonly error: string | null
  readonly report: string | null
}

function jobOf(row: JobRow): Job {
  const at = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString())
  return {
    id: row.id,
    kind: row.kind as JobKind,
    route: row.route,
    state: row.state as JobState,
    createdAt: at(row.created_at)!,
    startedAt: at(row.started_at),
    finishedAt: at(row.finished_at),
    options: JSON.parse(row.options) as JobOptions,
    progress: JSON.parse(row.progress) as JobProgress,
    throttle: null,
    error: row.error,
    report: row.report === null ? null : (JSON.parse(row.report) as JobReport),
  }
}
