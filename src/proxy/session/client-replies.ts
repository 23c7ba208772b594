import type net from 'node:net'
import { errorFrame } from '../../resp/encode.ts'
import type { DataPath } from '../data-path.ts'
import { PartReplies } from '../forward/split.ts'
import { ConnectedClient } from './connected-client.ts'
import { Downstream } from './downstream.ts'
import { keepWithinLimit } from './output-limit.ts'
import type { OwnMessages } from './own-messages.ts'
import type { Pin } from './pin.ts'
import { ReplyOrder } from './reply-order.ts'
import { ReplyWindow } from './reply-window.ts'

/**
 * What is said to a client: the replies to its commands, in their order, and messages between them. What it says is its `Session`'s.
 *
 *   reply, answer ─▶ ReplyOrder ─▶ Downstream ─▶ socket
 *   push ────────────────▲  (what it leaves unread stays within `clients.outputBuffer`)
 */
export abstract class ClientReplies extends ConnectedClient {
  readonly path: DataPath
  readonly socket: net.Socket
  readonly downstream: Downstream
  readonly order: ReplyOrder
  /** Who handles this session's commands instead of `dispatchUnpinned`: the innermost of them. */
  pin: Pin | null = null
  /** Answers go here instead of out: a command that Understudy answers is executed as a part of EXEC. */
  captured: Buffer[] | null = null
  /** Its replies are kept for what it publishes to itself. */
  ownMessages: OwnMessages | null = null
  closed = false
  /** Of commands that were split over several stores. */
  readonly parts = new PartReplies()
  protected readonly window = new ReplyWindow()
  /** The reply that is kept for what the client publishes to itself leaves a SKIP that there is to the command behind it. */
  #keepsSkip = false

  constructor(path: DataPath, socket: net.Socket, unixPath: string | null) {
    super(path, socket, unixPath)
    this.path = path
    this.socket = socket
    this.downstream = new Downstream(socket, path.turn)
    this.order = new ReplyOrder(this.downstream)
  }

  /** Nothing is owed to it any more. */
  protected abstract allAnswered(): void

  /** The reply of command `seq`: a view. */
  reply(seq: number, buf: Buffer, start: number, end: number): void {
    if (this.closed) return
    if (seq < 0) return this.parts.reply(seq, buf, start, end)
    if (this.replyMode === 'on') this.order.reply(seq, buf, start, end)
    else this.order.reply(seq, EMPTY, 0, 0)
    this.afterReply()
  }

  /** The reply of command `seq`, of which the client wants to hear what there is, whatever it has said meanwhile about later ones. */
  replyWanted(seq: number, frame: Buffer): void {
    if (this.closed) return
    this.order.reply(seq, frame, 0, frame.length)
    this.#keepsSkip = this.ownMessages !== null
    this.afterReply(false)
  }

  /** Bytes that answer no command: messages of a subscription. A view. */
  push(buf: Buffer, start: number, end: number): void {
    if (this.closed) return
    this.window.pushed += end - start
    this.order.push(buf, start, end)
    this.#checkOutput()
  }

  /** The same, behind every reply that has become ready. */
  pushInOrder(buf: Buffer, start: number, end: number): void {
    if (this.closed) return
    this.window.pushed += end - start
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
    const endsSkip = !this.#keepsSkip
    this.#keepsSkip = false
    this.order.letGo()
    behind()
    if (owed > 0) this.afterReply(endsSkip)
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
  protected afterReply(endsSkip = true): void {
    this.#checkOutput()
    if (this.order.owed > 0) {
      this.ownMessages?.look()
      return
    }
    if (endsSkip && this.replyMode === 'skip') this.replyMode = 'on'
    this.allAnswered()
  }
}

const EMPTY = Buffer.alloc(0)
/** Replies that a client has not taken yet: beyond this its next command waits. */
const SLOW_CLIENT_BYTES = 1024 * 1024
