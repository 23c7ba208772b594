import type net from 'node:net'
import { asRead } from '../command/read-only-script.ts'
import { repliesWithKeys } from '../command/reply-keys.ts'
import type { CommandSpec } from '../command/spec.ts'
import { MINUS } from '../resp/bytes.ts'
import type { CommandView } from '../resp/command-view.ts'
import { errorFrame } from '../resp/encode.ts'
import { planCommand, renameForPrimary } from '../routing/plan.ts'
import type { Route } from '../routing/route.ts'
import { isServerWide, refuseServerWide } from '../routing/server-wide.ts'
import type { StoreUser } from '../upstream/handshake.ts'
import type { InFlight, Loss, ReplyOwner, ReplySink } from '../upstream/in-flight.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import type { Store } from '../upstream/store.ts'
import { refuseByArity } from './arity.ts'
import { sendBeside } from './beside.ts'
import { startBlocking } from './blocking.ts'
import { ClientInput } from './client-input.ts'
import type { DataPath } from './data-path.ts'
import { Downstream } from './downstream.ts'
import { isHttp } from './http.ts'
import { infoCommand } from './info.ts'
import { keyspaceCommand } from './keyspace-commands.ts'
import { readLargeKey, takeLargeReply } from './large-reply.ts'
import { beginLogin } from './login.ts'
import { leaveOthers, settleMarked } from './marked-replies.ts'
import { HANDED_OVER, MAP_KEYS, MIRRORED, MIXED, SAMPLED } from './marks.ts'
import { keepWithinLimit } from './output-limit.ts'
import type { OwnConnection } from './own-connection.ts'
import type { Pin } from './pin.ts'
import { startReplicaStream } from './replica-stream.ts'
import { ReplyOrder } from './reply-order.ts'
import { isSampledRead } from './sampled-reads.ts'
import { refuseCommand, sessionCommand } from './session-commands.ts'
import { PartReplies, splitOrRefuse } from './split.ts'
import { startSubscribing } from './subscriber.ts'
import { startTransaction } from './transaction.ts'

/** Why a session does not look at its next command yet. */
export type Wait =
  /** Its commands under way must be answered first: the next one goes to another connection. */
  | 'replies'
  /** The route is held by a switch. */
  | 'switch'
  /** The pipeline is full, or the client does not read. */
  | 'room'
  /** A dedicated connection is busy with its last command. */
  | 'pin'
  /** CLIENT PAUSE. */
  | 'pause'

/**
 * One client. Finds whole commands in its bytes, decides where each goes, and gives the replies back in order.
 *
 *   bytes ─▶ parse ─▶ dispatch ─┬─▶ forward ─▶ shared pipeline ─▶ settle ─▶ ReplyOrder ─▶ bytes
 *               ▲               ├─▶ a session command: answered here
 *           pending             └─▶ pin: MULTI/WATCH, blocking, SUBSCRIBE, MONITOR take it over
 *      (not whole, or waiting)
 *
 * What it cannot handle yet (`Wait`) stays in `pending`; `wake` looks again. A client that goes away leaves its commands in flight: they are mirrored
 * as any other, only nobody reads their replies.
 */
export class Session implements ReplyOwner {
  readonly path: DataPath
  readonly socket: net.Socket
  readonly downstream: Downstream
  readonly order: ReplyOrder
  readonly id: number
  readonly connectedAtMs: number
  /** `host:port`, as CLIENT LIST shows them. */
  readonly remote: string
  readonly local: string
  database = 0
  protocol: 2 | 3 = 2
  /** Whose rights its commands have at the stores; null: those of the configuration. */
  user: StoreUser | null = null
  /** Who it has logged in as. */
  userName = 'default'
  name = ''
  libName = ''
  libVersion = ''
  noEvict = false
  noTouch = false
  /** For CLIENT LIST. */
  lastSpec: CommandSpec | null = null
  lastActiveMs: number
  /** CLIENT REPLY OFF | SKIP: replies are counted, not sent. */
  replyMode: 'on' | 'off' | 'skip' = 'on'
  /** Who handles this session's commands instead of `dispatchUnpinned`: the innermost of them. */
  pin: Pin | null = null
  /** A connection of its own for its ordinary commands; null: they go down the shared ones. */
  own: OwnConnection | null = null
  /** Answers go here instead of out: a command that Understudy answers is executed as a part of EXEC. */
  captured: Buffer[] | null = null
  waiting: Wait | null = null
  /** A reply is going out in pieces: nothing may come between them. */
  midReply = false
  /** Its own connection, while that brings more than the client takes. */
  pausedSource: Pipeline | null = null
  readonly #heldPushes: Buffer[] = []
  #heldPushBytes = 0
  closed = false
  /** Writes whose replies are owed: while there are any, a `read-target` read goes to the primary, so that a client reads its own writes. */
  writesOwed = 0
  /** Reads under way to the target: one that misses goes to the source, where it must not meet what the client wrote after it. So writes wait for them. */
  targetReadsOwed = 0

