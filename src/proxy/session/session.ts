import type net from 'node:net'
import { READ_BUFFER } from '../../base/read-buffer.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { MINUS } from '../../resp/bytes.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { ReplyFramer } from '../../resp/reply-framer.ts'
import type { Route } from '../../routing/route.ts'
import type { InFlight, InFlightRing, Loss, ReplyOwner, ReplySink } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import { LATE_MS, type ReplyRun } from '../../upstream/pipeline/reply-run.ts'
import { isPaused } from '../clients/client-pause.ts'
import type { DataPath } from '../data-path.ts'
import { countErrorCode } from '../forward/error-codes.ts'
import { forward } from '../forward/forward.ts'
import { takeLargeReply } from '../forward/large-reply.ts'
import { settleMarked } from '../forward/marked-replies.ts'
import { isOrdinary } from '../forward/ordinary-error.ts'
import { commandDetached, commandHeldUp, commandLost, commandTimedOut } from '../forward/unanswered.ts'
import { settleWrites } from '../forward/write-replies.ts'
import { isHttp } from '../listen/http.ts'
import { beginLogin } from '../login/login.ts'
import { isHeldBack } from '../switch/hold.ts'
import { ClientInput } from './client-input.ts'
import { ClientReplies } from './client-replies.ts'
import { handleCommand } from './handle-command.ts'
import { LastWord } from './last-word.ts'
import type { OwnConnection } from './own-connection.ts'
import { abandonPins, isInMulti, waitsForAnswers } from './pin.ts'
import type { Wait } from './wait.ts'

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
export class Session extends ClientReplies implements ReplyOwner {
  /** A connection of its own for its ordinary commands; null: they go down the shared ones. */
  own: OwnConnection | null = null
  waiting: Wait | null = null
  /** Its own connection, while that brings more than the client takes. */
  pausedSource: Pipeline | null = null
  /** Writes whose replies are owed: while there are any, a `read-target` read goes to the primary, so that a client reads its own writes. */
  writesOwed = 0
  /** Reads under way to the target: one that misses goes to the source, where it must not meet what the client wrote after it. So writes wait for them. */
  targetReadsOwed = 0

  /** No more commands are taken: the connection ends when what is owed has been answered. */
  ending = false
  /** The client's bytes, as far as they are no commands yet. */
  readonly input: ClientInput
  readonly lastWord = new LastWord(this)

  constructor(path: DataPath, socket: net.Socket, unixPath: string | null) {
    super(path, socket, unixPath)
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
    this.window.look(this.downstream.written, this.order.next)
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
    this.window.look(this.downstream.written, this.order.next)
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
    if (this.order.owed >= this.window.size && !isInMulti(this)) return this.waitFor('replies')
    const { repeat } = this.path
    if (repeat.send(this, spec, view)) return true
    repeat.forget()
    if (spec === null && isHttp(view)) {
      this.path.httpClients.disconnected()
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
      this.afterReply()
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

  protected override allAnswered(): void {
    if (this.ending) {
      abandonPins(this)
      this.downstream.endAfterWrite()
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

const framer = new ReplyFramer()
