import { CircuitBreaker } from '../../base/circuit-breaker.ts'
import { TokenBucket } from '../../base/token-bucket.ts'
import type { Route } from '../../routing/route.ts'
import type { DataPathContext } from '../context.ts'
import type { DirtyKey } from '../dirty/dirty-key.ts'
import type { DirtySet } from '../dirty/dirty-set.ts'
import { type CopyManner, isServerUnsure, mannerOf } from '../dirty/resting-keys.ts'
import type { OverlapTable } from '../keys/overlap.ts'
import { isStranded } from '../shadow/stranded.ts'
import { OpenedPrimaries } from '../stores/opened-primaries.ts'
import { causeIn } from '../stores/store-errors.ts'
import { GONE, MOVED } from './copied-key.ts'
import { KeyHolds, TOO_LARGE } from './key-holds.ts'
import { AGAIN, STRANDED, StateCopy } from './state-copy.ts'

/** Copies of a route under way at once: enough to fill a round trip, few enough to stay out of the clients' way. */
const MAX_CONCURRENT = 64
const COPIES_PER_SECOND = 20_000
const SOON_MS = 5
/** A key that was written meanwhile is copied again after a rest of so many times as long as its copy took, at most this. */
const PACE = 4
const MAX_PACE_MS = 4_096
/** The primary was not there after all. */
const UNCONNECTED_DELAY_MS = 20
const MAX_LOST_DELAY_MS = 1_280
const FIRST_DELAY_MS = 100
const MAX_DELAY_MS = 10_000

/** A key that waits for a verify (`mannerOf`) is looked at again after so long, and so many in one run. */
const RESTING_MS = 5_000
const MAX_RESTING = 4_096
/** One that the primary was found to lack is asked for again after so long, and so many in all: there may be a hundred thousand. */
const GONE_MS = 10_000
const GONE_PER_SECOND = 500

/** Failures in a row of a route, over all its keys: so many can hardly be the fault of the keys. */
const BREAKER = { threshold: 512, firstPauseMs: 500, maxPauseMs: 5_000, probes: 64 }

/** A cause is said once in so long, however many copies fail by it, and whatever fails or succeeds between. */
const SAID_AGAIN_MS = 60_000
/** Error codes are the store's words: there may be any number. */
const MOST_CAUSES = 32

/** How the copying of a route goes. `paused`: its shadow or its primary is not connected. `resting`: a verify has to come first for all of them, for the primary may be the side that lacks something. `tripped`: copies keep failing, a few are tried now and then. */
export type RepairState = 'idle' | 'copying' | 'paused' | 'resting' | 'tripped'

interface RouteWork {
  readonly breaker: CircuitBreaker
  running: number
  paused: boolean
  /** Why the last copy failed (`causeIn`); null: it did not. */
  refused: string | null
  /** When the last key is tried again that waits for that (coarse clock), those that rest apart. */
  againMs: number
  /** Failing copies by cause: when that was last said, and how many have failed since (`count` of the log line). */
  readonly said: Map<string, { atMs: number; since: number }>
}

/**
 * Works the dirty set off by state copies: `run` is called on the clock's tick and starts as many as rate and concurrency allow, from the route with the oldest key
 * on, oldest first. A route whose shadow or primary is down is passed over; a key that fails waits longer each time behind all the others, and is
 * never given up, unless it is of a database that the primary does not have. Where copies keep failing the route's breaker opens, so that a store in trouble is asked a few times a second at most.
 */
export class Repairer {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  readonly #overlap: OverlapTable
  readonly #bucket: TokenBucket
  readonly #holds: KeyHolds
  readonly #work = new Map<string, RouteWork>()
  readonly #primaries: OpenedPrimaries
  /** For keys that the primary was found to lack; those that became dirty together come again together. */
  readonly #again = new TokenBucket(GONE_PER_SECOND, (GONE_PER_SECOND * RESTING_MS) / 1000)

  /** `resume`: sessions that wait look again. */
  constructor(context: DataPathContext, dirty: DirtySet, overlap: OverlapTable, resume: () => void) {
    this.#holds = new KeyHolds(context, overlap, resume)
    this.#overlap = overlap
    this.#context = context
    this.#dirty = dirty
    this.#primaries = new OpenedPrimaries(context)
    this.#bucket = new TokenBucket(COPIES_PER_SECOND, COPIES_PER_SECOND / 20)
  }

