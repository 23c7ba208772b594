import type { EndName } from '../stores/end-keys.ts'
import { type Job, type JobKind, type JobReport, REPAIR_SOURCES } from './job.ts'

/** Of a route, the jobs of these kinds that are done: the one that ended last first. */
export type DoneJobs = (...kinds: JobKind[]) => Iterable<Job>

/** What the last backfill or verify that is done, no dry run, and was begun since (ms since the epoch) lists: keys that it could not bring over, or that differ. Null: nothing, or there was none. */
export function unsettledKeys(done: DoneJobs, sinceMs: number): { kind: string; id: number; keys: number } | null {
  for (const job of done('backfill', 'verify')) {
    const { kind, id, report, options } = job
    if (options.dryRun === true || begunMs(job) < sinceMs) continue
    const keys = countOf(report!)
    return keys === 0 ? null : { kind, id, keys }
  }
  return null
}

/** Of a verify: how many keys it lists, and whether the shadow alone has some of them, which a repair deletes only with `deleteExtra`. `turned`: the other end was the primary then, so no repair goes by it. */
export interface UnsettledVerify {
  readonly job: number
  readonly keys: number
  readonly extra: boolean
  readonly turned: boolean
}

/**
 * The last verify, begun since (ms since the epoch), that lists keys, if nothing has settled them since it ended:
 *
 *   a repair of all that it lists, with the same primary. A repair takes what verifies before it list, back to the last one of every key, and begins anew when it was interrupted
 *   a verify of every key that has begun behind it, if that has found nothing, or what it has found was repaired. One that was paused meanwhile may have looked at these keys before
 *
 * Null: there is none.
 */
export function unsettledVerify(done: DoneJobs, sinceMs: number, primary: EndName): UnsettledVerify | null {
  let repair: Job | null = null
  /** What a verify lists that had ended by then is settled, or from before. */
  let settledMs = sinceMs
  for (const job of done('verify', 'repair')) {
    const { id, kind, report, options } = job
    if (kind === 'repair') {
      const isOfVerify = (options.from ?? REPAIR_SOURCES).includes('verify')
      if (isOfVerify && report!.clean && options.dryRun !== true) repair = job
      continue
    }
    const repaired = repair !== null && isOfSameSide(repair, job)
    if (Date.parse(job.finishedAt!) <= settledMs) return null
    const keys = countOf(report!)
    if (keys > 0 && !repaired && begunMs(job) >= sinceMs) {
      const turned = (report!.primary ?? primary) !== primary
      return { job: id, keys, extra: (report!.classes['extra'] ?? 0) > 0, turned }
    }
    const isOfAll = (options.sample ?? 1) >= 1
    if (report!.clean || (isOfAll && repaired)) settledMs = Math.max(settledMs, begunMs(job))
    if (isOfAll) repair = null
  }
  return null
}

/** For behind the route's name, or a colon. */
export function unsettledInWords({ job, keys }: UnsettledVerify): string {
  const listed = keys === 1 ? '1 key' : `${keys} keys`
  return `verify ${job} lists ${listed} ('understudy jobs keys ${job}' says why) that no repair or later verify has settled`
}

function isOfSameSide({ report: one }: Job, { report: other }: Job): boolean {
  return one!.primary === undefined || other!.primary === undefined || one!.primary === other!.primary
}

/** Of one that is done: the first time that it ran, not when it was asked for, as it may have waited for others. */
function begunMs({ startedAt }: Job): number {
  return Date.parse(startedAt!)
}

function countOf({ classes }: JobReport): number {
  return Object.values(classes).reduce((sum, count) => sum + count, 0)
}
