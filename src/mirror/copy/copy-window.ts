/** Of a job: keys under way at first, at least, at most. */
const FIRST = 64
const MIN = 32
const MAX = 4096
const STEP = 16
/** What copies may wait for each other, beyond the way to the stores and back: a client's command waits as long behind them. */
const DELAY_MS = 2
/** How often the window is looked at, and how long the shortest time of a copy is remembered (once to twice). */
const INTERVAL_MS = 10
const MEMORY_MS = 5_000

/**
 * How many copies may be under way at once, so that the pipelines are never empty and a client's command never waits long: copies stand in the same queues as the clients' commands, so what
 * they take beyond the way there and back is what they take from clients. As much more as they stay under that, in proportion less when they do not; a window that is found by delay (as TCP Vegas does it) fits a
 * store in the same machine, one beyond an ocean, and one that others keep busy.
 */
export class CopyWindow {
  size: number = FIRST
  #sumMs = 0
  #count = 0
  #wasFull = false
  #lookedMs = 0
  #shortestMs = Number.POSITIVE_INFINITY
  #shortestBeforeMs = Number.POSITIVE_INFINITY
  #rememberedMs = 0

  /** There were more keys to copy than the window has room for. */
  full(): void {
    this.#wasFull = true
  }

  /** A copy took so long. */
  took(ms: number, nowMs: number): void {
    // A large key takes what it takes, by pieces that leave room.
    this.#sumMs += Math.min(ms, 10 * DELAY_MS + this.#wayMs)
    this.#count++
    if (ms < this.#shortestMs) this.#shortestMs = ms
    if (nowMs - this.#lookedMs >= INTERVAL_MS) this.#look(nowMs)
  }

  get #wayMs(): number {
    const ms = Math.min(this.#shortestMs, this.#shortestBeforeMs)
    return Number.isFinite(ms) ? ms : 0
  }

  #look(nowMs: number): void {
    const meanMs = this.#sumMs / this.#count
    const allowedMs = this.#wayMs + DELAY_MS
    if (meanMs > allowedMs) this.size = Math.max(MIN, Math.floor(this.size * Math.max(0.5, allowedMs / meanMs)))
    else if (this.#wasFull) this.size = Math.min(MAX, this.size + STEP)
    this.#sumMs = 0
    this.#count = 0
    this.#wasFull = false
    this.#lookedMs = nowMs
    if (nowMs - this.#rememberedMs < MEMORY_MS) return
    this.#rememberedMs = nowMs
    this.#shortestBeforeMs = this.#shortestMs
    this.#shortestMs = Number.POSITIVE_INFINITY
  }
}
