import { blocks } from '../command/blocking.ts'
import type { CommandSpec } from '../command/spec.ts'
import type { AckWaiter } from '../mirror/ack-waiter.ts'
import { MINUS } from '../resp/bytes.ts'
import { CommandParser } from '../resp/command-parser.ts'
import type { CommandView } from '../resp/command-view.ts'
import { encodeCommand, FRAME } from '../resp/encode.ts'
import { planCommand, renameForPrimary } from '../routing/plan.ts'
import type { Route } from '../routing/route.ts'
import { refuseServerWide } from '../routing/server-wide.ts'
import type { InFlight, Loss, ReplyOwner } from '../upstream/in-flight.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import type { Store } from '../upstream/store.ts'
import { integerArg } from './arguments.ts'
import { arityFits, refuseByArity, wrongArity } from './arity.ts'
import { borrow, giveBack, noConnectionLeft } from './borrow.ts'
import { unknownSubcommand } from './client-commands.ts'
import { execDidNothing, mapExecReply } from './exec-reply.ts'
import { forward } from './forward.ts'
import { databasesOf, inMulti, PLACEHOLDER } from './own-answers.ts'
import { databaseAt } from './own-connection.ts'
import type { Pin } from './pin.ts'
import { sendPlanned } from './send-planned.ts'
import type { Session } from './session.ts'
import { selectOn } from './session-commands.ts'
import { Swallow } from './swallow.ts'
import { TransactionQueue } from './transaction-queue.ts'
import { wholeTransaction } from './whole-transaction.ts'

const MULTI = encodeCommand(['MULTI'])

/**
 * MULTI, WATCH and what follows.
 *
 *   whole   MULTI ... EXEC has arrived in one piece: it goes down the shared pipeline contiguously, no connection is needed, and its place in history is exact
 *   pinned  WATCH, or a MULTI that waits for its QUEUEDs: a dedicated connection until EXEC, DISCARD or UNWATCH
 *
 * Either way the effects of a transaction are taken from EXEC's reply, command by command, and leave for the shadow as one unit.
 */
export function startTransaction(session: Session, view: CommandView, spec: CommandSpec): boolean {
  switch (spec.name) {
    case 'EXEC':
      session.answerError('ERR EXEC without MULTI')
      return true
    case 'DISCARD':
      session.answerError('ERR DISCARD without MULTI')
      return true
    case 'UNWATCH':
      session.answer(FRAME.OK)
      return true
    case 'MULTI': {
      const route = view.buf === session.input.buf ? wholeTransaction(session, view.frameEnd) : null
      if (route !== null) {
        const store = session.path.primaryOf(route)
        const pipeline = session.own?.to(store) ?? store.shared(session.database, session.protocol, session.user)
        // On a connection of its own a store that is busy with a script can answer each part itself.
        if (pipeline.busyFor(session) !== null) break
        if (pipeline.full) return session.waitFor('room')
        const whole = new Transaction(session, pipeline, route)
        session.enter(whole)
        return whole.dispatch(view, spec)
      }
    }
  }
  // From here on commands go to another connection: the ones under way come first.
  if (session.order.owed > 0) return session.waitFor('replies')
  const { path } = session
  const crowded = noConnectionLeft(session, path.primaryOf(path.routes.fallback))
  if (crowded !== null) {
    session.answerError(crowded)
    return true
  }
  const transaction = new Transaction(session, null, null)
  session.enter(transaction)
  const taken = transaction.dispatch(view, spec)
  if (!taken || transaction.idle) session.leave(transaction)
  return taken
}

