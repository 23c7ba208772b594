import { frameForNoTime, frameForTheRest, replyLimitMs } from '../../command/block-time.ts'
import { asksReplicas, isNil, replyToNothing, waitedForNothing } from '../../command/blocked-reply.ts'
import { repliesWithKeys } from '../../command/reply-keys.ts'
import type { CommandSpec } from '../../command/spec.ts'
import type { AckWaiter } from '../../mirror/shadow/ack-waiter.ts'
import { MINUS } from '../../resp/bytes.ts'
import { errorFrame } from '../../resp/encode.ts'
import type { Route, RouteState } from '../../routing/route.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import { mapReplyOf } from '../forward/map-reply.ts'
import { noConnectionLeft } from '../session/borrow.ts'
import { leavePin, type Pin } from '../session/pin.ts'
import type { Session } from '../session/session.ts'
import { BlockedKeys } from './blocked-keys.ts'
import { BlockedRoutes } from './blocked-routes.ts'
import { BlockingTry } from './blocking-try.ts'
import { StoreWait } from './store-wait.ts'

/**
 * One blocking command of a client, from its first try to its answer. See `startBlocking` for its stages.
 */
export class BlockedCommand implements Pin, ReplyOwner {
  readonly kind = 'blocked'
  outer: Pin | null = null
  readonly session: Session
  readonly #spec: CommandSpec
  /** The application's frame. */
  readonly #frame: Buffer
  readonly #routes: BlockedRoutes
  readonly #keys: BlockedKeys
  readonly #seq: number
  readonly #startedMs: number
  #trying = false
  /** Null: it does not wait at a store. */
  #wait: StoreWait | null = null
  /** A switch is under way: a nil means "go on elsewhere", once `moved` says where. */
  #moving = false
  /** CLIENT UNBLOCK was sent for a switch: a nil may be its doing, also later, where one is late. */
  #recalled = false
  /** What a store answered when it gave the command back: nil, or how many replicas had everything by then. */
  #soFar: Buffer | null = null
  #abandoned = false
  #unblocking: Unblocking | null = null

  constructor(
    session: Session,
    spec: CommandSpec,
    frame: Buffer,
    route: Route,
    others: readonly RouteState[],
    seq: number,
    hash: number,
  ) {
    this.session = session
    this.#spec = spec
    this.#frame = frame
    this.#routes = new BlockedRoutes(session.path, spec, frame, route, others)
    this.#seq = seq
    this.#keys = new BlockedKeys(session, spec, frame, hash)
    this.#keys.isMirrored = this.#routes.areMirrored
    this.#startedMs = session.path.clock.nowMs
  }

  /** It is being tried: nobody knows yet whether it blocks. */
  get undecided(): boolean {
    return this.#trying
  }

  get flag(): string {
    return this.undecided ? 'N' : 'b'
  }

  get route(): Route {
    return this.#routes.main
  }

  /** One of its keys belongs to one of these routes. */
  touches(routes: ReadonlySet<string>): boolean {
    return this.#routes.touch(routes)
  }

  /** It waits at a store: a switch has to unblock it before the store is quiet. */
  get waitsAtStore(): boolean {
    return this.#wait !== null
  }

  /** The store that it waits at is not its keys' primary any more. */
  get waitsElsewhere(): boolean {
    return this.#wait !== null && this.session.path.primaryOf(this.#routes.now()) !== this.#wait.store
  }

