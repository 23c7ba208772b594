import { Semaphore } from '../../base/semaphore.ts'
import type { Difference } from '../../compare/diff.ts'
import { WAITS_FOR_COPY } from '../../mirror/copy/aligned-reads.ts'
import { isUnknownCommand, textOf } from '../../mirror/stores/store-errors.ts'
import { decodeReply } from '../../resp/decode.ts'
import type { ErrorReply } from '../../resp/reply.ts'
import type { JobEnvironment } from '../runner/environment.ts'
import type { Task } from '../runner/task.ts'
import { checked } from '../scan/scan-page.ts'
import type { EndKeys } from '../stores/end-keys.ts'
import { integerAt } from '../stores/frames.ts'
import { type StoreConnection, StoreConnections } from '../stores/store-connection.ts'
import { DatabaseRefused, StoreLost } from '../stores/store-lost.ts'
import { ExactCompare, type Verdict } from './exact-compare.ts'
import { KeyWatch } from './key-watch.ts'
import { AlignedReader, DirectReader } from './pair-reader.ts'
import { quickCompare } from './quick-compare.ts'

/** What differs must differ at each of these looks, so that what is merely late has come by then. */
const RECHECK_AFTER_MS = [50, 250, 1_000]
/** A key that cannot be compared now is looked at again every 100 ms, for so long. */
const PATIENCE_MS = 3_000
const UNSETTLED_MS = 100
/** One that waits for a copy so seldom: there may be a million of them. */
const COPY_MS = 1_000
const LOST_MS = 250
/** Exact comparisons under way. */
const MAX_EXACT = 256
/** Pages that are being looked at quickly. */
const MAX_QUICK = 3

/** What a report says where keys wait for a copy. */
export const LEFT_TO_MIRROR = 'Keys that wait for a copy were left to the mirror, which copies them.'

export type Outcome =
  | { readonly kind: 'equal' }
  | { readonly kind: 'different'; readonly difference: Difference }
  /** The key is dirty, so its whole state is copied anyhow: nothing can be said of it before. */
  | { readonly kind: 'waiting' }
  | { readonly kind: 'failed'; readonly reason: string }

/**
 * Compares keys (application names) of a route's two sides: many of them quickly, and exactly those that the quick look cannot clear. Waits for a store that
 * does not answer.
 */
export class Pairs {
  readonly exact: ExactCompare
  readonly #task: Task
  readonly #connections: StoreConnections
  readonly #primary: EndKeys
  readonly #shadow: EndKeys
  readonly #ttlToleranceMs: number
  readonly #absoluteTimes: boolean
  readonly #exactSlots = new Semaphore(MAX_EXACT)
  readonly #quickSlots = new Semaphore(MAX_QUICK)
  /** Databases that a side does not have, and its words. */
  readonly #refused = new Map<number, string>()

