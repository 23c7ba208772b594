import { DOLLAR, LF, MINUS, UNDERSCORE } from '../../resp/bytes.ts'
import { elementOffsets } from '../../resp/element-offsets.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import type { Route } from '../../routing/route.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import type { DataPathContext } from '../context.ts'
import { textOf } from '../stores/store-errors.ts'

/** A store that does not tell is asked again after so long. */
const REFUSED_MS = 60_000
/** One that cannot be reached. */
const RETRY_MS = 500
/** No such script leaves for so long at most while the connection is being opened. */
const PATIENCE_MS = 500
/** Without such scripts the connection is closed: the primary has work with it at every write. */
const UNUSED_MS = 60_000

export interface ToldKeysOutcome {
  /** The store's name of a key that was written while such a script ran, in each database that one ran in. */
  written(store: Store, database: number, name: Buffer): void
  /** Such a script ran, and what it wrote was not told, or not all of it. `own`: the route whose keys it declares; null: it declares none, or keys of several. */
  missed(own: Route | null): void
}

/**
 * The connection on which one store tells which keys are written there.
 *
 *   ready ─▶ CLIENT TRACKING ON BCAST ─▶ listens ── no such script for a minute ─▶ closed
 *               │ refused, or lost
 *               └─▶ what scripts write is missed until it is opened again
 *
 * Behind each script that has ended two PINGs are asked: with the answer to the second all is told that it wrote.
 */
export class Ear {
  readonly #store: Store
  readonly #context: DataPathContext
  readonly #outcome: ToldKeysOutcome
  #pipeline: Pipeline | null = null
  #listens = false
  /** Not opened again before. */
  #notBeforeMs = 0
  #openedMs = 0
  #usedMs = 0
  /** Scripts under way. */
  #running = 0
  /** What one of them wrote, or one that ended since the last fence, was not told. */
  #gap = false
  /** PINGs that are to be answered until all is told that scripts wrote which have ended. */
  #fences = 0
  #fenceAgain = false
  /** Rounds of them, and how many are over. */
  #rounds = 0
  #roundsOver = 0
  /** Of the scripts that have ended since all was told. */
  readonly #ended = new Set<Route | null>()
  readonly #databases = new Set<number>()
  /** Flushes of clients that have not been told yet; those that have not been answered yet; and how many have been since the round of PINGs began. */
  #flushes = 0
  #unanswered = 0
  #flushesOfRound = 0

  constructor(store: Store, context: DataPathContext, outcome: ToldKeysOutcome) {
    this.#store = store
    this.#context = context
    this.#outcome = outcome
  }

  get listens(): boolean {
    return this.#listens
  }

  get covers(): boolean {
    return this.#listens && !this.#gap
  }

  /** The round behind the last script that has ended. */
  get endedUntil(): number {
    return this.#fenceAgain ? this.#rounds + 1 : this.#rounds
  }

  /** Scripts that have ended and of which not all has been told: of each, what `ended` was given as `own`. */
  get owed(): ReadonlySet<Route | null> {
    return this.#ended
  }

  isTold(endedUntil: number): boolean {
    return this.#roundsOver >= endedUntil
  }

