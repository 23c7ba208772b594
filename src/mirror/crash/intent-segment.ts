import { crc32 } from 'node:zlib'
import type { Removed } from '../functions/function-changes.ts'

/**
 * A segment of the intent log, as bytes:
 *
 *   segment  block block ...                    each written by one call
 *   block    length u32 | crc32 of what follows u32 | record record ...      numbers little-endian; the length is that of the records
 *   record   database + 1 varint | length varint | key                        of a key
 *            0                                                                of a command that changes every key (FLUSHALL)
 *            2^32 - 1                                                         of one that changes functions (FUNCTION LOAD)
 *            2^32 - 2                                                         of a script that may write to keys which nobody can name
 *            2^32 - 3                                                         of one that removes every function (FUNCTION FLUSH)
 *            2^32 - 4 | length varint | name                                  of one that removes a library of that name (FUNCTION DELETE)
 *
 * Varints have seven bits a byte, lowest first; all but the last have the eighth bit set.
 */
export const BLOCK_HEADER_BYTES = 8

/** In the place of a database that there is not. */
export const FUNCTIONS = 0xffff_ffff
export const UNNAMED_KEYS = 0xffff_fffe
export const NO_FUNCTIONS = 0xffff_fffd
export const NO_LIBRARY = 0xffff_fffc

/** Two varints of at most five bytes each. */
export const RECORD_OVERHEAD_BYTES = 10

/** Writes the header of the block `buf[0 .. end)`, whose records begin behind it. */
export function sealBlock(buf: Buffer, end: number): void {
  buf.writeUInt32LE(end - BLOCK_HEADER_BYTES, 0)
  buf.writeUInt32LE(crc32(buf.subarray(BLOCK_HEADER_BYTES, end)), 4)
}

/** Appends a varint; gives where it ends. */
export function putVarint(buf: Buffer, at: number, value: number): number {
  while (value > 0x7f) {
    buf[at++] = (value & 0x7f) | 0x80
    value >>>= 7
  }
  buf[at++] = value
  return at
}

/** A block for one key that is too long for any other; to be sealed. */
export function blockOfKey(database: number, buf: Buffer, start: number, end: number): Buffer {
  const block = Buffer.allocUnsafe(BLOCK_HEADER_BYTES + RECORD_OVERHEAD_BYTES + end - start)
  let at = putVarint(block, BLOCK_HEADER_BYTES, database + 1)
  at = putVarint(block, at, end - start)
  at += buf.copy(block, at, start, end)
  return block.subarray(0, at)
}

/** What segments are called as files: their order is that of their names. */
export const SEGMENT_NAME = /^\d{10}\.log$/

export function segmentName(number: number): string {
  return `${String(number).padStart(10, '0')}.log`
}

export interface IntentVisitor {
  /** `key`: a view, valid during the call. */
  key(database: number, key: Buffer): void
  everyKey(): void
  functions(removed: Removed): void
  unnamedKeys(): void
}

/** How a segment ends. `torn`: within a block that was not written to its end; `damaged`: what was written is not there any more. */
export type SegmentEnd = 'whole' | 'torn' | 'damaged'

/**
 * Reads a segment from its beginning, some records at a time. Nothing of a block whose checksum is wrong is shown; what follows it is, as far as it can be
 * found.
 */
export class SegmentReader {
  readonly #bytes: Buffer
  #at = 0
  /** Records of the block at hand. */
  #record = 0
  #blockEnd = 0
  #damaged = false
  #torn = false

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  /** How it has ended, once `read` has given false. */
  get end(): SegmentEnd {
    return this.#damaged ? 'damaged' : this.#torn ? 'torn' : 'whole'
  }

  /** Shows at most `records` more; false: that was all. */
  read(visitor: IntentVisitor, records: number): boolean {
    for (let i = 0; i < records; i++) {
      while (this.#record === this.#blockEnd) if (!this.#nextBlock()) return false
      this.#show(visitor)
    }
    return true
  }

  #nextBlock(): boolean {
    const bytes = this.#bytes
    const rest = bytes.length - this.#at
    if (rest === 0) return false
    if (rest < BLOCK_HEADER_BYTES) return this.#tear()
    const length = bytes.readUInt32LE(this.#at)
    // No block is empty: these are the zeros of a file that was never filled.
    if (length === 0) {
      this.#damaged = true
      this.#at = bytes.length
      return false
    }
    if (length > rest - BLOCK_HEADER_BYTES) return this.#tear()
    const from = this.#at + BLOCK_HEADER_BYTES
    this.#at = from + length
    if (crc32(bytes.subarray(from, this.#at)) === bytes.readUInt32LE(from - 4)) {
      this.#record = from
      this.#blockEnd = this.#at
    } else this.#damaged = true
    return true
  }

  #tear(): false {
    this.#torn = true
    this.#at = this.#bytes.length
    return false
  }

  /** One record of a block whose checksum is right: it is as it was written. */
  #show(visitor: IntentVisitor): void {
    const kind = this.#varint()
    if (kind === 0) return visitor.everyKey()
    if (kind === FUNCTIONS) return visitor.functions(null)
    if (kind === NO_FUNCTIONS) return visitor.functions('all')
    if (kind === UNNAMED_KEYS) return visitor.unnamedKeys()
    const length = this.#varint()
    const from = this.#record
    this.#record = from + length
    if (kind === NO_LIBRARY) visitor.functions({ library: this.#bytes.toString('latin1', from, this.#record) })
    else visitor.key(kind - 1, this.#bytes.subarray(from, this.#record))
  }

  #varint(): number {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = this.#bytes[this.#record++]!
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
  }
}
