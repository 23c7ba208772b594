import { collectDefaultMetrics, type Metric, Registry } from 'prom-client'
import type { HistogramSample, MetricSpec } from './metric-spec.ts'
import { METRICS } from './metrics-catalogue.ts'
import type { MetricsSnapshot } from './metrics-snapshot.ts'

/** One line of the exposition as prom-client's registry wants it; `metricName` only where it differs (`_bucket`, `_sum`, `_count`). */
interface ExpositionValue {
  readonly value: number
  readonly labels: Readonly<Record<string, string>>
  readonly metricName?: string
}

export interface MetricsText {
  readonly contentType: string
  readonly body: string
}

/**
 * `/metrics`: the catalogue, read from one snapshot per scrape, and prom-client's own metrics of the Node process.
 *
 * The numbers are counted elsewhere (plain numbers in the data path), while a prom-client Counter or Histogram can only count itself. So
 * what is registered is not one of its classes but the one thing its registry asks of a metric: a `get()` that gives name, help, type and values.
 */
export class Metrics {
  readonly #registry = new Registry()
  readonly #takeSnapshot: () => Promise<MetricsSnapshot>
  #rendering: Promise<MetricsText> | null = null
  #snapshot: MetricsSnapshot | null = null

  constructor(snapshot: () => Promise<MetricsSnapshot>) {
    this.#takeSnapshot = snapshot
    for (const spec of METRICS) {
      const metric = {
        name: spec.name,
        get: async () => ({
          name: spec.name,
          help: spec.help,
          type: spec.kind,
          aggregator: 'sum',
          values: this.#snapshot === null ? [] : expositionValues(spec, this.#snapshot),
        }),
      }
      this.#registry.registerMetric(metric as unknown as Metric)
    }
    collectDefaultMetrics({ register: this.#registry })
  }

  /** The Prometheus text format. Scrapes that overlap share one snapshot and one text. */
  render(): Promise<MetricsText> {
    this.#rendering ??= this.#render().finally(() => {
      this.#rendering = null
    })
    return this.#rendering
  }

  async #render(): Promise<MetricsText> {
    this.#snapshot = await this.#takeSnapshot()
    return { contentType: this.#registry.contentType, body: await this.#registry.metrics() }
  }
}

function expositionValues(spec: MetricSpec, snapshot: MetricsSnapshot): ExpositionValue[] {
  if (spec.kind !== 'histogram') return spec.samples(snapshot)
  return spec.samples(snapshot).flatMap((sample) => histogramValues(spec.name, sample))
}

/** Cumulated buckets up to `+Inf`, then sum and count, as the exposition format asks for. */
function histogramValues(name: string, { labels, histogram }: HistogramSample): ExpositionValue[] {
  const values: ExpositionValue[] = []
  let cumulated = 0
  for (let i = 0; i <= histogram.bounds.length; i++) {
    cumulated += histogram.counts[i] ?? 0
    const le = i < histogram.bounds.length ? String(histogram.bounds[i]) : '+Inf'
    values.push({ metricName: `${name}_bucket`, labels: { ...labels, le }, value: cumulated })
  }
  values.push({ metricName: `${name}_sum`, labels, value: histogram.sum })
  values.push({ metricName: `${name}_count`, labels, value: cumulated })
  return values
}