  /** `live`: the mirror keeps both sides equal, and reads are aligned with it; else nobody writes to the other side. */
  constructor(
    environment: JobEnvironment,
    task: Task,
    connections: StoreConnections,
    primary: EndKeys,
    shadow: EndKeys,
    live: boolean,
  ) {
    this.#task = task
    this.#connections = connections
    this.#primary = primary
    this.#shadow = shadow
    const { compare } = environment.config().routes.find((route) => route.name === task.job.route)!
    this.#ttlToleranceMs = compare.ttlToleranceMs
    this.#absoluteTimes = [primary, shadow].every(({ storeName }) => {
      const version = environment.version(storeName)
      return version === null || Number.parseInt(version, 10) >= 7
    })
    const watch = new KeyWatch(
      primary,
      () => new StoreConnections(environment.config, environment.endpoint),
      task.signal,
    )
    this.exact = new ExactCompare(
      live ? new AlignedReader(environment.dataPath) : new DirectReader(connections, primary, shadow),
      // What the store refuses concerns this key: it may be of another type by now.
      (side, command, database, key, cursor, count) => {
        const end = side === 'primary' ? primary : shadow
        return connections.to(end.storeName, database).ask([command, end.nameOf(key), cursor, 'COUNT', count])
      },
      (database, key, work) => watch.during(database, key, work),
      {
        ttlToleranceMs: this.#ttlToleranceMs,
        ignoreJson: compare.ignoreJson,
        decode: compare.decode,
        absoluteTimes: this.#absoluteTimes,
        aligned: live,
      },
    )
  }

  /** Indexes of keys that the quick look cannot clear. */
  suspects(database: number, keys: readonly Buffer[]): Promise<number[]> {
    if (keys.length === 0) return Promise.resolve([])
    const [there, here] = [this.#names(this.#primary, keys), this.#names(this.#shadow, keys)]
    return this.#quickly(
      database,
      () =>
        quickCompare(this.#to(this.#primary, database), this.#to(this.#shadow, database), there, here, {
          ttlToleranceMs: this.#ttlToleranceMs,
          absoluteTimes: this.#absoluteTimes,
        }),
      () => [...keys.keys()],
    )
  }

  /** Whether `end` has each key; null: it does not say so of this one. */
  present(end: EndKeys, database: number, keys: readonly Buffer[]): Promise<(boolean | null)[]> {
    if (keys.length === 0) return Promise.resolve([])
    const names = this.#names(end, keys)
    return this.#quickly(
      database,
      async () => {
        const present: (boolean | null)[] = []
        let refused: ErrorReply | null = null
        await this.#to(end, database).forEach([['EXISTS']], names, (_, buf, start, stop) => {
          const count = integerAt(buf, start)
          present.push(count === null ? null : count === 1)
          if (count === null && isUnknownCommand(textOf(buf, start, stop)))
            refused = decodeReply(buf, start, stop) as ErrorReply
        })
        // It says so of no key.
        if (refused !== null) checked(end.storeName, refused)
        return present
      },
      () => keys.map(() => null),
    )
  }

  /** A look at a page; `unknown`: what it gives where a side does not have the database. */
  #quickly<T>(database: number, look: () => Promise<T>, unknown: () => T): Promise<T> {
    return this.#quickSlots.run(async () => {
      try {
        return await this.reached(look)
      } catch (error) {
        if (!(error instanceof DatabaseRefused)) throw error
        this.#refused.set(database, error.message)
        return unknown()
      }
    })
  }

  /** Looks exactly, several times if need be. While it waits for its next look others have theirs. */
  async confirmed(database: number, key: Buffer): Promise<Outcome> {
    let outcome = await this.now(database, key)
    for (const delayMs of RECHECK_AFTER_MS) {
      if (outcome.kind !== 'different') break
      await this.#task.wait(delayMs)
      outcome = await this.now(database, key)
    }
    return outcome
  }

  /** One exact look that counts. */
  async now(database: number, key: Buffer): Promise<Outcome> {
    const refused = this.#refused.get(database)
    if (refused !== undefined) return { kind: 'failed', reason: refused }
    for (let waitedMs = 0; ; ) {
      const verdict: Verdict = await this.#exactSlots.run(() => this.reached(() => this.exact.compare(database, key)))
      if (verdict.kind !== 'unsettled') return verdict
      const { reason } = verdict
      const waits = reason === WAITS_FOR_COPY
      if (waitedMs >= PATIENCE_MS) return waits ? { kind: 'waiting' } : { kind: 'failed', reason }
      const delayMs = waits ? COPY_MS : UNSETTLED_MS
      await this.#task.wait(delayMs)
      waitedMs += delayMs
    }
  }

  /** Does it again while a store does not answer, or refuses everything for now. */
  async reached<T>(work: () => Promise<T>): Promise<T> {
    for (let waited = false; ; waited = true) {
      try {
        const done = await work()
        if (waited) this.#task.throttle = null
        return done
      } catch (error) {
        if (!(error instanceof StoreLost)) throw error
        this.#task.throttle = error.shown
        await this.#task.wait(LOST_MS)
      }
    }
  }

  #names(end: EndKeys, keys: readonly Buffer[]): Buffer[] {
    return keys.map((key) => end.nameOf(key))
  }

  #to(end: EndKeys, database: number): StoreConnection {
    return this.#connections.to(end.storeName, database)
  }
}
