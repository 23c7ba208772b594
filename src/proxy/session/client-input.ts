import { ByteAccumulator } from '../../base/byte-accumulator.ts'
import { COMPLETE, type CommandParser, INVALID } from '../../resp/command-parser.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { type LargeWrite, startLargeWrite } from '../forward/large-write.ts'
import { isLocked } from '../login/login.ts'
import type { Session } from './session.ts'

/**
 * The bytes of one client on their way to being commands.
 *
 *   bytes ─▶ parse ─▶ Session.dispatch
 *               ▲        │ not whole, or it has to wait (`Session.waiting`)
 *            pending ◀───┘
 *
 * Whole commands are taken where they lie in the socket's buffer; only what is not whole, or has to wait, is copied.
 */
export class ClientInput {
  /** The bytes being looked at, for a look ahead; null between reads. */
  buf: Buffer | null = null
  /** Commands are being taken: who wakes the session meanwhile need not start again. */
  working = false
  readonly #session: Session
  #end = 0
  #pending = new ByteAccumulator()
  #pendingAt = 0
  /** Owned while a frame is not whole. */
  #parser: CommandParser | null = null
  #readingStopped = false
  /** Takes the rest of a frame that flows through. */
  #tail: LargeWrite | null = null
  /** Of what waits, as counted in `DataPath.stashedBytes`. */
  #stashed = 0

  constructor(session: Session) {
    this.#session = session
  }

  /** Of the client, kept because they are no whole command yet or have to wait. */
  get keptBytes(): number {
    return this.#pending.length - this.#pendingAt
  }

  /** The buffer that they are kept in. */
  get bufferBytes(): number {
    return this.#pending.buf.length
  }

