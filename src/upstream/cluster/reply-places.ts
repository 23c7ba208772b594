import type { CoarseClock } from '../../base/clock.ts'
import { MINUS } from '../../resp/bytes.ts'
import { errorFrame } from '../../resp/encode.ts'
import type { Detached } from '../pipeline/detached.ts'
import type { Loss } from '../pipeline/in-flight.ts'
import type { PipelineConnectionOwner } from '../pipeline/pipeline-connection.ts'
import type { Merging } from './merge.ts'

/** Who owes a reply at the moment: a node, or the slot whose commands are tried again. */
export interface Debtor {
  /** It has said nothing for so long that nobody else is to wait for it. */
  lags(nowMs: number): boolean
}

/** Where the reply to one command of the pipeline goes. */
export interface Place {
  /** Called whenever a part is asked of somebody. */
  owedBy(part: number, debtor: Debtor): void
  /** A part's reply: a view, which is copied where it has to wait. */
  settle(part: number, buf: Buffer, start: number, end: number): void
  lost(loss: Loss): void
}

/**
 * Gives the pipeline the replies of several nodes in the order of its commands: one that came early waits. Not for a node that lags, however: the command that it owes an answer to is detached,
 * and told apart when the answer comes.
 *
 *   queue     [ a b c d ]    a: its node lags; b, c: answered      ─▶  b and c are given, a is detached
 */
export class ReplyPlaces {
  readonly #owner: PipelineConnectionOwner
  readonly #clock: CoarseClock
  #queue: Waiting[] = []
  #head = 0
  /** Replies of a command with several that has been lost: nobody waits for them. */
  #skip = 0
  /** Places that have ended and wait for the head. */
  #early = 0
  /** The pipeline is still writing: the commands behind have no places yet, and what is answered at once waits for `endWrite`. */
  #writing = false

  constructor(owner: PipelineConnectionOwner, clock: CoarseClock) {
    this.#owner = owner
    this.#clock = clock
  }

  /** Who owes the reply that is next, or its first part; null: nobody at the moment. */
  get debtor(): Debtor | null {
    return this.#queue[this.#head]?.debtor ?? null
  }

  /** The place of a command that is answered by one reply. */
  add(): Place {
    return this.addWhole(1, null)
  }

  /** The place of one that is answered in `parts`. `changes`: it is a write, and one part may be executed without the others. */
  addWhole(parts: number, merge: Merging | null, changes = false): Place {
    const place = new Waiting(this, parts, merge, changes)
    this.#queue.push(place)
    return place
  }

  /** Answers the command at hand. */
  answer(frame: Buffer): void {
    this.add().settle(0, frame, 0, frame.length)
  }

  /** The same, by an error: its text with its code. */
  refuse(text: string): void {
    this.answer(errorFrame(text))
  }

  /** What has no place here: all that a node says to a subscriber. A view. */
  pass(buf: Buffer, start: number, end: number): void {
    this.#owner.bytes(buf.subarray(start, end), end - start)
  }

  /** Commands are about to be read. `endWrite` follows: nobody is told anything before, for who is told of a reply pushes what comes next. */
  beginWrite(): void {
    this.#writing = true
  }

  /** All that was written has been read. */
  endWrite(): void {
    this.#writing = false
    this.#deliverEarly()
  }

  /** The connection is gone: whoever still answers answers nobody. */
  clear(): void {
    this.#writing = false
    this.#queue = []
    this.#head = 0
    this.#skip = 0
    this.#early = 0
  }

  /** Now and then: nobody waits for a node that lags. */
  tick(): void {
    this.#deliverEarly()
  }

  #deliverEarly(): void {
    if (this.#early > 0) this.#deliver()
  }

  /** Called when a place has its reply, or is lost (`buf` null). The bytes are a view. */
  ended(place: Waiting, buf: Buffer | null, start: number, end: number): void {
    if (place.apart !== null) {
      if (buf !== null) place.frame = Buffer.from(buf.subarray(start, end))
      place.apart.deliver()
    } else if (buf !== null && !this.#writing && this.#queue[this.#head] === place) {
      this.#head++
      this.#give(buf, start, end)
      this.#deliver()
    } else {
      if (buf !== null) place.frame = Buffer.from(buf.subarray(start, end))
      this.#early++
      this.#deliver()
    }
  }

