import type { Phase, RouteConfig } from '../../src/config/config.ts'
import type { DataPathOptions } from './data-path.ts'
import type { RedisServer } from './redis.ts'

/** One store: keys and a channel of jobs get other names, everything else keeps its own. */
export function renamedJobs(store: RedisServer, phase: Phase, scripts: RouteConfig['scripts']): DataPathOptions {
  return {
    stores: { store },
    routes: [
      {
        name: 'jobs',
        keys: ['job:{id}'],
        source: 'store',
        target: { store: 'store', keys: { 'job:{id}': 'step:{id}' }, channels: { job_events: 'step_events' } },
        phase,
        scripts,
      },
      { name: 'rest', source: 'store', scripts },
    ],
  }
}
