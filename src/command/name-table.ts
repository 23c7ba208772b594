/**
 * Finds a value by a name that lies somewhere in a buffer, whatever its case, without making a string of it: every command of
 * every client is looked up here.
 *
 *   bytes ── FNV-1a over (byte | 0x20) ──▶ slots[hash & mask] ──▶ entry ── verify byte by byte ──▶ value
 *                                          │ taken by another name: next slot (linear probing, half of the slots stay empty)
 *
 * Before that a smaller table is asked, by length and first letter, for the name that was found there last: those that clients use are few.
 *
 * `byte | 0x20` folds a few bytes that are no letters; they only share a hash, the verification tells them apart.
 */
export class NameTable<T> {
  readonly #slots: Int32Array
  readonly #mask: number
  readonly #maxLength: number
  readonly #names: Uint8Array[] = []
  readonly #values: T[] = []
  /** Index of the name found last, by length and first letter. */
  readonly #recent: Int32Array = new Int32Array(RECENT).fill(-1)

  constructor(entries: Iterable<readonly [name: string, value: T]>) {
    let maxLength = 0
    for (const [name, value] of entries) {
      const bytes = Buffer.from(name.toLowerCase())
      maxLength = Math.max(maxLength, bytes.length)
      this.#names.push(bytes)
      this.#values.push(value)
    }
    let capacity = 8
    while (capacity < this.#names.length * 2) capacity *= 2
    this.#slots = new Int32Array(capacity).fill(-1)
    this.#mask = capacity - 1
    this.#maxLength = maxLength
    for (const [i, name] of this.#names.entries()) {
      let slot = hash(name, 0, name.length) & this.#mask
      while (this.#slots[slot] !== -1) slot = (slot + 1) & this.#mask
      this.#slots[slot] = i
    }
  }

  /** The value of the name `buf[start .. end)`, or undefined. Allocates nothing. */
  find(buf: Uint8Array, start: number, end: number): T | undefined {
    const length = end - start
    if (length === 0 || length > this.#maxLength) return undefined
    const recentAt = ((buf[start]! & 31) << 3) | (length & 7)
    const recent = this.#recent[recentAt]!
    if (recent !== -1) {
      const name = this.#names[recent]!
      if (name.length === length && equal(name, buf, start)) return this.#values[recent]
    }
    let slot = hash(buf, start, end) & this.#mask
    for (;;) {
      const i = this.#slots[slot]!
      if (i === -1) return undefined
      const name = this.#names[i]!
      if (name.length === length && equal(name, buf, start)) {
        this.#recent[recentAt] = i
        return this.#values[i]
      }
      slot = (slot + 1) & this.#mask
    }
  }
}

const RECENT = 256

function hash(buf: Uint8Array, start: number, end: number): number {
  let h = 0x811c9dc5
  for (let i = start; i < end; i++) h = Math.imul(h ^ (buf[i]! | 0x20), 0x01000193)
  return h ^ (h >>> 15)
}

/** `name` is in lower case already. */
function equal(name: Uint8Array, buf: Uint8Array, start: number): boolean {
  for (let i = 0; i < name.length; i++) {
    const byte = buf[start + i]!
    if (name[i] !== (byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte)) return false
  }
  return true
}
