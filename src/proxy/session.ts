import type net from 'node:net'
import { READ_BUFFER } from '../base/read-buffer.ts'
import type { CommandSpec } from '../command/spec.ts'
import { MINUS } from '../resp/bytes.ts'
import type { CommandView } from '../resp/command-view.ts'
import { errorFrame } from '../resp/encode.ts'
import { ReplyFramer } from '../resp/reply-framer.ts'
import type { Route } from '../routing/route.ts'
import type { InFlight, InFlightRing, Loss, ReplyOwner, ReplySink } from '../upstream/in-flight.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import { LATE_MS, type ReplyRun } from '../upstream/reply-run.ts'
import { ClientInput } from './client-input.ts'
import { isPaused } from './client-pause.ts'
import { ConnectedClient } from './connected-client.ts'
import type { DataPath } from './data-path.ts'
import { Downstream } from './downstream.ts'
import { countErrorCode } from './error-codes.ts'
import { forward } from './forward.ts'
import { handleCommand } from './handle-command.ts'
import { isHeldBack } from './hold.ts'
import { isHttp } from './http.ts'
import { takeLargeReply } from './large-reply.ts'
import { LastWord } from './last-word.ts'
import { beginLogin } from './login.ts'
import { settleMarked } from './marked-replies.ts'
import { isOrdinary } from './ordinary-error.ts'
import { keepWithinLimit } from './output-limit.ts'
import type { OwnConnection } from './own-connection.ts'
import type { OwnMessages } from './own-messages.ts'
import { abandonPins, isInMulti, type Pin, waitsForAnswers } from './pin.ts'
import { ReplyOrder } from './reply-order.ts'
import { ReplyWindow } from './reply-window.ts'
import { PartReplies } from './split.ts'
import { commandDetached, commandHeldUp, commandLost, commandTimedOut } from './unanswered.ts'
import type { Wait } from './wait.ts'
import { settleWrites } from './write-replies.ts'

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
export class Session extends ConnectedClient implements ReplyOwner {
  readonly path: DataPath
  readonly socket: net.Socket
  readonly downstream: Downstream
  readonly order: ReplyOrder
  /** Who handles this session's commands instead of `dispatchUnpinned`: the innermost of them. */
  pin: Pin | null = null
  /** A connection of its own for its ordinary commands; null: they go down the shared ones. */
  own: OwnConnection | null = null
  /** Answers go here instead of out: a command that Understudy answers is executed as a part of EXEC. */
  captured: Buffer[] | null = null
  waiting: Wait | null = null
  /** Its replies are kept for what it publishes to itself. */
  ownMessages: OwnMessages | null = null
  /** Its own connection, while that brings more than the client takes. */
  pausedSource: Pipeline | null = null
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
  readonly lastWord = new LastWord(this)
  readonly #window = new ReplyWindow()

  constructor(path: DataPath, socket: net.Socket, unixPath: string | null) {
    super(path, socket, unixPath)
    this.path = path
    this.socket = socket
    this.downstream = new Downstream(socket, path.turn)
    this.order = new ReplyOrder(this.downstream)
    this.input = new ClientInput(this)
    this.downstream.onRoom = () => {
      if (this.waiting === 'room') this.wake()
      else this.pin?.onRoom?.()
      this.pausedSource?.resumeReading()
      this.pausedSource = null
    }
    socket.on('drain', () => this.downstream.drained())
    socket.on('error', () => socket.destroy())
    socket.on('end', () => this.lastWord.spoken())
    socket.on('close', () => this.disconnect())
    beginLogin(this)
  }

  // --- bytes in

  /** Bytes of the client: a view, valid during the call. */
  receive(buf: Buffer, length: number): void {
    if (this.ending || this.lastWord.isSpoken) return
    this.path.clock.refresh()
    this.lastActiveMs = this.path.clock.nowMs
    this.#window.look(this.downstream.written, this.order.next)
    this.input.receive(buf, length)
  }

  /** What made it wait may be over: its command is offered again. */
  wake(): void {
    if (this.ending || this.input.working) return
    if (this.waiting === 'replies' && this.order.owed > 0) return
    if (this.waiting === 'pin') return
    if (this.waiting !== null) this.proceed()
  }

  /** Goes on with what is pending: for whoever has the last command that was taken. Everybody else wakes it. */
  proceed(): void {
    this.waiting = null
    if (this.ending) return
    this.#window.look(this.downstream.written, this.order.next)
    this.input.proceed()
    this.lastWord.look()
  }

  // --- one command

