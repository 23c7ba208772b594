import { type Job, type JobReport, REPAIR_SOURCES } from './job.ts'

/** What the newest backfill or verify of `jobs` (the newest first) that is done, no dry run, and was begun since (ms since the epoch) lists: keys that it could not bring over, or that differ. Null: nothing, or there was none. */
export function unsettledKeys(
  jobs: readonly Job[],
  sinceMs: number,
): { kind: string; id: number; keys: number } | null {
  const newest = jobs.find(
    ({ kind, report, options }) =>
      (kind === 'backfill' || kind === 'verify') && report !== null && options.dryRun !== true,
  )
  if (newest === undefined || Date.parse(newest.createdAt) < sinceMs) return null
  const keys = countOf(newest.report!)
  return keys === 0 ? null : { kind: newest.kind, id: newest.id, keys }
}

/** Of a verify: how many keys it lists, and whether the shadow alone has some of them, which a repair deletes only with `deleteExtra`. */
export interface UnsettledVerify {
  readonly job: number
  readonly keys: number
  readonly extra: boolean
}

/**
 * The newest verify of `jobs` (the newest first), begun since (ms since the epoch), that lists keys, if nothing that came behind it has settled them: a repair of all that it lists, or a verify of every key that found nothing. Null: there
 * is none.
 */
export function unsettledVerify(jobs: readonly Job[], sinceMs: number): UnsettledVerify | null {
  let repaired = false
  for (const { id, kind, report, options, createdAt } of jobs) {
    if (report === null || options.dryRun === true) continue
    if (kind === 'repair' && report.clean && (options.from ?? REPAIR_SOURCES).includes('verify')) repaired = true
    if (kind !== 'verify') continue
    const keys = countOf(report)
    // A repair takes those of the verify before it: that of some keys lists only some of what one before has found.
    const isOfAll = (options.sample ?? 1) >= 1
    if (report.clean || (keys > 0 && repaired && isOfAll) || Date.parse(createdAt) < sinceMs) return null
    if (keys > 0 && !repaired) return { job: id, keys, extra: (report.classes['extra'] ?? 0) > 0 }
    repaired = false
  }
  return null
}

/** For behind the route's name, or a colon. */
export function unsettledInWords({ job, keys }: UnsettledVerify): string {
  const listed = keys === 1 ? '1 key' : `${keys} keys`
  return `verify ${job} lists ${listed} ('understudy jobs keys ${job}' says why) that no repair or later verify has settled`
}

function countOf({ classes }: JobReport): number {
  return Object.values(classes).reduce((sum, count) => sum + count, 0)
}
