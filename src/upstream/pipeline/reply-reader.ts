import { ByteAccumulator } from '../../base/byte-accumulator.ts'
import { ReplyFramer } from '../../resp/reply-framer.ts'
import type { ReplySink } from './in-flight.ts'

/** Who is told what the store's bytes are. Either call may end the connection; the reader is then reset, and the rest of the bytes is nobody's. */
export interface ReplyTaker {
  /** One whole frame: a view, valid during the call. Others may lie behind it, up to `to`: gives the end of what was taken. */
  frame(buf: Buffer, start: number, end: number, to: number): number
  /** A frame of `type` (its first byte) that needs at least `bytes` and is not whole. Null: it is gathered. */
  sinkFor(type: number, bytes: number): ReplySink | null
  /** The sink has had its last piece. */
  pieced(sink: ReplySink): void
}

/**
 * The bytes of one connection to a store on their way to being replies.
 *
 *   bytes ─▶ framer ─┬─▶ whole: frame
 *              ▲     ├─▶ not whole, and large: pieces, to a sink that takes them
 *           partial ◀┘   not whole: gathered
 *
 * Frames are taken where they lie in the socket's buffer; only what is not whole is copied.
 */
export class ReplyReader {
  readonly #taker: ReplyTaker
  readonly #framer = new ReplyFramer()
  readonly #partial = new ByteAccumulator()
  /** Who is given the reply under way in pieces. */
  #sink: ReplySink | null = null
  /** Changes with each connection. */
  #epoch = 0

  constructor(taker: ReplyTaker) {
    this.#taker = taker
  }

  /** A view, valid during the call. Throws PROTOCOL for bytes that are not RESP. */
  read(buf: Buffer, length: number): void {
    const framer = this.#framer
    const partial = this.#partial
    const epoch = this.#epoch
    let at = 0
    while (partial.length > 0 && at < length) {
      // Only what the reply is known to need is copied; the rest is framed where it lies.
      const missing = framer.bytesNeeded - partial.length
      const take = missing > 0 ? Math.min(missing, length - at) : length - at
      partial.append(buf, at, at + take)
      at += take
      let from = 0
      while (from < partial.length) {
        const end = framer.frame(partial.buf, from, partial.length)
        if (end === -1) {
          from += this.#passOn(partial.buf, from, partial.length)
          if (this.#epoch !== epoch) return
          break
        }
        this.#whole(partial.buf, from, end, end)
        if (this.#epoch !== epoch) return
        from = end
      }
      partial.consume(from)
    }
    while (at < length) {
      const end = framer.frame(buf, at, length)
      if (end === -1) {
        at += this.#passOn(buf, at, length)
        if (this.#epoch === epoch) partial.append(buf, at, length)
        return
      }
      at = this.#whole(buf, at, end, length)
      if (this.#epoch !== epoch) return
    }
  }

  /** For a new connection. */
  reset(): void {
    this.#epoch++
    this.#framer.reset()
    this.#partial.clear()
    this.#sink = null
  }

  #whole(buf: Buffer, start: number, end: number, to: number): number {
    const sink = this.#sink
    if (sink === null) return this.#taker.frame(buf, start, end, to)
    sink.piece(buf, start, end)
    if (this.#sink !== sink) return end
    this.#sink = null
    this.#taker.pieced(sink)
    return end
  }

  /** Of a reply that is not whole: gives what is there to who takes it in pieces. Gives how many bytes are dealt with. */
  #passOn(buf: Buffer, start: number, to: number): number {
    const framer = this.#framer
    if (this.#sink === null) {
      if (framer.bytesNeeded < LARGE_REPLY_BYTES) return 0
      this.#sink = this.#taker.sinkFor(buf[start]!, framer.bytesNeeded)
      if (this.#sink === null) return 0
    }
    const bytes = Math.min(framer.bytesNeeded, to - start)
    framer.passedOn(bytes)
    if (bytes > 0) this.#sink.piece(buf, start, start + bytes)
    return bytes
  }
}

/** A reply of at least so many bytes may be passed on in pieces. */
const LARGE_REPLY_BYTES = 1024 * 1024
