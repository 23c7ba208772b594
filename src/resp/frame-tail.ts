import { CR, DOLLAR, LF, MAX_BULK_BYTES, NINE, ZERO } from './bytes.ts'

/**
 * The rest of a multibulk command whose beginning has been parsed, followed without keeping it: where does the frame end?
 *
 *   *3 $3 SET $3 key $536870912 xxxxx | xxxxxxxxxxxxx...xx \r\n
 *                                      ^ from here on: bytes of a bulk, then the headers of the arguments behind it
 *
 * Numbers and limits as in `command-parser.ts`.
 */
export class FrameTail {
  /** Redis' text for the peer after a failure, without `-ERR `; null: none so far. */
  error: string | null = null
  /** Of the bulk under way, its two last bytes included. */
  #bulkLeft: number
  /** Arguments behind it. */
  #argumentsLeft: number
  /** A header line under way. */
  #line = ''

  constructor(bulkLeft: number, argumentsLeft: number) {
    this.#bulkLeft = bulkLeft
    this.#argumentsLeft = argumentsLeft
  }

  get whole(): boolean {
    return this.#bulkLeft === 0 && this.#argumentsLeft === 0
  }

  /** Gives the index behind what belongs to the frame; `to` while it goes on. After a failure (`error`) nothing counts any more. */
  follow(buf: Buffer, from: number, to: number): number {
    let at = from
    while (at < to && !this.whole && this.error === null) {
      if (this.#bulkLeft > 0) {
        const bytes = Math.min(this.#bulkLeft, to - at)
        this.#bulkLeft -= bytes
        at += bytes
      } else at = this.#header(buf, at, to)
    }
    return at
  }

  #header(buf: Buffer, from: number, to: number): number {
    let at = from
    while (at < to) {
      const byte = buf[at++]!
      const { length } = this.#line
      if (byte === LF && this.#line[length - 1] === '\r') {
        this.#begin()
        return at
      }
      const fits = length === 0 ? byte === DOLLAR : (byte >= ZERO && byte <= NINE) || byte === CR
      if (!fits || length > MAX_HEADER_BYTES) {
        const got = String.fromCharCode(byte)
        this.error = length === 0 ? `Protocol error: expected '$', got '${got}'` : 'Protocol error: invalid bulk length'
        return at
      }
      this.#line += String.fromCharCode(byte)
    }
    return at
  }

  #begin(): void {
    const digits = this.#line.slice(1, -1)
    this.#line = ''
    if (!/^(0|[1-9]\d*)$/.test(digits) || Number(digits) > MAX_BULK_BYTES) {
      this.error = 'Protocol error: invalid bulk length'
      return
    }
    this.#argumentsLeft--
    this.#bulkLeft = Number(digits) + 2
  }
}

const MAX_HEADER_BYTES = 20
