import type { CommandSpec } from '../command/spec.ts'
import { MINUS } from '../resp/bytes.ts'
import type { CommandView } from '../resp/command-view.ts'
import { encodeCommand, FRAME } from '../resp/encode.ts'
import { planCommand, renameForPrimary } from '../routing/plan.ts'
import type { Route } from '../routing/route.ts'
import { refuseServerWide } from '../routing/server-wide.ts'
import type { StoreUser } from '../upstream/handshake.ts'
import type { InFlight, Loss, ReplyOwner } from '../upstream/in-flight.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import type { Store } from '../upstream/store.ts'
import { arityFits, wrongArity } from './arity.ts'
import { execDidNothing } from './exec-reply.ts'
import { changesSubscriptions, inMulti, PLACEHOLDER, placeholderOf, refusalInMulti } from './own-answers.ts'
import { ownMessagesOf, sendPublishing } from './own-messages.ts'
import { leavePin, type Pin } from './pin.ts'
import type { Session } from './session.ts'
import { settleExec } from './settle-exec.ts'
import { TransactionConnection } from './transaction-connection.ts'
import { TransactionQueue } from './transaction-queue.ts'
import { TransactionSubscriptions } from './transaction-subscriptions.ts'
import { isAboutTracking, TransactionTracking } from './transaction-tracking.ts'
import { WatchedKeys } from './watched-keys.ts'
import { whileWatching } from './while-watching.ts'

const MULTI = encodeCommand(['MULTI'])

/**
 * One transaction of a client, from its WATCH or MULTI to EXEC's answer. See `startTransaction` for its two ways.
 */
export class Transaction implements Pin, ReplyOwner {
  readonly kind = 'transaction'
  outer: Pin | null = null
  readonly #session: Session
  readonly #connection: TransactionConnection
  #route: Route | null = null
  #watching = false
  /** Keys under WATCH with their databases, for CLIENT LIST. */
  readonly #watched = new WatchedKeys()
  #inMulti = false
  /** As the client wrote it, which is how MONITOR shows it. */
  #multi: Buffer = MULTI
  readonly #queue: TransactionQueue
  #subscriptions: TransactionSubscriptions | null = null
  #tracking: TransactionTracking | null = null
  /** What was watched may have changed unseen: EXEC answers nil. */
  #broken = false
  /** A command was refused here: EXEC answers EXECABORT, as Redis does for one that it refused itself. */
  #aborted = false
  /** How many had been queued when one was wrong: from there on a server counts no more. Null: none was. */
  #abortedAt: number | null = null
  #gone = false
  /** EXEC is under way, on a connection of its own. */
  #executing = false

  /** `shared` with the route of its keys: a transaction that arrived whole. Else the first key decides. */
  constructor(session: Session, shared: Pipeline | null, route: Route | null) {
    this.#session = session
    this.#queue = new TransactionQueue(session)
    this.#route = route
    this.#connection = new TransactionConnection(session, shared, route === null ? null : session.path.primaryOf(route))
  }

  /** Nothing has come of it: its first command was refused. */
  get idle(): boolean {
    return !this.#watching && !this.#inMulti
  }

  get client(): object {
    return this.#session
  }

  get route(): Route | null {
    return this.#route
  }

  get borrowed(): readonly [Store, Pipeline] | null {
    const { store, dedicated } = this.#connection
    return store === null || dedicated === null ? null : [store, dedicated]
  }

  get queuedCommands(): number {
    return this.#inMulti ? (this.#abortedAt ?? this.#queue.commands.length) : -1
  }

  get queuedBytes(): number {
    return this.#queue.bytes
  }

  get watchedKeys(): number {
    return this.#watched.count
  }

  get queuesWrites(): boolean {
    return this.#inMulti && this.#queue.writes
  }

  get flag(): string {
    return this.#inMulti ? 'x' : 'N'
  }

