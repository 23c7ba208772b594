import { TokenBucket } from '../base/token-bucket.ts'
import type { DataPathContext } from './context.ts'
import type { DirtyKey, DirtySet } from './dirty-set.ts'
import type { OverlapTable } from './overlap.ts'
import { StateCopy } from './state-copy.ts'

/** Copies under way at once: enough to fill a round trip, few enough to stay out of the clients' way. */
const MAX_CONCURRENT = 64
/** Keys looked at per run that cannot be copied now. */
const MAX_PASSED_OVER = 256
const COPIES_PER_SECOND = 20_000

/**
 * Works the dirty set off by state copies, oldest first: `run` is called on the clock's tick and starts as many as rate and concurrency
 * allow. A route whose shadow or primary is down is passed over; a key that fails waits longer each time, and is never given up.
 */
export class Repairer {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  readonly #overlap: OverlapTable
  readonly #bucket: TokenBucket
  #running = 0
  /** A failing copy is logged once per cause until one succeeds again. */
  #lastError: string | null = null

  constructor(context: DataPathContext, dirty: DirtySet, overlap: OverlapTable) {
    this.#overlap = overlap
    this.#context = context
    this.#dirty = dirty
    this.#bucket = new TokenBucket(COPIES_PER_SECOND, COPIES_PER_SECOND / 20)
  }

  get running(): number {
    return this.#running
  }

  run(nowMs: number): void {
    if (this.#dirty.size === 0) return
    let passedOver = 0
    for (const entry of this.#dirty.values()) {
      if (this.#running >= MAX_CONCURRENT || passedOver >= MAX_PASSED_OVER) return
      if (entry.copying || entry.notBeforeMs > nowMs || !this.#canCopy(entry)) {
        passedOver++
        continue
      }
      if (!this.#bucket.take(nowMs)) return
      this.#copy(entry)
    }
  }

  #canCopy(entry: DirtyKey): boolean {
    const route = this.#context.routes.byName(entry.route)
    if (route === undefined || route.shadow === null) return false
    const shadow = this.#context.stores[route.shadow.store]!.shadow(entry.database)
    if (shadow.state === 'idle') shadow.connect()
    const primary = this.#context.stores[route.primary.store]!.shared(entry.database, 2)
    if (primary.state === 'idle') primary.connect()
    return shadow.state === 'up' && primary.state === 'up'
  }

  #copy(entry: DirtyKey): void {
    const route = this.#context.routes.byName(entry.route)!
    const copy = new StateCopy(this.#context, this.#dirty, this.#overlap, entry, route, (ok, error) =>
      this.#ended(entry, ok, error),
    )
    if (copy.start()) this.#running++
  }

  #ended(entry: DirtyKey, ok: boolean, error: string | null): void {
    this.#running--
    if (ok) {
      this.#lastError = null
      // More keys may be waiting than one tick may start: go on at once.
      this.run(this.#context.clock.nowMs)
      return
    }
    if (error === 'OVERLAP') {
      entry.notBeforeMs = this.#context.clock.nowMs + 5
      return
    }
    entry.attempts++
    entry.notBeforeMs = this.#context.clock.nowMs + Math.min(10_000, 100 * 2 ** Math.min(entry.attempts, 10))
    // Error texts of stores may quote a key: only the code goes to the log.
    const cause = error?.split(' ', 1)[0] ?? 'unknown'
    if (cause === this.#lastError) return
    this.#lastError = cause
    this.#context.log({
      level: 'warn',
      msg: 'a dirty key could not be copied to the shadow; it stays dirty and is tried again',
      fields: { route: entry.route, reason: cause, attempt: entry.attempts },
    })
  }
}
