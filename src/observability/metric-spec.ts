import type { HistogramSnapshot } from './histogram.ts'
import type { MetricsSnapshot } from './metrics-snapshot.ts'

export type Labels = Readonly<Record<string, string>>

export interface NumberSample {
  readonly labels: Labels
  readonly value: number
}

export interface HistogramSample {
  readonly labels: Labels
  readonly histogram: HistogramSnapshot
}

interface MetricText {
  readonly name: string
  /** One sentence; `docs/reference/metrics.md` and the `# HELP` line show it. */
  readonly help: string
  /** Label name -> what stands in it: the list of its values where that is closed, else a description. */
  readonly labels: Readonly<Record<string, readonly string[] | string>>
}

export type MetricSpec =
  | (MetricText & {
      readonly kind: 'counter' | 'gauge'
      readonly samples: (snapshot: MetricsSnapshot) => NumberSample[]
    })
  | (MetricText & {
      readonly kind: 'histogram'
      /** Upper bounds in seconds. */
      readonly bounds: readonly number[]
      readonly samples: (snapshot: MetricsSnapshot) => HistogramSample[]
    })