class Transaction implements Pin, ReplyOwner {
  readonly kind = 'transaction'
  outer: Pin | null = null
  readonly #session: Session
  /** The shared pipeline, for a transaction that arrived whole. */
  readonly #shared: Pipeline | null
  #store: Store | null = null
  #dedicated: Pipeline | null = null
  /** The connection speaks another protocol than those of its kind. */
  #unlike = false
  /** CLIENT TRACKING is queued. */
  #tracks = false
  #route: Route | null = null
  #watching = false
  #inMulti = false
  #multiSent = false
  /** As the client wrote it, which is how MONITOR shows it. */
  #multi: Buffer = MULTI
  readonly #queue: TransactionQueue
  /** What was watched may have changed unseen: EXEC answers nil. */
  #broken = false
  /** A command was refused here: EXEC answers EXECABORT, as Redis does for one that it refused itself. */
  #aborted = false
  #gone = false

  /** `shared` with the route of its keys: a transaction that arrived whole. Else the first key decides. */
  constructor(session: Session, shared: Pipeline | null, route: Route | null) {
    this.#session = session
    this.#queue = new TransactionQueue(session)
    this.#shared = shared
    this.#route = route
    this.#store = route === null ? null : session.path.primaryOf(route)
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

  get queuedCommands(): number {
    return this.#inMulti ? this.#queue.commands.length : -1
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
        if (this.#inMulti) return this.#refuse('ERR MULTI calls can not be nested', false)
        this.#inMulti = true
        this.#multi = frameOf(view)
        if (this.#shared !== null) this.#push(this.#shared, session, this.#multi, session.order.assign())
        else session.answer(FRAME.OK)
        return true
      case 'WATCH':
        if (this.#inMulti) return this.#refuse('ERR WATCH inside MULTI is not allowed', false)
        return this.#watch(view, spec!)
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
        if (session.own === null) this.abandon()
        this.#gone = true
        session.leave(this)
        return session.dispatch(view)
    }
    // The one wrong command that ends the transaction at once.
    if (spec?.name === 'EXEC' && this.#inMulti)
      return this.#leaveWithError(`EXECABORT Transaction discarded because of: ${wrongArity(spec).slice(4)}`)
    return this.#inMulti ? this.#queueCommand(view, spec) : this.#whileWatching(view, spec)
  }

  #watch(view: CommandView, spec: CommandSpec): boolean {
    const session = this.#session
    const { plan } = session.path
    planCommand(session.path.routes, spec, view, plan)
    if (session.isHeld(plan.route)) return session.waitFor('switch')
    if (plan.refusal !== null) return this.#refuse(plan.refusal, false)
    const refusal = this.#bind(plan.route)
    if (refusal !== null) return this.#refuse(refusal, false)
    const bytes = plan.renames ? renameForPrimary(session.path.routes, view, plan) : frameOf(view)
    this.#watching = true
    this.#queue.touches(plan, true)
    this.#push(this.#connection(), session, bytes, session.order.assign())
    return true
  }

  /** Between WATCH and MULTI: reads of what is watched go down the same connection, everything else its usual way. */
  #whileWatching(view: CommandView, spec: CommandSpec | null): boolean {
    const session = this.#session
    if (this.#dedicated?.full) return session.waitFor('room')
    const plain = spec === null || spec.handling === 'forward' || (spec.handling === 'blocking' && !blocks(spec, view))
    if (!plain) {
      // By another connection: what is under way on this one comes first.
      if (session.order.owed > 0) return session.waitFor('replies')
      if (spec.handling === 'transaction') return refuseByArity(session, view, spec)
      if (spec.name === 'SELECT' && this.#dedicated !== null)
        return refuseByArity(session, view, spec) || selectOn(session, view, this.#store!, this.#dedicated)
      return session.dispatchUnpinned(view, spec)
    }
    const { plan } = session.path
    planCommand(session.path.routes, spec, view, plan)
    const store = session.path.primaryOf(plan.route)
    const pipeline = store === this.#store && plan.refusal === null ? this.#dedicated : null
    const refused = spec?.write && refuseServerWide(session.path.routes, spec) !== null
    if (pipeline === null || refused)
      return session.order.owed > 0 ? session.waitFor('replies') : forward(session, view, spec)
    if (session.isHeld(plan.route)) return session.waitFor('switch')
    sendPlanned(session, pipeline, view, spec, session.order.assign())
    return true
  }

  #queueCommand(view: CommandView, spec: CommandSpec | null): boolean {
    const session = this.#session
    const { path } = session
    const answered = spec !== null && inMulti(session, view, spec) === 'answered' && spec.name !== 'SELECT'
    if (spec !== null && inMulti(session, view, spec) !== 'passed') {
      if (!arityFits(spec, view.argc)) return this.#refuse(wrongArity(spec), true)
      if (spec.name === 'CLIENT' || spec.absent) return this.#refuse(unknownSubcommand(view), true)
      if (inMulti(session, view, spec) === 'refused')
        return this.#refuse(`ERR Understudy does not support ${spec.name} inside MULTI`, true)
    }
    if (this.#dedicated?.full) return session.waitFor('room')
    const { plan } = path
    planCommand(path.routes, spec, view, plan)
    if (this.#shared === null && session.isHeld(plan.route)) return session.waitFor('switch')
    if (plan.refusal !== null) return this.#refuse(plan.refusal, true)
    if (plan.doubt !== null) path.doubts.report(plan.doubt, plan.route, plan.positions.count > 0)
    const keyed = plan.keyed && plan.positions.count > 0
    const serverWide = spec?.write && !keyed ? refuseServerWide(path.routes, spec) : null
    if (serverWide !== null) return this.#refuse(serverWide, true)
    const refusal = this.#bind(keyed || plan.bound ? plan.route : (this.#route ?? plan.route))
    if (refusal !== null) return this.#refuse(refusal, true)
    this.#queue.touches(plan, keyed || plan.bound)
    this.#queue.bytes += view.frameEnd - view.frameStart
    if (this.#queue.bytes > QUEUE_LIMIT_BYTES && this.#shared === null) {
      return this.#refuse('ERR Understudy does not hold so much of one transaction; make it smaller', true)
    }
    const frame = frameOf(view)
    if (spec?.name === 'CLIENT TRACKING') this.#tracks = true
    if (spec?.name === 'AUTH' && !answered) this.#unlike = true
    const bytes = answered ? PLACEHOLDER : this.#asSent(view, spec, frame)
    // Before the connection: opening one may plan again.
    const queued = this.#queue.planned(view, spec, frame, answered)
    const pipeline = this.#connection()
    this.#queue.commands.push(queued)
    this.#push(pipeline, session, bytes, session.order.assign())
    return true
  }

  /** The planned command as the store gets it. */
  #asSent(view: CommandView, spec: CommandSpec | null, frame: Buffer): Buffer {
    const { path } = this.#session
    const index = spec?.name === 'SELECT' ? integerArg(view, 1) : null
    if (index !== null) return encodeCommand(['SELECT', databaseAt(this.#store!, index)])
    return path.plan.renames ? renameForPrimary(path.routes, view, path.plan) : frame
  }

  #exec(frame: Buffer): boolean {
    const session = this.#session
    const { path } = session
    if (this.#shared === null) {
      if (this.#route?.state.held) return session.waitFor('switch')
      for (const state of this.#queue.states) if (state.held) return session.waitFor('switch')
      if (this.#aborted) return this.#leaveWithError('EXECABORT Transaction discarded because of previous errors.')
      if (this.#broken) return this.#leave(session.protocol === 3 ? FRAME.NULL : FRAME.NIL_ARRAY)
      if (this.#queue.commands.length === 0 && !this.#watching) return this.#leave(FRAME.EMPTY_ARRAY)
    }
    const route = this.#route ?? path.routes.fallback
    this.#route = route
    const pipeline = this.#connection()
    this.#queue.leaves(route, pipeline.lane)
    this.#push(pipeline, this, frame, session.order.assign())
    // What comes next may go to another connection, and must not overtake this.
    if (this.#shared === null) session.waiting = 'pin'
    else {
      this.#gone = true
      session.leave(this)
    }
    return true
  }

  // --- EXEC's reply

  settle(slot: InFlight, buf: Buffer, start: number, end: number): void {
    const session = this.#session
    const queue = this.#queue
    this.#counted(slot, buf[start] === MINUS ? 'error' : 'ok')
    const contested = queue.returned()
    const offsets = queue.repliesIn(buf, start, end)
    const mirror = (waiter: AckWaiter | null): void => {
      if (offsets !== null) queue.mirror(buf, offsets, contested, waiter, slot.queuedAtMs)
      else if (!execDidNothing(buf, start, end)) queue.lose()
    }
    const databases = offsets === null ? null : databasesOf(queue.commands, session.database, buf, offsets)
    const mapped = offsets === null || slot.timedOut ? null : mapExecReply(session, queue.commands, buf, offsets)
    const route = slot.route as Route
    if (route.config.mirror.mode === 'sync' && offsets !== null && !slot.timedOut) {
      const reply = mapped ?? Buffer.from(buf.subarray(start, end))
      session.path.syncReplies.hold(session, slot.seq, route, reply, mirror)
    } else {
      mirror(null)
      if (mapped !== null) session.reply(slot.seq, mapped, 0, mapped.length)
      else if (!slot.timedOut) session.reply(slot.seq, buf, start, end)
    }
    if (offsets !== null) queue.compare(buf, offsets)
    session.database = databases?.at(-1) ?? session.database
    this.#done()
  }

  lost(slot: InFlight, loss: Loss): void {
    const session = this.#session
    this.#counted(slot, 'lost')
    this.#queue.returned()
    if (loss.mayHaveRun) this.#queue.lose()
    if (!slot.timedOut) session.replyError(slot.seq, loss.text)
    this.#done()
  }

  timedOut(slot: InFlight): void {
    this.#session.timedOut(slot)
  }

  /** HELLO between WATCH and MULTI. */
  changeProtocol(protocol: 2 | 3): void {
    const pipeline = this.#dedicated
    if (pipeline === null || pipeline === this.#session.own?.pipeline) return
    this.#unlike = true
    const bytes = encodeCommand(['Hello', protocol])
    pipeline.push(new Swallow(), bytes, 0, bytes.length)
  }

  // --- the connection

  /** Ties the transaction to the primary of its first key; refused when another key's is elsewhere. */
  #bind(route: Route): string | null {
    const store = this.#session.path.primaryOf(route)
    if (this.#store !== null && this.#store !== store) {
      return `CROSSROUTE The transaction began on store '${this.#store.name}'; keys of route '${route.name}' are on store '${store.name}'`
    }
    this.#store = store
    this.#route ??= route
    return null
  }

  /** The connection, with MULTI (and after a move, all that was queued) on it. */
  #connection(): Pipeline {
    if (this.#shared !== null) return this.#shared
    const session = this.#session
    const { path } = session
    let pipeline = this.#dedicated
    if (pipeline === null) {
      pipeline = borrow(session, this.#store!)
      this.#dedicated = pipeline
      pipeline.answersWithinMs = this.#store!.options.config.timeoutMs
      pipeline.onClosed = () => this.#lostConnection()
      this.#multiSent = false
    }
    if (this.#inMulti && !this.#multiSent) {
      this.#multiSent = true
      const swallow = new Swallow()
      pipeline.push(swallow, this.#multi, 0, this.#multi.length)
      for (const { spec, bytes, answered } of this.#queue.commands) {
        parser.parse(bytes, 0, bytes.length)
        planCommand(path.routes, spec, parser, path.plan)
        const frame = answered ? PLACEHOLDER : this.#asSent(parser, spec, bytes)
        pipeline.push(swallow, frame, 0, frame.length)
      }
    }
    return pipeline
  }

  #lostConnection(): void {
    this.#dedicated = null
    if (this.#inMulti) this.#aborted = true
    if (this.#watching) this.#broken = true
  }

  moved(changed: ReadonlySet<string>): void {
    // An EXEC under way is followed to its end where it is.
    if (this.#shared !== null || this.#route === null || this.#session.waiting === 'pin') return
    const names = [this.#route.name, ...[...this.#queue.states].map((state) => state.name)]
    const { routes, stores } = this.#session.path
    const replaced = this.#store !== null && !stores.includes(this.#store)
    if (!replaced && !names.some((name) => changed.has(name))) return
    this.#route = routes.byName(this.#route.name) ?? null
    const old = this.#dedicated
    const oldStore = this.#store
    this.#dedicated = null
    this.#store = this.#route === null ? null : stores[this.#route.primary.store]!
    // Queued together, and now on different stores; or its route is no more.
    if (
      this.#queue.commands.length > 0 &&
      names.some((name) => routes.byName(name)?.primary.store !== this.#route?.primary.store)
    )
      this.#aborted = true
    // Nobody has watched there; and what was watched here may change unseen from now on.
    if (this.#watching) this.#broken = true
    if (old !== null && old !== this.#session.own?.pipeline) oldStore!.discard(old)
  }

  abandon(): void {
    if (this.#gone) return
    if (this.#shared !== null) return this.#takeBack(this.#shared)
    // An EXEC under way is still mirrored when its reply comes.
    if (this.#session.waiting === 'pin') return
    this.#gone = true
    if (this.#dedicated !== null) giveBack(this.#session, this.#store!, this.#dedicated, 0, false)
    this.#dedicated = null
  }

  /** The shared connection is in MULTI, and EXEC will not come: others' commands must not be queued with these. */
  #takeBack(shared: Pipeline): void {
    this.#gone = true
    if (this.#inMulti) shared.push(new Swallow(), DISCARD, 0, DISCARD.length)
  }

  /** Ends it without EXEC: the connection is cleaned by DISCARD and UNWATCH, and given back. */
  #leave(answer: Buffer): boolean {
    const session = this.#session
    if (this.#shared !== null) return this.#refuse('ERR a transaction that ends in EXEC cannot be discarded', false)
    if (session.order.owed > 0) return session.waitFor('replies')
    const pipeline = this.#dedicated
    if (pipeline !== null) {
      // Nothing waits on it; its cleaning replies are nobody's, and a connection that dies meanwhile is dropped by the pool.
      this.#dedicated = null
      pipeline.onClosed = null
      const store = this.#store!
      const clean = this.#multiSent ? DISCARD : UNWATCH
      const { database } = session
      const alike = this.#isAsBefore(pipeline)
      pipeline.push(new Swallow(() => giveBack(session, store, pipeline, database, alike)), clean, 0, clean.length)
    }
    this.#gone = true
    session.leave(this)
    session.answer(answer)
    return true
  }

  #leaveWithError(text: string): boolean {
    return this.#leave(Buffer.from(`-${text}\r\n`))
  }

  /** Nothing is left on the connection that it did not have: else it goes. */
  #isAsBefore(pipeline: Pipeline): boolean {
    const { own } = this.#session
    if (own === null || pipeline !== own.pipeline) return !this.#unlike && !this.#tracks
    if (this.#tracks && own.tracking === null) own.tell(['Client', 'TRACKING', 'OFF'])
    return true
  }

  #refuse(text: string, aborts: boolean): boolean {
    if (aborts) this.#aborted = true
    this.#session.answerError(text)
    return true
  }

  /** EXEC has been answered: the connection is clean. */
  #done(): void {
    const session = this.#session
    if (this.#shared !== null) return
    this.#gone = true
    const pipeline = this.#dedicated
    this.#dedicated = null
    if (pipeline !== null) {
      pipeline.onClosed = null
      const store = this.#store!
      const { database } = session
      const alike = this.#isAsBefore(pipeline)
      // After the reply that is being settled has left the ring.
      queueMicrotask(() => giveBack(session, store, pipeline, database, alike))
    }
    session.leave(this)
    session.proceed()
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
const DISCARD = encodeCommand(['DISCARD'])
const UNWATCH = encodeCommand(['UNWATCH'])
const parser = new CommandParser()

function frameOf(view: CommandView): Buffer {
  return Buffer.from(view.buf.subarray(view.frameStart, view.frameEnd))
}
