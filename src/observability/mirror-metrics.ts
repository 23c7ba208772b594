import { COMMAND_DURATION_BOUNDS } from './bounds.ts'
import { byLabel, perRoute, ROUTE, single } from './metric-samples.ts'
import type { MetricSpec } from './metric-spec.ts'

const REPAIR_STATES = ['idle', 'copying', 'paused', 'resting', 'tripped']

/** What the data path and the mirror tell of each route: commands, backlog, keys that may differ, repairs, durability. */
export const MIRROR_METRICS: readonly MetricSpec[] = [
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
    help: 'Scripts and functions seen since the start that use keys which they do not declare, and may reach the route’s under the wrong names.',
    labels: { route: ROUTE },
    samples: (snapshot) => perRoute(snapshot, (route) => single(route.scriptsInDoubt)),
  },
  {
    name: 'understudy_repair_state',
    kind: 'gauge',
    help: 'How the copying of dirty keys goes: 1 for the state, 0 for the others. Paused: a store is not connected; resting: a verify has to come first; tripped: copies keep failing.',
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
]
