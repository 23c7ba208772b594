import type { CoarseClock } from '../../base/clock.ts'
import { CHUNK_BYTES } from './chunk.ts'

/** Keeps the writes of a pipeline `batchMs` apart, so that what comes meanwhile leaves in one system call; who cannot wait hurries it. */
export class WriteDelay {
  readonly #batchMs: number
  readonly #clock: CoarseClock
  readonly #writeNow: () => void
  #lastWriteMs = 0
  #hurried = false
  #timer: NodeJS.Timeout | null = null

  constructor(batchMs: number, clock: CoarseClock, writeNow: () => void) {
    this.#batchMs = batchMs
    this.#clock = clock
    this.#writeNow = writeNow
  }

  /** The next write is not held. */
  hurry(): void {
    this.#hurried = true
  }

  /** True: `bytes` wait for company, and `writeNow` is called when they have waited long enough. */
  holds(bytes: number): boolean {
    if (this.#hurried || bytes >= CHUNK_BYTES) return false
    const waitMs = this.#lastWriteMs + this.#batchMs - this.#clock.nowMs
    if (waitMs <= 0) return false
    this.#timer ??= setTimeout(() => {
      this.#timer = null
      this.#writeNow()
    }, waitMs)
    return true
  }

  /** Everything has been written. */
  written(): void {
    this.#hurried = false
    this.#lastWriteMs = this.#clock.nowMs
  }
}
