import type { DatabaseSync } from 'node:sqlite'
import { UnderstudyError } from '../base/errors.ts'
import type { Log } from '../observability/log.ts'
import { rolesOf } from '../routing/route.ts'
import { backfill, notMirrored } from './backfill.ts'
import { cleanup, mayClean } from './cleanup.ts'
import type { JobEnvironment } from './environment.ts'
import type { Job, JobKind, JobReport } from './job.ts'
import { JobStore } from './job-store.ts'
import { repair } from './repair.ts'
import { JobRunner, type JobWork } from './runner.ts'
import { verify } from './verify.ts'

export interface JobsOptions {
  readonly state: DatabaseSync
  readonly environment: JobEnvironment
  readonly onChange: (job: Job) => void
  /** Called before a job that is done is shown as done. */
  readonly onDone: (job: Job, report: JobReport) => Promise<void>
  readonly log: Log
}

/** The runner with every kind of job. */
export function jobRunner({ state, environment, onChange, onDone, log }: JobsOptions): JobRunner {
  const store = new JobStore(state)
  const work: Record<JobKind, JobWork> = {
    backfill: (task) => backfill(environment, task),
    verify: (task) => verify(environment, task),
    repair: (task) => repair(environment, store, task),
    cleanup: (task) => cleanup(environment, task),
  }
  return new JobRunner({
    store,
    work,
    mayStart: (kind, name) => {
      const route = environment.config().routes.find((other) => other.name === name)
      if (route === undefined) throw new UnderstudyError('NOT_FOUND', `no route is called '${name}'`)
      if (kind === 'cleanup') mayClean(environment.config(), name)
      else if (rolesOf(route.phase).shadow === null) throw notMirrored(name)
    },
    onChange,
    onDone,
    log,
  })
}
