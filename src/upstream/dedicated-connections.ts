import type { CoarseClock } from '../base/clock.ts'
import type { StoreUser } from './connection/handshake.ts'
import { type ConnectionKind, IdleConnections } from './idle-connections.ts'
import type { Pipeline } from './pipeline/pipeline.ts'

/**
 * Connections to a store that one session has for itself: transactions that wait, blocking commands, subscribers.
 *
 *   borrow ─▶ lent ─┬─ release ─▶ idle ─▶ lent again, or closed
 *                   └─ discard, lost ─▶ closed
 */
export class DedicatedConnections {
  readonly #clock: CoarseClock
  readonly #open: (kind: ConnectionKind) => Pipeline
  readonly #idle: IdleConnections
  /** With the number by which the client calls its database. */
  readonly #lent = new Map<Pipeline, number>()
  /** Coarse clock: the latest that was read of those which have been given back. */
  #givenBackReadMs = 0

  /** `open` gives a new one, not connected yet. */
  constructor(clock: CoarseClock, open: (kind: ConnectionKind) => Pipeline) {
    this.#clock = clock
    this.#open = open
    this.#idle = new IdleConnections(open)
  }

  /** An idle one, or a new one that connects on its first command. Give it back by `release` or `discard`. */
  borrow(database: number, protocol: 2 | 3, user: StoreUser | null = null): Pipeline {
    const kind = { database, protocol, user }
    const pipeline = this.#idle.take(kind) ?? this.#open(kind)
    pipeline.answersWithinMs = 0
    pipeline.blocks = false
    this.#lent.set(pipeline, database)
    return pipeline
  }

  /** Back into the pool. The caller knows that it is clean: no MULTI, WATCH, subscription or command under way. */
  release(pipeline: Pipeline, database: number): void {
    this.#takeBack(pipeline)
    const { protocol, user } = pipeline.options.identity
    const isUsable = pipeline.state === 'up' && pipeline.quiet
    if (isUsable && this.#idle.give({ database, protocol, user }, pipeline, this.#clock.nowMs)) return
    pipeline.close('connection not needed any more')
  }

  /** Closes one whose state is not worth cleaning. */
  discard(pipeline: Pipeline): void {
    this.#takeBack(pipeline)
    pipeline.close('connection not needed any more')
  }

  #takeBack(pipeline: Pipeline): void {
    this.#lent.delete(pipeline)
    this.#givenBackReadMs = Math.max(this.#givenBackReadMs, pipeline.lastReadMs)
    pipeline.onPush = null
    pipeline.onClosed = null
    pipeline.onDrain = null
  }

  /** It has been closed: nobody gives back what is gone. */
  forget(pipeline: Pipeline): void {
    this.#lent.delete(pipeline)
  }

  /** Those that are lent. */
  get size(): number {
    return this.#lent.size
  }

  lent(): Iterable<Pipeline> {
    return this.#lent.keys()
  }

  /** By which number the client calls its database. */
  lentWithDatabases(): Iterable<readonly [Pipeline, number]> {
    return this.#lent
  }

  /** As `Pipeline.lastReadMs`, of all of them. */
  get lastReadMs(): number {
    let latest = this.#givenBackReadMs
    for (const pipeline of this.#lent.keys()) latest = Math.max(latest, pipeline.lastReadMs)
    return latest
  }

  tick(nowMs: number): void {
    for (const pipeline of this.#lent.keys()) pipeline.tick(nowMs)
    this.#idle.tick(nowMs)
  }

  closeIdle(reason: string): void {
    this.#idle.closeAll(reason)
  }

  /** Of a client's own user. */
  closeIdleOf(user: StoreUser, reason: string): void {
    this.#idle.closeOf(user, reason)
  }
}
