import { CUTOVER_PAUSE_BOUNDS } from './bounds.ts'
import { perRoute, perSentinelStore, ROUTE, single } from './metric-samples.ts'
import type { MetricSpec } from './metric-spec.ts'

const PHASE_VALUES = ['passthrough', 'mirror', 'shadow', 'read-target', 'switched', 'done']
const JOB_VALUES = ['backfill', 'verify', 'repair', 'cleanup', 'restore', 'import', 'export']

/** What operations tell: jobs, phases and switches, stores, clients, the configuration. */
export const OPERATION_METRICS: readonly MetricSpec[] = [
  {
    name: 'understudy_job_keys_total',
    kind: 'counter',
    help: 'Keys that a job has worked on. What a dry run would copy, repair or delete is not counted.',
    labels: {
      route: ROUTE,
      job: JOB_VALUES,
      outcome: ['copied', 'skipped', 'failed', 'compared', 'different', 'repaired', 'deleted'],
    },
    samples: (snapshot) =>
      perRoute(snapshot, (route) =>
        route.jobKeys.map(({ job, outcome, count }) => ({ labels: { job, outcome }, value: count })),
      ),
  },
  {
    name: 'understudy_job_running',
    kind: 'gauge',
    help: '1 while the newest job of this kind runs (also while it is held back by lag or load), else 0.',
    labels: { route: ROUTE, job: JOB_VALUES },
    samples: (snapshot) =>
      perRoute(snapshot, (route) =>
        route.jobs.map(({ job, running }) => ({ labels: { job }, value: running ? 1 : 0 })),
      ),
  },
  {
    name: 'understudy_job_failed',
    kind: 'gauge',
    help: '1 when the newest job of this kind has failed, else 0.',
    labels: { route: ROUTE, job: JOB_VALUES },
    samples: (snapshot) =>
      perRoute(snapshot, (route) => route.jobs.map(({ job, failed }) => ({ labels: { job }, value: failed ? 1 : 0 }))),
  },
  {
    name: 'understudy_job_done_keys',
    kind: 'gauge',
    help: 'Keys that the newest job of this kind has looked at so far.',
    labels: { route: ROUTE, job: JOB_VALUES },
    samples: (snapshot) =>
      perRoute(snapshot, (route) => route.jobs.map(({ job, done }) => ({ labels: { job }, value: done }))),
  },
  {
    name: 'understudy_phase',
    kind: 'gauge',
    help: '1 for the phase in force, 0 for the others.',
    labels: { route: ROUTE, phase: PHASE_VALUES },
    samples: (snapshot) =>
      perRoute(snapshot, (route) =>
        PHASE_VALUES.map((phase) => ({ labels: { phase }, value: route.phase === phase ? 1 : 0 })),
      ),
  },
  {
    name: 'understudy_cutover_pause_seconds',
    kind: 'histogram',
    help: 'How long the commands of a route were held by a switch.',
    labels: { route: ROUTE },
    bounds: CUTOVER_PAUSE_BOUNDS,
    samples: (snapshot) => perRoute(snapshot, (route) => [{ labels: {}, histogram: route.cutoverPauses }]),
  },
  {
    name: 'understudy_store_up',
    kind: 'gauge',
    help: '1 when the store answers the health probe (a cluster: when every slot can be reached), else 0.',
    labels: { store: "the store's name" },
    samples: (snapshot) =>
      Object.entries(snapshot.stores).map(([store, { up }]) => ({ labels: { store }, value: up ? 1 : 0 })),
  },
  {
    name: 'understudy_store_node_up',
    kind: 'gauge',
    help: '1 when the node of a cluster answers the health probe, else 0.',
    labels: { store: "the store's name", node: '`host:port`', role: '`master`, `replica`' },
    samples: (snapshot) =>
      Object.entries(snapshot.stores).flatMap(([store, { nodes }]) =>
        nodes.map(({ address, role, up }) => ({ labels: { store, node: address, role }, value: up ? 1 : 0 })),
      ),
  },
  {
    name: 'understudy_store_failovers_total',
    kind: 'counter',
    help: 'How often the Sentinels of the store have named another primary.',
    labels: { store: "the store's name" },
    samples: (snapshot) => perSentinelStore(snapshot, ({ failovers }) => failovers),
  },
  {
    name: 'understudy_store_sentinels_answering',
    kind: 'gauge',
    help: 'Sentinels of the store that answer; 0: a failover would not be noticed.',
    labels: { store: "the store's name" },
    samples: (snapshot) => perSentinelStore(snapshot, ({ answering }) => answering),
  },
  {
    name: 'understudy_clients_connected',
    kind: 'gauge',
    help: 'Connections of applications.',
    labels: {},
    samples: (snapshot) => single(snapshot.clients.connected),
  },
  {
    name: 'understudy_config_last_reload_successful',
    kind: 'gauge',
    help: '1 when the configuration file was last read without a problem; 0: the last good one is still in force.',
    labels: {},
    samples: (snapshot) => single(snapshot.config.lastReloadSuccessful ? 1 : 0),
  },
  {
    name: 'understudy_config_epoch',
    kind: 'gauge',
    help: 'Grows by one with every configuration that comes into force.',
    labels: {},
    samples: (snapshot) => single(snapshot.config.epoch),
  },
]
