import { Queue } from '../../base/queue.ts'
import type { Subscription } from '../pubsub/subscription.ts'
import type { Session } from './session.ts'

/** A command of the client that stores have not answered yet. */
export interface OwedAnswer {
  /** Among those that PUBLISH waits for. */
  readonly pendingId: number
  /** False: EXEC's, which has a reply of its own. */
  readonly isReply: boolean
  /** Confirmations to come. */
  waiting: number
  error: Buffer | null
  readonly frames: Buffer[]
  /** What it added, to be taken back if it is refused. */
  readonly added: Subscription[]
}

export interface OwedAnswersOwner {
  /** A store refuses it: the client is about to be told. */
  refused(answer: OwedAnswer): void
  /** The client has been told, of it or of its error. */
  told(answer: OwedAnswer): void
  /** Nothing is owed any more. */
  allTold(): void
}

/**
 * The answers that a subscriber owes its client. Each is told as a whole, when every store has confirmed what it asked for and those before it have been told:
 *
 *   begin ─▶ waiting: 1, held until all has been asked for, and 1 for each store ─▶ confirmed, so many times ─▶ its frames, or the first error
 *
 * What PUBLISH waits for ends with it.
 */
export class OwedAnswers {
  readonly #session: Session
  readonly #owner: OwedAnswersOwner
  readonly #queue = new Queue<OwedAnswer>()
  #abandoned = false

  constructor(session: Session, owner: OwedAnswersOwner) {
    this.#session = session
    this.#owner = owner
  }

  get any(): boolean {
    return this.#queue.length > 0
  }

  /** Held by one until everything has been asked for, so that it is answered as a whole. */
  begin(isReply: boolean): OwedAnswer {
    const pendingId = this.#session.path.pendingSubscriptions.begin()
    const answer: OwedAnswer = { pendingId, isReply, waiting: 1, error: null, frames: [], added: [] }
    this.#queue.push(answer)
    return answer
  }

  /** One of those that it waits for has come; `error`: a store's. */
  confirmed(answer: OwedAnswer, error: Buffer | null): void {
    answer.waiting--
    answer.error ??= error
    if (this.#abandoned) return
    for (let head = this.#queue.first; head?.waiting === 0; head = this.#queue.first) {
      this.#queue.shift()
      this.#tell(head)
      this.#owner.told(head)
      if (this.#queue.length === 0) this.#owner.allTold()
    }
  }

  /** Every store has confirmed it, and the client is told later: PUBLISH need not wait so long. */
  confirmedUntold({ pendingId }: OwedAnswer): void {
    this.#session.path.pendingSubscriptions.end(pendingId)
  }

  /** The client is gone. */
  abandon(): void {
    this.#abandoned = true
    for (const { pendingId } of this.#queue.takeAll()) this.#session.path.pendingSubscriptions.end(pendingId)
  }

  #tell(answer: OwedAnswer): void {
    const session = this.#session
    session.path.pendingSubscriptions.end(answer.pendingId)
    const { replyMode } = session
    // This was the command to be skipped; what confirms it is no reply, and is told all the same.
    if (replyMode === 'skip' && answer.isReply) session.replyMode = 'on'
    const { error } = answer
    if (error === null) {
      for (const frame of answer.frames) session.push(frame, 0, frame.length)
      for (const subscription of answer.added) subscription.announced = true
      return
    }
    this.#owner.refused(answer)
    if (replyMode === 'on') session.push(error, 0, error.length)
  }
}
