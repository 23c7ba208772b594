import type { Route } from '../routing/route.ts'
import { type AckWaiter, acknowledge } from './ack-waiter.ts'

/** Why a key is known or feared to differ on the shadow. */
export type DirtyReason =
  | 'shadow-down'
  | 'shadow-error'
  /** The shadow's answer to a write was not the primary's. */
  | 'shadow-differs'
  | 'backlog-full'
  | 'primary-lost'
  | 'overlap'
  | 'unknown-effect'
  | 'state-copy'
  | 'read-miss'
  | 'mismatch'
  | 'crash'

export interface DirtyKey {
  readonly route: string
  readonly database: number
  /** The application's name of it. */
  readonly key: Buffer
  reason: DirtyReason
  /** Coarse clock, of the first mark. */
  readonly sinceMs: number
  /** Counts marks: a copy clears the key only if none came after it had been begun. */
  version: number
  /** Copies that failed. */
  attempts: number
  /** Coarse clock; not copied again before. */
  notBeforeMs: number
  /** Replies that wait until it is clean (`mirror.mode: sync`). */
  waiters: AckWaiter[] | null
  /** Not in the set any more. */
  gone: boolean
}

/** The dirty keys of one route, by database and name. */
interface RouteKeys {
  readonly all: Map<string, DirtyKey>
  /** Those that may be copied now, oldest first: not under way, not postponed. */
  readonly ready: Set<DirtyKey>
  /** There have been more than can be remembered, or something happened to keys that nobody can name. */
  needsVerify: boolean
}

/**
 * The keys whose shadow may differ from the primary. A key leaves only by a state copy that succeeded (invariant 4).
 *
 *   mark ─▶ ready ──take──▶ being copied ─┬─ copied, not marked meanwhile ─▶ out
 *             ▲                           ├─ copied, marked meanwhile ─────▶ ready
 *             └──wake── postponed ◀───────┴─ failed
 *
 * Bounded: beyond `limit` keys of a route the set only remembers that the route as a whole needs a verify, loudly, instead of growing.
 */
export class DirtySet {
  readonly #routes = new Map<string, RouteKeys>()
  /** By delay: entries of one delay are due in the order in which they came. */
  readonly #postponed = new Map<number, Set<DirtyKey>>()
  readonly #limit: number
  readonly onChange: ((entry: DirtyKey, dirty: boolean) => void) | null
  readonly onOverflow: ((route: string) => void) | null
  #size = 0

  constructor(
    limit: number,
    onChange: ((entry: DirtyKey, dirty: boolean) => void) | null = null,
    onOverflow: ((route: string) => void) | null = null,
  ) {
    this.#limit = limit
    this.onChange = onChange
    this.onOverflow = onOverflow
  }

  get size(): number {
    return this.#size
  }

  /** Dirty keys of a route. */
  count(route: string): number {
    return this.#routes.get(route)?.all.size ?? 0
  }

  /** Only a verify of the whole route can tell what differs. */
  needsVerify(route: string): boolean {
    return this.#routes.get(route)?.needsVerify ?? false
  }

  has(route: string, database: number, key: Buffer): boolean {
    return this.#size > 0 && (this.#routes.get(route)?.all.has(nameOf(database, key)) ?? false)
  }

  /** `waiter`: told when the key is clean. */
  mark(
    route: Route,
    database: number,
    key: Buffer,
    reason: DirtyReason,
    nowMs: number,
    waiter: AckWaiter | null = null,
  ): void {
    const keys = this.#keysOf(route.name)
    const name = nameOf(database, key)
    let entry = keys.all.get(name)
    if (entry !== undefined) {
      entry.version++
      entry.reason = reason
    } else if (keys.all.size >= this.#limit) {
      this.markRoute(route.name)
      if (waiter !== null) waiter.failed = true
      return
    } else {
      entry = {
        route: route.name,
        database,
        key,
        reason,
        sinceMs: nowMs,
        version: 1,
        attempts: 0,
        notBeforeMs: 0,
        waiters: null,
        gone: false,
      }
      keys.all.set(name, entry)
      keys.ready.add(entry)
      this.#size++
      route.state.dirtied++
      this.onChange?.(entry, true)
    }
    if (waiter === null) return
    waiter.pending++
    entry.waiters ??= []
    entry.waiters.push(waiter)
  }

  /** Something of the route may differ, and nobody can name the keys. */
  markRoute(route: string): void {
    const keys = this.#keysOf(route)
    if (keys.needsVerify) return
    keys.needsVerify = true
    this.onOverflow?.(route)
  }

  // --- for the one who copies

  /** Routes that have dirty keys. */
  *routes(): Generator<string> {
    for (const [route, keys] of this.#routes) if (keys.all.size > 0) yield route
  }

  /** All of a route, oldest first. */
  *keys(route: string): Generator<DirtyKey> {
    yield* this.#routes.get(route)?.all.values() ?? []
  }

  /** Takes the oldest key that may be copied now; `copied` or `postpone` puts an end to it. */
  take(route: string): DirtyKey | undefined {
    const ready = this.#routes.get(route)?.ready
    const entry = ready?.values().next().value
    if (entry !== undefined) ready!.delete(entry)
    return entry
  }

  /** A state copy that was begun at `version` has been acknowledged by the shadow. True when the key is clean now. */
  copied(entry: DirtyKey, version: number): boolean {
    if (entry.gone) return true
    entry.attempts = 0
    if (entry.version === version) this.#remove(entry, true)
    else this.#routes.get(entry.route)!.ready.add(entry)
    return entry.gone
  }

  /** It could not be copied: not again before `delayMs` have passed. */
  postpone(entry: DirtyKey, nowMs: number, delayMs: number): void {
    if (entry.gone) return
    entry.notBeforeMs = nowMs + delayMs
    let set = this.#postponed.get(delayMs)
    if (set === undefined) this.#postponed.set(delayMs, (set = new Set()))
    set.add(entry)
  }

  /** Makes those ready whose delay is over. */
  wake(nowMs: number): void {
    for (const set of this.#postponed.values()) {
      for (const entry of set) {
        if (entry.notBeforeMs > nowMs) break
        set.delete(entry)
        if (!entry.gone) this.#routes.get(entry.route)!.ready.add(entry)
      }
    }
  }

  // --- when routes change

  /** The route mirrors no more: its dirty keys mean nothing. */
  forget(route: string): void {
    for (const entry of this.keys(route)) this.#remove(entry, false)
    this.#routes.delete(route)
  }

  /** A complete backfill or verify has looked at every key of the route. */
  verified(route: string): void {
    const keys = this.#routes.get(route)
    if (keys !== undefined) keys.needsVerify = false
  }

  #keysOf(route: string): RouteKeys {
    let keys = this.#routes.get(route)
    if (keys === undefined) this.#routes.set(route, (keys = { all: new Map(), ready: new Set(), needsVerify: false }))
    return keys
  }

  #remove(entry: DirtyKey, ok: boolean): void {
    const keys = this.#routes.get(entry.route)!
    keys.all.delete(nameOf(entry.database, entry.key))
    keys.ready.delete(entry)
    entry.gone = true
    this.#size--
    this.onChange?.(entry, false)
    const { waiters } = entry
    entry.waiters = null
    for (const waiter of waiters ?? []) acknowledge(waiter, ok)
  }
}

function nameOf(database: number, key: Buffer): string {
  return `${database} ${key.toString('latin1')}`
}
