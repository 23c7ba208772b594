import { hashBytes } from '../../base/hash.ts'
import type { CommandSpec } from '../../command/spec.ts'
import type { AckWaiter } from '../../mirror/shadow/ack-waiter.ts'
import { MINUS } from '../../resp/bytes.ts'
import type { CommandParser } from '../../resp/command-parser.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { errorFrame } from '../../resp/encode.ts'
import { FrameTail } from '../../resp/frame-tail.ts'
import type { KeyRule } from '../../routing/route.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import { noConnectionLeft } from '../session/borrow.ts'
import { enterPin, leavePin, type Pin } from '../session/pin.ts'
import type { Session } from '../session/session.ts'

/**
 * A write with a value that is too large to be held (from 1 MB): it goes to its store while it comes in.
 *
 *   client ─▶ *3 SET key $536870912 x x x ─▶ a connection of its own ─▶ store
 *             └── its beginning is parsed ──┘    the client is read as fast as the store takes it
 *
 * Only commands whose one key comes first, so that it is known where they go before the value is there. Its effect is not held for the shadow either: when it has been
 * answered its key is dirty, and is copied like any other large key. Half a frame on a connection is executed by nobody: when one of the two sides goes, so does the connection.
 */
export function startLargeWrite(
  session: Session,
  parser: CommandParser,
  bytes: Buffer,
  length: number,
): LargeWrite | null {
  const { path } = session
  if (session.pin !== null || session.own !== null || session.replyMode !== 'on') return null
  if (parser.argc < 2 || parser.bulkLeft(length) <= 0) return null
  const view: CommandView = {
    buf: bytes,
    argc: parser.argc,
    start: parser.start,
    end: parser.end,
    frameStart: parser.frameStart,
    frameEnd: length,
  }
  const spec = path.commands.lookup(view)
  if (spec === undefined || spec.handling !== 'forward' || !KEY_FIRST.has(spec.name)) return null
  // All of them write.
  if (path.pause !== null) {
    session.waitFor('pause')
    return null
  }
  const rule = path.routes.find(bytes, view.start[1]!, view.end[1]!)
  // It will be whole before it is looked at again.
  if (rule.route.state.switching || noConnectionLeft(session, path.primaryOf(rule.route)) !== null) return null
  const { state } = rule.route
  if (state.held && state.heldKeys.has(hashBytes(bytes, view.start[1]!, view.end[1]!))) {
    session.waitFor('hold')
    return null
  }
  if (session.order.owed > 0) {
    session.waitFor('replies')
    return null
  }
  const tail = new FrameTail(parser.bulkLeft(length), parser.argumentsBehind)
  return new LargeWrite(session, spec, rule, tail, view)
}

export class LargeWrite implements Pin, ReplyOwner {
  readonly kind = 'large'
  readonly flag = 'N'
  outer: Pin | null = null
  readonly #session: Session
  readonly #rule: KeyRule
  readonly #tail: FrameTail
  readonly #key: Buffer
  readonly #hash: number
  readonly #store: Store
  readonly #database: number
  readonly #seq: number
  readonly #mirrored: boolean
  readonly #lane: number
  readonly #slot: InFlight
  #pipeline: Pipeline | null
  /** What the client is told when its frame is whole. */
  #answer: Buffer | null = null

