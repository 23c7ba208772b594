import { hashBytes } from '../../base/hash.ts'
import { PendingWork } from '../../base/pending-work.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import type { KeyRule } from '../../routing/route.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import type { DataPathContext } from '../context.ts'
import type { OverlapTable } from '../keys/overlap.ts'
import type { UndeclaredKeys } from '../keys/undeclared-keys.ts'
import { strandedBecause } from '../shadow/stranded.ts'
import { primaryPipeline } from './primary-pipeline.ts'

/** A read of one key: `[...before, key, ...after]`. */
export interface KeyRead {
  readonly before: readonly string[]
  readonly after: readonly (string | Uint8Array)[]
}

export interface KeyReads {
  /** The application's name. */
  readonly key: Uint8Array
  readonly reads: readonly KeyRead[]
  /** They give several MB: writes of other connections that come across them are not answered by reading again and again. */
  readonly isMuch?: boolean | undefined
}

/** The replies of both sides as they are on the wire; or why they could not be had at one place of history now. */
export type PairOfReplies = Answered | { readonly ok: false; readonly reason: string }

interface Answered {
  readonly ok: true
  readonly primary: readonly Uint8Array[]
  readonly shadow: readonly Uint8Array[]
}

/** The reason for a key that is dirty: the mirror knows it by name, and copies it whole. */
export const WAITS_FOR_COPY = 'it waits for a copy'

/** Reads under way at once. */
const WINDOW = 64
const MAX_DISTURBANCES = 100
/** Of what is much. */
const MAX_DISTURBANCES_OF_MUCH = 4

/**
 * Asks both stores the same of a key at one place of the one history: the primary in the pipeline of its writes, the shadow behind every effect that came before the primary's reply. What differs then
 * differs, under any load.
 */
export class AlignedReads {
  readonly #context: DataPathContext
  readonly #overlap: OverlapTable
  readonly #undeclared: UndeclaredKeys
  /** The mirror knows of the key that it is about to be made equal. */
  readonly #isKnown: (route: string, database: number, key: Buffer) => boolean
  #waiting: Reading[] = []
  #again: Reading[] = []
  /** Until the primary has told what scripts had written when these were read. */
  readonly #untold = new PendingWork()
  #running = 0

  constructor(
    context: DataPathContext,
    overlap: OverlapTable,
    undeclared: UndeclaredKeys,
    isKnown: (route: string, database: number, key: Buffer) => boolean,
  ) {
    this.#context = context
    this.#overlap = overlap
    this.#undeclared = undeclared
    this.#isKnown = isKnown
  }

  read(database: number, list: readonly KeyReads[]): Promise<PairOfReplies[]> {
    const all = list.map(
      (asked) =>
        new Promise<PairOfReplies>((resolve) => {
          this.#waiting.push(new Reading(asked, database, (reading, result) => this.#ended(reading, result, resolve)))
        }),
    )
    this.#next()
    return Promise.all(all)
  }

  /** Called on the clock's tick: what was disturbed is read again. */
  run(): void {
    this.#untold.run()
    const again = this.#again
    if (again.length === 0) return
    this.#again = []
    this.#waiting = again.concat(this.#waiting)
    this.#next()
  }

  #next(): void {
    while (this.#running < WINDOW && this.#waiting.length > 0) {
      this.#running++
      this.#waiting.shift()!.start(this.#context, this.#overlap, this.#undeclared)
    }
  }

  #ended(reading: Reading, result: PairOfReplies | null, resolve: (result: PairOfReplies) => void): void {
    this.#running--
    const most = reading.isMuch ? MAX_DISTURBANCES_OF_MUCH : MAX_DISTURBANCES
    if (result === null && ++reading.disturbances <= most) this.#again.push(reading)
    else if (result?.ok) this.#answered(reading, result, resolve)
    else resolve(result ?? { ok: false, reason: 'it is written all the time' })
    this.#next()
  }

  /** What differs may be the doing of a script that the primary has not told yet. */
  #answered(reading: Reading, result: Answered, resolve: (result: PairOfReplies) => void): void {
    const { route } = reading.rule!
    const same = isSame(result)
    this.#untold.after(same ? null : this.#undeclared.catchUp(route), () => {
      const isTold = !same && reading.isToldSince(this.#undeclared)
      const isKnown = isTold || this.#isKnown(route.name, reading.database, reading.key)
      resolve(isKnown ? { ok: false, reason: WAITS_FOR_COPY } : result)
    })
  }
}

