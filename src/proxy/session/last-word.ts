import { abandonPins, owesAnswers } from './pin.ts'
import type { Session } from './session.ts'

/**
 * How a client is taken leave of. What it has said until then is still answered, that which waits among it:
 *
 *   FIN, or Understudy stops   ─▶ spoken  ─┐
 *   bytes that are no command  ─▶ mistake ─┴─▶ nothing waits, and nothing is owed to a subscriber ─▶ the mistake is told ─▶ Session.end
 *
 * One that is blocked, or held by CLIENT PAUSE, is taken for gone, as by Redis: nothing is executed for it any more. So is one whose command comes to that only behind the last word:
 * what blocks is cancelled, unless there is something to take.
 */
export class LastWord {
  /** What comes behind it is not taken. */
  isSpoken = false
  readonly #session: Session
  /** What was wrong with its bytes. */
  #mistake: string | null = null

  constructor(session: Session) {
    this.#session = session
  }

  spoken(): void {
    this.isSpoken = true
    this.look()
  }

  /** Its bytes are no command from here on: `text` says why, in Redis' words. */
  mistake(text: string): void {
    this.#mistake = text
    this.isSpoken = true
    this.look()
  }

  /** The session has gone as far as it can for now. */
  look(): void {
    const session = this.#session
    if (!this.isSpoken) return
    if (session.input.flows) this.#giveUpHalf()
    else if (session.ending) return
    else if (session.pin?.kind === 'blocked') session.pin.abandon()
    else if (session.waiting === null || session.waiting === 'pause') {
      if (owesAnswers(session.pin)) session.waitFor('answers')
      else if (session.waiting === 'pause') session.end()
      else this.#end()
    }
  }

  /** Half a command, and the rest will never come. What was answered before it may be on its way still. */
  #giveUpHalf(): void {
    const session = this.#session
    session.ending = true
    abandonPins(session)
    session.downstream.endAfterWrite()
  }

  #end(): void {
    const session = this.#session
    if (this.#mistake === null) return session.end()
    // That is the reply to be left out, and not this.
    if (session.replyMode === 'skip' && session.order.owed > 0) return void session.waitFor('replies')
    session.ending = true
    session.answerError(`ERR ${this.#mistake}`)
  }
}
