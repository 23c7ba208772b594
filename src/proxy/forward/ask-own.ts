import { MINUS } from '../../resp/bytes.ts'
import { errorFrame } from '../../resp/encode.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Session } from '../session/session.ts'

/** A frame for one connection. */
export interface OwnQuestion {
  readonly pipeline: Pipeline
  readonly bytes: Buffer
}

/**
 * Asks on several connections of one client's at once; `answered` gets the first reply, or an error if any of them answered with one, when the last has come.
 */
export class AskOwn implements ReplyOwner {
  readonly #session: Session
  readonly #answered: (reply: Buffer) => void
  #missing = 0
  #reply: Buffer | null = null

  constructor(session: Session, answered: (reply: Buffer) => void) {
    this.#session = session
    this.#answered = answered
  }

  push(questions: readonly OwnQuestion[]): void {
    this.#missing = questions.length
    for (const [i, { pipeline, bytes }] of questions.entries()) {
      pipeline.push(this, bytes, 0, bytes.length).seq = i
    }
  }

  settle(slot: InFlight, buf: Buffer, start: number, end: number): void {
    const isError = buf[start] === MINUS
    if (isError ? this.#reply?.[0] !== MINUS : slot.seq === 0 && this.#reply === null) {
      this.#reply = Buffer.from(buf.subarray(start, end))
    }
    this.#oneIsBack()
  }

  lost(_slot: InFlight, loss: Loss): void {
    if (this.#reply?.[0] !== MINUS) this.#reply = errorFrame(loss.text)
    this.#oneIsBack()
  }

  /** Followed to its end. */
  timedOut(): void {}

  #oneIsBack(): void {
    if (--this.#missing > 0) return
    // After it has left the ring: the answer may close the connection.
    queueMicrotask(() => {
      if (!this.#session.closed) this.#answered(this.#reply!)
    })
  }
}

/** Answers the command at hand with what `answer` makes of the reply; what the client says next waits for it. */
export function askOwn(session: Session, questions: readonly OwnQuestion[], answer: (reply: Buffer) => Buffer): void {
  const seq = session.order.assign()
  session.waiting = 'pin'
  new AskOwn(session, (reply) => {
    const frame = answer(reply)
    session.reply(seq, frame, 0, frame.length)
    session.proceed()
  }).push(questions)
}