function isSame({ primary, shadow }: Answered): boolean {
  return primary.every((bytes, i) => Buffer.compare(bytes, shadow[i]!) === 0)
}

class Reading implements ReplyOwner {
  readonly key: Buffer
  readonly database: number
  readonly isMuch: boolean
  readonly #reads: readonly KeyRead[]
  readonly #onEnd: (reading: Reading, result: PairOfReplies | null) => void
  readonly #hash: number
  rule: KeyRule | null = null
  disturbances = 0
  #context!: DataPathContext
  #overlap!: OverlapTable
  #primary: Uint8Array[] = []
  #shadow: Uint8Array[] = []
  #asked: 'primary' | 'shadow' = 'primary'
  #lane = 0
  #ticket = 0
  #toldBefore = 0
  #ended = false

  constructor(
    { key, reads, isMuch = false }: KeyReads,
    database: number,
    onEnd: (reading: Reading, result: PairOfReplies | null) => void,
  ) {
    this.key = view(key)
    this.database = database
    this.isMuch = isMuch
    this.#reads = reads
    this.#onEnd = onEnd
    this.#hash = hashBytes(this.key, 0, key.length)
  }

  start(context: DataPathContext, overlap: OverlapTable, undeclared: UndeclaredKeys): void {
    this.#context = context
    this.#overlap = overlap
    this.#toldBefore = undeclared.recent.count
    this.#primary = []
    this.#shadow = []
    this.#asked = 'primary'
    this.#ended = false
    const rule = context.routes.find(this.key, 0, this.key.length)
    this.rule = rule
    const { route } = rule
    if (route.shadow === null) return this.#end({ ok: false, reason: 'the route is not mirrored any more' })
    const primary = primaryPipeline(context, overlap, route, this.database, this.#hash)
    const store = context.stores[route.shadow.store]!
    const shadow = store.shadows.to(this.database)
    if (primary.state === 'idle') primary.connect()
    if (shadow.state === 'idle') shadow.connect()
    if (primary.state !== 'up' || shadow.state !== 'up') return this.#unconnected(store)
    this.#lane = primary.lane
    this.#ticket = overlap.look(this.#hash, this.#lane)
    this.#push(primary, rule.primary?.apply(this.key, 0, this.key.length) ?? this.key)
  }

  /** Since it began the primary has told that the key was written, perhaps by a script that does not declare it. */
  isToldSince(undeclared: UndeclaredKeys): boolean {
    return undeclared.recent.hasSince(this.#toldBefore, this.database, this.key)
  }

  settle(_slot: InFlight, buf: Buffer, start: number, end: number): void {
    const replies = this.#asked === 'primary' ? this.#primary : this.#shadow
    // Of its own memory: it is handed to another thread.
    replies.push(new Uint8Array(buf.subarray(start, end)))
    if (replies.length < this.#reads.length) return
    if (this.#asked === 'primary') this.#askShadow()
    else this.#end({ ok: true, primary: this.#primary, shadow: this.#shadow })
  }

  lost(_slot: InFlight, loss: Loss): void {
    this.#end({ ok: false, reason: loss.text })
  }

  timedOut(): void {}

  #askShadow(): void {
    if (this.#overlap.traffic(this.#hash, this.#lane) !== this.#ticket) return this.#end(null)
    const was = this.rule!.route
    const rule = this.#context.routes.find(this.key, 0, this.key.length)
    const { route } = rule
    if (route.shadow === null || route.primary.store !== was.primary.store || route.phase !== was.phase) {
      return this.#end({ ok: false, reason: 'the phase of the route has changed' })
    }
    const store = this.#context.stores[route.shadow.store]!
    const shadow = store.shadows.to(this.database)
    if (shadow.state !== 'up') return this.#unconnected(store)
    this.#asked = 'shadow'
    this.#push(shadow, rule.shadow?.apply(this.key, 0, this.key.length) ?? this.key)
    shadow.hurry()
  }

  #push(pipeline: Pipeline, name: Buffer): void {
    for (const { before, after } of this.#reads) {
      const bytes = encodeOwn([...before, name, ...after.map((arg) => (typeof arg === 'string' ? arg : view(arg)))])
      pipeline.push(this, bytes, 0, bytes.length)
    }
  }

  #unconnected(shadow: Store): void {
    this.#end({ ok: false, reason: strandedBecause(shadow, this.database) ?? 'a store is down' })
  }

  #end(result: PairOfReplies | null): void {
    if (this.#ended) return
    this.#ended = true
    this.#onEnd(this, result)
  }
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