  constructor(session: Session, spec: CommandSpec, rule: KeyRule, tail: FrameTail, view: CommandView) {
    const { path } = session
    const { buf, start, end } = view
    this.#session = session
    this.#rule = rule
    this.#tail = tail
    this.#key = Buffer.from(buf.subarray(start[1]!, end[1]!))
    this.#hash = hashBytes(this.#key, 0, this.#key.length)
    this.#store = path.primaryOf(rule.route)
    this.#database = session.database
    this.#seq = session.order.assign()
    this.#mirrored = rule.route.shadow !== null && spec.effect?.kind !== 'never'
    enterPin(session, this)
    session.waiting = 'pin'
    const pipeline = this.#store.dedicated.borrow(session.database, session.protocol, session.user)
    this.#pipeline = pipeline
    pipeline.onDrain = () => session.input.flow()
    const head = headOf(view, rule)
    this.#slot = pipeline.push(this, head, 0, head.length)
    rule.route.state.inFlight++
    this.#lane = pipeline.lane
    if (this.#mirrored) {
      path.tickets.enterOne(this.#hash, pipeline.lane)
      session.writesOwed++
      path.intents?.noteKey(this.#database, this.#key, 0, this.#key.length)
    }
    path.largeKeys.add(this.#hash)
  }

  /** A switch waits for it, as for any write. */
  get route() {
    return this.#rule.route
  }

  /** The client is read no faster than the store reads. */
  get mayFlow(): boolean {
    const pipeline = this.#pipeline
    return pipeline === null || (pipeline.state === 'up' && pipeline.writableLength <= HIGH_BYTES)
  }

  /** Takes what belongs to the frame, and gives the index behind it. */
  take(buf: Buffer, from: number, to: number): number {
    const session = this.#session
    const end = this.#tail.follow(buf, from, to)
    if (this.#tail.error !== null) {
      this.#lose()
      leavePin(session, this)
      session.replyError(this.#seq, `ERR ${this.#tail.error}`)
      session.end()
      return to
    }
    const pipeline = this.#pipeline
    if (this.#tail.whole) {
      session.input.tailEnded()
      session.path.intents?.noteKey(this.#database, this.#key, 0, this.#key.length)
      this.#slot.queuedAtMs = session.path.clock.nowMs
      // A node of a cluster is sent the frame only now, whole: nobody can tell one that hangs from one that takes long to read it.
      if (this.#store.cluster === null && pipeline !== null)
        pipeline.answersWithinMs = this.#store.options.config.timeoutMs
    }
    if (pipeline !== null) {
      pipeline.pushRelayed(buf, from, end)
      if (!this.mayFlow) session.input.hold()
    }
    if (this.#tail.whole && this.#answer !== null) this.#leave(this.#answer)
    return end
  }

  settle(_slot: InFlight, buf: Buffer, start: number, end: number): void {
    const { state } = this.#rule.route
    const failed = buf[start] === MINUS
    if (failed) state.primaryError++
    else state.primaryOk++
    this.#settled()
    const pipeline = this.#pipeline!
    const answer = Buffer.from(buf.subarray(start, end))
    this.#pipeline = null
    // An answer before all has been said: the store has given up on the frame, and will close.
    if (this.#tail.whole) queueMicrotask(() => this.#store.dedicated.release(pipeline, this.#database))
    else queueMicrotask(() => this.#store.dedicated.discard(pipeline))
    if (this.#tail.whole) this.#leave(answer, !failed)
    else {
      this.#answer = answer
      this.#session.input.flow()
    }
  }

  lost(_slot: InFlight, loss: Loss): void {
    this.#settled()
    // What is given up here, because its client has gone or sends no command, the store has not lost.
    if (this.#pipeline !== null) this.#rule.route.state.primaryLost++
    this.#pipeline = null
    const { whole } = this.#tail
    const notExecuted = `ERR Understudy: the connection to store '${this.#store.name}' was lost while a large command was sent; the command was not executed`
    if (whole && loss.mayHaveRun && this.#mirrored) this.#mark(null)
    const answer = errorFrame(whole || !loss.mayHaveRun ? loss.text : notExecuted)
    if (whole) this.#leave(answer)
    else {
      // The client goes on sending it: that is read and dropped.
      this.#answer = answer
      this.#session.input.flow()
    }
  }

  timedOut(): void {}

  dispatch(): boolean {
    return this.#session.waitFor('pin')
  }

  /** The client is gone. What is whole is followed to its end; half a frame goes with its connection. */
  abandon(): void {
    const { closed, lastWord } = this.#session
    if ((closed || lastWord.isSpoken) && !this.#tail.whole) this.#lose()
  }

  moved(): void {}

  #lose(): void {
    const pipeline = this.#pipeline
    this.#pipeline = null
    if (pipeline !== null) this.#store.dedicated.discard(pipeline)
  }

  #settled(): void {
    const session = this.#session
    this.#rule.route.state.inFlight--
    if (!this.#mirrored) return
    session.writesOwed--
    session.path.tickets.leaveOne(this.#hash, this.#lane)
  }

  #mark(waiter: AckWaiter | null): void {
    const { mirror } = this.#session.path
    mirror.mark(mirror.refOf(this.#key, this.#database), 'overlap', waiter)
  }

  #leave(answer: Buffer, wrote = false): void {
    const session = this.#session
    const { path } = session
    leavePin(session, this)
    const marks = (waiter: AckWaiter | null): void => {
      if (wrote && this.#mirrored) this.#mark(waiter)
    }
    const { route } = this.#rule
    const terms = path.syncReplies.termsOf(route, null)
    if (wrote && terms !== null && !session.closed) {
      path.syncReplies.hold(session, this.#seq, route, terms, answer, marks)
    } else {
      marks(null)
      session.reply(this.#seq, answer, 0, answer.length)
    }
    session.proceed()
  }
}

/** What has arrived of the frame, with the name that the key has at the primary. */
function headOf({ buf, start, end, frameStart, frameEnd }: CommandView, rule: KeyRule): Buffer {
  const key = rule.primary?.apply(buf, start[1]!, end[1]!) ?? null
  if (key === null) return Buffer.from(buf.subarray(frameStart, frameEnd))
  return Buffer.concat([
    buf.subarray(frameStart, end[0]! + 2),
    Buffer.from(`$${key.length}\r\n`),
    key,
    buf.subarray(end[1]!, frameEnd),
  ])
}

/** Commands with one key, as their first argument, that carry a value. */
const KEY_FIRST = new Set(
  `SET SETEX PSETEX SETNX GETSET APPEND SETRANGE RESTORE LPUSH RPUSH LPUSHX RPUSHX LSET LREM LINSERT SADD SREM ZADD HSET HSETNX HMSET PFADD XADD`.split(
    ' ',
  ),
)
/** Bytes that the store has not taken from which on the client is not read. */
const HIGH_BYTES = 1024 * 1024
