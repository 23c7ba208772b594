import type { CoarseClock } from '../base/clock.ts'
import type { StoreUser } from './connection/handshake.ts'
import { ByDatabase } from './pipeline/by-database.ts'
import type { Pipeline } from './pipeline/pipeline.ts'

export interface StoreUsersOptions {
  readonly clock: CoarseClock
  readonly open: (database: number, protocol: 2 | 3, user: StoreUser) => Pipeline
  /** The user's pipelines have been closed: what else there is of it can go. */
  readonly onGone: (user: StoreUser) => void
}

/**
 * The shared pipelines of clients that log in at the store themselves: per user (its exact credentials), database and protocol.
 *
 *   made for a log-in ─┬─ rejected ─▶ gone at once
 *                      └─ accepted ─▶ stays as long as it is used ─┬─ unused for a minute ──────────────────▶ gone
 *                                                                  └─ unused, and another needs the place ──▶ gone
 *
 * One that is gone and used again is opened again.
 */
export class StoreUsers {
  readonly #options: StoreUsersOptions
  readonly #users = new Map<string, UserPipelines>()

  constructor(options: StoreUsersOptions) {
    this.#options = options
  }

  /** Users that have pipelines. */
  get size(): number {
    return this.#users.size
  }

  shared(user: StoreUser, database: number, protocol: 2 | 3): Pipeline {
    let pipelines = this.#users.get(user.key)
    if (pipelines === undefined) this.#users.set(user.key, (pipelines = new UserPipelines(user)))
    pipelines.usedMs = this.#options.clock.nowMs
    const list = protocol === 2 ? pipelines.resp2 : pipelines.resp3
    const found = list.get(database)
    if (found !== undefined && found.state !== 'closed') return found
    const made = this.#options.open(database, protocol, user)
    list.set(database, made)
    return made
  }

  /** `made` takes the place of the pipeline that `shared` gave. */
  replace(user: StoreUser, database: number, protocol: 2 | 3, made: Pipeline): void {
    this.#users.get(user.key)?.of(protocol).set(database, made)
  }

  /** A pipeline has been closed. */
  forget(user: StoreUser, database: number, pipeline: Pipeline): void {
    const pipelines = this.#users.get(user.key)
    pipelines?.of(pipeline.options.identity.protocol).forget(database, pipeline)
  }

  *pipelines(): Generator<Pipeline> {
    for (const pipelines of this.#users.values()) yield* pipelines.all()
  }

  // --- logging in

  /** Its credentials have been accepted, and a connection with them is open and quiet: to ask the store again opens none. */
  canAsk(user: StoreUser): boolean {
    const pipelines = this.#users.get(user.key)
    const pipeline = pipelines?.resp2.get(0)
    return pipelines?.accepted === true && pipeline?.state === 'up' && pipeline.quiet
  }

  /** Whether the user can have pipelines, when at most `limit` users may. The one that has been unused for longest gives its place up. */
  makeRoom(user: StoreUser, limit: number): boolean {
    if (this.#users.size < limit || this.#users.has(user.key)) return true
    let oldest: UserPipelines | null = null
    for (const pipelines of this.#users.values()) {
      if (pipelines.isQuiet() && (oldest === null || pipelines.usedMs < oldest.usedMs)) oldest = pipelines
    }
    if (oldest === null) return false
    this.#remove(oldest, 'another user needs its place')
    return true
  }

  /** The store has accepted the credentials. */
  accepted(user: StoreUser): void {
    const pipelines = this.#users.get(user.key)
    if (pipelines !== undefined) pipelines.accepted = true
  }

  /** The store has not accepted them, or has not answered: nothing is kept for them, unless it has accepted them before or is being asked by another client. */
  rejected(user: StoreUser): void {
    const pipelines = this.#users.get(user.key)
    if (pipelines !== undefined && !pipelines.accepted && pipelines.isQuiet()) {
      this.#remove(pipelines, 'its user was not let in')
    }
  }

  /** Lets go whom nobody has used for a while. */
  tick(nowMs: number): void {
    for (const pipelines of this.#users.values()) {
      if (nowMs - pipelines.usedMs >= USER_IDLE_MS && pipelines.isQuiet())
        this.#remove(pipelines, 'its user has not been here for a while')
    }
  }

  #remove(pipelines: UserPipelines, reason: string): void {
    this.#users.delete(pipelines.user.key)
    for (const pipeline of pipelines.all()) pipeline.close(reason)
    this.#options.onGone(pipelines.user)
  }
}

/** The shared pipelines of one user. */
class UserPipelines {
  readonly user: StoreUser
  readonly resp2 = new ByDatabase()
  readonly resp3 = new ByDatabase()
  /** Coarse clock. */
  usedMs = 0
  /** The store has let it in. */
  accepted = false

  constructor(user: StoreUser) {
    this.user = user
  }

  of(protocol: 2 | 3): ByDatabase {
    return protocol === 2 ? this.resp2 : this.resp3
  }

  *all(): Generator<Pipeline> {
    yield* this.resp2.all()
    yield* this.resp3.all()
  }

  /** Nobody waits for anything here. */
  isQuiet(): boolean {
    for (const pipeline of this.all()) if (!pipeline.quiet) return false
    return true
  }
}

const USER_IDLE_MS = 60_000
