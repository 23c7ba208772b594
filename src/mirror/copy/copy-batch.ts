import { append } from '../../base/append.ts'
import { routeShape } from '../../routing/route-shape.ts'
import type { RouteTable } from '../../routing/route-table.ts'
import type { DataPathContext } from '../context.ts'
import type { DirtyKey } from '../dirty/dirty-key.ts'
import type { DirtySet } from '../dirty/dirty-set.ts'
import { isServerUnsure } from '../dirty/resting-keys.ts'
import type { OverlapTable } from '../keys/overlap.ts'
import { strandedBecause } from '../shadow/stranded.ts'
import { GONE, MOVED } from './copied-key.ts'
import { CopyWindow } from './copy-window.ts'
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

/** By what the keys of a batch were found: a route, and what it was then (`routeShape`). */
export interface CopyOrigin {
  readonly route: string
  readonly shape: string
  /** Whether keys that the primary has no more are deleted on the shadow. Else they are left: where a client has deleted one, that goes to the shadow by itself; where the primary has lost one, the shadow has the last copy. `unless-lost`: not while the primary may be the side that lacks something. */
  readonly deletes: 'never' | 'unless-lost' | 'always'
}

/** A key that writes come across again and again is given back after so many attempts. */
const MAX_DISTURBANCES = 100
/** Of one turn of the event loop, for beginning copies: clients' commands are read between two turns. */
const TURN_MS = 0.5
/** Keys between two looks at the time. */
const LOOK_AFTER = 8

/**
 * Copies keys in batches, by state copies of a window of keys at a time (`CopyWindow`), and no more in one turn of the event loop than it has time for. Whoever asks waits for a batch before
 * the one after the next, so what waits here is bounded by that.
 *
 * Whoever asks has seen the keys at the primary that the route had then. Once another store, or another name, is the primary, or it may have lost something, nothing of a batch is begun any more: what is not there yet, or no more, would be deleted where it is.
 */
export class BatchCopier {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  readonly #overlap: OverlapTable
  readonly #window = new CopyWindow()
  /** In the order in which they came. */
  readonly #batches = new Set<Batch>()
  #running = 0
  /** What routes are in the table in force, as far as somebody has asked. */
  readonly #shapes = new Map<string, string>()
  #shapesOf: RouteTable | null = null
  #scheduled = false

  constructor(context: DataPathContext, dirty: DirtySet, overlap: OverlapTable) {
    this.#context = context
    this.#dirty = dirty
    this.#overlap = overlap
  }

  /** `keys`: the application's names; kept until the batch ends. `window`: at most so many copies under way, of all batches. */
  copy(origin: CopyOrigin, database: number, keys: readonly Buffer[], window: number): Promise<BatchResult> {
    if (keys.length === 0) return Promise.resolve({ outcomes: new Uint8Array(0), reasons: [] })
    return new Promise((resolve) => {
      const doubts = this.#dirty.toVerify.primaryTimes(origin.route)
      const batch: Batch = new Batch(origin, doubts, database, keys, window, (result) => {
        this.#batches.delete(batch)
        resolve(result)
      })
      this.#batches.add(batch)
      this.#schedule()
    })
  }

