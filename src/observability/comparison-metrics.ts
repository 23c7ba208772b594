import { COMMAND_DURATION_BOUNDS } from './bounds.ts'
import { byLabel, perRoute, ROUTE, single } from './metric-samples.ts'
import type { MetricSpec } from './metric-spec.ts'

/** What the comparison of reads tells of each route. */
export const COMPARISON_METRICS: readonly MetricSpec[] = [
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
      reason: ['disturbed', 'dirty', 'shadow', 'busy', 'large', 'split', 'arbitrary', 'altered', 'moved', 'script'],
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
]
