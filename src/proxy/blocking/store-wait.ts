import { COLON, MINUS, ZERO } from '../../resp/bytes.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import { AHEAD_OF_UNBLOCK } from '../../upstream/pipeline/ahead-of-unblock.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import { borrow, giveBack } from '../session/borrow.ts'
import type { Session } from '../session/session.ts'
import { Swallow } from '../session/swallow.ts'

const PING = encodeOwn(['PING'])
/** Sharded: seen by no pattern subscriber. */
const TO_NOBODY = encodeOwn(['SPUBLISH', 'understudy:wait', ''])
const UNBLOCK_AGAIN_MS = 5

/**
 * One wait of a blocking command at a store: on a connection that it has borrowed, until there is a reply, it is lost, or it has been called back.
 *
 *   push ─▶ (callBack ─▶ CLIENT UNBLOCK by another connection) ─▶ answered ─▶ every UNBLOCK has its answer ─▶ given back
 *
 * An UNBLOCK that is under way still when the reply comes would end whatever waits on the connection by then: another client's command, or the next one of this client, whose own it is.
 */
export class StoreWait {
  readonly store: Store
  readonly #session: Session
  readonly #pipeline: Pipeline
  /** The connection is the client's own, or was when the wait began. */
  readonly #wasOwn: boolean
  /** What the connection had been given to answer; of the client's own. */
  readonly #before: number
  #over = false
  /** CLIENT UNBLOCKs without an answer. */
  #unblocking = 0
  /** One of them may be executed at any time. */
  #unsure = false
  /** The reply has come before their answers. */
  #onUnblocked: (() => void) | null = null

  /** `answersWithinMs`: the reply is not waited for any longer; 0: for ever. */
  constructor(session: Session, store: Store, answersWithinMs: number) {
    this.store = store
    this.#session = session
    this.#pipeline = borrow(session, store)
    this.#wasOwn = this.#isOwn
    this.#before = this.#pipeline.answersWithinMs
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
    // Before the client's next command: where the connection is its own, that one may wait on it, too.
    this.#pipeline.answersWithinMs = this.#before
    this.#pipeline.blocks = false
    const session = this.#session
    const { database } = session
    const back = (): void => {
      // Unless it has been closed with the client's others, or left by a switch, since the wait began: whoever left it closes it.
      if (this.#wasOwn && !this.#isOwn) return
      giveBack(session, this.store, this.#pipeline, database, !this.#unsure)
    }
    if (this.#unblocking === 0) queueMicrotask(back)
    else this.#onUnblocked = back
  }

  /** Behind `answered`: calls `goOn` when the client's next command can be sent, which is at once unless an UNBLOCK may meet it. */
  whenFree(goOn: () => void): void {
    const back = this.#onUnblocked
    if (back === null || !this.#isOwn) return goOn()
    this.#session.waiting = 'pin'
    this.#onUnblocked = () => {
      back()
      goOn()
    }
  }

  /** There will be none. Where the connection is the client's own, its session ends with it; unless it is one node of a cluster that could not be asked. */
  lost(loss: Loss): void {
    if (!loss.mayHaveRun && this.#isOwn && this.#pipeline.state === 'up') return this.answered()
    giveBack(this.#session, this.store, this.#pipeline, 0, false)
    this.#over = true
  }

  /**
   * Cancels the wait by CLIENT UNBLOCK, behind what clients have sent and before what they send from now on: an element that is pushed after this stays. The answer 0 says that
   * nothing was cancelled: the take has happened and its reply is on the way, or the command has not reached the store yet. So it is asked again until there is a reply, as long as it `isWanted`.
   *
   * What is still being connected is called back when it has been sent: there may be something to take. A server without CLIENT ID, nobody to send it, or it is refused: the connection is closed instead, and the loss marks
   * what it may have done.
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
    // While clients have writes paused, whose commands wait here then, the reads of all others go on.
    const isBeside = !this.#session.path.storePause.isQuiet
    const pipeline = isBeside ? this.store.dedicated.borrow(database, protocol) : shared
    // Its reply, or that of what was cancelled, has to leave its ring before.
    const ended = (next: (() => void) | null): void =>
      queueMicrotask(() => {
        if (isBeside) this.store.dedicated.release(pipeline, database)
        next?.()
        if (--this.#unblocking === 0) this.#onUnblocked?.()
      })
    const owner: ReplyOwner = {
      settle: (_slot, buf, start) => {
        if (buf[start] === MINUS) ended(failed)
        else ended(buf[start] === COLON && buf[start + 1] === ZERO ? again : null)
      },
      lost: (_slot, loss) => {
        if (loss.mayHaveRun) this.#unsure = true
        ended(failed)
      },
      timedOut: () => {},
    }
    this.#unblocking++
    // To a cluster it goes with the UNBLOCK, to the node.
    if (this.store.cluster === null) pipeline.push(new Swallow(), AHEAD_OF_UNBLOCK, 0, AHEAD_OF_UNBLOCK.length)
    pipeline.push(owner, bytes, 0, bytes.length)
  }

  /** Ends it without an answer: it is told as lost, and is not executed later. */
  giveUp(reason: string): void {
    this.#pipeline.reconnect(reason)
  }

  get #isOwn(): boolean {
    return this.#session.own?.isOne(this.#pipeline) ?? false
  }

  #close(): void {
    this.#pipeline.close('a blocked command was called back')
  }
}