  /** Whether what such scripts have written by now is told, to be asked until it is; null: it is already. */
  catchUp(): (() => boolean) | null {
    // One that is under way may have been executed. Behind those that have ended it is asked anyway.
    if (this.#listens && this.#running > 0) this.#fence()
    const until = this.endedUntil
    return this.isTold(until) ? null : () => this.isTold(until)
  }

  isUnused(nowMs: number): boolean {
    const isQuiet = this.#running === 0 && this.#fences === 0 && this.#unanswered === 0
    return isQuiet && nowMs - this.#usedMs > UNUSED_MS
  }

  ready(nowMs: number): boolean {
    this.#usedMs = nowMs
    // Not one server: each node would have to be listened to.
    if (this.#listens || this.#store.cluster !== null) return true
    if (this.#pipeline === null && nowMs >= this.#notBeforeMs) this.#open(nowMs)
    return this.#pipeline === null || nowMs - this.#openedMs > PATIENCE_MS
  }

  leaves(databases: readonly number[], nowMs: number): void {
    // Opened here for the one that comes after: in a transaction nobody has waited.
    this.ready(nowMs)
    if (!this.#listens) this.#gap = true
    this.#running++
    for (const database of databases) this.#databases.add(database)
  }

  ended(mayHaveRun: boolean, own: Route | null): void {
    this.#running--
    if (this.#gap && mayHaveRun) this.#outcome.missed(own)
    if (this.#listens) {
      this.#ended.add(own)
      this.#fence()
    } else if (this.#running === 0) this.#gap = false
  }

  flushes(): void {
    this.#flushes++
    this.#unanswered++
  }

  flushed(mayHaveRun: boolean): void {
    this.#unanswered--
    this.#flushesOfRound++
    // What was told meanwhile and taken for it was a script's, and this is that one's place.
    if (!mayHaveRun) this.#toldFlush()
    else if (this.#listens) this.#fenceFlushes()
    else if (this.#pipeline === null) this.#flushes = this.#unanswered
  }

  close(): void {
    if (this.#pipeline === null) return
    this.#pipeline.onClosed = null
    this.#store.dedicated.discard(this.#pipeline)
    this.#pipeline = null
    this.#listens = false
  }

  #open(nowMs: number): void {
    this.#openedMs = nowMs
    const pipeline = this.#store.dedicated.borrow(0, 3)
    this.#pipeline = pipeline
    pipeline.answersWithinMs = this.#store.options.config.timeoutMs
    pipeline.onPush = (buf, start, end) => this.#told(buf, start, end)
    pipeline.onClosed = () => this.#closed(pipeline, RETRY_MS)
    this.#ask(TRACK, (error) => {
      if (this.#pipeline !== pipeline) return
      if (error !== null) {
        this.#closed(pipeline, REFUSED_MS)
        this.#store.dedicated.discard(pipeline)
        this.#context.log({
          level: 'warn',
          msg: 'a store does not tell which keys are written (CLIENT TRACKING); scripts that write to keys which they do not declare make their routes need a verify',
          fields: { store: this.#store.name, reason: error },
        })
      } else {
        this.#listens = true
        // They may have been executed before anything was told.
        this.#fenceFlushes()
        this.#context.log({
          level: 'info',
          msg: 'scripts write to keys which they do not declare: the store is asked to tell which keys are written, and they are copied',
          fields: { store: this.#store.name },
        })
      }
    })
    if (pipeline.state === 'closed') this.#closed(pipeline, RETRY_MS)
  }

  #closed(pipeline: Pipeline, retryMs: number): void {
    if (this.#pipeline !== pipeline) return
    pipeline.onClosed = null
    this.#pipeline = null
    this.#listens = false
    this.#notBeforeMs = this.#context.clock.nowMs + retryMs
    // What those wrote that have ended may not have been told yet.
    for (const own of this.#ended) this.#outcome.missed(own)
    this.#ended.clear()
    this.#fences = 0
    this.#flushes = this.#unanswered
    if (this.#fenceAgain) this.#rounds++
    this.#fenceAgain = false
    this.#roundsOver = this.#rounds
    this.#gap = this.#running > 0
  }

  /**
   * The store tells of a round of its event loop what was written in it at the round's end. The second question is certainly asked in a later round than the first, and that not before the
   * script's.
   */
  #fence(): void {
    if (this.#fences > 0) {
      this.#fenceAgain = true
      return
    }
    this.#rounds++
    this.#fences = 2
    this.#flushesOfRound = 0
    this.#ping()
  }

  /** One that is not told in a round from now on has done nothing: then what is told next is a script's. */
  #fenceFlushes(): void {
    if (this.#flushes > 0) this.#fence()
  }

  #ping(): void {
    this.#ask(PING, () => {
      if (--this.#fences > 0) return this.#ping()
      this.#roundsOver = this.#rounds
      // One that had been answered when the round began, and is not told by now, has done nothing.
      this.#flushes = Math.min(this.#flushes, this.#unanswered + this.#flushesOfRound)
      if (this.#fenceAgain) {
        this.#fenceAgain = false
        this.#fence()
        return
      }
      this.#ended.clear()
      if (this.#running > 0) return
      this.#gap = false
      this.#databases.clear()
    })
  }

  /** `answered`: with the text of an error, or null. Not called when the connection is lost. */
  #ask(command: Buffer, answered: (error: string | null) => void): void {
    this.#pipeline?.push(
      {
        settle: (_slot, buf, start, end) => answered(buf[start] === MINUS ? textOf(buf, start, end) : null),
        lost: () => {},
        timedOut: () => {},
      },
      command,
      0,
      command.length,
    )
  }

  /** `>2 $10 invalidate *n $len name ...`, or a nil in place of the names when all keys are gone. */
  #told(buf: Buffer, start: number, end: number): void {
    const from = start + HEADER.length
    if (buf.compare(HEADER, 0, HEADER.length, start, from) !== 0) return
    if (buf[from] === UNDERSCORE) return this.#toldFlush()
    if (!this.#isWanted) return
    const names = elementOffsets(buf, from, end)
    if (names === null) return
    for (let i = 0; i + 1 < names.length; i++) {
      if (buf[names[i]!] !== DOLLAR) continue
      const name = buf.subarray(buf.indexOf(LF, names[i]!) + 1, names[i + 1]! - 2)
      for (const database of this.#databases) this.#outcome.written(this.#store, database, name)
    }
  }

  /** All keys of a database are gone, or of all. A client's flush is mirrored as one; a script's, or whose it is, is not. */
  #toldFlush(): void {
    if (this.#flushes > 0) this.#flushes--
    else if (this.#isWanted) this.#outcome.missed(null)
  }

  /** What is told now may have been written by such a script. */
  get #isWanted(): boolean {
    return this.#running > 0 || this.#fences > 0
  }
}

const HEADER = Buffer.from('>2\r\n$10\r\ninvalidate\r\n')
const TRACK = encodeOwn(['CLIENT', 'TRACKING', 'ON', 'BCAST'])
const PING = encodeOwn(['PING'])
