/**
 * A histogram as plain data: it can be posted between threads, merged, and written as Prometheus text.
 * `counts` has one entry more than `bounds`: the last is everything above the highest bound.
 */
export interface HistogramSnapshot {
  /** Upper bounds, inclusive, ascending, in seconds. */
  readonly bounds: readonly number[]
  /** How many observations fell into each bucket, not cumulated. */
  readonly counts: readonly number[]
  /** Sum of all observations in seconds. */
  readonly sum: number
}

/**
 * A histogram with fixed buckets for the hot path: `record` allocates nothing and makes no call.
 *
 * ```
 * bounds    0.001   0.01   0.1
 * counts  [   0   |   1   |  2  |  3  ]      value v goes to the first bucket with v <= bound, else to the last
 * ```
 */
export class Histogram {
  readonly bounds: readonly number[]
  readonly counts: Float64Array
  sum = 0

  /** @param bounds upper bounds in seconds, ascending and finite; the bucket above the last one is implied. */
  constructor(bounds: readonly number[]) {
    for (let i = 0; i < bounds.length; i++) {
      if (!Number.isFinite(bounds[i]) || (i > 0 && bounds[i]! <= bounds[i - 1]!)) {
        throw new RangeError('histogram bounds must be finite and ascending')
      }
    }
    this.bounds = bounds
    this.counts = new Float64Array(bounds.length + 1)
  }

  /** Counts one observation, or `times` of the same. What is no duration (negative, NaN) is not counted: it would spoil `sum` for good. */
  record(seconds: number, times = 1): void {
    if (!(seconds >= 0)) return
    const bounds = this.bounds
    let bucket = 0
    while (bucket < bounds.length && seconds > bounds[bucket]!) bucket++
    this.counts[bucket]! += times
    this.sum += seconds * times
  }

  /** Adds what another histogram of the same bounds has counted. */
  merge(other: HistogramSnapshot): void {
    if (other.bounds.length !== this.bounds.length || other.bounds.some((bound, i) => bound !== this.bounds[i])) {
      throw new RangeError('histograms of different bounds cannot be merged')
    }
    for (let i = 0; i < this.counts.length; i++) this.counts[i]! += other.counts[i] ?? 0
    this.sum += other.sum
  }

  snapshot(): HistogramSnapshot {
    return { bounds: this.bounds, counts: Array.from(this.counts), sum: this.sum }
  }
}