  attempt(): void {
    const { path, database, protocol, user } = this.session
    const pipeline = path.primaryOf(this.route).shared(database, protocol, user)
    this.#trying = true
    const attempt = new BlockingTry(this.#routes, this.#keys, {
      tookNothing: () => this.#triedInVain(),
      answered: (buf, from, to, contested) => this.#took(buf, from, to, contested),
      refused: (frame, mayHaveTaken) => this.#refusedTry(frame, mayHaveTaken),
      lost: (loss) => this.#lost(loss),
    })
    // Rights are the user's own, where it is one of the store, and those came with fractions of seconds (6.0).
    const frame = user === null ? this.#frame : frameForNoTime(this.#spec, this.#frame)
    this.#mark(attempt.send(pipeline, this.#routes.renamed(frame)))
  }

  wait(): void {
    const { session } = this
    const { path } = session
    this.reroute()
    const { takesFractions } = path.copies.factsOf(this.route.primary.storeName)
    const rest = frameForTheRest(this.#spec, this.#frame, path.clock.nowMs - this.#startedMs, takesFractions)
    // A try that took longer than the whole timeout still leaves the client its wait.
    const frame = rest ?? (this.#recalled ? null : this.#frame)
    if (frame === null) return this.#finish(this.#nil())
    const renamed = this.#routes.renamed(frame)
    if (path.plan.refusal !== null) return this.#finish(errorFrame(path.plan.refusal))
    const store = path.primaryOf(this.route)
    const crowded = noConnectionLeft(session, store)
    if (crowded !== null) return this.#finish(errorFrame(crowded))
    const wait = new StoreWait(session, store, replyLimitMs(this.#spec, frame, store.options.config.timeoutMs))
    this.#wait = wait
    path.blocked.add(this)
    this.#keys.waits(wait.lane)
    if (asksReplicas(this.#spec)) wait.writeToNobody()
    this.#mark(wait.push(this, renamed))
  }

  /** It may write its keys at any time from now on: to be told again of each new segment of the log, as long as it waits. */
  noteIntent(): void {
    this.#keys.noteIntent()
  }

  #triedInVain(): void {
    const { path } = this.session
    this.#trying = false
    if (this.#abandoned) this.#finish(this.#nil())
    // A switch has begun meanwhile: it is `moved` that goes on.
    else if (this.#routes.areHeld) path.blocked.add(this)
    else this.wait()
  }

  #took(buf: Buffer, from: number, to: number, contested: boolean): void {
    const { path, database } = this.session
    this.route.state.primaryOk++
    const frame = this.#frame
    this.#finish(this.#mapped(buf, from, to), (waiter) => {
      if (buf[from] === MINUS || !this.#routes.areMirrored) return
      if (contested) this.#keys.mark(waiter)
      else path.mirror.apply(this.#spec, this.route, database, frame, 0, frame.length, buf, from, to, waiter)
    })
  }

  #refusedTry(frame: Buffer, mayHaveTaken: boolean): void {
    this.route.state.primaryError++
    if (mayHaveTaken && this.#routes.areMirrored) this.#keys.mark()
    this.#finish(frame)
  }

  // --- the answer to a wait

  settle(_slot: InFlight, buf: Buffer, start: number, end: number): void {
    const wait = this.#wait!
    this.#wait = null
    wait.answered()
    const reply = this.#mapped(buf, start, end)
    const isForNothing = waitedForNothing(this.#spec, this.#frame, reply)
    if (isForNothing || buf[start] === MINUS) this.#keys.awaitNoMore()
    if (isForNothing && this.#recalled && !this.#abandoned) {
      this.#soFar = reply
      // `moved` goes on; or it was called off meanwhile.
      if (!this.#moving) this.wait()
      return
    }
    if (buf[start] === MINUS) this.route.state.primaryError++
    else this.route.state.primaryOk++
    const took = !isForNothing && buf[start] !== MINUS && this.#routes.areMirrored
    this.#keys.noteWait(took)
    const mirror = (waiter: AckWaiter | null): void => {
      if (took) this.#keys.mark(waiter)
      this.#keys.awaitNoMore()
    }
    this.#finish(reply, mirror, wait)
  }

  lost(_slot: InFlight, loss: Loss): void {
    this.#lost(loss)
  }

  #lost(loss: Loss): void {
    // A connection of the client's own ends the session with it, which abandons this in turn.
    const wasAbandoned = this.#abandoned
    this.#wait?.lost(loss)
    this.#trying = false
    this.#wait = null
    // Taken back before it reached the store: `moved` sends it on.
    if (this.#moving && !loss.mayHaveRun && !this.#abandoned) return this.#keys.awaitNoMore()
    if (loss.refused) this.route.state.primaryError++
    else this.route.state.primaryLost++
    if (loss.mayHaveRun && this.#routes.areMirrored) this.#keys.mark()
    this.#keys.awaitNoMore()
    this.#finish(wasAbandoned ? this.#nil() : errorFrame(loss.text))
  }

  /** Its store gives up one that lasts too long (`replyLimitMs`). */
  timedOut(): void {}

  dispatch(): boolean {
    return this.session.waitFor('pin')
  }

  /** The client is gone: the block is cancelled at the store, and what had been taken by then is mirrored. */
  abandon(): void {
    if (this.#abandoned) return
    this.#abandoned = true
    if (this.#wait !== null) this.#callBack(this.#wait)
    else if (!this.#trying) this.#finish(this.#nil())
  }

  /** CLIENT UNBLOCK by another client: the wait ends, or has what it takes in this very moment. False: it does not wait, and nothing is told. */
  unblock(unblocking: Unblocking): boolean {
    if (this.#trying || this.#abandoned) return false
    this.#unblocking = unblocking
    this.abandon()
    return true
  }

  /** A switch begins: takes the command back from the store. `moved` sends it on. */
  recall(): void {
    if (this.#moving) return
    this.#moving = true
    if (this.#wait === null) return
    this.#recalled = true
    this.#callBack(this.#wait)
  }

  /** It has been recalled, and its store does not give it back. */
  giveUp(reason: string): void {
    this.#wait?.giveUp(reason)
  }

  /** Its keys may belong to other routes now. Not while it is being tried: those that it counts with are told when that is over. */
  reroute(): void {
    if (this.#trying) return
    this.#routes.renew()
    this.#keys.isMirrored = this.#routes.areMirrored
  }

  /** The switch is done, or called off: goes on at what is now the primary. */
  moved(): void {
    this.#moving = false
    const { path } = this.session
    if (this.#trying || this.#abandoned) return
    this.reroute()
    // Still waiting there: when the nil comes, it goes on.
    if (this.#wait !== null || !path.blocked.delete(this)) return
    this.wait()
  }

  /** Wanted as long as the switch is not called off. */
  #callBack(wait: StoreWait): void {
    wait.callBack(() => this.#moving || this.#abandoned || this.waitsElsewhere)
  }

  /** What Redis answers when the time is over. */
  #nil(): Buffer {
    return this.#soFar ?? replyToNothing(this.#spec, this.session.protocol)
  }

  #mark(slot: InFlight): InFlight {
    slot.seq = this.#seq
    slot.route = this.route
    slot.spec = this.#spec
    slot.database = this.session.database
    return slot
  }

  #mapped(buf: Buffer, from: number, to: number): Buffer {
    const { path, protocol } = this.session
    const mapped =
      repliesWithKeys(this.#spec) && !isNil(buf, from)
        ? mapReplyOf(path, this.#spec, this.#frame, buf, from, to, protocol)
        : null
    return mapped ?? Buffer.from(buf.subarray(from, to))
  }

  #finish(reply: Buffer, mirror: (waiter: AckWaiter | null) => void = nothing, wait: StoreWait | null = null): void {
    const { session } = this
    session.path.blocked.delete(this)
    leavePin(session, this)
    const isForNothing = waitedForNothing(this.#spec, this.#frame, reply)
    const frame = (isForNothing ? this.#unblocking?.error : null) ?? reply
    const terms = session.path.syncReplies.termsOf(this.route, this.#routes.others)
    if (terms !== null && frame[0] !== MINUS && !session.closed) {
      session.path.syncReplies.hold(session, this.#seq, this.route, terms, frame, mirror)
    } else {
      mirror(null)
      session.reply(this.#seq, frame, 0, frame.length)
    }
    this.#unblocking?.ended(isForNothing)
    if (session.closed) return
    // It was blocked when its client went: nothing is executed that lies behind it.
    if (this.#abandoned && this.#unblocking === null && isForNothing) session.end()
    if (wait === null) session.proceed()
    else wait.whenFree(() => session.proceed())
  }
}

/** What CLIENT UNBLOCK wants. */
export interface Unblocking {
  /** The answer to what has waited for nothing; null: that of one whose time is over. */
  readonly error: Buffer | null
  /** Told in any case: whether it has waited for nothing. */
  readonly ended: (forNothing: boolean) => void
}

function nothing(): void {}