  /** An empty line, or a command of no words. A server takes it for the one that CLIENT REPLY SKIP is about. */
  passedOver(): void {
    if (this.replyMode === 'skip' && this.order.owed === 0) this.replyMode = 'on'
  }

  /** False: it has to wait (`waiting` says for what) and is offered again. */
  dispatch(view: CommandView): boolean {
    const spec = this.path.commands.lookup(view) ?? null
    if (this.order.owed >= this.#window.size && !isInMulti(this)) return this.waitFor('replies')
    const { repeat } = this.path
    if (repeat.send(this, spec, view)) return true
    repeat.forget()
    if (spec === null && isHttp(view)) {
      this.path.log({ level: 'warn', msg: 'a client speaks HTTP and was disconnected', fields: {} })
      this.end()
      return true
    }
    this.lastSpec = spec
    if (this.path.pause !== null && isPaused(this, view, spec)) return this.waitFor('pause')
    if (this.targetReadsOwed > 0 && mayWrite(spec)) return this.waitFor('replies')
    if (this.pin === null) return this.dispatchUnpinned(view, spec)
    if (this.replyMode === 'skip' && this.order.owed > 0) return this.waitFor('replies')
    if (this.order.mayOvertake) return this.waitFor('replies')
    if (this.ownMessages !== null || waitsForAnswers(this.pin)) return this.waitFor('answers')
    return this.pin.dispatch(view, spec)
  }

  dispatchUnpinned(view: CommandView, spec: CommandSpec | null): boolean {
    if (this.readsSlowly) return this.waitFor('room')
    const { order } = this
    if (order.owed > 0 && (this.replyMode === 'skip' || this.path.sidesteps > 0 || order.mayOvertake))
      return this.waitFor('replies')
    if (spec === null || spec.handling === 'forward') return forward(this, view, spec)
    return handleCommand(this, view, spec)
  }

  // --- replies

  settle(slot: InFlight, buf: Buffer, start: number, end: number): void {
    const route = slot.route as Route
    const { state } = route
    state.inFlight--
    if (buf[start] === MINUS) {
      state.primaryError++
      if (isOrdinary(buf, start, end)) state.primaryOrdinaryError++
      else countErrorCode(state.primaryErrorCodes, buf, start, end)
      this.path.advice.look(route, buf, start, end)
    } else state.primaryOk++
    const { nowMs } = this.path.clock
    const tookMs = nowMs - slot.queuedAtMs
    state.primaryTimes.record(tookMs / 1000)
    if (tookMs >= LATE_MS) this.path.slowCommands.note(this, slot, nowMs)
    if (slot.flags === 0) {
      if (!slot.timedOut) this.reply(slot.seq, buf, start, end)
      return
    }
    settleMarked(this, slot, route, buf, start, end)
  }

  late(slot: InFlight): void {
    this.path.slowCommands.note(this, slot, this.path.clock.nowMs)
  }

  settleTogether(run: ReplyRun, ring: InFlightRing): void {
    settleWrites(this, run, ring)
  }

  settleRun({ route, seq, count, start, end, queuedAtMs }: ReplyRun): void {
    const { state } = route as Route
    state.inFlight -= count
    state.primaryOk += count
    state.primaryTimes.record((this.path.clock.nowMs - queuedAtMs) / 1000, count)
    if (this.closed) return
    if (this.replyMode === 'on' && this.order.replyRun(seq, count, READ_BUFFER, start, end)) {
      this.#afterReply()
      return
    }
    for (let i = 0, at = start; i < count; i++) {
      const next = framer.frame(READ_BUFFER, at, end)
      this.reply(seq + i, READ_BUFFER, at, next)
      at = next
    }
  }

  takesPieces(slot: InFlight, bytes: number): ReplySink | null {
    return takeLargeReply(this, slot, bytes)
  }

  lost(slot: InFlight, loss: Loss): void {
    commandLost(this, slot, loss)
  }

  timedOut(slot: InFlight): void {
    commandTimedOut(this, slot)
  }

  heldUp(slot: InFlight, text: string): void {
    commandHeldUp(this, slot, text)
  }

  detached(slot: InFlight): void {
    commandDetached(this, slot)
  }

  get client(): object {
    return this
  }

  /** The reply of command `seq`: a view. */
  reply(seq: number, buf: Buffer, start: number, end: number): void {
    if (this.closed) return
    if (seq < 0) return this.parts.reply(seq, buf, start, end)
    if (this.replyMode === 'on') this.order.reply(seq, buf, start, end)
    else this.order.reply(seq, EMPTY, 0, 0)
    this.#afterReply()
  }

  /** The reply of command `seq`, of which the client wants to hear what there is, whatever it has said meanwhile about later ones. */
  replyWanted(seq: number, frame: Buffer): void {
    if (this.closed) return
    this.order.reply(seq, frame, 0, frame.length)
    this.#afterReply(false)
  }

  /** Bytes that answer no command: messages of a subscription. A view. */
  push(buf: Buffer, start: number, end: number): void {
    if (this.closed) return
    this.#window.pushed += end - start
    this.order.push(buf, start, end)
    this.#checkOutput()
  }

  /** The same, behind every reply that has become ready. */
  pushInOrder(buf: Buffer, start: number, end: number): void {
    if (this.closed) return
    this.#window.pushed += end - start
    this.order.append(buf, start, end)
    this.#checkOutput()
  }

  /** A piece of the reply that is next (`ReplyOrder.beginPieces`): a view. */
  passOn(buf: Buffer, start: number, end: number): void {
    if (this.closed) return
    this.downstream.write(buf, start, end)
    this.#checkOutput()
  }

  /** That was the last piece of it. */
  endReply(seq: number): void {
    this.order.endPieces()
    this.reply(seq, EMPTY, 0, 0)
  }

  /** Replies that were kept (`ReplyOrder.hold`) go out, then what is told `behind` them, and the next command is taken. */
  letGo(behind: () => void): void {
    if (this.closed) return
    const { owed } = this.order
    this.order.letGo()
    behind()
    if (owed > 0) this.#afterReply()
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

  /** It has not taken replies that there are: its next command waits. */
  get readsSlowly(): boolean {
    return this.downstream.pendingBytes > SLOW_CLIENT_BYTES
  }

  /** What has been said to it and it has not taken, or not yet been given (a reply before it is missing). */
  get unreadBytes(): number {
    return this.downstream.pendingBytes + this.order.parkedBytes
  }

  /** A client that does not read is disconnected before its replies fill the memory (invariant 7). */
  #checkOutput(): void {
    const { path } = this
    if (this.unreadBytes > path.lowestOutputLimit || (path.slowClients.size > 0 && path.slowClients.has(this))) {
      keepWithinLimit(this)
    }
  }

  /** `endsSkip` false: a SKIP that there is was said in the command itself (CLIENT REPLY inside MULTI), and is about the one behind it. */
  #afterReply(endsSkip = true): void {
    const { order, downstream } = this
    this.#checkOutput()
    if (order.owed > 0) {
      this.ownMessages?.look()
      return
    }
    if (endsSkip && this.replyMode === 'skip') this.replyMode = 'on'
    if (this.ending) {
      abandonPins(this)
      downstream.endAfterWrite()
    } else if (this.waiting === 'replies') this.wake()
  }

