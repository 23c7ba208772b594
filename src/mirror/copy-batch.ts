import type { DataPathContext } from './context.ts'
import type { DirtyKey } from './dirty-key.ts'
import type { DirtySet } from './dirty-set.ts'
import type { OverlapTable } from './overlap.ts'
import { AGAIN, StateCopy } from './state-copy.ts'

/** What became of one key of a batch. */
export const COPIED = 0
/** Not now: a store is down, the backlog is full, writes of another connection came across. */
const NOT_NOW = 1
export const FAILED = 2

export interface BatchResult {
  /** One of the above for each key. */
  readonly outcomes: Uint8Array<ArrayBuffer>
  /** Reasons of those that failed or could not be copied now, by the key's index. */
  readonly reasons: readonly (readonly [index: number, reason: string])[]
}

/** A key that writes come across again and again is given back after so many attempts. */
const MAX_DISTURBANCES = 100

/**
 * Copies keys in batches, by state copies of `window` keys at a time: enough to fill the round trips, few enough to stay out of the clients' way. Whoever asks waits for a batch before
 * the one after the next, so what waits here is bounded by that.
 */
export class BatchCopier {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  readonly #overlap: OverlapTable
  readonly #batches = new Set<Batch>()

  constructor(context: DataPathContext, dirty: DirtySet, overlap: OverlapTable) {
    this.#context = context
    this.#dirty = dirty
    this.#overlap = overlap
  }

  /** `keys`: the application's names; kept until the batch ends. */
  copy(database: number, keys: readonly Buffer[], window: number): Promise<BatchResult> {
    return new Promise((resolve) => {
      const start = (key: Buffer, onEnd: (ok: boolean, error: string | null) => void): boolean =>
        this.#start(database, key, onEnd)
      const batch = new Batch(keys, window, start, (result) => {
        this.#batches.delete(batch)
        resolve(result)
      })
      this.#batches.add(batch)
      batch.fill()
    })
  }

  /** Called on the clock's tick: what had to wait for a moment is tried again. */
  run(): void {
    for (const batch of this.#batches) batch.wake()
  }

  #start(database: number, key: Buffer, onEnd: (ok: boolean, error: string | null) => void): boolean {
    const { routes, stores, clock } = this.#context
    const { route } = routes.find(key, 0, key.length)
    if (route.shadow === null) return false
    const shadow = stores[route.shadow.store]!.shadow(database)
    if (shadow.state === 'idle') shadow.connect()
    const primary = stores[route.primary.store]!.shared(database, 2)
    if (primary.state === 'idle') primary.connect()
    if (shadow.state !== 'up' || primary.state !== 'up') return false
    return new StateCopy(
      this.#context,
      this.#dirty,
      this.#overlap,
      detached(route.name, database, key, clock.nowMs),
      onEnd,
    ).start()
  }
}

/** An entry as the dirty set has them, of a key that is not in it. */
function detached(route: string, database: number, key: Buffer, nowMs: number): DirtyKey {
  return {
    route,
    database,
    key,
    reason: 'state-copy',
    sinceMs: nowMs,
    version: 0,
    attempts: 0,
    gone: true,
  }
}

class Batch {
  readonly #keys: readonly Buffer[]
  readonly #window: number
  readonly #start: (key: Buffer, onEnd: (ok: boolean, error: string | null) => void) => boolean
  readonly #onEnd: (result: BatchResult) => void
  readonly #outcomes: Uint8Array<ArrayBuffer>
  readonly #reasons: [number, string][] = []
  #next = 0
  #running = 0
  #ended = 0
  /** Indexes that are to be tried again, and how often each has been. */
  #again: number[] = []
  readonly #attempts = new Map<number, number>()
  #filling = false

  constructor(
    keys: readonly Buffer[],
    window: number,
    start: (key: Buffer, onEnd: (ok: boolean, error: string | null) => void) => boolean,
    onEnd: (result: BatchResult) => void,
  ) {
    this.#keys = keys
    this.#window = window
    this.#start = start
    this.#onEnd = onEnd
    this.#outcomes = new Uint8Array(keys.length)
  }

  fill(): void {
    // A copy can end while it is being started; the loop below sees to what that makes room for.
    if (this.#filling) return
    this.#filling = true
    while (this.#running < this.#window && this.#next < this.#keys.length) this.#begin(this.#next++)
    this.#filling = false
    if (this.#ended === this.#keys.length) this.#onEnd({ outcomes: this.#outcomes, reasons: this.#reasons })
  }

  wake(): void {
    const again = this.#again
    if (again.length === 0) return
    this.#again = []
    this.#filling = true
    for (const index of again) this.#begin(index)
    this.#filling = false
    this.fill()
  }

  #begin(index: number): void {
    this.#running++
    if (!this.#start(this.#keys[index]!, (ok, error) => this.#copied(index, ok, error))) {
      this.#running--
      this.#finish(index, NOT_NOW, 'a store is down')
    }
  }

  #copied(index: number, ok: boolean, error: string | null): void {
    this.#running--
    if (ok) this.#finish(index, COPIED, null)
    else if (error === AGAIN) {
      const attempts = (this.#attempts.get(index) ?? 0) + 1
      this.#attempts.set(index, attempts)
      if (attempts > MAX_DISTURBANCES) this.#finish(index, NOT_NOW, 'it is written all the time')
      else this.#again.push(index)
    } else this.#finish(index, isPassing(error) ? NOT_NOW : FAILED, error)
    this.fill()
  }

  #finish(index: number, outcome: number, reason: string | null): void {
    this.#ended++
    this.#outcomes[index] = outcome
    if (reason !== null) this.#reasons.push([index, reason])
  }
}

/** Errors that are about the moment, not about the key: the connection was lost, the server is loading, full or failing over. */
function isPassing(error: string | null): boolean {
  return (
    error !== null && /^(ERR Understudy:|LOADING|BUSY |TRYAGAIN|OOM|MISCONF|READONLY|MASTERDOWN|NOREPLICAS)/.test(error)
  )
}
