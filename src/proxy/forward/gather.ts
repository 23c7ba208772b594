import { MINUS } from '../../resp/bytes.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'

/** One command to one store. */
export interface Question {
  readonly pipeline: Pipeline
  readonly bytes: Buffer
  /** There is an answer without it: where the store gives none, or an error, or none within `PATIENCE_MS`, its reply is left out. */
  readonly isOptional?: boolean
}

/**
 * Several commands that are one for the client: collects their replies in the order in which they were asked. Ends once, in all replies (copies) or in the first
 * error's text.
 */
export class Gather implements ReplyOwner {
  readonly #frames: Buffer[] = []
  readonly #done: (frames: readonly Buffer[]) => void
  readonly #failed: (text: string) => void
  /** Numbers of the questions that are owed a reply; none: it has ended. */
  readonly #owed = new Set<number>()
  readonly #optional = new Set<number>()
  #timer: NodeJS.Timeout | null = null

  constructor(done: (frames: readonly Buffer[]) => void, failed: (text: string) => void) {
    this.#done = done
    this.#failed = failed
  }

  /** All of them, before the first reply can come. */
  ask(questions: readonly Question[]): void {
    for (const [i, { pipeline, bytes, isOptional }] of questions.entries()) {
      this.#owed.add(i)
      if (isOptional) this.#optional.add(i)
      pipeline.push(this, bytes, 0, bytes.length).seq = i
    }
    if (this.#optional.size > 0)
      this.#timer = setTimeout(() => {
        for (const i of this.#optional) this.#lacks(i, '')
      }, PATIENCE_MS).unref()
  }

  settle({ seq }: InFlight, buf: Buffer, start: number, end: number): void {
    if (!this.#owed.has(seq)) return
    if (buf[start] === MINUS) return this.#lacks(seq, buf.toString('latin1', start + 1, end - 2))
    this.#frames[seq] = Buffer.from(buf.subarray(start, end))
    this.#has(seq)
  }

  lost({ seq }: InFlight, loss: Loss): void {
    this.#lacks(seq, loss.text)
  }

  timedOut({ seq }: InFlight): void {
    this.#lacks(seq, 'ERR Understudy: a store did not answer in time')
  }

  /** Nobody else waits for the last node of a cluster. */
  detached(): void {}

  #has(seq: number): void {
    this.#owed.delete(seq)
    if (this.#owed.size > 0) return
    this.#stopWaiting()
    // Without the places of those that were left out.
    this.#done(this.#frames.filter(() => true))
  }

  #lacks(seq: number, text: string): void {
    if (!this.#owed.has(seq)) return
    if (this.#optional.has(seq)) return this.#has(seq)
    this.#owed.clear()
    this.#stopWaiting()
    this.#failed(text)
  }

  #stopWaiting(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
  }
}

const PATIENCE_MS = 500
