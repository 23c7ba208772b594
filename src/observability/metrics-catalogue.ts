import { COMPARISON_METRICS } from './comparison-metrics.ts'
import type { MetricSpec } from './metric-spec.ts'
import { MIRROR_METRICS } from './mirror-metrics.ts'
import { OPERATION_METRICS } from './operation-metrics.ts'

/** Every metric of Understudy. What `/metrics` serves and what `docs/reference/metrics.md` says is made from this table. */
export const METRICS: readonly MetricSpec[] = [...MIRROR_METRICS, ...COMPARISON_METRICS, ...OPERATION_METRICS]