  #deliver(): void {
    if (this.#writing) return
    for (;;) {
      const place = this.#queue[this.#head]
      if (place === undefined) break
      if (!place.hasEnded) {
        if (this.#early > 0 && place.lags(this.#clock.nowMs) && this.#detach(place)) continue
        break
      }
      this.#head++
      this.#early--
      if (place.loss === null) this.#give(place.frame!, 0, place.frame!.length)
      else if (this.#skip > 0) this.#skip--
      else this.#skip = this.#owner.lostHead(place.loss)
    }
    if (this.#head === this.#queue.length) {
      this.#queue.length = 0
      this.#head = 0
    } else if (this.#head > COMPACT) {
      this.#queue = this.#queue.slice(this.#head)
      this.#head = 0
    }
  }

  /** Takes the head out of the line, with those that answer the same command of the pipeline. False: it has to stay. */
  #detach(place: Waiting): boolean {
    if (this.#skip > 0) {
      // Nobody waits for it.
      this.#skip--
      this.#head++
      place.apart = new Apart([place], null)
      return true
    }
    const detached = this.#owner.detachHead(this.#queue.length - this.#head, place.isSplit)
    if (detached === null) return false
    const places = this.#queue.slice(this.#head, this.#head + detached.replies)
    this.#head += places.length
    const apart = new Apart(places, detached)
    for (const one of places) {
      if (one.hasEnded) this.#early--
      one.apart = apart
    }
    return true
  }

  #give(buf: Buffer, start: number, end: number): void {
    if (this.#skip > 0) this.#skip--
    else this.#owner.bytes(buf.subarray(start, end), end - start)
  }
}

/** The replies to one command that has left the line, in their order. */
class Apart {
  readonly #places: readonly Waiting[]
  #next = 0
  #detached: Detached | null

  /** `detached` null: nobody waits for them. */
  constructor(places: readonly Waiting[], detached: Detached | null) {
    this.#places = places
    this.#detached = detached
  }

  deliver(): void {
    for (let place = this.#places[this.#next]; place?.hasEnded; place = this.#places[this.#next]) {
      this.#next++
      if (place.loss === null) this.#detached?.settle(place.frame!, 0, place.frame!.length)
      else {
        this.#detached?.lost(place.loss)
        this.#detached = null
      }
    }
  }
}

class Waiting implements Place {
  frame: Buffer | null = null
  loss: Loss | null = null
  /** Null: it is in the line. */
  apart: Apart | null = null
  readonly #places: ReplyPlaces
  readonly #merge: Merging | null
  readonly #changes: boolean
  readonly #frames: [number, Buffer][] = []
  readonly #debtors: (Debtor | null)[] = []
  #lost: Loss | null = null
  /** It is asked of several nodes. */
  readonly isSplit: boolean
  #missing: number

  constructor(places: ReplyPlaces, parts: number, merge: Merging | null, changes: boolean) {
    this.#places = places
    this.#changes = changes
    this.isSplit = parts > 1
    this.#missing = parts
    this.#merge = merge
  }

  get hasEnded(): boolean {
    return this.frame !== null || this.loss !== null
  }

  get debtor(): Debtor | null {
    return this.#debtors[0] ?? null
  }

  lags(nowMs: number): boolean {
    return this.#debtors.some((debtor) => debtor?.lags(nowMs))
  }

  owedBy(part: number, debtor: Debtor): void {
    this.#debtors[part] = debtor
  }

  settle(part: number, buf: Buffer, start: number, end: number): void {
    this.#debtors[part] = null
    if (this.#merge === null) {
      this.#places.ended(this, buf, start, end)
      return
    }
    this.#frames.push([part, Buffer.from(buf.subarray(start, end))])
    this.#ended()
  }

  lost(loss: Loss): void {
    // That one part may have been executed says more than that another was not.
    if (this.#lost === null || loss.mayHaveRun) this.#lost = loss
    this.#ended()
  }

  /** The whole is answered or lost when every part has ended: nothing of it is under way then. */
  #ended(): void {
    if (--this.#missing > 0) return
    if (this.#lost !== null) {
      this.loss = { mayHaveRun: this.#lost.mayHaveRun || this.#frames.length > 0, text: this.#lost.text }
      this.#places.ended(this, null, 0, 0)
      return
    }
    const refusal = this.#changes ? this.#frames.find(([, part]) => part[0] === MINUS)?.[1] : undefined
    if (refusal !== undefined && this.#frames.some(([, part]) => part[0] !== MINUS)) {
      // Refused in one part, executed in another: an answer that nobody takes for "nothing has changed".
      this.loss = { mayHaveRun: true, refused: true, text: refusal.toString('latin1', 1, refusal.length - 2) }
      this.#places.ended(this, null, 0, 0)
      return
    }
    const frames = this.#frames.sort(([one], [other]) => one - other).map(([, frame]) => frame)
    const frame = this.#merge === null ? frames[0]! : this.#merge(frames)
    this.#places.ended(this, frame, 0, frame.length)
  }
}

const COMPACT = 4_096
