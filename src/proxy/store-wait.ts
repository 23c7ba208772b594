import { COLON, MINUS, ZERO } from '../resp/bytes.ts'
import { encodeOwn } from '../resp/own-words.ts'
import type { InFlight, ReplyOwner } from '../upstream/in-flight.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import type { Store } from '../upstream/store.ts'
import { borrow, giveBack } from './borrow.ts'
import type { Session } from './session.ts'
import { Swallow } from './swallow.ts'

const PING = encodeOwn(['PING'])
/** Sharded: seen by no pattern subscriber. */
const TO_NOBODY = encodeOwn(['SPUBLISH', 'understudy:wait', ''])
const UNBLOCK_AGAIN_MS = 5

/** One wait of a blocking command at a store: on a connection that it has borrowed, until there is a reply, it is lost, or it has been called back. */
export class StoreWait {
  readonly store: Store
  readonly #session: Session
  readonly #pipeline: Pipeline
  #over = false

  /** `answersWithinMs`: the reply is not waited for any longer; 0: for ever. */
  constructor(session: Session, store: Store, answersWithinMs: number) {
    this.store = store
    this.#session = session
    this.#pipeline = borrow(session, store)
    this.#pipeline.answersWithinMs = answersWithinMs
    this.#pipeline.blocks = true
  }

  /** Its connection, in the overlap table. */
  get lane(): number {
    return this.#pipeline.lane
  }

  /**
   * Before WAIT and WAITAOF, which ask about what this very connection has written. A message to nobody makes that "all that was written before" (Redis 7.2 and later count writes only;
   * before, any command does).
   */
  writeToNobody(): void {
    for (const bytes of [PING, TO_NOBODY]) this.#pipeline.push(new Swallow(), bytes, 0, bytes.length)
  }

  push(owner: ReplyOwner, bytes: Buffer): InFlight {
    return this.#pipeline.push(owner, bytes, 0, bytes.length)
  }

  /** There is a reply. It is in the ring still. */
  answered(): void {
    this.#over = true
    const { database } = this.#session
    queueMicrotask(() => giveBack(this.#session, this.store, this.#pipeline, database, true))
  }

  /** There will be none. Where the connection is the client's own, its session ends with it. */
  lost(): void {
    giveBack(this.#session, this.store, this.#pipeline, 0, false)
    this.#over = true
  }

  /**
   * Cancels the wait by CLIENT UNBLOCK, behind what clients have sent and before what they send from now on: an element that is pushed after this stays. The answer 0 says that
   * nothing was cancelled: the take has happened and its reply is on the way, or the command has not reached the store yet. So it is asked again until there is a reply, as long as it `isWanted`.
   *
   * Not even connected, a server without CLIENT ID, nobody to send it, or it is refused: the connection is closed instead, and the loss marks what it may have done.
   */
  callBack(isWanted: () => boolean): void {
    if (this.#over || !isWanted()) return
    const { database, protocol } = this.#session
    const shared = this.store.shared(database, protocol)
    const canSend = shared.state !== 'down' && shared.state !== 'closed'
    const bytes = canSend ? this.#pipeline.unblocking() : 'impossible'
    if (bytes === 'impossible') return this.#close()
    const again = (): void => {
      if (!this.#over) setTimeout(() => this.callBack(isWanted), UNBLOCK_AGAIN_MS).unref()
    }
    if (bytes === 'later') return again()
    const failed = (): void => {
      if (!this.#over && isWanted()) this.#close()
    }
    const owner: ReplyOwner = {
      settle: (_slot, buf, start) => {
        // Its reply, or that of what was cancelled, has to leave its ring before.
        if (buf[start] === MINUS) queueMicrotask(failed)
        else if (buf[start] === COLON && buf[start + 1] === ZERO) queueMicrotask(again)
      },
      lost: () => queueMicrotask(failed),
      timedOut: () => {},
    }
    shared.push(owner, bytes, 0, bytes.length)
  }

  #close(): void {
    this.#pipeline.close('a blocked command was called back')
  }
}
