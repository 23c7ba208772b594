import type { Downstream } from './downstream.ts'

/**
 * Gives a client its replies in the order of its commands (invariant 1), whatever order they become ready in: different stores, local answers, fallback
 * reads.
 *
 *   number   0 1 2 3 4 5        next = 3: 0..2 are out; 4 came early and is parked until 3 has come
 *   state    o o o . p .
 *
 * The usual case, everything down one pipeline, never parks anything.
 */
export class ReplyOrder {
  readonly #downstream: Downstream
  /** The number that the next command gets. */
  #assigned = 0
  /** The number whose reply goes out next. */
  #next = 0
  #parked: Map<number, Buffer> | null = null
  #parkedBytes = 0
  /** A reply is going out in pieces: nothing may come between them. */
  #midReply = false
  readonly #heldPushes: Buffer[] = []
  /** What had been taken when the way to the stores changed last. */
  #wayChangedAt = 0
  /** From this number on replies are parked until `letGo`. */
  #heldFrom = Number.POSITIVE_INFINITY

  constructor(downstream: Downstream) {
    this.#downstream = downstream
  }

  /** Commands whose replies are owed. */
  get owed(): number {
    return this.#assigned - this.#next
  }

  /** Commands that were taken since the client came. */
  get taken(): number {
    return this.#assigned
  }

  /** The number whose reply goes out next. */
  get next(): number {
    return this.#next
  }

  /** A reply is going out in pieces (`beginPieces`), and its end is not there yet. */
  get midReply(): boolean {
    return this.#midReply
  }

  /** Bytes that wait for a reply, or the rest of one, that comes before them. */
  get parkedBytes(): number {
    return this.#parkedBytes
  }

  get parkedReplies(): number {
    return this.#parked?.size ?? 0
  }

  /** What comes next takes another connection to a store than what has been taken so far. */
  changeWay(): void {
    this.#wayChangedAt = this.#assigned
  }

  /** What is owed has another way (`changeWay`) than what comes next, which would overtake it: it waits for the replies. */
  get mayOvertake(): boolean {
    return this.#next < this.#wayChangedAt
  }

  /** Replies to what comes from here on wait for `letGo`. */
  hold(): void {
    this.#heldFrom = this.#assigned
  }

  letGo(): void {
    this.#heldFrom = Number.POSITIVE_INFINITY
    if (this.#parked !== null) this.#unpark(this.#parked)
  }

  assign(): number {
    return this.#assigned++
  }

  /** The reply of command `seq`: a view. */
  reply(seq: number, buf: Buffer, from: number, to: number): void {
    if (seq !== this.#next || seq >= this.#heldFrom) {
      this.#parked ??= new Map()
      this.#parked.set(seq, Buffer.from(buf.subarray(from, to)))
      this.#parkedBytes += to - from
      return
    }
    if (to > from) this.#downstream.write(buf, from, to)
    this.#next++
    if (this.#parked !== null && this.#parked.size > 0) this.#unpark(this.#parked)
  }

  /** The replies of `count` commands from `seq` on, one behind the other: a view. False: it is not their turn, and nothing was done. */
  replyRun(seq: number, count: number, buf: Buffer, from: number, to: number): boolean {
    if (
      seq !== this.#next ||
      this.#midReply ||
      seq + count > this.#heldFrom ||
      (this.#parked !== null && this.#parked.size > 0)
    )
      return false
    this.#downstream.write(buf, from, to)
    this.#next += count
    return true
  }

  /** Bytes that answer no command, as soon as possible: a view. */
  push(buf: Buffer, from: number, to: number): void {
    if (!this.#midReply) {
      this.#downstream.write(buf, from, to)
      return
    }
    this.#heldPushes.push(Buffer.from(buf.subarray(from, to)))
    this.#parkedBytes += to - from
  }

  /** The same, behind every reply that is there: one that has come early and waits for its turn keeps its place before them. */
  append(buf: Buffer, from: number, to: number): void {
    const parked = this.#parked
    if (this.#midReply || parked === null || parked.size === 0) {
      this.push(buf, from, to)
      return
    }
    let last = -1
    for (const place of parked.keys()) last = Math.max(last, place)
    parked.set(last, Buffer.concat([parked.get(last)!, buf.subarray(from, to)]))
    this.#parkedBytes += to - from
  }

  /** The reply that is next goes out in pieces, straight to `Downstream`. `endPieces` follows, and then its `reply`, which is empty. */
  beginPieces(): void {
    this.#midReply = true
  }

  endPieces(): void {
    this.#midReply = false
    for (const push of this.#heldPushes.splice(0)) {
      this.#parkedBytes -= push.length
      this.#downstream.write(push, 0, push.length)
    }
  }

  #unpark(parked: Map<number, Buffer>): void {
    for (;;) {
      const bytes = this.#next < this.#heldFrom ? parked.get(this.#next) : undefined
      if (bytes === undefined) return
      parked.delete(this.#next)
      this.#parkedBytes -= bytes.length
      if (bytes.length > 0) this.#downstream.write(bytes, 0, bytes.length)
      this.#next++
    }
  }
}
