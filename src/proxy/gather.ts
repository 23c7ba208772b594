import { MINUS } from '../resp/bytes.ts'
import type { InFlight, Loss, ReplyOwner } from '../upstream/in-flight.ts'
import type { Pipeline } from '../upstream/pipeline.ts'

/**
 * Several commands that are one for the client: collects their replies in the order in which they were asked. Ends once, in all replies (copies) or in the first
 * error's text.
 */
export class Gather implements ReplyOwner {
  readonly #frames: Buffer[] = []
  readonly #done: (frames: readonly Buffer[]) => void
  readonly #failed: (text: string) => void
  #missing = 0
  #ended = false

  constructor(done: (frames: readonly Buffer[]) => void, failed: (text: string) => void) {
    this.#done = done
    this.#failed = failed
  }

  /** All of them, before the first reply can come. */
  ask(questions: readonly { readonly pipeline: Pipeline; readonly bytes: Buffer }[]): void {
    this.#missing = questions.length
    for (const [i, { pipeline, bytes }] of questions.entries()) pipeline.push(this, bytes, 0, bytes.length).seq = i
  }

  settle(slot: InFlight, buf: Buffer, start: number, end: number): void {
    if (this.#ended) return
    if (buf[start] === MINUS) return this.#fail(buf.toString('latin1', start + 1, end - 2))
    this.#frames[slot.seq] = Buffer.from(buf.subarray(start, end))
    if (--this.#missing > 0) return
    this.#ended = true
    this.#done(this.#frames)
  }

  lost(_slot: InFlight, loss: Loss): void {
    this.#fail(loss.text)
  }

  timedOut(): void {
    this.#fail('ERR Understudy: a store did not answer in time')
  }

  /** Nobody else waits for the last node of a cluster. */
  detached(): void {}

  #fail(text: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#failed(text)
  }
}
