/** Of this process' clock when it began: what is set later does not move it. */
const EPOCH_MS = Date.now() - performance.now()

/**
 * Milliseconds since the epoch by a clock that nobody can set: what is measured against it (a store's clock) still holds when the machine's clock jumps. The same in all threads, to some
 * milliseconds.
 */
export function steadyNowMs(): number {
  return EPOCH_MS + performance.now()
}

/** Of the time between two ticks: more than any single piece of work takes. */
const STALL_MS = 500

/**
 * Time for what happens per command: a field, so that the hot path makes no call for it. `refresh` is called once per socket read and per tick:
 * all commands of one read share their moment. `nowMs` is monotonic (for ages and deadlines), in ms.
 */
export class CoarseClock {
  nowMs: number = performance.now()
  /** When this process went on after it had not been running for a while (SIGSTOP, a suspended machine, one busy with something else): what others have said meanwhile lies unread, so nobody is to be taken for silent since before then. */
  awakeSinceMs = Number.NEGATIVE_INFINITY
  #tickedMs = 0
  #timer: NodeJS.Timeout | null = null

  refresh(): void {
    this.nowMs = performance.now()
  }

  /** Advances every `tickMs` and calls `onTick`, but for the first time after a stall: what has arrived is read before. Does not keep the process alive. */
  start(tickMs: number, onTick: (nowMs: number) => void): void {
    this.refresh()
    this.#tickedMs = this.nowMs
    this.#timer = setInterval(() => {
      this.refresh()
      const stalled = this.nowMs - this.#tickedMs > STALL_MS
      this.#tickedMs = this.nowMs
      if (stalled) this.awakeSinceMs = this.nowMs
      else onTick(this.nowMs)
    }, tickMs)
    this.#timer.unref()
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }
}
