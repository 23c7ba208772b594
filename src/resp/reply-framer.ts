import { UnderstudyError } from '../base/errors.ts'
import {
  ASTERISK,
  COLON,
  COMMA,
  CR,
  DOLLAR,
  EQUALS,
  EXCLAMATION,
  GREATER,
  HASH,
  LF,
  MINUS,
  NINE,
  OPEN_PAREN,
  PERCENT,
  PIPE,
  PLUS,
  TILDE,
  UNDERSCORE,
  ZERO,
} from './bytes.ts'

/**
 * Finds where one whole reply ends, in RESP2 and RESP3, without decoding it.
 *
 *   line      = ("+" | "-" | ":" | "_" | "," | "#" | "(") text CRLF
 *   bulk      = ("$" | "=" | "!") length CRLF length*byte CRLF          length -1: null
 *   aggregate = ("*" | "~" | ">") count CRLF count*reply | "%" count CRLF 2*count*reply
 *   reply     = line | bulk | aggregate | "|" count CRLF 2*count*reply reply
 *
 * Nesting needs no stack: `#pending` counts the replies that are still owed. One reply is owed at first; a scalar pays one, an
 * aggregate of n pays one and owes n. Resumable: `#offset` (from the reply's first byte) and `#pending` are the whole state, so
 * bytes may come in any pieces, the caller may move them, and a byte is looked at once. A bulk is skipped by its length even before
 * it has arrived.
 */
export class ReplyFramer {
  #offset = 0
  #pending = 1

  /**
   * `start`: the reply's first byte. Returns the index after its last byte, or -1 when it is not whole before `to`; call again with
   * more bytes. Throws `PROTOCOL` for bytes that are not RESP: the stream can then not be trusted any more.
   */
  frame(buf: Buffer, start: number, to: number): number {
    if (this.#offset === 0 && this.#pending === 1) {
      const end = usualReply(buf, start, to)
      if (end !== -1) return end
    }
    let at = start + this.#offset
    let pending = this.#pending
    while (pending > 0) {
      if (at >= to) return this.#suspend(at - start, pending)
      const type = buf[at]!
      let lineEnd = at + 1
      while (lineEnd < to && buf[lineEnd] !== CR) lineEnd++
      if (lineEnd + 1 >= to) return this.#suspendLine(buf, at, start, to, pending)
      if (buf[lineEnd + 1] !== LF) throw notResp(type)
      const next = lineEnd + 2
      switch (type) {
        case PLUS:
        case MINUS:
        case COLON:
        case UNDERSCORE:
        case COMMA:
        case HASH:
        case OPEN_PAREN:
          pending--
          at = next
          break
        case DOLLAR:
        case EQUALS:
        case EXCLAMATION: {
          const length = count(buf, at + 1, lineEnd, type)
          pending--
          at = length < 0 ? next : next + length + 2
          break
        }
        case ASTERISK:
        case TILDE:
        case GREATER: {
          const n = count(buf, at + 1, lineEnd, type)
          pending += n < 0 ? -1 : n - 1
          at = next
          break
        }
        case PERCENT:
        case PIPE: {
          const n = count(buf, at + 1, lineEnd, type)
          if (n < 0) throw notResp(type)
          pending += type === PERCENT ? 2 * n - 1 : 2 * n
          at = next
          break
        }
        default:
          throw notResp(type)
      }
    }
    if (at > to) return this.#suspend(at - start, 0)
    this.#offset = 0
    this.#pending = 1
    return at
  }

  /** Bytes that the reply needs at least, as far as is known yet. */
  get bytesNeeded(): number {
    return this.#offset
  }

  /** The first `bytes` of the reply under way have been passed on: what is given next begins behind them. */
  passedOn(bytes: number): void {
    this.#offset -= bytes
  }

  /** Forgets a reply under way: for a new connection. */
  reset(): void {
    this.#offset = 0
    this.#pending = 1
  }

  #suspend(offset: number, pending: number): -1 {
    this.#offset = offset
    this.#pending = pending
    return -1
  }

  /**
   * A line without its end. It is looked at again from its type byte; that stays linear because a header is short, and a simple
   * string or an error longer than the limit is refused.
   */
  #suspendLine(buf: Buffer, at: number, start: number, to: number, pending: number): -1 {
    if (to - at > MAX_LINE_BYTES) throw notResp(buf[at]!)
    return this.#suspend(at - start, pending)
  }
}

const MAX_LINE_BYTES = 64 * 1024

/** The end of one of the replies that are most of what a store says, which is there whole: a short bulk, a number, or `+OK`. -1: another one, or a wrong one. */
export function usualReply(buf: Buffer, start: number, to: number): number {
  switch (buf[start]) {
    case DOLLAR:
      return shortBulk(buf, start, to)
    case PLUS:
      return isOk(buf, start, to) ? start + OK_BYTES : -1
    case COLON:
      return shortNumber(buf, start, to)
    default:
      return -1
  }
}

/** `+OK`, which nearly every write is answered. */
function isOk(buf: Buffer, start: number, to: number): boolean {
  return (
    to - start >= OK_BYTES &&
    buf[start + 1] === 79 &&
    buf[start + 2] === 75 &&
    buf[start + 3] === CR &&
    buf[start + 4] === LF
  )
}

const OK_BYTES = 5

/** The end of a number that is there whole. What its digits are is its client's business. */
function shortNumber(buf: Buffer, start: number, to: number): number {
  const last = Math.min(to - 1, start + LONGEST_NUMBER)
  let at = start + 1
  while (at < last && buf[at] !== CR) at++
  return at < last && buf[at + 1] === LF ? at + 2 : -1
}

/** A sign and the 19 digits of a 64-bit number, and a little more: others take the long way. */
const LONGEST_NUMBER = 24

/** The end of a bulk of up to 999 bytes that is there whole, which most replies are; -1: another one, or a wrong one. */
function shortBulk(buf: Buffer, start: number, to: number): number {
  if (to - start < LEAST_BULK_BYTES) return -1
  let length = buf[start + 1]! - ZERO
  if (length < 0 || length > 9) return -1
  let at = start + 2
  for (let c = buf[at]!; c !== CR; c = buf[at]!) {
    // With a zero in front the line could be of any length.
    if (length === 0 || length > 99 || c < ZERO || c > NINE) return -1
    length = length * 10 + c - ZERO
    at++
  }
  const end = at + length + 4
  return end > to || buf[at + 1] !== LF ? -1 : end
}

/** `$0` and its two line ends. */
const LEAST_BULK_BYTES = 6

function count(buf: Buffer, from: number, to: number, type: number): number {
  let at = from
  const negative = buf[at] === MINUS
  if (negative) at++
  if (at === to || to - at > 15) throw notResp(type)
  let n = 0
  for (; at < to; at++) {
    const c = buf[at]!
    if (c < ZERO || c > NINE) throw notResp(type)
    n = n * 10 + (c - ZERO)
  }
  if (negative) {
    if (n !== 1) throw notResp(type)
    return -1
  }
  return n
}

function notResp(type: number): UnderstudyError {
  return new UnderstudyError(
    'PROTOCOL',
    `the store sent bytes that are not RESP (in a frame of type 0x${type.toString(16)})`,
  )
}
