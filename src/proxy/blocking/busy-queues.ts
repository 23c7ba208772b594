/**
 * Keys from which blocking commands take what is there already, so that it pays to try them on the shared connection first, where what is taken has a place among the writes.
 *
 *   taken at once while nobody wrote, twice in a row ─▶ it has a backlog ────────┐
 *   taken at once among writes, three times within a second ─▶ busy ─────────────┴─▶ tried first, until a try takes nothing or for five seconds without any
 */
export class BusyQueues {
  readonly #keys = new Map<number, Queue>()

  /** Whether a command is to be tried first. `hash`: of its first key. */
  isBusy(hash: number, nowMs: number): boolean {
    const queue = this.#keys.get(hash)
    return queue !== undefined && nowMs < queue.busyUntilMs
  }

  /** A command has taken something at once, on a connection of its own. `alone`: nobody else wrote to its keys meanwhile. */
  tookAtOnce(hash: number, alone: boolean, nowMs: number): void {
    let queue = this.#keys.get(hash)
    if (queue === undefined) {
      // Of too many the oldest is forgotten: it is learned again at the cost of some copies.
      if (this.#keys.size >= MOST_KEYS) for (const [oldest] of this.#keys) if (this.#keys.delete(oldest)) break
      queue = { sinceMs: nowMs, times: 0, aloneMs: Number.NEGATIVE_INFINITY, busyUntilMs: 0 }
      this.#keys.set(hash, queue)
    }
    if (nowMs - queue.sinceMs > WITHIN_MS) {
      queue.sinceMs = nowMs
      queue.times = 0
    }
    if (alone ? nowMs - queue.aloneMs <= BACKLOG_MS : ++queue.times >= TIMES) queue.busyUntilMs = nowMs + BUSY_MS
    queue.aloneMs = alone ? nowMs : Number.NEGATIVE_INFINITY
  }

  /** A command has waited there: nothing had been left. */
  waited(hash: number): void {
    const queue = this.#keys.get(hash)
    if (queue !== undefined) queue.aloneMs = Number.NEGATIVE_INFINITY
  }

  /** A try has taken something, or not: then nothing is there, and the next commands may wait at once. */
  tried(hash: number, took: boolean, nowMs: number): void {
    const queue = this.#keys.get(hash)
    if (queue === undefined) return
    queue.busyUntilMs = took ? nowMs + BUSY_MS : 0
    if (took) return
    queue.times = 0
    queue.aloneMs = Number.NEGATIVE_INFINITY
  }
}

/** Times by the coarse clock. */
interface Queue {
  sinceMs: number
  times: number
  aloneMs: number
  busyUntilMs: number
}

const MOST_KEYS = 4096
const TIMES = 3
const WITHIN_MS = 1000
const BACKLOG_MS = 60_000
const BUSY_MS = 5000
