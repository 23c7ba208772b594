import { FRAME } from '../../resp/encode.ts'
import type { Session } from '../session/session.ts'

/** CLIENT UNBLOCK of a client, to be answered when the other one's wait has ended. */
interface OwedUnblock {
  readonly session: Session
  readonly seq: number
  /** Coarse clock. */
  readonly sinceMs: number
}

/**
 * Answers to CLIENT UNBLOCK. How the wait ends is the store's to say, and one that hangs says nothing: the client that asks is not kept from its next commands, which other stores may answer, for longer than `PATIENCE_MS`. The other one is unblocked
 * then as far as Understudy can; that it takes something all the same is not told any more.
 */
export class OwedUnblocks {
  readonly #owed = new Set<OwedUnblock>()

  /** Answers the command at hand later. The function is to be told whether the other one has waited for nothing. */
  add(session: Session): (forNothing: boolean) => void {
    const owed = { session, seq: session.order.assign(), sinceMs: session.path.clock.nowMs }
    this.#owed.add(owed)
    return (forNothing) => this.#answer(owed, forNothing ? FRAME.ONE : FRAME.ZERO)
  }

  tick(nowMs: number): void {
    for (const owed of this.#owed) if (nowMs - owed.sinceMs >= PATIENCE_MS) this.#answer(owed, FRAME.ONE)
  }

  #answer(owed: OwedUnblock, frame: Buffer): void {
    if (this.#owed.delete(owed)) owed.session.reply(owed.seq, frame, 0, frame.length)
  }
}

const PATIENCE_MS = 1000