  /** No more commands are taken: the connection ends when what is owed has been answered. */
  ending = false
  /** The client's bytes, as far as they are no commands yet. */
  readonly input: ClientInput
  /** Of commands that were split over several stores. */
  readonly parts = new PartReplies()
  /** The client has said its last word; what it said may still wait. */
  #allSaid = false
  /** What was wrong with its bytes, while something has to be said before. */
  #mistake: string | null = null

  constructor(path: DataPath, socket: net.Socket) {
    this.path = path
    this.socket = socket
    this.downstream = new Downstream(socket, path.turn)
    this.order = new ReplyOrder(this.downstream)
    this.input = new ClientInput(this)
    this.id = path.nextClientId()
    this.connectedAtMs = path.clock.nowMs
    this.remote = `${socket.remoteAddress ?? 'unix'}:${socket.remotePort ?? 0}`
    this.local = `${socket.localAddress ?? 'unix'}:${socket.localPort ?? 0}`
    this.lastActiveMs = path.clock.nowMs
    this.downstream.onRoom = () => {
      if (this.waiting === 'room') this.wake()
      else this.pin?.onRoom?.()
      this.pausedSource?.resumeReading()
      this.pausedSource = null
    }
    socket.on('drain', () => this.downstream.drained())
    socket.on('error', () => socket.destroy())
    socket.on('end', () => this.#onEnd())
    socket.on('close', () => this.#onClose())
    beginLogin(this)
  }

  // --- bytes in

  /** Bytes of the client: a view, valid during the call. */
  receive(buf: Buffer, length: number): void {
    if (this.ending) return
    this.path.clock.refresh()
    this.lastActiveMs = this.path.clock.nowMs
    this.input.receive(buf, length)
  }

  /** What made it wait may be over. */
  wake(): void {
    if (this.ending || this.input.working) return
    if (this.waiting === 'replies' && this.order.owed > 0) return
    if (this.waiting === 'pin') return
    if (this.waiting !== null) this.proceed()
  }

  /** Goes on with what is pending. */
  proceed(): void {
    this.waiting = null
    if (this.ending) return
    if (this.#mistake !== null) {
      const text = this.#mistake
      this.#mistake = null
      return this.protocolError(text)
    }
    this.input.proceed()
    if (this.waiting === null && this.#allSaid) this.end()
  }

  // --- one command

  /** False: it has to wait (`waiting` says for what) and is offered again. */
  dispatch(view: CommandView): boolean {
    const spec = this.path.commands.lookup(view) ?? null
    if (spec === null && isHttp(view)) {
      this.path.log({ level: 'warn', msg: 'a client speaks HTTP and was disconnected', fields: {} })
      this.end()
      return true
    }
    this.lastSpec = spec
    if (this.path.pause !== null && this.#isPaused(view, spec)) return this.waitFor('pause')
    if (this.targetReadsOwed > 0 && mayWrite(spec)) return this.waitFor('replies')
    return this.pin === null ? this.dispatchUnpinned(view, spec) : this.pin.dispatch(view, spec)
  }

  dispatchUnpinned(view: CommandView, spec: CommandSpec | null): boolean {
    if (this.downstream.pendingBytes > SLOW_CLIENT_BYTES) return this.waitFor('room')
    if (this.order.owed > 0 && (this.replyMode === 'skip' || this.path.sidesteps > 0)) return this.waitFor('replies')
    if (spec === null || spec.handling === 'forward') return this.forward(view, spec)
    switch (spec.handling) {
      case 'session':
        return sessionCommand(this, view, spec)
      case 'transaction':
        return refuseByArity(this, view, spec) || startTransaction(this, view, spec)
      case 'blocking':
        return startBlocking(this, view, spec)
      case 'publish':
        return this.forward(view, spec)
      case 'keyspace':
        return refuseByArity(this, view, spec) || keyspaceCommand(this, view, spec)
      case 'subscribe':
      case 'takeover':
        return refuseByArity(this, view, spec) || startSubscribing(this, view, spec)
      case 'replica':
        return refuseByArity(this, view, spec) || startReplicaStream(this, view, spec)
      case 'info':
        return infoCommand(this, view, spec)
      case 'beside':
        return refuseByArity(this, view, spec) || sendBeside(this, view, spec)
      case 'refuse':
        return refuseByArity(this, view, spec) || refuseCommand(this, view, spec)
    }
  }

  /** The ordinary way: down the shared pipeline of the route's primary. */
  forward(view: CommandView, spec: CommandSpec | null): boolean {
    const { path } = this
    const { plan } = path
    planCommand(path.routes, spec, view, plan)
    const { route } = plan
    if (this.isHeld(route)) return this.waitFor('switch')
    if (plan.refusal !== null) return splitOrRefuse(this, view, spec)
    if (plan.doubt !== null) path.doubts.report(plan.doubt, route)
    if (spec?.write && plan.positions.count === 0) {
      const refusal = refuseServerWide(path.routes, spec)
      if (refusal !== null) {
        this.answerError(refusal)
        return true
      }
    }
    if (
      route.readsShadow &&
      spec?.readonly &&
      plan.keyed &&
      plan.positions.count > 0 &&
      this.writesOwed === 0 &&
      this.user === null &&
      this.own === null
    ) {
      if (path.targetReads.read(this, view, spec, plan)) return true
    }
    if (path.largeKeys.count > 0 && spec?.readonly && this.own === null) {
      const taken = readLargeKey(this, view, spec)
      if (taken !== null) return taken
    }
    const store = path.primaryOf(route)
    const pipeline = this.own === null ? store.shared(this.database, this.protocol, this.user) : this.own.to(store)
    if (pipeline.full) return this.noRoom(pipeline)
    this.send(pipeline, view, spec, this.order.assign())
    return true
  }

  /** Puts the planned command (`path.plan`) on a pipeline, marked for the mirror and the comparer. */
  send(pipeline: Pipeline, view: CommandView, given: CommandSpec | null, seq: number): InFlight {
    const { path } = this
    const { plan } = path
    const spec = given?.name === 'EVAL' ? asRead(path.commands, given, view) : given
    const { route } = plan
    let slot: InFlight
    if (plan.renames) {
      const renamed = renameForPrimary(path.routes, view, plan)
      slot = pipeline.push(this, renamed, 0, renamed.length)
    } else slot = pipeline.push(this, view.buf, view.frameStart, view.frameEnd)
    slot.seq = seq
    slot.spec = spec
    slot.route = route
    slot.database = this.database
    route.state.inFlight++
    if (plan.others !== null) {
      slot.flags |= MIXED
      slot.extra = plan.others
      for (const state of plan.others) state.inFlight++
    }
    if (spec === null) return slot
    if (spec.write) {
      if ((route.shadow !== null || plan.others !== null) && spec.effect?.kind !== 'never') {
        slot.flags |= MIRRORED
        this.writesOwed++
        slot.lane = pipeline.lane
        slot.keyHash = plan.positions.count === 1 ? plan.keyHash : 0
        path.intents?.note(this.database, spec, view, plan.positions)
        if (plan.positions.count === 0 && isServerWide(spec)) {
          path.intents?.noteEveryKey()
          path.mirror.enterServerWide(spec)
        }
        slot.ticket =
          slot.keyHash === 0
            ? path.mirror.enter(view, plan.positions, pipeline.lane)
            : path.mirror.enterOne(plan.keyHash, pipeline.lane)
      }
    } else if (route.samples && isSampledRead(path, spec, view)) {
      slot.flags |= SAMPLED
      slot.lane = pipeline.lane
      slot.ticket = path.comparer.asked(view, plan.positions, pipeline.lane)
    }
    if (plan.renames) {
      if (repliesWithKeys(spec)) slot.flags |= MAP_KEYS
      if (slot.flags !== 0) slot.original = Buffer.from(view.buf.subarray(view.frameStart, view.frameEnd))
    }
    return slot
  }

  // --- replies

  settle(slot: InFlight, buf: Buffer, start: number, end: number): void {
    const route = slot.route as Route
    const { state } = route
    state.inFlight--
    if (buf[start] === MINUS) {
      state.primaryError++
      this.path.advice.look(route, buf, start, end)
    } else state.primaryOk++
    state.primaryTimes.record((this.path.clock.nowMs - slot.queuedAtMs) / 1000)
    if (slot.flags === 0) {
      if (!slot.timedOut) this.reply(slot.seq, buf, start, end)
      return
    }
    settleMarked(this, slot, route, buf, start, end)
  }

  takesPieces(slot: InFlight, bytes: number): ReplySink | null {
    return takeLargeReply(this, slot, bytes)
  }

  lost(slot: InFlight, loss: Loss): void {
    const route = slot.route as Route
    route.state.inFlight--
    route.state.primaryLost++
    leaveOthers(slot)
    if ((slot.flags & MIRRORED) !== 0) {
      this.writesOwed--
      this.path.mirror.left(slot, slot.lane)
      if (loss.mayHaveRun) this.path.mirror.lostOnPrimary(slot)
    }
    if (slot.timedOut || (slot.flags & HANDED_OVER) !== 0) return
    // Half of the reply has gone out, and nothing can follow it.
    if (this.midReply && slot.seq === this.order.next) this.socket.destroy()
    else this.replyError(slot.seq, loss.text)
  }

  timedOut(slot: InFlight): void {
    const { state, primary } = slot.route as Route
    state.primaryTimeout++
    // Its reply is under way.
    if ((slot.flags & HANDED_OVER) !== 0 || (this.midReply && slot.seq === this.order.next)) return
    this.replyError(
      slot.seq,
      `ERR Understudy: store '${primary.storeName}' did not answer in time; the command may have been executed`,
    )
  }

  /** The reply of command `seq`: a view. */
  reply(seq: number, buf: Buffer, start: number, end: number): void {
    if (this.closed) return
    if (seq < 0) return this.parts.reply(seq, buf, start, end)
    if (this.replyMode === 'on') this.order.reply(seq, buf, start, end)
    else this.order.reply(seq, EMPTY, 0, 0)
    this.#afterReply()
  }

  /** Bytes that answer no command: messages of a subscription. */
  push(buf: Buffer, start: number, end: number): void {
    if (this.closed) return
    if (this.midReply) {
      this.#heldPushes.push(Buffer.from(buf.subarray(start, end)))
      this.#heldPushBytes += end - start
    } else this.downstream.write(buf, start, end)
    this.#checkOutput()
  }

  /** A piece of the reply that is next: a view. Nothing else is said until `endReply`. */
  passOn(buf: Buffer, start: number, end: number): void {
    if (this.closed) return
    this.downstream.write(buf, start, end)
    this.#checkOutput()
  }

  /** The same, behind every reply that has become ready. */
  pushInOrder(buf: Buffer, start: number, end: number): void {
    if (this.closed) return
    if (this.midReply) return this.push(buf, start, end)
    this.order.append(buf, start, end)
    this.#checkOutput()
  }

  endReply(seq: number): void {
    this.midReply = false
    const held = this.#heldPushes.splice(0)
    this.#heldPushBytes = 0
    for (const push of held) this.push(push, 0, push.length)
    this.reply(seq, EMPTY, 0, 0)
  }

  replyError(seq: number, text: string): void {
    const frame = errorFrame(text)
    this.reply(seq, frame, 0, frame.length)
  }

  /** Answers the command at hand. */
  answer(frame: Buffer): void {
    if (this.captured !== null) this.captured.push(Buffer.from(frame))
    else this.reply(this.order.assign(), frame, 0, frame.length)
  }

  answerError(text: string): void {
    this.answer(errorFrame(text))
  }

  /** What has been said to it and it has not taken, or not yet been given (a reply before it is missing). */
  get unreadBytes(): number {
    return this.downstream.pendingBytes + this.order.parkedBytes + this.#heldPushBytes
  }

  /** A client that does not read is disconnected before its replies fill the memory (invariant 7). */
  #checkOutput(): void {
    const { path } = this
    if (this.unreadBytes > path.lowestOutputLimit || (path.slowClients.size > 0 && path.slowClients.has(this))) {
      keepWithinLimit(this)
    }
  }

  #afterReply(): void {
    const { order, downstream } = this
    this.#checkOutput()
    if (order.owed > 0) return
    if (this.replyMode === 'skip') this.replyMode = 'on'
    if (this.ending) {
      this.abandonPins()
      downstream.endAfterWrite()
    } else if (this.waiting === 'replies') this.wake()
  }

  // --- waiting and ending

  /** A full pipeline is waited for; one whose store is busy with a script answers at once, as the store does. */
  noRoom(pipeline: Pipeline): boolean {
    if (pipeline.busy === null) return this.waitFor('room')
    this.answerError(pipeline.busy)
    return true
  }

  waitFor(reason: Wait): false {
    this.waiting = reason
    return false
  }

  /** Null: it can have a connection of its own there. Otherwise the client's error. */
  crowded(store: Store): string | null {
    const limit = this.path.clients.dedicatedConnections
    if (store.lent < limit || this.own?.store === store) return null
    return `ERR Understudy: ${limit} connections of their own are in use at store '${store.name}' (clients.dedicatedConnections); the command was not executed`
  }

  /** The connection for a transaction or a blocking command; `giveBack` it. */
  borrow(store: Store): Pipeline {
    if (this.own?.store === store) return this.own.pipeline
    return store.borrow(this.database, this.protocol, this.user)
  }

  /** `clean`: no MULTI, WATCH or command under way; in `database`. */
  giveBack(store: Store, pipeline: Pipeline, database: number, clean: boolean): void {
    if (pipeline === this.own?.pipeline) {
      if (clean) this.own.settled()
      else this.end()
    } else if (clean) store.release(pipeline, database)
    else store.discard(pipeline)
  }

  /** Tracking has ended: back to the shared connections. */
  leaveOwn(): void {
    const { own } = this
    if (own === null || own.permanent || own.tracking !== null) return
    this.own = null
    own.close()
  }

  /** A pin takes over; the one before lies around it. */
  enter(pin: Pin): void {
    pin.outer = this.pin
    this.pin = pin
  }

  /** The pin has done its work. The ones within it and around it stay. */
  leave(pin: Pin): void {
    if (this.pin === pin) {
      this.pin = pin.outer
      return
    }
    for (let inner = this.pin; inner !== null; inner = inner.outer) if (inner.outer === pin) inner.outer = pin.outer
  }

  abandonPins(): void {
    for (let pin = this.pin; pin !== null; pin = pin.outer) pin.abandon()
  }

  /** No more commands are taken; the connection ends when what is owed has been answered. */
  end(): void {
    if (this.ending) return
    this.ending = true
    this.abandonPins()
    if (this.order.owed === 0) this.downstream.endAfterWrite()
  }

  /**
   * A client that has said its last word still gets the replies it is owed, those to commands that wait among them. One that is blocked is taken for
   * gone, as by Redis: its command is cancelled.
   */
  #onEnd(): void {
    // Half a command, and the rest will never come.
    if (this.input.flows) {
      this.socket.destroy()
      return
    }
    this.#allSaid = true
    if (this.waiting === null || this.pin?.kind === 'blocked') this.end()
  }

  /** Bytes that are no command: said in Redis' words, and then the connection ends. */
  protocolError(text: string): void {
    // A subscriber's confirmations come first.
    if (this.pin?.owesAnswers) {
      this.#mistake = text
      this.waiting = 'pin'
      return
    }
    this.ending = true
    this.answerError(`ERR ${text}`)
  }

  isHeld(route: Route): boolean {
    const { plan } = this.path
    if (route.state.held) return true
    return plan.others?.some((state) => state.held) ?? false
  }

  #isPaused(view: CommandView, spec: CommandSpec | null): boolean {
    let writesQueued = false
    for (let pin = this.pin; pin !== null; pin = pin.outer) if (pin.queuesWrites === true) writesQueued = true
    return this.path.pause!.holds(view, spec, writesQueued)
  }

  #onClose(): void {
    if (this.closed) return
    this.closed = true
    this.ending = true
    this.abandonPins()
    this.pin = null
    this.own?.close()
    this.own = null
    this.path.sessions.delete(this)
    this.path.slowClients.delete(this)
    this.input.clear()
  }
}

function mayWrite(spec: CommandSpec | null): boolean {
  return spec === null || spec.write || spec.handling === 'transaction' || spec.handling === 'blocking'
}

const EMPTY = Buffer.alloc(0)
/** Replies that a client has not taken yet: beyond this its next command waits. */
const SLOW_CLIENT_BYTES = 1024 * 1024
