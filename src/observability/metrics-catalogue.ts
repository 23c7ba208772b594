import type { HistogramSample, MetricSpec, NumberSample } from './metric-spec.ts'
import type { MetricsSnapshot, RouteMetrics, StoreMetrics } from './metrics-snapshot.ts'

/** From 50 us, a fast store on the same machine, to 10 s, where every sensible timeout has passed. */
export const COMMAND_DURATION_BOUNDS: readonly number[] = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10,
]

/** A switch should hold writes for less than 50 ms; the bounds are dense around that. */
export const CUTOVER_PAUSE_BOUNDS: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
]

const PHASE_VALUES = ['passthrough', 'mirror', 'shadow', 'read-target', 'switched', 'done']
const REPAIR_STATES = ['idle', 'copying', 'paused', 'tripped']
const JOB_VALUES = ['backfill', 'verify', 'repair', 'cleanup']
const ROUTE = "the route's name"

/** Every metric of Understudy. What `/metrics` serves and what `docs/reference/metrics.md` says is made from this table. */
export const METRICS: readonly MetricSpec[] = [
  {
    name: 'understudy_commands_total',
    kind: 'counter',
    help: 'Commands sent to a store, by the role it has for the route and by what became of them.',
    labels: { route: ROUTE, role: ['primary', 'shadow'], outcome: ['ok', 'error', 'timeout', 'lost'] },
    samples: (snapshot) =>
      perRoute(snapshot, (route) =>
        Object.entries(route.commands).flatMap(([role, outcomes]) =>
          byLabel('outcome', outcomes).map(({ labels, value }) => ({ labels: { role, ...labels }, value })),
        ),
      ),
  },
  {
    name: 'understudy_command_duration_seconds',
    kind: 'histogram',
    help: 'Round trip to the store as seen by the proxy, time in the pipeline included.',
    labels: { route: ROUTE, role: ['primary', 'shadow'] },
    bounds: COMMAND_DURATION_BOUNDS,
    samples: (snapshot) =>
      perRoute(snapshot, (route) =>
        Object.entries(route.durations).map(([role, histogram]) => ({ labels: { role }, histogram })),
      ),
  },
  {
    name: 'understudy_mirror_lag_seconds',
    kind: 'gauge',
    help: 'Age of the oldest write not yet acknowledged by the shadow; 0 when none waits.',
    labels: { route: ROUTE },
    samples: (snapshot) => perRoute(snapshot, (route) => single(route.mirror.lagSeconds)),
  },
  {
    name: 'understudy_mirror_backlog_bytes',
    kind: 'gauge',
    help: 'Bytes of writes waiting for the shadow.',
    labels: { route: ROUTE },
    samples: (snapshot) => perRoute(snapshot, (route) => single(route.mirror.backlogBytes)),
  },
  {
    name: 'understudy_mirror_backlog_commands',
    kind: 'gauge',
    help: 'Commands waiting for the shadow.',
    labels: { route: ROUTE },
    samples: (snapshot) => perRoute(snapshot, (route) => single(route.mirror.backlogCommands)),
  },
  {
    name: 'understudy_mirror_writes_total',
    kind: 'counter',
    help: 'Writes of the primary by what became of them on the shadow: applied, refused there, settled by state copy, or left dirty.',
    labels: { route: ROUTE, outcome: ['applied', 'error', 'copied', 'dirty'] },
    samples: (snapshot) => perRoute(snapshot, (route) => byLabel('outcome', route.mirror.writes)),
  },
  {
    name: 'understudy_mirror_unknown_writes_total',
    kind: 'counter',
    help: 'Writes whose effect is in no table (of a module, or of a newer server): their keys are copied instead.',
    labels: { command: 'name of the command, upper case' },
    samples: (snapshot) => byLabel('command', snapshot.unknownWrites),
  },
  {
    name: 'understudy_dirty_keys',
    kind: 'gauge',
    help: 'Keys known or feared to differ, waiting for repair.',
    labels: { route: ROUTE },
    samples: (snapshot) => perRoute(snapshot, (route) => single(route.dirtyKeys)),
  },
  {
    name: 'understudy_dirty_keys_by_reason',
    kind: 'gauge',
    help: 'Dirty keys by the reason of their last mark; reasons without keys are left out.',
    labels: { route: ROUTE, reason: 'why the key is dirty' },
    samples: (snapshot) => perRoute(snapshot, (route) => byLabel('reason', route.dirtyReasons)),
  },
  {
    name: 'understudy_dirty_keys_hot',
    kind: 'gauge',
    help: 'Dirty keys that are written faster than they can be copied: the shadow has them as they were a moment ago, and they close no gate.',
    labels: { route: ROUTE },
    samples: (snapshot) => perRoute(snapshot, (route) => single(route.hotKeys)),
  },
  {
    name: 'understudy_key_holds_total',
    kind: 'counter',
    help: 'Times that the writes of one key were held so that it could be copied: it was read in time, or the hold was called off after 100 ms.',
    labels: { route: ROUTE, outcome: ['read', 'called-off'] },
    samples: (snapshot) => perRoute(snapshot, (route) => byLabel('outcome', route.keyHolds.outcomes)),
  },
  {
    name: 'understudy_key_hold_seconds_total',
    kind: 'counter',
    help: 'How long the writes of single keys were held by these, in all.',
    labels: { route: ROUTE },
    samples: (snapshot) => perRoute(snapshot, (route) => single(route.keyHolds.seconds)),
  },
  {
    name: 'understudy_dirty_oldest_seconds',
    kind: 'gauge',
    help: 'Age of the oldest dirty key; 0 when none is dirty.',
    labels: { route: ROUTE },
    samples: (snapshot) => perRoute(snapshot, (route) => single(route.oldestDirtySeconds)),
  },
  {
    name: 'understudy_needs_verify',
    kind: 'gauge',
    help: '1 when keys may differ that nobody can name: only a verify of the route can tell.',
    labels: { route: ROUTE },
    samples: (snapshot) => perRoute(snapshot, (route) => single(route.needsVerify ? 1 : 0)),
  },
  {
    name: 'understudy_cross_slot_commands_total',
    kind: 'counter',
    help: "Commands whose keys lie in several slots of the cluster that is the route's other end, which would answer them CROSSSLOT.",
    labels: { route: ROUTE, command: "the command's name; `MULTI`: a transaction" },
    samples: (snapshot) =>
      perRoute(snapshot, ({ crossSlots }) =>
        crossSlots.map(({ command, count }) => ({ labels: { command }, value: count })),
      ),
  },
  {
    name: 'understudy_scripts_in_doubt',
    kind: 'gauge',
    help: 'Scripts seen since the start that use keys which they do not declare, and may reach the route’s under the wrong names.',
    labels: { route: ROUTE },
    samples: (snapshot) => perRoute(snapshot, (route) => single(route.scriptsInDoubt)),
  },
  {
    name: 'understudy_repair_state',
    kind: 'gauge',
    help: 'How the copying of dirty keys goes: 1 for the state, 0 for the others. Paused: a store is not connected; tripped: copies keep failing.',
    labels: { route: ROUTE, state: REPAIR_STATES },
    samples: (snapshot) =>
      perRoute(snapshot, (route) =>
        REPAIR_STATES.map((state) => ({ labels: { state }, value: route.repair === state ? 1 : 0 })),
      ),
  },
  {
    name: 'understudy_durable',
    kind: 'gauge',
    help: '1 when keys in doubt would be known after a crash; 0: the state directory cannot be written.',
    labels: {},
    samples: (snapshot) => single(snapshot.durability.intact ? 1 : 0),
  },
  {
    name: 'understudy_intent_log_bytes',
    kind: 'gauge',
    help: 'Size on disk of the log of keys that are being written.',
    labels: {},
    samples: (snapshot) => single(snapshot.durability.intentLogBytes),
  },
  {
    name: 'understudy_compare_total',
    kind: 'counter',
    help: 'Sampled reads by the result of the comparison; a difference that was gone when checked again is transient, one that is acknowledged is no mismatch.',
    labels: { route: ROUTE, result: ['match', 'mismatch', 'transient', 'acknowledged', 'skipped'] },
    samples: (snapshot) => perRoute(snapshot, (route) => byLabel('result', route.compare)),
  },
  {
    name: 'understudy_compare_skipped_total',
    kind: 'counter',
    help: 'Sampled reads that were not compared, by the reason (docs/reference/comparison.md).',
    labels: {
      route: ROUTE,
      reason: ['disturbed', 'dirty', 'shadow', 'busy', 'large', 'split', 'arbitrary', 'moved', 'script'],
    },
    samples: (snapshot) => perRoute(snapshot, (route) => byLabel('reason', route.comparison.skipped)),
  },
  {
    name: 'understudy_compare_ignored_total',
    kind: 'counter',
    help: 'Matches that differ in what the route ignores or decodes.',
    labels: { route: ROUTE },
    samples: (snapshot) => perRoute(snapshot, (route) => single(route.comparison.ignored)),
  },
  {
    name: 'understudy_compare_repaired_total',
    kind: 'counter',
    help: 'Keys made dirty because of a confirmed mismatch (compare.repair).',
    labels: { route: ROUTE },
    samples: (snapshot) => perRoute(snapshot, (route) => single(route.comparison.repaired)),
  },
  {
    name: 'understudy_compare_baseline_total',
    kind: 'counter',
    help: 'Reads that the primary was asked twice (compare.baseline), by whether it answered the same.',
    labels: { route: ROUTE, result: ['match', 'differ'] },
    samples: (snapshot) =>
      perRoute(snapshot, ({ comparison: { baseline } }) =>
        byLabel('result', { match: baseline.compared - baseline.differed, differ: baseline.differed }),
      ),
  },
  {
    name: 'understudy_compare_duration_seconds',
    kind: 'histogram',
    help: 'Round trips of the same sampled reads to both stores, so that a slower shadow is seen; up to 200 reads a second.',
    labels: { route: ROUTE, role: ['primary', 'shadow'] },
    bounds: COMMAND_DURATION_BOUNDS,
    samples: (snapshot) =>
      perRoute(snapshot, (route) =>
        Object.entries(route.comparison.durations).map(([role, histogram]) => ({ labels: { role }, histogram })),
      ),
  },
  {
    name: 'understudy_mismatches_total',
    kind: 'counter',
    help: 'Confirmed differences between the stores.',
    labels: {
      route: ROUTE,
      class: ['missing', 'extra', 'type', 'value', 'length', 'order', 'ttl', 'error'],
      command: 'name of the command that was compared, upper case',
    },
    samples: (snapshot) =>
      perRoute(snapshot, (route) =>
        route.mismatches.map(({ class: differenceClass, command, count }) => ({
          labels: { class: differenceClass, command },
          value: count,
        })),
      ),
  },
  {
    name: 'understudy_fallback_reads_total',
    kind: 'counter',
    help: 'Reads of a route in read-target that the source answered, by the reason; open: the target was ill and not asked.',
    labels: { route: ROUTE, reason: ['miss', 'error', 'timeout', 'open'] },
    samples: (snapshot) => perRoute(snapshot, (route) => byLabel('reason', route.fallbackReads)),
  },
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

/** Samples of every route, each with the route's label in front. */
function perRoute<Sample extends NumberSample | HistogramSample>(
  snapshot: MetricsSnapshot,
  samples: (route: RouteMetrics) => Sample[],
): Sample[] {
  return Object.entries(snapshot.routes).flatMap(([name, route]) =>
    samples(route).map((sample) => ({ ...sample, labels: { route: name, ...sample.labels } })),
  )
}

function perSentinelStore(
  { stores }: MetricsSnapshot,
  value: (of: NonNullable<StoreMetrics['sentinel']>) => number,
): NumberSample[] {
  return Object.entries(stores).flatMap(([store, { sentinel }]) =>
    sentinel === null ? [] : [{ labels: { store }, value: value(sentinel) }],
  )
}

function byLabel(label: string, values: Readonly<Record<string, number>>): NumberSample[] {
  return Object.entries(values).map(([name, value]) => ({ labels: { [label]: name }, value }))
}

function single(value: number): NumberSample[] {
  return [{ labels: {}, value }]
}
