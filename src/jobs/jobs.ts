import type { DatabaseSync } from 'node:sqlite'
import { UnderstudyError } from '../base/errors.ts'
import type { Config } from '../config/config.ts'
import type { Log } from '../observability/log.ts'
import type { Job, JobKind } from './job.ts'
import { JobStore } from './job-store.ts'
import { JobRunner, type JobWork } from './runner.ts'

export interface JobsOptions {
  readonly state: DatabaseSync
  readonly config: () => Config
  readonly onChange: (job: Job) => void
  readonly log: Log
}

/** The runner with every kind of job. */
export function jobRunner(options: JobsOptions): JobRunner {
  const { state, config, onChange, log } = options
  const work: Record<JobKind, JobWork> = { backfill: none, verify: none, repair: none, cleanup: none }
  return new JobRunner({
    store: new JobStore(state),
    work,
    mayStart: (kind, name) => {
      const route = config().routes.find((other) => other.name === name)
      if (route === undefined) throw new UnderstudyError('NOT_FOUND', `no route is called '${name}'`)
      throw new UnderstudyError('JOB_REFUSED', `${kind} cannot be run yet`)
    },
    onChange,
    onDone: () => {},
    log,
  })
}

async function none(): Promise<never> {
  throw new UnderstudyError('JOB_REFUSED', 'it cannot be run yet')
}
