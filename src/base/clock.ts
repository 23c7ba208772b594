/** Of this process' clock when it began: what is set later does not move it. */
const EPOCH_MS = Date.now() - performance.now()

/**
 * Milliseconds since the epoch by a clock that nobody can set: what is measured against it (a store's clock) still holds when the machine's clock jumps. The same in all threads, to some
 * milliseconds.
 */
export function steadyNowMs(): number {
  return EPOCH_MS + performance.now()
}

/**
 * Time for what happens per command: a field, so that the hot path makes no call for it. `refresh` is called once per socket read and per tick:
 * all commands of one read share their moment. `nowMs` is monotonic (for ages and deadlines), in ms.
 */
export class CoarseClock {
  nowMs: number = performance.now()
  #timer: NodeJS.Timeout | null = null

  refresh(): void {
    this.nowMs = performance.now()
  }

  /** Advances every `tickMs` and calls `onTick`. Does not keep the process alive. */
  start(tickMs: number, onTick: (nowMs: number) => void): void {
    this.#timer = setInterval(() => {
      this.refresh()
      onTick(this.nowMs)
    }, tickMs)
    this.#timer.unref()
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }
}