  dispatch(view: CommandView, spec: CommandSpec | null): boolean {
    const session = this.#session
    const name = spec === null || !arityFits(spec, view.argc) ? null : spec.name
    switch (name) {
      case 'MULTI':
        if (this.#inMulti) return this.#refuseNested('MULTI', 'ERR MULTI calls can not be nested')
        this.#inMulti = true
        this.#multi = frameOf(view)
        if (this.#connection.shared !== null)
          this.#push(this.#connection.shared, session, this.#multi, session.order.assign())
        else session.answer(FRAME.OK)
        return true
      case 'WATCH':
        if (this.#inMulti) return this.#refuseNested('WATCH', 'ERR WATCH inside MULTI is not allowed')
        return this.#watch(view, spec!)
      case 'CLIENT REPLY':
        if (!this.#inMulti || session.path.server.valkey < 9.1) break
        return this.#refuseNested('CLIENT|REPLY', '')
      case 'UNWATCH':
        if (this.#inMulti) break
        return this.#leave(FRAME.OK)
      case 'DISCARD':
        if (!this.#inMulti) return this.#refuse('ERR DISCARD without MULTI', false)
        return this.#leave(FRAME.OK)
      case 'EXEC':
        if (!this.#inMulti) return this.#refuse('ERR EXEC without MULTI', false)
        return this.#exec(frameOf(view))
      case 'QUIT':
      case 'RESET':
        if (session.order.owed > 0) return session.waitFor('replies')
        this.#endBeside()
        if (session.own === null) this.abandon()
        this.#gone = true
        leavePin(session, this)
        return session.dispatch(view)
    }
    // The one wrong command that ends the transaction at once.
    if (spec?.name === 'EXEC' && this.#inMulti)
      return this.#leaveWithError(`EXECABORT Transaction discarded because of: ${wrongArity(spec).slice(4)}`)
    if (this.#inMulti) return this.#queueCommand(view, spec)
    return sendPublishing(session, spec, () => whileWatching(session, this.#connection, view, spec))
  }

  /** Redis goes on; Valkey gives the transaction up. */
  #refuseNested(name: string, redisWords: string): boolean {
    const { valkey } = this.#session.path.server
    if (valkey < 8) return this.#refuse(redisWords, false)
    const command = valkey < 9 ? 'Command' : `Command '${name.toLowerCase()}'`
    return this.#refuse(`ERR ${command} not allowed inside a transaction`, true)
  }

  #watch(view: CommandView, spec: CommandSpec): boolean {
    const session = this.#session
    const { plan } = session.path
    planCommand(session.path.routes, spec, view, plan)
    if (session.isHeld(view, spec)) return session.waitFor('hold')
    if (plan.refusal !== null) return this.#refuse(plan.refusal, false)
    const refusal = this.#bind(plan.route)
    if (refusal !== null) return this.#refuse(refusal, false)
    const bytes = plan.renames ? renameForPrimary(session.path.routes, view, plan) : frameOf(view)
    this.#watching = true
    this.#watched.add(session.database, view)
    this.#queue.touches(plan, true)
    this.#push(this.#open(), session, bytes, session.order.assign())
    return true
  }

  #queueCommand(view: CommandView, spec: CommandSpec | null): boolean {
    const session = this.#session
    const { path } = session
    const answered = spec !== null && inMulti(session, view, spec) === 'answered' && spec.name !== 'SELECT'
    const wrong = refusalInMulti(session, view, spec)
    if (wrong !== null) return this.#refuse(wrong, true)
    if (this.#connection.dedicated?.full) return session.waitFor('room')
    const { plan } = path
    planCommand(path.routes, spec, view, plan)
    if (this.#connection.shared === null && session.isHeld(view, spec)) return session.waitFor('hold')
    if (plan.refusal !== null) return this.#refuse(plan.refusal, true)
    if (plan.doubt !== null) path.doubts.report(plan.doubt, plan.route, plan.positions.count > 0)
    const keyed = plan.keyed && plan.positions.count > 0
    const serverWide = spec?.write && !keyed ? refuseServerWide(path.routes, spec) : null
    if (serverWide !== null) return this.#refuse(serverWide, true)
    const refusal = this.#bind(keyed || plan.bound ? plan.route : (this.#route ?? plan.route))
    if (refusal !== null) return this.#refuse(refusal, true)
    if (spec !== null && isAboutTracking(spec)) {
      this.#tracking ??= new TransactionTracking(session)
      this.#open()
      if (spec.name === 'CLIENT TRACKING' && !this.#tracking.isReady(view)) return false
      // Opening it may have planned something else.
      planCommand(path.routes, spec, view, plan)
    }
    this.#queue.touches(plan, keyed || plan.bound)
    this.#queue.bytes += view.frameEnd - view.frameStart
    if (this.#queue.bytes > QUEUE_LIMIT_BYTES && this.#connection.shared === null) {
      return this.#refuse('ERR Understudy does not hold so much of one transaction; make it smaller', true)
    }
    const frame = frameOf(view)
    this.#connection.noteQueued(spec)
    const bytes = answered
      ? placeholderOf(session, spec, view, this.#connection.store!)
      : this.#asSent(view, spec, frame)
    // Before the connection: opening one may plan again.
    const queued = this.#queue.planned(view, spec, frame, answered)
    if (spec !== null && changesSubscriptions(spec)) {
      this.#subscriptions ??= new TransactionSubscriptions(session)
      this.#subscriptions.queued(view, spec)
    }
    const pipeline = this.#open()
    if (spec === null || !arityFits(spec, view.argc)) this.#abortedAt ??= this.#queue.commands.length
    this.#queue.commands.push(queued)
    this.#push(pipeline, session, bytes, session.order.assign())
    return true
  }

  #asSent(view: CommandView, spec: CommandSpec | null, frame: Buffer): Buffer {
    const { store } = this.#connection
    if (spec?.name === 'CLIENT TRACKING') return this.#tracking!.queued(view, store!) ?? PLACEHOLDER
    return this.#connection.asSent(view, spec, frame)
  }

  #exec(frame: Buffer): boolean {
    const session = this.#session
    const { path } = session
    if (this.#connection.shared === null) {
      if (this.#route?.state.switching || this.#queue.isHeldBack) return session.waitFor('hold')
      if (this.#aborted) return this.#leaveWithError('EXECABORT Transaction discarded because of previous errors.')
      if (this.#broken) return this.#leave(session.protocol === 3 ? FRAME.NULL : FRAME.NIL_ARRAY)
      if (this.#queue.commands.length === 0 && !this.#watching) return this.#leave(FRAME.EMPTY_ARRAY)
      if (this.#queue.isToBeTold) return session.waitFor('room')
      if (this.#queue.pauses && !path.storePause.mayPause(session, this.#connection.store!))
        return session.waitFor('room')
    }
    if (
      this.#connection.shared === null &&
      this.#queue.asksForSubscribers &&
      path.pendingSubscriptions.holdsBack(session)
    )
      return session.waitFor('pin')
    if (this.#subscriptions !== null && !this.#subscriptions.areReady()) return false
    const route = this.#route ?? path.routes.fallback
    this.#route = route
    const pipeline = this.#open()
    this.#queue.leaves(route, pipeline.lane)
    if (this.#queue.publishes && this.#subscriptions === null) ownMessagesOf(session)?.begin()
    this.#push(pipeline, this, frame, session.order.assign())
    // What comes next may go to another connection, and must not overtake this.
    if (this.#connection.shared === null) {
      this.#executing = true
      session.waiting = 'pin'
    } else {
      this.#gone = true
      leavePin(session, this)
    }
    return true
  }

  // --- EXEC's reply

  settle(slot: InFlight, buf: Buffer, start: number, end: number): void {
    this.#counted(slot, buf[start] === MINUS ? 'error' : 'ok')
    settleExec(this.#session, slot, buf, start, end, {
      queue: this.#queue,
      connection: this.#connection,
      subscriptions: this.#subscriptions,
      tracking: this.#tracking,
    })
    this.#done(buf[start] !== MINUS || execDidNothing(buf, start, end))
  }

  lost(slot: InFlight, loss: Loss): void {
    const session = this.#session
    this.#counted(slot, loss.refused ? 'error' : 'lost')
    this.#queue.returned()
    if (loss.mayHaveRun) this.#queue.lose()
    if (!slot.timedOut) session.replyError(slot.seq, loss.text)
    this.#done(false)
  }

  timedOut(slot: InFlight): void {
    this.#session.timedOut(slot)
  }

  changeProtocol(protocol: 2 | 3): void {
    this.#connection.changeProtocol(protocol)
  }

  changeUser(user: StoreUser | null, password: string): void {
    this.#connection.changeUser(user, password)
  }

  // --- the connection

  #bind(route: Route): string | null {
    const refusal = this.#connection.bind(route)
    if (refusal === null) this.#route ??= route
    return refusal
  }

  /** The connection, with MULTI (and after a move, all that was queued) on it. */
  #open(): Pipeline {
    return this.#connection.open(this.#inMulti ? this.#multi : null, this.#queue.commands, () => {
      if (this.#inMulti) this.#aborted = true
      if (this.#watching) this.#broken = true
    })
  }

  moved(changed: ReadonlySet<string>): void {
    // An EXEC under way is followed to its end where it is.
    if (this.#connection.shared !== null || this.#route === null || this.#executing) return
    const { routes, stores } = this.#session.path
    const { store } = this.#connection
    const replaced = store !== null && !stores.includes(store)
    if (!replaced && !this.#names().some((name) => changed.has(name))) return
    // What was prepared for it is at the stores of before.
    if (this.#tracking !== null) this.#aborted = true
    // Nobody has watched there; and what was watched here may change unseen from now on.
    if (this.#watching) this.#broken = true
    const next = this.#queue.replan()
    const places = new Set([...(next ?? [])].map(({ primary }) => primary.store))
    // Queued together, and now on different stores.
    if (next === null || places.size > 1) this.#aborted = true
    const [route = this.#queue.commands.length > 0 ? routes.fallback : null] = next ?? []
    this.#route = route
    this.#connection.moveTo(route === null ? null : stores[route.primary.store]!)
  }

  /** What is queued stays where it is. The routes of what is watched are not known any more, so that a later switch of them would pass it over: as if it had been written. */
  rerouted(routes: ReadonlySet<string>): void {
    if (this.#connection.shared !== null || this.#route === null || this.#executing) return
    if (!this.#names().some((name) => routes.has(name))) return
    if (this.#watching) this.#broken = true
    const [route = this.#session.path.routes.fallback] = this.#queue.replan() ?? []
    this.#route = route
  }

  #names(): string[] {
    return [...(this.#route === null ? [] : [this.#route.name]), ...[...this.#queue.states].map(({ name }) => name)]
  }

  abandon(): void {
    if (this.#gone) return
    if (this.#connection.shared !== null) {
      this.#gone = true
      if (this.#inMulti) this.#connection.takeBack(this.#connection.shared)
      return
    }
    this.#subscriptions?.abandon()
    if (!this.#executing) this.#endBeside()
    // An EXEC under way is still mirrored when its reply comes.
    if (this.#executing) return
    this.#gone = true
    this.#connection.dropped()
  }

  /** Ends it without EXEC. */
  #leave(answer: Buffer): boolean {
    const session = this.#session
    if (this.#connection.shared !== null)
      return this.#refuse('ERR a transaction that ends in EXEC cannot be discarded', false)
    if (session.order.owed > 0) return session.waitFor('replies')
    this.#connection.cleaned()
    this.#gone = true
    leavePin(session, this)
    session.answer(answer)
    this.#endBeside()
    this.#subscriptions?.end()
    return true
  }

  #leaveWithError(text: string): boolean {
    return this.#leave(Buffer.from(`-${text}\r\n`))
  }

  #refuse(text: string, aborts: boolean): boolean {
    if (aborts) {
      this.#aborted = true
      this.#abortedAt ??= this.#queue.commands.length
    }
    this.#session.answerError(text)
    return true
  }

  /** EXEC has been answered, or never will be. `clean`: the store is done with the transaction. */
  #done(clean: boolean): void {
    const session = this.#session
    if (this.#connection.shared !== null) return
    this.#gone = true
    this.#connection.finished(clean)
    leavePin(session, this)
    this.#endBeside()
    this.#subscriptions?.end(this.#queue.publishes)
    session.proceed()
  }

  #endBeside(): void {
    this.#tracking?.end()
    if (this.#queue.pauses) this.#session.path.storePause.left(this.#session)
  }

  #push(pipeline: Pipeline, owner: ReplyOwner, bytes: Buffer, seq: number): void {
    const route = this.#route ?? this.#session.path.routes.fallback
    const slot = pipeline.push(owner, bytes, 0, bytes.length)
    slot.seq = seq
    slot.route = route
    slot.database = this.#session.database
    route.state.inFlight++
  }

  #counted(slot: InFlight, outcome: 'ok' | 'error' | 'lost'): void {
    const { state } = slot.route as Route
    state.inFlight--
    if (outcome === 'ok') state.primaryOk++
    else if (outcome === 'error') state.primaryError++
    else state.primaryLost++
    state.primaryTimes.record((this.#session.path.clock.nowMs - slot.queuedAtMs) / 1000)
  }
}

/** Of the commands of one transaction, which are kept until EXEC's reply. */
const QUEUE_LIMIT_BYTES = 512 * 1024 * 1024

function frameOf(view: CommandView): Buffer {
  return Buffer.from(view.buf.subarray(view.frameStart, view.frameEnd))
}
