/** Spans over which rates are told, ms. */
export const WINDOWS = { '1m': 60_000, '10m': 600_000, '1h': 3_600_000 } as const
export type WindowName = keyof typeof WINDOWS

export interface WindowCounts {
  readonly compared: number
  readonly mismatched: number
}

/**
 * Counts of the last hour in buckets of ten seconds, in a ring. A bucket is cleared when its place is needed again, so nothing runs while nothing
 * is counted.
 *
 *   bucket of a moment = floor(nowMs / 10 s); its place in the ring = that % 361 (the current one is not whole)
 */
export class RateWindow {
  readonly #buckets = new Int32Array(PLACES).fill(-1)
  readonly #compared = new Float64Array(PLACES)
  readonly #mismatched = new Float64Array(PLACES)

  record(nowMs: number, compared: number, mismatched: number): void {
    const bucket = Math.floor(nowMs / BUCKET_MS)
    const place = bucket % PLACES
    if (this.#buckets[place] !== bucket) {
      this.#buckets[place] = bucket
      this.#compared[place] = 0
      this.#mismatched[place] = 0
    }
    this.#compared[place]! += compared
    this.#mismatched[place]! += mismatched
  }

  /** What was counted in the last `spanMs`, to the bucket. */
  sum(nowMs: number, spanMs: number): WindowCounts {
    const now = Math.floor(nowMs / BUCKET_MS)
    const oldest = now - spanMs / BUCKET_MS
    let compared = 0
    let mismatched = 0
    for (let place = 0; place < PLACES; place++) {
      const bucket = this.#buckets[place]!
      if (bucket <= oldest || bucket > now) continue
      compared += this.#compared[place]!
      mismatched += this.#mismatched[place]!
    }
    return { compared, mismatched }
  }

  sums(nowMs: number): Record<WindowName, WindowCounts> {
    return {
      '1m': this.sum(nowMs, WINDOWS['1m']),
      '10m': this.sum(nowMs, WINDOWS['10m']),
      '1h': this.sum(nowMs, WINDOWS['1h']),
    }
  }
}

const BUCKET_MS = 10_000
const PLACES = 361
