import type { DatabaseSync } from 'node:sqlite'

/**
 * The moment of what happens to a job or to a route's mirroring now, ms since the epoch: by the clock (`nowMs`), but later than every one before. What came first is told by comparing these; a clock that was set back must not make what
 * happens now a thing of before.
 */
export function momentOf(database: DatabaseSync, nowMs: number): number {
  const { last } = database.prepare(LAST).get() as { last: number | null }
  return last === null ? nowMs : Math.max(nowMs, last + 1)
}

const MOMENTS = {
  jobs: ['created_at', 'started_at', 'finished_at'],
  route_mirroring: ['since', 'altered_at', 'backfilled_at', 'verified_at'],
}
const LAST = `SELECT max(at) AS last FROM (${Object.entries(MOMENTS)
  .flatMap(([table, columns]) => columns.map((column) => `SELECT max(${column}) AS at FROM ${table}`))
  .join(' UNION ALL ')})`
