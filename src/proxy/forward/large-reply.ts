import { hashBytes } from '../../base/hash.ts'
import { repliesWithKeys } from '../../command/reply-keys.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { renameForPrimary } from '../../routing/plan.ts'
import type { Route } from '../../routing/route.ts'
import type { InFlight, Loss, ReplyOwner, ReplySink } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import { givenUpAfterMs } from '../../upstream/pipeline/silence.ts'
import type { Store } from '../../upstream/store.ts'
import { isSampledRead } from '../reads/sampled-reads.ts'
import { noConnectionLeft } from '../session/borrow.ts'
import { enterPin, leavePin, type Pin } from '../session/pin.ts'
import type { Session } from '../session/session.ts'
import { HANDED_OVER, SAMPLED } from './marks.ts'

/**
 * Replies that are too large to be held (from 1 MB).
 *
 *   on the shared pipeline   up to 8 MB: passed on piece by piece, as they come
 *                            beyond: dropped as they come, and the read is sent again on a connection of its own, which is read only as fast as the client reads. All
 *                            others go on on a new shared pipeline; only what was in flight behind the reply waits for it to pass
 *   a key known to be large  asked for on a connection of its own from the start
 *
 * Sent again only where that is the same: a read, and nothing behind it is under way. What cannot be (GETDEL, a pipeline) is passed on whatever its size, and the client's output limit
 * holds.
 */
export function takeLargeReply(session: Session, slot: InFlight, bytes: number): ReplySink | null {
  const { path } = session
  if ((slot.flags & ~SAMPLED) !== 0 || slot.seq < 0) return null
  if (session.closed || slot.timedOut) return new Dropped(session, slot)
  if (slot.seq !== session.order.next || session.replyMode !== 'on') return null
  if (session.own !== null) return new PassedOn(session, slot, session.own.at(path.primaryOf(slot.route as Route)))
  if (bytes > AGAIN_BYTES && slot.spec?.readonly && session.order.owed === 1 && session.waiting !== 'pin') {
    const chunk = slot.chunk!
    const command = Buffer.from(chunk.buf.subarray(slot.start, slot.end))
    slot.flags |= HANDED_OVER
    parser.parse(command, 0, command.length)
    // Where the store has other names this is not the application's, and is never found: then each such read is sent twice.
    const hash = parser.argc < 2 ? null : hashBytes(command, parser.start[1]!, parser.end[1]!)
    if (hash !== null) path.largeKeys.add(hash)
    const store = path.primaryOf(slot.route as Route)
    path.sidesteps++
    store.sidestep(session.database, session.protocol, session.user, () => {
      path.sidesteps--
      path.resumeWaiting()
    })
    new LargeRead(session, store, slot.seq, hash).start(command)
    return new Dropped(session, slot)
  }
  return new PassedOn(session, slot, null)
}

/** A read of a key whose value was large the last time it was seen. Null: not one of them; false: has to wait. */
export function readLargeKey(session: Session, view: CommandView, spec: CommandSpec): boolean | null {
  const { path } = session
  const { plan } = path
  // One that is not to be told goes the usual way, where that is seen to.
  if (session.replyMode !== 'on') return null
  if (view.argc < 2 || (plan.renames && (repliesWithKeys(spec) || spec.handling === 'elements'))) return null
  const hash = hashBytes(view.buf, view.start[1]!, view.end[1]!)
  if (!path.largeKeys.has(hash) || noConnectionLeft(session, path.primaryOf(plan.route)) !== null) return null
  if (session.order.owed > 0) return session.waitFor('replies')
  if (isSampledRead(path, spec, view)) path.comparer.count(plan.route, 'large')
  const command = plan.renames
    ? renameForPrimary(path.routes, view, plan)
    : Buffer.from(view.buf.subarray(view.frameStart, view.frameEnd))
  new LargeRead(session, path.primaryOf(plan.route), session.order.assign(), hash).start(command)
  return true
}

/** Which keys were large when they were last seen, by hash: a collision costs a needless connection. */
export class LargeKeys {
  readonly #seen = new Uint8Array(SLOTS)
  count = 0

  has(hash: number): boolean {
    return this.#seen[hash & (SLOTS - 1)] === 1
  }

  add(hash: number): void {
    if (this.has(hash)) return
    this.#seen[hash & (SLOTS - 1)] = 1
    this.count++
  }

  delete(hash: number): void {
    if (!this.has(hash)) return
    this.#seen[hash & (SLOTS - 1)] = 0
    this.count--
  }
}

class PassedOn implements ReplySink {
  readonly #session: Session
  readonly #slot: InFlight

  /** The client's own connection, which may wait for it; null: a shared one, which may not. */
  readonly #own: Pipeline | null

