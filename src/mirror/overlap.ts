/**
 * Notices writes to one key that are on two connections at once: their order is unknown, because each connection has its own
 * history. Such a key is settled by a state copy.
 *
 *   slot = hash & mask      writers[slot]   writes in flight
 *                           lane[slot]      the connection of the first of them
 *                           contested[slot] another connection joined; stays until the slot is empty
 *
 * Keys that share a slot by collision cost a needless copy, never a wrong result.
 */
export class OverlapTable {
  readonly #writers: Uint16Array
  readonly #lane: Int32Array
  readonly #contested: Uint8Array
  readonly #mask: number

  constructor(slots = 1 << 16) {
    this.#writers = new Uint16Array(slots)
    this.#lane = new Int32Array(slots)
    this.#contested = new Uint8Array(slots)
    this.#mask = slots - 1
  }

  /** A write of a key with this hash leaves on connection `lane`. */
  enter(hash: number, lane: number): void {
    const slot = hash & this.#mask
    const writers = this.#writers[slot]!
    if (writers === 0) this.#lane[slot] = lane
    else if (this.#lane[slot] !== lane) this.#contested[slot] = 1
    if (writers < 0xffff) this.#writers[slot] = writers + 1
  }

  /** Its reply has come, or never will. True: another connection wrote there meanwhile. */
  leave(hash: number): boolean {
    const slot = hash & this.#mask
    const contested = this.#contested[slot] === 1
    const writers = this.#writers[slot]! - 1
    this.#writers[slot] = Math.max(writers, 0)
    if (writers <= 0) this.#contested[slot] = 0
    return contested
  }
}
