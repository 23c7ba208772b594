import {
  ASTERISK,
  CR,
  DOLLAR,
  LF,
  MAX_ARGUMENTS,
  MAX_BULK_BYTES,
  MAX_INLINE_BYTES,
  MINUS,
  NINE,
  ZERO,
} from './bytes.ts'
import type { CommandView } from './command-view.ts'
import { printable, splitInline } from './inline.ts'

/** What `parse` found. */
export const NEED_MORE = 0
export const COMPLETE = 1
export const INVALID = 2
export type ParseStatus = typeof NEED_MORE | typeof COMPLETE | typeof INVALID

/**
 * Finds one whole client command in a stream of bytes, without decoding it.
 *
 *   command   = multibulk | inline
 *   multibulk = "*" count CRLF count*bulk        count <= 0: an empty command (argc 0), to be ignored, as Redis does
 *   bulk      = "$" length CRLF length*byte 2*byte
 *   inline    = words LF
 *
 * Resumable: `parse` remembers where it stood (`#at`, `#wanted`, `#bulk`), so that a frame that arrives in any number of pieces is
 * looked at once. The caller keeps the bytes from `frameStart` on; when it moves them it calls `rebase`.
 *
 * After COMPLETE the object is the `CommandView` of the command and `next` is where the following frame begins in the bytes given.
 * Numbers, limits and error texts are those of Redis 7 (`processMultibulkBuffer`, `processInlineBuffer`); as there, the two
 * bytes after a bulk are skipped, not checked, so that both sides of the proxy always agree where a frame ends.
 */
export class CommandParser implements CommandView {
  buf: Buffer = EMPTY
  argc = 0
  start: Int32Array = new Int32Array(16)
  end: Int32Array = new Int32Array(16)
  frameStart = 0
  frameEnd = 0
  /** Where the next frame begins, in the bytes given to `parse`. */
  next = 0
  /** Of inline commands: `splitInline`. */
  quotesWithin = false
  /** Redis' text for the peer after INVALID, without `-ERR `. */
  error = ''

  /** Where the work goes on. */
  #at = 0
  /** Arguments announced by the header; -1: the header is not complete yet. */
  #wanted = -1
  /** Length of the bulk whose bytes are awaited; -1: its header is awaited. */
  #bulk = -1
  #fresh = true