  // --- waiting and ending

  /** A full pipeline is waited for; one whose store is busy with another client's script answers at once, as the store does. */
  noRoom(pipeline: Pipeline): boolean {
    const busy = pipeline.busyFor(this)
    if (busy === null) return this.waitFor('room')
    this.answerError(busy)
    return true
  }

  waitFor(reason: Wait): false {
    this.waiting = reason
    return false
  }

  /** No more commands are taken; the connection ends when what is owed has been answered. */
  end(): void {
    if (this.ending) return
    this.ending = true
    abandonPins(this)
    if (this.order.owed === 0) this.downstream.endAfterWrite()
  }

  /** The planned command (`path.plan`) has to wait: a switch holds one of its routes, or a copy one of the keys that it writes. */
  isHeld(view: CommandView, spec: CommandSpec | null): boolean {
    const { plan } = this.path
    if (!plan.route.state.held && plan.others === null) return false
    return isHeldBack(plan, view, spec)
  }

  /** Nothing more is said to it, and it is no client any more from this moment on. */
  disconnect(): void {
    if (this.closed) return
    this.closed = true
    this.ending = true
    abandonPins(this)
    this.pin = null
    this.own?.close()
    this.own = null
    this.path.sessions.delete(this)
    this.path.slowClients.delete(this)
    this.input.clear()
    this.socket.destroy()
  }
}

function mayWrite(spec: CommandSpec | null): boolean {
  return spec === null || spec.write || spec.handling === 'transaction' || spec.handling === 'blocking'
}

const EMPTY = Buffer.alloc(0)
const framer = new ReplyFramer()
/** Replies that a client has not taken yet: beyond this its next command waits. */
const SLOW_CLIENT_BYTES = 1024 * 1024