  /** Called on the clock's tick: what had to wait for a moment is tried again. */
  run(): void {
    for (const batch of this.#batches) batch.wake()
    if (this.#batches.size > 0) this.#schedule()
  }

  /** After every socket that had bytes has been read. */
  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => this.#fill())
  }

  #fill(): void {
    this.#scheduled = false
    let limit = this.#window.size
    for (const batch of this.#batches) limit = Math.min(limit, batch.window)
    const untilMs = performance.now() + TURN_MS
    let begun = 0
    for (const batch of this.#batches) {
      for (; batch.waits; this.#begin(batch, batch.next())) {
        if (this.#running >= limit) return this.#window.full()
        if (++begun % LOOK_AFTER === 0 && performance.now() > untilMs) return this.#schedule()
      }
    }
  }

  #begin(batch: Batch, index: number): void {
    const { route, shape } = batch.origin
    if (this.#shapeOf(route) !== shape || this.#dirty.toVerify.primaryTimes(route) !== batch.doubts)
      return batch.finish(index, NOT_NOW, MOVED)
    const stranded = this.#stranded(batch.database, batch.keys[index]!)
    if (stranded !== null) return batch.finish(index, FAILED, stranded)
    const startedMs = performance.now()
    const ended = (ok: boolean, error: string | null): void => {
      this.#running--
      const nowMs = performance.now()
      if (ok) this.#window.took(nowMs - startedMs, nowMs)
      this.#schedule()
      batch.ended(index, ok || error === GONE, error)
    }
    // Before it is started: it may have ended by then.
    this.#running++
    if (this.#start(batch, batch.keys[index]!, ended)) return
    this.#running--
    batch.finish(index, NOT_NOW, 'a store is down')
  }

  #shapeOf(route: string): string {
    const { routes } = this.#context
    if (routes !== this.#shapesOf) {
      this.#shapesOf = routes
      this.#shapes.clear()
    }
    let shape = this.#shapes.get(route)
    if (shape === undefined) this.#shapes.set(route, (shape = routeShape(routes.config, route)))
    return shape
  }

  /** Why the shadow has no such key and gets none. One key for all of its database becomes dirty, so that everybody is told of it until it is gone. */
  #stranded(database: number, key: Buffer): string | null {
    if (database === 0) return null
    const { routes, stores, clock } = this.#context
    const { route } = routes.find(key, 0, key.length)
    if (route.shadow === null) return null
    const store = stores[route.shadow.store]!
    // What was refused some seconds ago is asked for again.
    if (store.cluster === null && store.shadows.to(database).state !== 'closed') return null
    const because = strandedBecause(store, database)
    if (because !== null && !this.#dirty.dirtyDatabases(route.name).includes(database))
      this.#dirty.mark(route, database, key, 'shadow-error', clock.nowMs)
    return because
  }

  #start({ origin, database }: Batch, key: Buffer, onEnd: (ok: boolean, error: string | null) => void): boolean {
    const { routes, stores, clock } = this.#context
    const { route } = routes.find(key, 0, key.length)
    if (route.shadow === null || isServerUnsure(this.#context, route)) return false
    const shadow = stores[route.shadow.store]!.shadows.to(database)
    if (shadow.state === 'idle') shadow.connect()
    const primary = stores[route.primary.store]!.shared(database, 2)
    if (primary.state === 'idle') primary.connect()
    if (shadow.state !== 'up' || primary.state !== 'up') return false
    const { deletes } = origin
    const mayDelete =
      deletes === 'always' || (deletes === 'unless-lost' && !this.#dirty.toVerify.mayPrimaryLack(route.name))
    return new StateCopy(
      this.#context,
      this.#dirty,
      this.#overlap,
      detached(route.name, database, key, clock.nowMs),
      onEnd,
      null,
      mayDelete,
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

/** Keys that were handed in together, and what became of each. */
class Batch {
  readonly origin: CopyOrigin
  /** How often the primary may have lost something when the batch came (`VerifyMarks.primaryTimes`). */
  readonly doubts: number
  readonly database: number
  readonly keys: readonly Buffer[]
  readonly window: number
  readonly #onEnd: (result: BatchResult) => void
  readonly #outcomes: Uint8Array<ArrayBuffer>
  readonly #reasons: [number, string][] = []
  #next = 0
  #finished = 0
  /** Indexes that wait for the next tick, those that are to be tried again now, and how often each has been. */
  #disturbed: number[] = []
  #again: number[] = []
  readonly #attempts = new Map<number, number>()

  constructor(
    origin: CopyOrigin,
    doubts: number,
    database: number,
    keys: readonly Buffer[],
    window: number,
    onEnd: (result: BatchResult) => void,
  ) {
    this.origin = origin
    this.doubts = doubts
    this.database = database
    this.keys = keys
    this.window = window
    this.#onEnd = onEnd
    this.#outcomes = new Uint8Array(keys.length)
  }

  /** Keys are to be copied now. */
  get waits(): boolean {
    return this.#again.length > 0 || this.#next < this.keys.length
  }

  /** Index of the next of them. */
  next(): number {
    return this.#again.pop() ?? this.#next++
  }

  wake(): void {
    if (this.#disturbed.length === 0) return
    append(this.#again, this.#disturbed)
    this.#disturbed = []
  }

  ended(index: number, ok: boolean, error: string | null): void {
    if (ok) this.finish(index, COPIED, null)
    else if (error === AGAIN) {
      const attempts = (this.#attempts.get(index) ?? 0) + 1
      this.#attempts.set(index, attempts)
      if (attempts > MAX_DISTURBANCES) this.finish(index, NOT_NOW, 'it is written all the time')
      else this.#disturbed.push(index)
    } else this.finish(index, isPassing(error) ? NOT_NOW : FAILED, error)
  }

  finish(index: number, outcome: number, reason: string | null): void {
    this.#outcomes[index] = outcome
    if (reason !== null) this.#reasons.push([index, reason])
    if (++this.#finished === this.keys.length) this.#onEnd({ outcomes: this.#outcomes, reasons: this.#reasons })
  }
}

/** Errors that are about the moment, not about the key: the connection was lost, the server is loading, full or failing over, a slot of its cluster is moving or unserved. */
function isPassing(error: string | null): boolean {
  return (
    error !== null &&
    /^(ERR Understudy:|LOADING|BUSY |TRYAGAIN|CLUSTERDOWN|MOVED|ASK |OOM|MISCONF|READONLY|MASTERDOWN|NOREPLICAS)/.test(
      error,
    )
  )
}
