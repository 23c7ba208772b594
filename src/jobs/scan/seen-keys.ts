import { hashBytes } from '../../base/hash.ts'

const FEWEST_BITS = 2 ** 16
/** 64 MB. */
const MOST_BITS = 2 ** 29
const BITS_A_KEY = 32

/**
 * Which keys have been seen, in little memory: each sets two bits. A key that has been seen is known for certain; of those that have not, one in some hundreds looks as if it had (where there are more than sixteen million keys, more).
 */
export class SeenKeys {
  readonly #words: Uint32Array
  readonly #mask: number

  /** `expected`: about how many there will be. */
  constructor(expected: number) {
    let bits = FEWEST_BITS
    while (bits < expected * BITS_A_KEY && bits < MOST_BITS) bits *= 2
    this.#words = new Uint32Array(bits / 32)
    this.#mask = bits - 1
  }

  add(database: number, key: Buffer): void {
    for (const place of places(database, key)) this.#words[(place & this.#mask) >>> 5]! |= 1 << (place & 31)
  }

  has(database: number, key: Buffer): boolean {
    return places(database, key).every(
      (place) => (this.#words[(place & this.#mask) >>> 5]! & (1 << (place & 31))) !== 0,
    )
  }
}

function places(database: number, key: Buffer): readonly [number, number] {
  const one = hashBytes(key, 0, key.length) ^ Math.imul(database, 0x9e3779b1)
  return [one, Math.imul(one ^ (one >>> 15), 0x2c1b3c6d) ^ (one >>> 12)]
}