  /** Parses from `from` (a frame's first byte; ignored while a frame is under way) up to `to`. */
  parse(buf: Buffer, from: number, to: number): ParseStatus {
    if (this.#fresh) {
      if (from >= to) return NEED_MORE
      if (this.#usual(buf, from, to)) return COMPLETE
      this.#fresh = false
      this.frameStart = from
      this.#at = from
      this.#wanted = -1
      this.#bulk = -1
      this.argc = 0
    }
    let at = this.#at
    if (this.#wanted === -1) {
      if (buf[this.frameStart] !== ASTERISK) return this.#inline(buf, to)
      const status = this.#header(
        buf,
        this.frameStart + 1,
        to,
        'invalid multibulk length',
        'too big mbulk count string',
      )
      if (status !== COMPLETE) return status
      at = this.#lineEnd
      if (this.#number > MAX_ARGUMENTS) return this.#fail('invalid multibulk length')
      if (this.#number <= 0) return this.#complete(buf, at)
      this.#wanted = this.#number
    }
    const wanted = this.#wanted
    let bulk = this.#bulk
    while (this.argc < wanted) {
      if (bulk === -1) {
        if (at >= to) return this.#suspend(at, -1)
        if (buf[at] !== DOLLAR) return this.#fail(`expected '$', got '${printable(buf[at]!)}'`)
        const status = this.#header(buf, at + 1, to, 'invalid bulk length', 'too big bulk count string')
        if (status === NEED_MORE) return this.#suspend(at, -1)
        if (status === INVALID) return INVALID
        bulk = this.#number
        if (bulk < 0 || bulk > MAX_BULK_BYTES) return this.#fail('invalid bulk length')
        at = this.#lineEnd
      }
      const after = at + bulk + 2
      if (after > to) return this.#suspend(at, bulk)
      const argc = this.argc
      if (argc === this.start.length) this.#grow()
      this.start[argc] = at
      this.end[argc] = at + bulk
      this.argc = argc + 1
      at = after
      bulk = -1
    }
    return this.#complete(buf, at)
  }

  /**
   * Nearly every command: all of it is there, it has less than ten arguments, and their lengths have three digits at most. What is left out here is what makes the whole grammar
   * slow: nothing is remembered, no line is a call. False: another one, wrong ones among them, and nothing has been touched that counts.
   */
  #usual(buf: Buffer, from: number, to: number): boolean {
    if (to - from < LEAST_FRAME_BYTES || buf[from] !== ASTERISK || buf[from + 2] !== CR) return false
    const wanted = buf[from + 1]! - ZERO
    if (wanted < 1 || wanted > 9) return false
    const { start, end } = this
    let at = from + 4
    for (let i = 0; i < wanted; i++) {
      if (to - at < LEAST_BULK_BYTES || buf[at] !== DOLLAR) return false
      let length = buf[at + 1]! - ZERO
      if (length < 0 || length > 9) return false
      at += 2
      for (let c = buf[at]!; c !== CR; c = buf[at]!) {
        // A zero in front is wrong, as is what is no digit. That the line ends before `to` is checked with the bulk.
        if (length === 0 || length > 99 || c < ZERO || c > NINE) return false
        length = length * 10 + c - ZERO
        at++
      }
      start[i] = at + 2
      end[i] = at += length + 2
      at += 2
      if (at > to) return false
    }
    this.argc = wanted
    this.frameStart = from
    this.#complete(buf, at)
    return true
  }

  /** A frame has begun and is not whole yet. */
  get partial(): boolean {
    return !this.#fresh
  }

  /** Bytes that the frame needs in all as far as it is known yet, from `frameStart`: what a caller's buffer should have room for. */
  get bytesNeeded(): number {
    return this.#at - this.frameStart + (this.#bulk === -1 ? 0 : this.#bulk + 2)
  }

  /** Of a partial frame that stands at `to`: bytes of the bulk under way that have not arrived, its two last ones included; -1: no bulk is under way. */
  bulkLeft(to: number): number {
    return this.#bulk === -1 ? -1 : this.#at + this.#bulk + 2 - to
  }

  /** Of a partial frame: arguments behind the one under way. */
  get argumentsBehind(): number {
    return this.#wanted - this.argc - 1
  }

  /** The caller moved the bytes of the partial frame by `delta`. */
  rebase(delta: number): void {
    this.frameStart += delta
    this.#at += delta
    if (this.#overlong !== -1) this.#overlong += delta
    for (let i = 0; i < this.argc; i++) {
      this.start[i]! += delta
      this.end[i]! += delta
    }
  }

  /** Digits beyond what a number can have: where the search for their end goes on; -1: none. */
  #overlong = -1

  // A header line's result: two plain fields, so that no object is made per line.
  #number = 0
  #lineEnd = 0

  /** Reads `digits CR LF` at `at`. Fails at the first byte that cannot be part of it, so a hostile line is never scanned twice. */
  #header(buf: Buffer, at: number, to: number, invalid: string, tooBig: string): ParseStatus {
    let i = at
    let negative = false
    if (this.#overlong !== -1) return this.#skipDigits(buf, at, to, invalid, tooBig)
    if (i < to && buf[i] === MINUS) {
      negative = true
      i++
    }
    const first = i
    let n = 0
    for (; i < to; i++) {
      const c = buf[i]!
      if (c >= ZERO && c <= NINE) {
        n = n * 10 + (c - ZERO)
        if (i - first > 18) {
          this.#overlong = i
          return this.#skipDigits(buf, at, to, invalid, tooBig)
        }
        continue
      }
      if (c !== CR || i === first || (buf[first] === ZERO && (i - first > 1 || negative))) return this.#fail(invalid)
      if (i + 1 >= to) return NEED_MORE
      this.#number = negative ? -n : n
      this.#lineEnd = i + 2
      return COMPLETE
    }
    return NEED_MORE
  }

  /** Redis says that a number is invalid when its line has ended, and that it is too big when it does not. Each digit is looked at once. */
  #skipDigits(buf: Buffer, at: number, to: number, invalid: string, tooBig: string): ParseStatus {
    for (let i = this.#overlong; i < to; i++) if (buf[i]! < ZERO || buf[i]! > NINE) return this.#fail(invalid)
    this.#overlong = to
    return to - at > MAX_INLINE_BYTES ? this.#fail(tooBig) : NEED_MORE
  }

  #inline(buf: Buffer, to: number): ParseStatus {
    const lineEnd = buf.subarray(0, to).indexOf(LF, this.#at)
    if (lineEnd === -1) {
      if (to - this.frameStart > MAX_INLINE_BYTES) return this.#fail('too big inline request')
      this.#at = to
      return NEED_MORE
    }
    let textEnd = lineEnd
    if (textEnd > this.frameStart && buf[textEnd - 1] === CR) textEnd--
    if (textEnd - this.frameStart > MAX_INLINE_BYTES) return this.#fail('too big inline request')
    const args = splitInline(buf.subarray(this.frameStart, textEnd), this.quotesWithin)
    if (args === null) return this.#fail('unbalanced quotes in request')
    this.#fresh = true
    this.next = lineEnd + 1
    this.#adopt(args)
    return COMPLETE
  }

  /** Makes the view one over a multibulk frame of `args`: from here on nobody has to know that the command came inline. */
  #adopt(args: readonly Buffer[]): void {
    this.argc = 0
    const parts: Buffer[] = [Buffer.from(`*${args.length}\r\n`)]
    let at = parts[0]!.length
    for (const arg of args) {
      const head = Buffer.from(`$${arg.length}\r\n`)
      parts.push(head, arg, CRLF)
      if (this.argc === this.start.length) this.#grow()
      this.start[this.argc] = at + head.length
      this.end[this.argc] = at + head.length + arg.length
      this.argc++
      at += head.length + arg.length + 2
    }
    this.buf = Buffer.concat(parts)
    this.frameStart = 0
    this.frameEnd = at
  }

  #suspend(at: number, bulk: number): ParseStatus {
    this.#at = at
    this.#bulk = bulk
    return NEED_MORE
  }

  #complete(buf: Buffer, at: number): ParseStatus {
    this.buf = buf
    this.frameEnd = at
    this.next = at
    this.#fresh = true
    return COMPLETE
  }

  #fail(text: string): ParseStatus {
    this.error = `Protocol error: ${text}`
    this.#overlong = -1
    this.#fresh = true
    return INVALID
  }

  /** Grown as arguments really arrive, never from the announced count: a header is no reason to allocate. */
  #grow(): void {
    const size = this.start.length * 2
    const start = new Int32Array(size)
    const end = new Int32Array(size)
    start.set(this.start)
    end.set(this.end)
    this.start = start
    this.end = end
  }
}

/** `*1 $0` with its line ends, and its one bulk. */
const LEAST_FRAME_BYTES = 10
const LEAST_BULK_BYTES = 6

const EMPTY = Buffer.alloc(0)
const CRLF = Buffer.from('\r\n')