  /** Bytes of the client: a view, valid during the call. */
  receive(buf: Buffer, length: number): void {
    const session = this.#session
    let at = 0
    if (this.#tail !== null) {
      at = this.#tail.take(buf, 0, length)
      if (at === length || session.ending) return
    }
    if (session.waiting !== null) {
      this.#stash(buf, at, length)
      return
    }
    while (at < length && this.#pending.length > this.#pendingAt) {
      // A frame is under way: only what it is known to need is copied.
      const missing = (this.#parser?.bytesNeeded ?? 0) - (this.#pending.length - this.#pendingAt)
      const take = missing > 0 ? Math.min(missing, length - at) : length - at
      this.#pending.append(buf, at, at + take)
      at += take
      this.#consumePending()
      if (session.waiting !== null || session.ending) {
        if (!session.ending) this.#stash(buf, at, length)
        return
      }
      if (this.#pending.length > COMMAND_LIMIT_BYTES) {
        session.path.log({
          level: 'warn',
          msg: 'a client sent a command that is too large and was disconnected',
          fields: { limit: COMMAND_LIMIT_BYTES },
        })
        session.socket.destroy()
        return
      }
    }
    if (at < length) this.#consume(buf, at, length)
  }

  /** Goes on with what is pending, and reads again when there is room for more. */
  proceed(): void {
    const session = this.#session
    if (this.#stashed > 0) this.#unstash()
    if (this.#pending.length > this.#pendingAt) this.#consumePending()
    if (!this.#readingStopped) return
    const isWatched = session.pin?.kind === 'blocked' && this.keptBytes <= BLOCKED_LIMIT_BYTES
    if (session.waiting !== null && !isWatched) return
    this.#readingStopped = false
    session.socket.resume()
  }

  clear(): void {
    this.#unstash()
    this.#pending.clear()
  }

  /** The whole commands that have arrived behind `from`, one at a time: views, each valid until the next. */
  *ahead(from: number): Generator<CommandView> {
    const { path } = this.#session
    const parser = path.takeParser()
    let at = from
    try {
      while (parser.parse(this.buf!, at, this.#end) === COMPLETE) {
        at = parser.next
        if (parser.argc > 0) yield parser
      }
    } finally {
      path.giveParser(parser)
    }
  }

  #consume(buf: Buffer, from: number, to: number): void {
    const session = this.#session
    const parser = session.path.takeParser()
    session.path.repeat.forget()
    this.working = true
    this.buf = buf
    this.#end = to
    let at = from
    while (at < to) {
      const status = parser.parse(buf, at, to)
      if (status !== COMPLETE) {
        if (status === INVALID) session.lastWord.mistake(parser.error)
        else {
          this.#pending.append(buf, at, to)
          parser.rebase(-at)
          this.#parser = parser
          if (isLocked(session) && parser.bytesNeeded > STRANGER_LIMIT_BYTES) {
            session.lastWord.mistake('Protocol error: unauthenticated bulk length')
          }
        }
        break
      }
      if (parser.argc === 0) session.passedOver()
      else if (!session.dispatch(parser)) {
        this.#stash(buf, at, to)
        break
      }
      at = parser.next
      if (session.ending) break
      // Taken, and what comes behind it has to wait (EXEC and blocking commands on their own connection).
      if (session.waiting !== null) {
        if (at < to) this.#stash(buf, at, to)
        break
      }
    }
    this.working = false
    this.buf = null
    if (this.#parser !== parser) session.path.giveParser(parser)
  }

  #consumePending(): void {
    if (this.working) return
    const session = this.#session
    const parser = this.#parser ?? session.path.takeParser()
    const pending = this.#pending
    session.path.repeat.forget()
    this.working = true
    this.buf = pending.buf
    this.#end = pending.length
    while (this.#pendingAt < pending.length) {
      const status = parser.parse(pending.buf, this.#pendingAt, pending.length)
      if (status !== COMPLETE) {
        if (status === INVALID) session.lastWord.mistake(parser.error)
        break
      }
      if (parser.argc === 0) session.passedOver()
      else if (!session.dispatch(parser)) break
      this.#pendingAt = parser.next
      if (session.ending || session.waiting !== null) break
    }
    this.working = false
    this.buf = null
    if (parser.partial) {
      if (isLocked(session) && parser.bytesNeeded > STRANGER_LIMIT_BYTES) {
        session.lastWord.mistake('Protocol error: unauthenticated bulk length')
        return
      }
      this.#parser = parser
      if (this.#pendingAt > 0) {
        parser.rebase(-this.#pendingAt)
        pending.consume(this.#pendingAt)
        this.#pendingAt = 0
      }
      if (parser.bytesNeeded > LARGE_WRITE_BYTES && session.waiting === null && !session.ending) this.#flowOn(parser)
      return
    }
    this.#parser = null
    session.path.giveParser(parser)
    if (this.#pendingAt === pending.length || this.#pendingAt > COMPACT_BYTES) {
      pending.consume(this.#pendingAt)
      this.#pendingAt = 0
    }
  }

  /** A frame with a large value goes to its store while it comes in, if it can. */
  #flowOn(parser: CommandParser): void {
    const pending = this.#pending
    const tail = startLargeWrite(this.#session, parser, pending.buf, pending.length)
    if (tail === null) return
    this.#tail = tail
    this.#parser = null
    pending.clear()
    if (tail.mayFlow) this.flow()
    else this.hold()
  }

  /** A frame is on its way to its store that has not arrived whole. */
  get flows(): boolean {
    return this.#tail !== null
  }

  /** The frame that flows through has ended. */
  tailEnded(): void {
    this.#tail = null
  }

  /** The client is not read until `flow`. */
  hold(): void {
    if (this.#readingStopped) return
    this.#readingStopped = true
    this.#session.socket.pause()
  }

  flow(): void {
    if (!this.#readingStopped || this.#tail === null) return
    this.#readingStopped = false
    this.#session.socket.resume()
  }

  /** Keeps bytes for later; a client that sends on and on meanwhile is not read any more. */
  #stash(buf: Buffer, from: number, to: number): void {
    this.#pending.append(buf, from, to)
    const { path } = this.#session
    const own = this.#pending.length - this.#pendingAt
    path.stashedBytes += own - this.#stashed
    this.#stashed = own
    const limit = this.#session.pin?.kind === 'blocked' ? BLOCKED_LIMIT_BYTES : PENDING_LIMIT_BYTES
    const tooMuch = own > limit || (path.stashedBytes > STASH_LIMIT_BYTES && own > 0)
    if (tooMuch) this.hold()
  }

  /** What waited goes on, or its client is gone: it does not count any more. */
  #unstash(): void {
    this.#session.path.stashedBytes -= this.#stashed
    this.#stashed = 0
  }
}

/** One command's bytes, beyond which the client is disconnected: Redis' `client-query-buffer-limit`. */
const COMMAND_LIMIT_BYTES = 1024 * 1024 * 1024
/** A frame that needs more is passed on while it comes in, where it can. */
const LARGE_WRITE_BYTES = 1024 * 1024
/** The same of one that has not logged in. */
const STRANGER_LIMIT_BYTES = 16 * 1024
/** Bytes kept of a client that waits; beyond this it is not read. */
const PENDING_LIMIT_BYTES = 1024 * 1024
/** The same of one that is blocked, perhaps for ever: only while it is read is it noticed that it goes, and what it waits for is not taken for nobody. */
const BLOCKED_LIMIT_BYTES = 16 * 1024 * 1024
/** The same of all clients: beyond this, whoever has to wait is not read from the start. */
const STASH_LIMIT_BYTES = 64 * 1024 * 1024
const COMPACT_BYTES = 256 * 1024
