import type { Job } from './job.ts'

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
  const keys = Object.values(newest.report!.classes).reduce((sum, count) => sum + count, 0)
  return keys === 0 ? null : { kind: newest.kind, id: newest.id, keys }
}
