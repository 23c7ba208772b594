import type { Route } from '../routing/route.ts'

/** Why a key is known or feared to differ on the shadow. */
export type DirtyReason =
  | 'shadow-down'
  | 'shadow-error'
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
  /** Counts marks: a copy clears the key only if none came after the copy was read. */
  version: number
  /** A copy of it is under way. */
  copying: boolean
  attempts: number
  /** Coarse clock; not copied again before. */
  notBeforeMs: number
}

/**
 * The keys whose shadow may differ from the primary. A key leaves only by a state copy that succeeded (invariant 4). Insertion order is age:
 * the repairer takes the oldest first. Bounded: beyond `limit` keys of a route the set only remembers that the route as a whole needs a
 * verify, loudly, instead of growing.
 */
export class DirtySet {
  readonly #keys = new Map<string, DirtyKey>()
  readonly #count = new Map<string, number>()
  readonly #overflowed = new Set<string>()
  readonly #limit: number
  readonly onChange: ((entry: DirtyKey, dirty: boolean) => void) | null
  readonly onOverflow: ((route: string) => void) | null

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
    return this.#keys.size
  }

  /** Dirty keys of a route. */
  count(route: string): number {
    return this.#count.get(route) ?? 0
  }

  /** The route has had more dirty keys than the set can hold: only a verify of the whole route can tell what differs. */
  needsVerify(route: string): boolean {
    return this.#overflowed.has(route)
  }

  has(route: string, database: number, key: Buffer): boolean {
    return this.#keys.size > 0 && this.#keys.has(nameOf(route, database, key))
  }

  mark(route: Route, database: number, key: Buffer, reason: DirtyReason, nowMs: number): void {
    const name = nameOf(route.name, database, key)
    const known = this.#keys.get(name)
    if (known !== undefined) {
      known.version++
      known.reason = reason
      return
    }
    const count = this.count(route.name)
    if (count >= this.#limit) {
      if (!this.#overflowed.has(route.name)) {
        this.#overflowed.add(route.name)
        this.onOverflow?.(route.name)
      }
      return
    }
    const entry: DirtyKey = {
      route: route.name,
      database,
      key,
      reason,
      sinceMs: nowMs,
      version: 1,
      copying: false,
      attempts: 0,
      notBeforeMs: 0,
    }
    this.#keys.set(name, entry)
    this.#count.set(route.name, count + 1)
    route.state.dirtied++
    this.onChange?.(entry, true)
  }

  /** A state copy that was read at `version` has been acknowledged by the shadow. True when the key is clean now. */
  copied(entry: DirtyKey, version: number): boolean {
    entry.copying = false
    if (entry.version !== version) return false
    this.#remove(entry)
    return true
  }

  /** The route mirrors no more: its dirty keys mean nothing. */
  forget(route: string): void {
    for (const entry of this.#keys.values()) if (entry.route === route) this.#remove(entry)
    this.#overflowed.delete(route)
  }

  /** A complete backfill or verify has looked at every key of the route. */
  verified(route: string): void {
    this.#overflowed.delete(route)
  }

  /** Oldest first. */
  values(): IterableIterator<DirtyKey> {
    return this.#keys.values()
  }

  #remove(entry: DirtyKey): void {
    if (!this.#keys.delete(nameOf(entry.route, entry.database, entry.key))) return
    this.#count.set(entry.route, this.count(entry.route) - 1)
    this.onChange?.(entry, false)
  }
}

function nameOf(route: string, database: number, key: Buffer): string {
  return `${route}\0${database}\0${key.toString('latin1')}`
}
