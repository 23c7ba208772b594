import { isAbsolute } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { UnderstudyError } from '../base/errors.ts'
import type { Log } from '../observability/log.ts'
import { rolesOf } from '../routing/route.ts'
import { backfill, notMirrored } from './backfill.ts'
import { mayClean } from './cleaner.ts'
import { cleanup } from './cleanup.ts'
import { mustBeUsable } from './files/job-file.ts'
import { repair } from './repair.ts'
import { restore } from './restore.ts'
import type { JobEnvironment } from './runner/environment.ts'
import type { Job, JobKind, JobOptions, JobReport } from './runner/job.ts'
import { JobStore } from './runner/job-store.ts'
import { JobRunner, type JobWork } from './runner/runner.ts'
import { exportKeys, importKeys } from './transfer.ts'
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
  const routeOf = (name: string) => environment.config().routes.find((other) => other.name === name)
  const work: Record<JobKind, JobWork> = {
    backfill: (task) => backfill(environment, task),
    verify: (task) => verify(environment, task),
    repair: (task) => repair(environment, store, task),
    cleanup: (task) => cleanup(environment, task),
    restore: (task) => restore(environment, task),
    import: (task) => importKeys(environment, task),
    export: (task) => exportKeys(environment, task),
  }
  return new JobRunner({
    store,
    work,
    mayStart: (kind, name, options) => {
      const route = routeOf(name)
      if (route === undefined) throw new UnderstudyError('NOT_FOUND', `no route is called '${name}'`)
      if (kind === 'cleanup') mayClean(environment.config(), name)
      else if (WITH_FILES.has(kind)) {
        needsFile(kind, options)
        const begun = store.list({ route: name, states: ['paused', 'failed'], limit: MAX_BEGUN })
        mustBeUsable(
          kind,
          options,
          begun.some((job) => job.kind === kind && job.options.file === options.file),
        )
      } else if (rolesOf(route.phase).shadow === null) throw notMirrored(name)
    },
    isRoute: (name) => routeOf(name) !== undefined,
    onChange,
    onDone,
    log,
  })
}

/** Jobs of one route that may be resumed. */
const MAX_BEGUN = 1_000

const WITH_FILES: ReadonlySet<JobKind> = new Set(['restore', 'import', 'export'])

function needsFile(kind: JobKind, { file }: JobOptions): void {
  if (file !== undefined && isAbsolute(file)) return
  throw new UnderstudyError('USAGE', `options.file: ${kind} needs the absolute path of a file`)
}
