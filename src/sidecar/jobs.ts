import type { DatabaseSync } from 'node:sqlite'
import type { MismatchControl } from '../admin/mismatch-control.ts'
import { UnderstudyError } from '../base/errors.ts'
import type { RouteConfig } from '../config/config.ts'
import type { Completeness } from '../cutover/completeness.ts'
import { jobRunner } from '../jobs/jobs.ts'
import type { Job, JobReport } from '../jobs/runner/job.ts'
import type { JobRunner } from '../jobs/runner/runner.ts'
import type { Log } from '../observability/log.ts'
import type { ProvisionedStores } from '../upstream/provision.ts'
import type { ConfigurationInForce } from './configuration-in-force.ts'
import type { DataPathThread } from './thread.ts'

interface SidecarJobsOptions {
  /** `state.db`, open. */
  readonly state: DatabaseSync
  readonly inForce: ConfigurationInForce
  readonly completeness: Completeness
  readonly mismatches: MismatchControl
  readonly thread: DataPathThread
  readonly stores: ProvisionedStores
  readonly onChange: (job: Job) => void
  readonly log: Log
}

/** Runs jobs between the ends that routes have in the configuration in force. What a job makes of an end is known before it goes on: to the gates, and to the data path. */
export function sidecarJobs({
  state,
  inForce,
  completeness,
  mismatches,
  thread,
  stores,
  onChange,
  log,
}: SidecarJobsOptions): JobRunner {
  const routeOf = (name: string): RouteConfig | undefined => inForce.config.routes.find((other) => other.name === name)
  /** Throws JOB_REFUSED: the gates have looked at the ends of the route. */
  const mustNotMove = (route: string): void => {
    if (!inForce.isMoving(route)) return
    throw new UnderstudyError(
      'JOB_REFUSED',
      `the authority of route '${route}' is about to move: resume the job when the switch is over`,
    )
  }
  const done = async ({ kind, route: name, startedAt }: Job, report: JobReport): Promise<void> => {
    const route = routeOf(name)
    if (route === undefined || !report.clean || (kind !== 'backfill' && kind !== 'verify')) return
    completeness.completed(route, kind, Date.parse(startedAt!), Date.now())
    await inForce.tellEnds()
  }
  return jobRunner({
    state,
    environment: {
      config: () => inForce.config,
      endpoint: (store) => stores.endpointIn(inForce.config, store),
      version: (store) => stores.health.get(store)?.version ?? null,
      ailment: (store) => {
        const health = stores.health.get(store)
        return health === undefined || health.up ? null : health.error
      },
      dataPath: thread,
      mustStay: mustNotMove,
      cleaning: async (route) => {
        mustNotMove(route)
        completeness.cleaned(route, 'source', Date.now())
        await inForce.tellEnds()
      },
      restoring: async (name) => {
        mustNotMove(name)
        completeness.restored(routeOf(name)!, 'source', Date.now())
        await inForce.tellEnds()
      },
      mismatchedKeys: (route) => mismatches.keysOf(route),
      mended: (route, database, keys, sinceMs) => mismatches.mended(route, database, keys, sinceMs),
    },
    onDone: done,
    onChange,
    log,
  })
}
