import { setTimeout as sleep } from 'node:timers/promises'
import { UnderstudyError } from '../base/errors.ts'
import type { Job, JobKey } from '../jobs/runner/job.ts'
import { isOver } from '../jobs/runner/job.ts'
import type { AdminClient } from './admin-client.ts'
import { EXIT } from './exit-code.ts'
import { progressView } from './job-progress.ts'
import { jobKeyOf, jobOf, listOf } from './older-answers.ts'
import { tableLines } from './table.ts'
import { printable, type Terminal } from './terminal.ts'

const LOOK_EVERY_MS = 300
/** A sidecar that does not answer for so long is given up. */
const AWAY_MS = 30_000
/** Listed keys that are printed; `understudy jobs keys` gives all. */
const MAX_PRINTED = 50
const PAGE = 10_000

export interface FollowOptions {
  readonly json?: boolean | undefined
}

/** Shows a job until it is over, then what came out; gives the exit code. Ctrl-C ends the showing, not the job. */
export async function follow(
  client: AdminClient,
  started: Job,
  terminal: Terminal,
  options: FollowOptions,
): Promise<number> {
  const view = progressView(terminal)
  const interrupt = new AbortController()
  const onSignal = (): void => interrupt.abort()
  process.once('SIGINT', onSignal)
  let job = started
  try {
    for (;;) {
      view.show(job)
      if (isOver(job.state) || job.state === 'paused') break
      await sleep(LOOK_EVERY_MS, undefined, { signal: interrupt.signal }).catch(() => {})
      if (interrupt.signal.aborted) break
      job = await looked(client, job, terminal)
    }
  } finally {
    view.end()
    process.removeListener('SIGINT', onSignal)
  }
  if (interrupt.signal.aborted) {
    terminal.note(
      `Job ${job.id} goes on. To see it: understudy jobs follow ${job.id}; to stop it: understudy jobs pause ${job.id}, or cancel.`,
    )
    return EXIT.failed
  }
  await tell(client, job, terminal, options)
  return exitCodeOfJob(job)
}

/** The job as it is now. A sidecar that is started again goes on with it, so it is waited for, for a while. */
async function looked(client: AdminClient, job: Job, terminal: Terminal): Promise<Job> {
  const untilMs = performance.now() + AWAY_MS
  for (let first = true; ; first = false) {
    try {
      return jobOf(await client.get<unknown>(`/api/v1/jobs/${job.id}`))
    } catch (error) {
      const isAway = error instanceof UnderstudyError && error.code === 'ADMIN_UNREACHABLE'
      if (!isAway || performance.now() > untilMs) throw error
      if (first) terminal.note(`Understudy does not answer; job ${job.id} goes on when it is back.`)
      await sleep(LOOK_EVERY_MS)
    }
  }
}

/** What became of a job. */
export async function tell(client: AdminClient, job: Job, terminal: Terminal, options: FollowOptions): Promise<void> {
  if (options.json) {
    terminal.json(job)
    return
  }
  const head = `${job.kind} ${job.route} (job ${job.id}): ${job.state}`
  terminal.line(printable(job.error === null ? head : `${head}: ${job.error}`))
  if (job.report === null) return
  terminal.line(printable(`  ${job.report.summary}`))
  for (const note of job.report.notes) terminal.line(printable(`  Note: ${note}`))
  const listed = Object.values(job.report.classes).reduce((sum, n) => sum + n, 0)
  if (listed === 0) return
  const keys = listOf(await client.get<unknown>(`/api/v1/jobs/${job.id}/keys?limit=${MAX_PRINTED}`), jobKeyOf)
  for (const line of keyLines(keys)) terminal.line(line)
  if (listed > keys.length) {
    terminal.line(`... and ${listed - keys.length} more: understudy jobs keys ${job.id}`)
  }
}

/** Every key that a job lists, page by page. */
export async function* allKeys(client: AdminClient, id: number): AsyncGenerator<JobKey[]> {
  for (let after = 0; ; ) {
    const keys = listOf(await client.get<unknown>(`/api/v1/jobs/${id}/keys?after=${after}&limit=${PAGE}`), jobKeyOf)
    if (keys.length === 0) return
    yield keys
    after = keys.at(-1)!.seq
  }
}

export function keyLines(keys: readonly JobKey[]): string[] {
  const databases = keys.some((key) => key.database !== 0)
  const columns = [
    { title: 'class' },
    ...(databases ? [{ title: 'db', right: true }] : []),
    { title: 'key' },
    { title: 'detail' },
  ]
  return tableLines(
    columns,
    keys.map((key) => [key.class, ...(databases ? [String(key.database)] : []), key.key, key.detail].map(printable)),
  )
}

/** 0: all is well; 1: something failed or differs; 3: it could not be done. */
function exitCodeOfJob({ kind, state, progress, report }: Job): number {
  if (state === 'failed') return EXIT.failed
  if (state !== 'done') return EXIT.no
  if (progress.failed > 0) return EXIT.no
  if (kind === 'repair') return report?.clean === true ? EXIT.done : EXIT.no
  return progress.different > 0 ? EXIT.no : EXIT.done
}
