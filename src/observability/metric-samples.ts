import type { HistogramSample, NumberSample } from './metric-spec.ts'
import type { MetricsSnapshot, RouteMetrics, StoreMetrics } from './metrics-snapshot.ts'

/** What the label `route` holds. */
export const ROUTE = "the route's name"

/** Samples of every route, each with the route's label in front. */
export function perRoute<Sample extends NumberSample | HistogramSample>(
  snapshot: MetricsSnapshot,
  samples: (route: RouteMetrics) => Sample[],
): Sample[] {
  return Object.entries(snapshot.routes).flatMap(([name, route]) =>
    samples(route).map((sample) => ({ ...sample, labels: { route: name, ...sample.labels } })),
  )
}

export function perSentinelStore(
  { stores }: MetricsSnapshot,
  value: (of: NonNullable<StoreMetrics['sentinel']>) => number,
): NumberSample[] {
  return Object.entries(stores).flatMap(([store, { sentinel }]) =>
    sentinel === null ? [] : [{ labels: { store }, value: value(sentinel) }],
  )
}

export function byLabel(label: string, values: Readonly<Record<string, number>>): NumberSample[] {
  return Object.entries(values).map(([name, value]) => ({ labels: { [label]: name }, value }))
}

export function single(value: number): NumberSample[] {
  return [{ labels: {}, value }]
}
