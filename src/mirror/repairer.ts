import { TokenBucket } from '../base/token-bucket.ts'
import type { DataPathContext } from './context.ts'
import type { DirtyKey, DirtySet } from './dirty-set.ts'
import type { OverlapTable } from './overlap.ts'
import { AGAIN, StateCopy } from './state-copy.ts'

/** Copies under way at once: enough to fill a round trip, few enough to stay out of the clients' way. */
const MAX_CONCURRENT = 64
const COPIES_PER_SECOND = 20_000
/** Keys looked at per run that cannot be copied now. */
const MAX_PASSED_OVER = 256
const SOON_MS = 5
/** Until connections are there. */
const UNCONNECTED_DELAY_MS = 20
const FIRST_DELAY_MS = 100
const MAX_DELAY_MS = 10_000

/**
 * Works the dirty set off by state copies, route by route, oldest first: `run` is called on the clock's tick and starts as many as rate and concurrency
 * allow. A route whose shadow or primary is down is passed over; a key that fails waits longer each time behind all the others, and is never given up.
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
    this.#dirty.wake(nowMs)
    for (const name of this.#dirty.routes()) {
      if (this.#context.routes.byName(name) === undefined) this.#rehome(name, nowMs)
      else if (!this.#work(name, nowMs)) return
    }
  }

  /** False: no more may be started now, of any route. */
  #work(route: string, nowMs: number): boolean {
    for (let passedOver = 0; passedOver < MAX_PASSED_OVER; ) {
      if (this.#running >= MAX_CONCURRENT) return false
      const entry = this.#dirty.take(route)
      if (entry === undefined) return true
      if (!this.#canCopy(entry)) {
        // Another database's connections may be there.
        this.#dirty.postpone(entry, nowMs, UNCONNECTED_DELAY_MS)
        passedOver++
      } else if (!this.#bucket.take(nowMs)) {
        this.#dirty.postpone(entry, nowMs, SOON_MS)
        return false
      } else this.#copy(entry, nowMs)
    }
    return true
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

  #copy(entry: DirtyKey, nowMs: number): void {
    const copy = new StateCopy(this.#context, this.#dirty, this.#overlap, entry, (ok, error) =>
      this.#ended(entry, ok, error),
    )
    if (copy.start()) this.#running++
    else this.#dirty.postpone(entry, nowMs, UNCONNECTED_DELAY_MS)
  }

  #ended(entry: DirtyKey, ok: boolean, error: string | null): void {
    const { nowMs } = this.#context.clock
    this.#running--
    if (ok) {
      this.#lastError = null
      // More keys may be waiting than one tick may start: go on at once.
      this.run(nowMs)
      return
    }
    if (error === AGAIN) {
      this.#dirty.postpone(entry, nowMs, SOON_MS)
      return
    }
    entry.attempts++
    const delayMs = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(entry.attempts, 10))
    this.#dirty.postpone(entry, nowMs, delayMs)
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

  /** The route is gone from the configuration: its keys are other routes' now. */
  #rehome(name: string, nowMs: number): void {
    for (const { key, database, reason } of [...this.#dirty.keys(name)]) {
      const { route } = this.#context.routes.find(key, 0, key.length)
      if (route.shadow !== null) this.#dirty.mark(route, database, key, reason, nowMs)
    }
    this.#dirty.forget(name)
  }
}
