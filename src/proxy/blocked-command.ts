import { repliesWithKeys } from '../command/reply-keys.ts'
import type { CommandSpec } from '../command/spec.ts'
import type { AckWaiter } from '../mirror/ack-waiter.ts'
import { ASTERISK, DOLLAR, MINUS, UNDERSCORE } from '../resp/bytes.ts'
import { CommandParser } from '../resp/command-parser.ts'
import { errorFrame, FRAME } from '../resp/encode.ts'
import { encodeOwn } from '../resp/own-words.ts'
import { planCommand, renameForPrimary } from '../routing/plan.ts'
import type { Route, RouteState } from '../routing/route.ts'
import type { InFlight, Loss, ReplyOwner } from '../upstream/in-flight.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import type { Store } from '../upstream/store.ts'
import { frameForTheRest, replyLimitMs } from './block-time.ts'
import { BlockedKeys } from './blocked-keys.ts'
import { borrow, giveBack, noConnectionLeft } from './borrow.ts'
import { execElements } from './malformed.ts'
import { mapReplyOf } from './map-reply.ts'
import { leavePin, type Pin } from './pin.ts'
import type { Session } from './session.ts'
import { Swallow } from './swallow.ts'

const MULTI = encodeOwn(['MULTI'])
const EXEC = encodeOwn(['EXEC'])
const PING = encodeOwn(['PING'])
/** Sharded: seen by no pattern subscriber. */
const TO_NOBODY = encodeOwn(['SPUBLISH', 'understudy:wait', ''])
const UNBLOCK_AGAIN_MS = 5

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
  #route: Route
  /** The routes that its other keys belong to. */
  #others: readonly RouteState[]
  readonly #keys: BlockedKeys
  readonly #seq: number
  readonly #startedMs: number
  #stage: 'try' | 'wait' | 'idle' = 'idle'
  #store: Store | null = null
  #pipeline: Pipeline | null = null
  #queueError: Buffer | null = null
  /** A switch is under way: a nil means "go on elsewhere", once `moved` says where. */
  #moving = false
  /** CLIENT UNBLOCK was sent for a switch: a nil may be its doing. */
  #recalled = false
  #abandoned = false
  /** What CLIENT UNBLOCK wants to be answered instead of nil. */
  #cancelled: Buffer | null = null

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
    this.#route = route
    this.#others = others
    this.#seq = seq
    this.#keys = new BlockedKeys(session, spec, frame, hash)
    this.#keys.isMirrored = this.#mirrors()
    this.#startedMs = session.path.clock.nowMs
  }

  /** It is being tried: nobody knows yet whether it blocks. */
  get undecided(): boolean {
    return this.#stage === 'try'
  }

  get flag(): string {
    return this.undecided ? 'N' : 'b'
  }

  get route(): Route {
    return this.#route
  }

  /** One of its keys belongs to one of these routes. */
  touches(routes: ReadonlySet<string>): boolean {
    return routes.has(this.#route.name) || this.#others.some(({ name }) => routes.has(name))
  }

  /** It waits at a store: a switch has to unblock it before the store is quiet. */
  get waitsAtStore(): boolean {
    return this.#stage === 'wait'
  }

  /** The store that it waits at is not its keys' primary any more. */
  get waitsElsewhere(): boolean {
    return this.#stage === 'wait' && this.session.path.primaryOf(this.#routeNow()) !== this.#store
  }

  attempt(): void {
    const { path, database, protocol, user } = this.session
    const pipeline = path.primaryOf(this.#route).shared(database, protocol, user)
    const bytes = Buffer.concat([MULTI, this.#renamed(this.#frame), EXEC])
    this.#stage = 'try'
    this.noteIntent()
    const slot = this.#push(pipeline, bytes)
    slot.replies = 3
    this.#countInFlight(1)
    this.#keys.tries(pipeline.lane)
  }

  wait(): void {
    const { session } = this
    const { path } = session
    const rest = frameForTheRest(this.#spec, this.#frame, path.clock.nowMs - this.#startedMs)
    // A try that took longer than the whole timeout still leaves the client its wait.
    const frame = rest ?? (this.#recalled ? null : this.#frame)
    if (frame === null) return this.#finish(this.#nil())
    this.reroute()
    const renamed = this.#renamed(frame)
    if (path.plan.refusal !== null) return this.#finish(errorFrame(path.plan.refusal))
    this.#store = path.primaryOf(this.#route)
    const crowded = noConnectionLeft(session, this.#store)
    if (crowded !== null) return this.#finish(errorFrame(crowded))
    const pipeline = borrow(session, this.#store)
    pipeline.answersWithinMs = replyLimitMs(this.#spec, frame, this.#store.options.config.timeoutMs)
    pipeline.blocks = true
    this.#pipeline = pipeline
    this.#stage = 'wait'
    path.blocked.add(this)
    this.#keys.waits(pipeline.lane)
    if (this.#spec.name === 'WAIT' || this.#spec.name === 'WAITAOF') {
      // They ask about what this very connection has written. A message to nobody makes that "all that was written before" (Redis 7.2 and later count writes only;
      // before, any command does).
      for (const bytes of [PING, TO_NOBODY]) pipeline.push(new Swallow(), bytes, 0, bytes.length)
    }
    this.#push(pipeline, renamed)
  }

  /** It may write its keys at any time from now on: to be told again of each new segment of the log, as long as it waits. */
  noteIntent(): void {
    this.#keys.noteIntent()
  }

  settle(slot: InFlight, buf: Buffer, start: number, end: number): void {
    if (this.#stage === 'try') {
      if (slot.replies > 0) {
        if (buf[start] === MINUS) this.#queueError ??= Buffer.from(buf.subarray(start, end))
        return
      }
      this.#settleTry(buf, start, end)
      return
    }
    this.#settleWait(buf, start, end)
  }

  #settleTry(buf: Buffer, start: number, end: number): void {
    const { path } = this.session
    this.#countInFlight(-1)
    const contested = this.#keys.tried()
    const offsets = execElements(buf, start, end)
    if (offsets === null || offsets.length !== 2) {
      this.#route.state.primaryError++
      if (buf[start] !== MINUS && this.#mirrors()) this.#keys.mark()
      this.#finish(this.#queueError ?? Buffer.from(buf.subarray(start, end)))
      return
    }
    const from = offsets[0]!
    const to = offsets[1]!
    if (isNil(buf, from)) {
      this.#stage = 'idle'
      this.#keys.noteTry(false)
      if (this.#abandoned) this.#finish(this.#nil())
      // A switch has begun meanwhile: it is `moved` that goes on.
      else if (this.#isHeld()) path.blocked.add(this)
      else this.wait()
      return
    }
    this.#route.state.primaryOk++
    this.#keys.noteTry(true)
    const frame = this.#frame
    const { database } = this.session
    this.#finish(this.#mapped(buf, from, to), (waiter) => {
      if (buf[from] === MINUS || !this.#mirrors()) return
      if (contested) this.#keys.mark(waiter)
      else path.mirror.apply(this.#spec, this.#route, database, frame, 0, frame.length, buf, from, to, waiter)
    })
  }

  #settleWait(buf: Buffer, start: number, end: number): void {
    const { path } = this.session
    const pipeline = this.#pipeline!
    const store = this.#store!
    const { database } = this.session
    this.#pipeline = null
    this.#stage = 'idle'
    const { session } = this
    queueMicrotask(() => giveBack(session, store, pipeline, database, true))
    if (isNil(buf, start) || buf[start] === MINUS) this.#keys.awaitNoMore()
    if (isNil(buf, start) && this.#recalled && !this.#abandoned) {
      // `moved` goes on; or it was called off meanwhile.
      if (!this.#moving) this.wait()
      return
    }
    path.blocked.delete(this)
    if (buf[start] === MINUS) this.#route.state.primaryError++
    else this.#route.state.primaryOk++
    const cancelled = isNil(buf, start) ? this.#cancelled : null
    const took = !isNil(buf, start) && buf[start] !== MINUS && this.#mirrors()
    this.#keys.noteWait(took)
    this.#finish(cancelled ?? this.#mapped(buf, start, end), (waiter) => {
      if (took) this.#keys.mark(waiter)
      this.#keys.awaitNoMore()
    })
  }

  lost(_slot: InFlight, loss: Loss): void {
    const { path } = this.session
    // A connection of the client's own ends the session with it, which abandons this in turn.
    const wasAbandoned = this.#abandoned
    if (this.#stage === 'try') {
      this.#countInFlight(-1)
      this.#keys.tried()
    } else if (this.#pipeline !== null) giveBack(this.session, this.#store!, this.#pipeline, 0, false)
    this.#stage = 'idle'
    this.#pipeline = null
    // Taken back before it reached the store: `moved` sends it on.
    if (this.#moving && !loss.mayHaveRun && !this.#abandoned) return this.#keys.awaitNoMore()
    path.blocked.delete(this)
    if (loss.refused) this.#route.state.primaryError++
    else this.#route.state.primaryLost++
    if (loss.mayHaveRun && this.#mirrors()) this.#keys.mark()
    this.#keys.awaitNoMore()
    this.#finish(wasAbandoned ? this.#nil() : errorFrame(loss.text))
  }

  /** A try that takes long is followed to its end: the client asked to wait anyway. */
  timedOut(): void {}

  dispatch(): boolean {
    return this.session.waitFor('pin')
  }

  /** The client is gone: the block is cancelled at the store, and what had been taken by then is mirrored. */
  abandon(): void {
    if (this.#abandoned) return
    this.#abandoned = true
    if (this.#stage === 'wait') this.#unblock()
    else if (this.#stage === 'idle') {
      this.session.path.blocked.delete(this)
      this.#finish(this.#nil())
    }
  }

  /** CLIENT UNBLOCK by another client: the wait ends with `frame`, or with what it takes in this very moment. False: it does not wait at a store. */
  cancel(frame: Buffer): boolean {
    if (this.#stage === 'try' || this.#abandoned) return false
    this.#cancelled = frame
    this.abandon()
    return true
  }

  /** A switch begins: takes the command back from the store. `moved` sends it on. */
  recall(): void {
    if (this.#moving) return
    this.#moving = true
    if (this.#stage !== 'wait') return
    this.#recalled = true
    this.#unblock()
  }

  /** Its keys may belong to other routes now. Not while it is being tried: those that it counts with are told when that is over. */
  reroute(): void {
    if (this.#stage === 'try') return
    this.#route = this.#routeNow()
    this.#others = this.session.path.plan.others ?? []
    this.#keys.isMirrored = this.#mirrors()
  }

  /** The switch is done, or called off: goes on at what is now the primary. */
  moved(): void {
    this.#moving = false
    const { path } = this.session
    if (this.#stage === 'try' || this.#abandoned) return
    this.reroute()
    // Still waiting there: when the nil comes, it goes on.
    if (this.#stage === 'wait' || !path.blocked.delete(this)) return
    this.wait()
  }

  /**
   * Cancels the wait by CLIENT UNBLOCK, behind what clients have sent and before what they send from now on: an element that is pushed after this stays. The answer 0 says that
   * nothing was cancelled: the take has happened and its reply is on the way, or the command has not reached the store yet. So it is asked again until there is a reply.
   */
  #unblock(): void {
    const pipeline = this.#pipeline
    if (this.#stage !== 'wait' || pipeline === null) return
    // Called off meanwhile.
    if (!this.#moving && !this.#abandoned && !this.waitsElsewhere) return
    const { database, protocol } = this.session
    const shared = this.#store!.shared(database, protocol)
    if (pipeline.clientId === 0 || shared.state === 'down' || shared.state === 'closed') {
      // Not even connected, a server without CLIENT ID, or nobody to send it: the connection is closed instead, and the loss marks what it may have done.
      pipeline.close('a blocked command was called back')
      return
    }
    const bytes = encodeOwn(['CLIENT', 'UNBLOCK', pipeline.clientId])
    const answered = (nothing: boolean): void => {
      if (nothing && this.#pipeline === pipeline) setTimeout(() => this.#unblock(), UNBLOCK_AGAIN_MS).unref()
    }
    shared.push(new Swallow(answered), bytes, 0, bytes.length)
  }

  /** What Redis answers when the time is over, also to BLMOVE. */
  #nil(): Buffer {
    return this.#cancelled ?? (this.session.protocol === 3 ? FRAME.NULL : FRAME.NIL_ARRAY)
  }

  #isHeld(): boolean {
    return this.#route.state.switching || this.#others.some((state) => state.switching)
  }

  /** The route of its keys in the table in force: they may have gone to another one. `path.plan` says the rest. */
  #routeNow(): Route {
    this.#renamed(this.#frame)
    return this.session.path.plan.route
  }

  #countInFlight(change: 1 | -1): void {
    this.#route.state.inFlight += change
    for (const state of this.#others) state.inFlight += change
  }

  #push(pipeline: Pipeline, bytes: Buffer): InFlight {
    const slot = pipeline.push(this, bytes, 0, bytes.length)
    slot.seq = this.#seq
    slot.route = this.#route
    slot.spec = this.#spec
    slot.database = this.session.database
    return slot
  }

  #renamed(frame: Buffer): Buffer {
    const { path } = this.session
    parser.parse(frame, 0, frame.length)
    planCommand(path.routes, this.#spec, parser, path.plan)
    return path.plan.renames ? renameForPrimary(path.routes, parser, path.plan) : frame
  }

  #mapped(buf: Buffer, from: number, to: number): Buffer {
    const { path, protocol } = this.session
    const mapped =
      repliesWithKeys(this.#spec) && !isNil(buf, from)
        ? mapReplyOf(path, this.#spec, this.#frame, buf, from, to, protocol)
        : null
    return mapped ?? Buffer.from(buf.subarray(from, to))
  }

  #mirrors(): boolean {
    return this.#spec.write && (this.#route.shadow !== null || this.#others.length > 0)
  }

  #finish(frame: Buffer, mirror: (waiter: AckWaiter | null) => void = nothing): void {
    const { session } = this
    leavePin(session, this)
    if (this.#route.config.mirror.mode === 'sync' && frame[0] !== MINUS && !session.closed) {
      session.path.syncReplies.hold(session, this.#seq, this.#route, frame, mirror)
    } else {
      mirror(null)
      if (session.closed) return
      session.reply(this.#seq, frame, 0, frame.length)
    }
    session.proceed()
  }
}

const parser = new CommandParser()

function nothing(): void {}

function isNil(buf: Buffer, at: number): boolean {
  return buf[at] === UNDERSCORE || ((buf[at] === ASTERISK || buf[at] === DOLLAR) && buf[at + 1] === MINUS)
}