  /** Copies under way. */
  get running(): number {
    let running = 0
    for (const work of this.#work.values()) running += work.running
    return running
  }

  stateOf(route: string): RepairState {
    const work = this.#work.get(route)
    if (work === undefined || this.#dirty.count(route) === 0) return 'idle'
    if (work.paused) return 'paused'
    if (work.breaker.state !== 'closed') return 'tripped'
    const isWaiting = work.running > 0 || this.#context.clock.nowMs <= work.againMs + SOON_MS
    return !isWaiting && this.#dirty.toVerify.mayPrimaryLack(route) ? 'resting' : 'copying'
  }

  /** Why the route's last copy failed: an error's code, `OOM` say; null: copies succeed, or there is nothing to copy. */
  refusedCopyOf(route: string): string | null {
    return this.#dirty.count(route) === 0 ? null : (this.#work.get(route)?.refused ?? null)
  }

  run(nowMs: number): void {
    if (this.#dirty.size === 0) return
    // While a switch holds everybody nothing rests.
    const switching = this.#context.routes.routes.some(({ state }) => state.switching)
    this.#dirty.wake(switching ? Number.POSITIVE_INFINITY : nowMs)
    const names = [...this.#dirty.routes()]
    if (names.length > 1)
      names.sort((one, other) => this.#dirty.figures.oldestMs(one)! - this.#dirty.figures.oldestMs(other)!)
    for (const name of names) {
      const route = this.#context.routes.byName(name)
      // Gone: its keys are on their way to other routes (`Rehoming`).
      if (route === undefined) this.#work.delete(name)
      else if (!this.#workOn(route, nowMs)) return
    }
  }

  /** False: the rate allows no more now, of any route. */
  #workOn(route: Route, nowMs: number): boolean {
    const work = this.#workOf(route.name)
    work.paused = true
    let resting = 0
    for (const database of this.#dirty.dirtyDatabases(route.name)) {
      if (!this.#isConnected(route, database)) {
        if (route.shadow !== null && this.#primaries.hasNone(route.primary.storeName, database))
          this.#dirty.drop(route.name, database)
        continue
      }
      work.paused = false
      while (work.running < MAX_CONCURRENT && this.#dirty.isReady(route.name, database)) {
        const entry = this.#dirty.take(route.name, database)!
        const manner = mannerOf(this.#context, this.#dirty, entry)
        if (manner === 'rests' || (manner === 'unless-gone' && entry.attempts > 0 && !this.#again.take(nowMs))) {
          // Costs nothing but the look: others must not wait behind many of them.
          this.#dirty.postpone(entry, nowMs, RESTING_MS)
          if (++resting === MAX_RESTING) return true
          continue
        }
        const isAllowed = work.breaker.allows(nowMs)
        if (isAllowed && this.#bucket.take(nowMs)) this.#copy(work, entry, manner, nowMs)
        else {
          this.#tryAgain(work, entry, nowMs, UNCONNECTED_DELAY_MS)
          return !isAllowed
        }
      }
    }
    return true
  }

  #isConnected(route: Route, database: number): boolean {
    if (route.shadow === null || isServerUnsure(this.#context, route)) return false
    const store = this.#context.stores[route.shadow.store]!
    // One that has no such database may have it by and by.
    const shadow = store.shadows.to(database)
    if (shadow.state === 'idle') shadow.connect()
    const primary = this.#primaries.open(route.primary, database)
    return (shadow.state === 'up' || isStranded(store, database)) && primary.state === 'up'
  }

  #copy(work: RouteWork, entry: DirtyKey, manner: CopyManner, nowMs: number): void {
    const hold = this.#holds.dueOf(entry, nowMs)
    const ended = (ok: boolean, error: string | null): void => {
      const tookMs = this.#context.clock.nowMs - nowMs
      work.running--
      if (ok) this.#succeeded(work, entry, copy.inPieces, tookMs)
      else this.#failed(work, entry, error, tookMs)
    }
    const copy = new StateCopy(this.#context, this.#dirty, this.#overlap, entry, ended, hold, manner === 'at-once')
    work.running++
    if (copy.start()) return
    work.running--
    this.#tryAgain(work, entry, nowMs, UNCONNECTED_DELAY_MS)
  }

  #succeeded(work: RouteWork, entry: DirtyKey, inPieces: boolean, tookMs: number): void {
    const { nowMs } = this.#context.clock
    work.refused = null
    if (work.breaker.succeeded())
      this.#context.log({ level: 'info', msg: 'copies to the shadow succeed again', fields: { route: entry.route } })
    if (entry.gone || !inPieces) this.#holds.forget(entry, nowMs)
    else this.#holds.inVain(entry, nowMs)
    if (!entry.gone) this.#rest(work, entry, nowMs, tookMs)
    // More keys may be waiting than one tick may start: go on at once.
    this.run(nowMs)
  }

  /** It was written meanwhile: without a rest, copies of a key that is written all the time would follow each other. */
  #rest(work: RouteWork, entry: DirtyKey, nowMs: number, tookMs: number): void {
    if (this.#dirty.isAwaited(entry)) return this.#tryAgain(work, entry, nowMs, SOON_MS)
    let restMs = SOON_MS
    while (restMs < PACE * tookMs && restMs < MAX_PACE_MS) restMs *= 2
    this.#tryAgain(work, entry, nowMs, restMs)
  }

  #failed(work: RouteWork, entry: DirtyKey, error: string | null, tookMs: number): void {
    const { nowMs } = this.#context.clock
    if (error === AGAIN || error === TOO_LARGE) {
      if (error === AGAIN) this.#holds.inVain(entry, nowMs)
      else this.#holds.tooLarge(entry)
      this.#rest(work, entry, nowMs, tookMs)
      return
    }
    this.#holds.forget(entry, nowMs)
    if (error === GONE) {
      // Both stores have answered.
      work.breaker.succeeded()
      entry.attempts ||= 1
      return this.#dirty.postpone(entry, nowMs, GONE_MS)
    }
    // It is begun anew, by what is known by then.
    if (error === MOVED) return this.#tryAgain(work, entry, nowMs, UNCONNECTED_DELAY_MS)
    if (error === STRANDED) {
      this.#tryAgain(work, entry, nowMs, MAX_DELAY_MS)
      return
    }
    const route = this.#context.routes.byName(entry.route)
    if (route === undefined || !this.#isConnected(route, entry.database)) {
      // Lost with its connection: most likely nothing is wrong with the key.
      // Where connections are lost again and again, it may be by this very copy: each time it waits longer.
      entry.attempts++
      this.#tryAgain(
        work,
        entry,
        nowMs,
        Math.min(MAX_LOST_DELAY_MS, UNCONNECTED_DELAY_MS * 2 ** Math.min(entry.attempts - 1, 10)),
      )
      return
    }
    entry.attempts++
    const delayMs = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(entry.attempts, 10))
    this.#tryAgain(work, entry, nowMs, delayMs)
    this.#count(work, entry, error === null ? 'unknown' : causeIn(error), nowMs)
  }

  #tryAgain(work: RouteWork, entry: DirtyKey, nowMs: number, delayMs: number): void {
    work.againMs = Math.max(work.againMs, nowMs + delayMs)
    this.#dirty.postpone(entry, nowMs, delayMs)
  }

  #count(work: RouteWork, entry: DirtyKey, cause: string, nowMs: number): void {
    const { log } = this.#context
    const { route, attempts } = entry
    work.refused = cause
    const was = work.breaker.state
    if (work.breaker.failed(nowMs) && was === 'closed') {
      log({
        level: 'warn',
        msg: 'copies to the shadow keep failing: they pause, and a few are tried now and then',
        fields: { route, reason: cause, keys: this.#dirty.count(route), retryInMs: work.breaker.pauseMs },
      })
    }
    let said = work.said.get(cause)
    if (said !== undefined) said.since++
    if (said !== undefined && nowMs - said.atMs < SAID_AGAIN_MS) return
    if (said === undefined) {
      if (work.said.size >= MOST_CAUSES) work.said.clear()
      work.said.set(cause, (said = { atMs: 0, since: 1 }))
    }
    log({
      level: 'warn',
      msg: 'a dirty key could not be copied to the shadow; it stays dirty and is tried again',
      fields: { route, reason: cause, attempt: attempts, count: said.since },
    })
    said.atMs = nowMs
    said.since = 0
  }

  #workOf(route: string): RouteWork {
    let work = this.#work.get(route)
    if (work === undefined) {
      work = {
        breaker: new CircuitBreaker(BREAKER),
        running: 0,
        paused: false,
        refused: null,
        againMs: 0,
        said: new Map(),
      }
      this.#work.set(route, work)
    }
    return work
  }
}
