import type { HistogramSnapshot } from './histogram.ts'

/**
 * The value below which `share` (0 to 1) of the observations lie, taken as evenly spread within a bucket, as Prometheus' `histogram_quantile` does; what
 * lies above the highest bound counts as that bound. In the unit of the bounds; null without observations.
 */
export function quantile(
  { bounds, counts }: Pick<HistogramSnapshot, 'bounds' | 'counts'>,
  share: number,
): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0)
  if (total === 0) return null
  const rank = share * total
  let below = 0
  for (let i = 0; i < bounds.length; i++) {
    const count = counts[i] ?? 0
    if (count > 0 && below + count >= rank) {
      const floor = i === 0 ? 0 : bounds[i - 1]!
      return floor + (bounds[i]! - floor) * ((rank - below) / count)
    }
    below += count
  }
  return bounds.at(-1) ?? null
}
