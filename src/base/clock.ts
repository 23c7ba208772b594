/**
 * Time for what happens per command: read from a field, advanced by `tick`, so that the hot path makes no system call for it.
 * `nowMs` is monotonic (for ages and deadlines), in ms, exact to one tick.
 */
export class CoarseClock {
  nowMs: number = performance.now()
  #timer: NodeJS.Timeout | null = null

  /** Advances every `tickMs` and calls `onTick`. Does not keep the process alive. */
  start(tickMs: number, onTick: (nowMs: number) => void): void {
    this.#timer = setInterval(() => {
      this.nowMs = performance.now()
      onTick(this.nowMs)
    }, tickMs)
    this.#timer.unref()
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }
}
