/**
 * The bytes of a frame that has not arrived whole: appended to, then cleared. Capacity doubles, so that appending n bytes in any pieces
 * costs O(n); a large buffer is let go on `clear`, so that one big value does not cost a connection its memory for ever.
 */
export class ByteAccumulator {
  buf: Buffer = EMPTY
  length = 0

  append(source: Buffer, from: number, to: number): void {
    const length = this.length + to - from
    if (length > this.buf.length) this.#grow(length)
    source.copy(this.buf, this.length, from, to)
    this.length = length
  }

  /** Drops the first `count` bytes. */
  consume(count: number): void {
    if (count >= this.length) this.clear()
    else {
      this.buf.copyWithin(0, count, this.length)
      this.length -= count
    }
  }

  clear(): void {
    this.length = 0
    if (this.buf.length > KEEP_BYTES) this.buf = EMPTY
  }

  #grow(length: number): void {
    const grown = Buffer.allocUnsafeSlow(
      Math.max(1024, length, Math.min(this.buf.length * 2, this.buf.length + MAX_STEP_BYTES)),
    )
    this.buf.copy(grown, 0, 0, this.length)
    this.buf = grown
  }
}

const EMPTY = Buffer.alloc(0)
const KEEP_BYTES = 4096
/** Doubling a 256 MB buffer would cost 512 MB; steps of this size keep the copying linear enough (one copy per 128 MB). */
const MAX_STEP_BYTES = 128 * 1024 * 1024
