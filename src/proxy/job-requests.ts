import { randomUUID } from 'node:crypto'
import { packBytes, unpackBytes } from '../base/packed-bytes.ts'
import { PendingWork } from '../base/pending-work.ts'
import type { DataPathContext } from '../mirror/context.ts'
import { AlignedReads, type KeyReads, type PairOfReplies } from '../mirror/copy/aligned-reads.ts'
import { BatchCopier, type BatchResult, type CopyOrigin } from '../mirror/copy/copy-batch.ts'
import type { IntentLog } from '../mirror/crash/intent-log.ts'
import type { DirtySet } from '../mirror/dirty/dirty-set.ts'
import { JobWrites } from '../mirror/keys/job-writes.ts'
import type { OverlapTable } from '../mirror/keys/overlap.ts'
import type { UndeclaredKeys } from '../mirror/keys/undeclared-keys.ts'
import { OnItsWay } from '../mirror/shadow/on-its-way.ts'
import type { DirtyKeys } from './messages.ts'

/** A job looks so often whether a switch is over. */
const SWITCHING_MS = 20

/** What jobs, which run in the main thread, have done by the data path: copies and reads that need a place in its history. */
export class JobRequests {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  readonly #overlap: OverlapTable
  /** Verifies that have found no difference, and count when what was on its way then has arrived. */
  readonly #verified = new PendingWork()
  /** Counts begin anew with every process. */
  readonly #process = randomUUID()
  readonly #copier: BatchCopier
  readonly #pairs: AlignedReads
  readonly writes: JobWrites

  /** `isKnown`: the mirror knows that the shadow does not hold what the primary holds of the key, and mends that. `log`: of intents; null: none is kept. */
  constructor(
    context: DataPathContext,
    dirty: DirtySet,
    overlap: OverlapTable,
    undeclared: UndeclaredKeys,
    isKnown: (route: string, database: number, key: Buffer) => boolean,
    log: () => IntentLog | null,
  ) {
    this.#context = context
    this.#dirty = dirty
    this.#overlap = overlap
    this.#copier = new BatchCopier(context, dirty, overlap)
    this.#pairs = new AlignedReads(context, overlap, undeclared, isKnown)
    this.writes = new JobWrites(context, dirty, log)
  }

  /** As `BatchCopier`; `keys`: packed. */
  copy(origin: CopyOrigin, database: number, keys: Uint8Array, window: number): Promise<BatchResult> {
    return this.#copier.copy(origin, database, unpackBytes(keys), window)
  }

  /** A job is about to write these keys (packed application names) to `store` itself. Resolves when no switch is under way there, with the number for `wrote`; null: the store is not their primary any more. */
  async writing(store: string, database: number, keys: Uint8Array): Promise<number | null> {
    const names = unpackBytes(keys)
    while (this.writes.mustWait(names)) await new Promise((resolve) => setTimeout(resolve, SWITCHING_MS))
    return this.writes.begin(store, database, names)
  }

  /** It has. `doubtful`: the keys (packed) that it has not had copied since, and may have written. False: the store is not the primary of all of them any more. */
  async wrote(number: number, doubtful: Uint8Array): Promise<boolean> {
    return this.writes.end(number, unpackBytes(doubtful))
  }

  readPairs(database: number, list: readonly KeyReads[]): Promise<PairOfReplies[]> {
    return this.#pairs.read(database, list)
  }

  /** '': none is asked for. Up to its last number (`doubtIn`) it tells one doubt about the primary from another. */
  async verifyTicket(route: string): Promise<string> {
    return this.#ticketOf(route)
  }

  /** What happened after the ticket was taken may be what nobody has looked at. What is on its way may be made of a key that differs and is gone, under a name that has come behind the place of the listing: until it has arrived the verify is needed. */
  async verified(name: string, ticket: string): Promise<void> {
    const { routes, stores, copies } = this.#context
    const route = routes.byName(name)
    if (route === undefined) return
    const ends = [route.primary, ...(route.shadow === null ? [] : [route.shadow])]
    const onItsWay = new OnItsWay(
      ends.map(({ store }) => stores[store]!),
      copies,
      () => this.#overlap.sweeping,
    )
    await new Promise<void>((resolve) =>
      this.#verified.after(onItsWay.hasArrived() ? null : () => onItsWay.hasArrived(), resolve),
    )
    if (ticket === this.#ticketOf(name)) this.#dirty.toVerify.verified(name)
  }

  /** At most `limit` of a route's dirty keys. */
  async dirtyKeys(route: string, limit: number): Promise<DirtyKeys[]> {
    const byDatabase = new Map<number, Buffer[]>()
    let count = 0
    for (const { database, key } of this.#dirty.keys(route)) {
      if (++count > limit) break
      const keys = byDatabase.get(database)
      if (keys === undefined) byDatabase.set(database, [key])
      else keys.push(key)
    }
    return [...byDatabase].map(([database, keys]) => ({ database, keys: packBytes(keys) }))
  }

  /** Called on the clock's tick. */
  run(): void {
    this.#copier.run()
    this.#pairs.run()
    this.#verified.run()
  }

  #ticketOf(route: string): string {
    const { toVerify } = this.#dirty
    return toVerify.ofKeys(route) ? `${this.#process} ${toVerify.primaryTimes(route)} ${toVerify.times(route)}` : ''
  }
}
