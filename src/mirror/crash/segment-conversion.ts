import type { IntentLog } from './intent-log.ts'
import { type IntentVisitor, SegmentReader } from './intent-segment.ts'

/** Of the log's closed segments, in bytes: where they begin to be turned into dirty keys, and where the log is given up. */
export interface LogLimits {
  readonly convertBytes: number
  readonly maxBytes: number
}

/** Segments are held up by a shadow that is down, or, beyond that, by whatever else. */
export const LOG_LIMITS: LogLimits = { convertBytes: 32 * 1024 * 1024, maxBytes: 256 * 1024 * 1024 }

/** Of a tick, for turning segments into dirty keys. */
const SLICE_MS = 4
const RECORDS_AT_ONCE = 64

/** A closed segment of the intent log that is being turned into dirty keys, a little at a time. */
export class SegmentConversion {
  readonly number: number
  readonly #reader: SegmentReader
  /** Changes that have to stand on disk before the segment may go; -1: it is not read to its end yet. */
  made = -1

  /** Throws what reading the file throws. */
  constructor(log: IntentLog, number: number) {
    this.number = number
    this.#reader = new SegmentReader(log.read(number))
  }

  /** Reads on, some milliseconds long; false: there is more. */
  advance(visitor: IntentVisitor): boolean {
    const untilMs = performance.now() + SLICE_MS
    while (this.#reader.read(visitor, RECORDS_AT_ONCE)) if (performance.now() > untilMs) return false
    return true
  }

  /** Once it is read to its end: nothing was amiss. */
  get whole(): boolean {
    return this.#reader.end === 'whole'
  }
}
