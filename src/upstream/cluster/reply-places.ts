import { errorFrame } from '../../resp/encode.ts'
import type { Loss } from '../in-flight.ts'
import type { PipelineConnectionOwner } from '../pipeline-connection.ts'
import type { Merging } from './merge.ts'

/** Where the reply to one command of the pipeline goes. */
export interface Place {
  /** A part's reply: a view, which is copied where it has to wait. */
  settle(part: number, buf: Buffer, start: number, end: number): void
  lost(loss: Loss): void
}

/**
 * Gives the pipeline the replies of several nodes in the order of its commands: one that came early waits.
 */
export class ReplyPlaces {
  readonly #owner: PipelineConnectionOwner
  #queue: Waiting[] = []
  #head = 0
  /** Replies of a command with several that has been lost: nobody waits for them. */
  #skip = 0

  constructor(owner: PipelineConnectionOwner) {
    this.#owner = owner
  }

  /** The place of a command that is answered by one reply. */
  add(): Place {
    return this.addWhole(1, null)
  }

  /** The place of one that is answered in `parts`. */
  addWhole(parts: number, merge: Merging | null): Place {
    const place = new Waiting(this, parts, merge)
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

  /** What is no reply: a message. A view. */
  pass(buf: Buffer, start: number, end: number): void {
    this.#owner.bytes(buf.subarray(start, end), end - start)
  }

  /** The connection is gone: whoever still answers answers nobody. */
  clear(): void {
    this.#queue = []
    this.#head = 0
    this.#skip = 0
  }

  /** Called when a place has its reply. The bytes are a view. */
  done(place: Waiting, buf: Buffer, start: number, end: number): void {
    if (this.#queue[this.#head] === place) {
      this.#head++
      this.#give(buf, start, end)
      this.deliver()
    } else place.frame = Buffer.from(buf.subarray(start, end))
  }

  deliver(): void {
    for (;;) {
      const place = this.#queue[this.#head]
      if (place === undefined || (place.frame === null && place.loss === null)) break
      this.#head++
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

  #give(buf: Buffer, start: number, end: number): void {
    if (this.#skip > 0) this.#skip--
    else this.#owner.bytes(buf.subarray(start, end), end - start)
  }
}

class Waiting implements Place {
  frame: Buffer | null = null
  loss: Loss | null = null
  readonly #places: ReplyPlaces
  readonly #merge: Merging | null
  readonly #frames: [number, Buffer][] = []
  #lost: Loss | null = null
  #missing: number

  constructor(places: ReplyPlaces, parts: number, merge: Merging | null) {
    this.#places = places
    this.#missing = parts
    this.#merge = merge
  }

  settle(part: number, buf: Buffer, start: number, end: number): void {
    if (this.#merge === null) {
      this.#places.done(this, buf, start, end)
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
      this.#places.deliver()
      return
    }
    const frames = this.#frames.sort(([one], [other]) => one - other).map(([, frame]) => frame)
    const frame = this.#merge === null ? frames[0]! : this.#merge(frames)
    this.#places.done(this, frame, 0, frame.length)
  }
}

const COMPACT = 4_096