  constructor(session: Session, slot: InFlight, own: Pipeline | null) {
    this.#session = session
    this.#slot = slot
    this.#own = own
    session.order.beginPieces()
  }

  piece(buf: Buffer, start: number, end: number): void {
    const session = this.#session
    session.passOn(buf, start, end)
    if (this.#own === null || session.pausedSource !== null || session.downstream.pendingBytes < HIGH_BYTES) return
    session.pausedSource = this.#own
    this.#own.pauseReading()
  }

  done(): void {
    settled(this.#session, this.#slot)
    this.#session.endReply(this.#slot.seq)
  }
}

class Dropped implements ReplySink {
  readonly #session: Session
  readonly #slot: InFlight

  constructor(session: Session, slot: InFlight) {
    this.#session = session
    this.#slot = slot
  }

  piece(): void {}

  done(): void {
    settled(this.#session, this.#slot)
  }
}

/** Counts it as `Session.settle` does. A sample of this size is not compared. */
function settled({ path }: Session, slot: InFlight): void {
  const route = slot.route as Route
  const { state } = route
  state.inFlight--
  state.primaryOk++
  state.primaryTimes.record((path.clock.nowMs - slot.queuedAtMs) / 1000)
  if ((slot.flags & SAMPLED) !== 0) path.comparer.count(route, 'large')
}

/** A read on a connection of its own, which brings no more than the client takes. */
class LargeRead implements Pin, ReplyOwner, ReplySink {
  readonly kind = 'large'
  readonly flag = 'N'
  /** A switch need not wait for it: it reads what was there before. */
  readonly route: Route | null = null
  outer: Pin | null = null
  readonly #session: Session
  readonly #store: Store
  readonly #seq: number
  readonly #hash: number | null
  readonly #database: number
  #pipeline: Pipeline | null = null
  #paused = false

  constructor(session: Session, store: Store, seq: number, hash: number | null) {
    this.#session = session
    this.#store = store
    this.#seq = seq
    this.#hash = hash
    this.#database = session.database
  }

  start(command: Buffer): void {
    const session = this.#session
    enterPin(session, this)
    session.waiting = 'pin'
    const pipeline = this.#store.dedicated.borrow(session.database, session.protocol, session.user)
    this.#pipeline = pipeline
    pipeline.answersWithinMs = givenUpAfterMs(this.#store.options.config)
    pipeline.push(this, command, 0, command.length)
  }

  takesPieces(): ReplySink {
    this.#session.order.beginPieces()
    return this
  }

  piece(buf: Buffer, start: number, end: number): void {
    const session = this.#session
    session.passOn(buf, start, end)
    if (session.downstream.pendingBytes < HIGH_BYTES || this.#paused) return
    this.#paused = true
    this.#pipeline?.pauseReading()
  }

  onRoom(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#pipeline?.resumeReading()
  }

  done(): void {
    this.#leave()
    this.#session.endReply(this.#seq)
    this.#session.proceed()
  }

  settle(_slot: InFlight, buf: Buffer, start: number, end: number): void {
    if (this.#hash !== null) this.#session.path.largeKeys.delete(this.#hash)
    this.#leave()
    this.#session.reply(this.#seq, buf, start, end)
    this.#session.proceed()
  }

  lost(_slot: InFlight, loss: Loss): void {
    const session = this.#session
    if (this.#pipeline !== null) this.#store.dedicated.discard(this.#pipeline)
    this.#pipeline = null
    leavePin(session, this)
    // Half of it has gone out, and nothing can follow it.
    if (session.order.midReply) session.socket.destroy()
    else session.replyError(this.#seq, loss.text)
    session.proceed()
  }

  /** A client may take as long as it likes, and the store as long as it goes on. */
  timedOut(): void {}

  dispatch(): boolean {
    return this.#session.waitFor('pin')
  }

  abandon(): void {
    // One that has only said its last word still gets its reply.
    if (!this.#session.closed || this.#pipeline === null) return
    const pipeline = this.#pipeline
    this.#pipeline = null
    this.#store.dedicated.discard(pipeline)
  }

  moved(): void {}

  /** After the reply has left the ring the connection is clean. */
  #leave(): void {
    const pipeline = this.#pipeline!
    this.#pipeline = null
    if (this.#paused) pipeline.resumeReading()
    queueMicrotask(() => this.#store.dedicated.release(pipeline, this.#database))
    leavePin(this.#session, this)
  }
}

const parser = new CommandParser()

/** Beyond this a reply is not passed on by the shared pipeline, if it can be had in another way. */
const AGAIN_BYTES = 8 * 1024 * 1024
/** Unread bytes of the client from which on its connection to the store is not read. */
const HIGH_BYTES = 1024 * 1024
/** A power of two. */
const SLOTS = 65_536
