/**
 * Notices writes to one key that are on two connections ("lanes") at once: their order is unknown, because each connection has its own history. Such a
 * key is settled by a state copy.
 *
 *   slot = hash & mask
 *   lane[slot]   own[slot]       one lane, and how many of its writes are in flight
 *   other[slot]  foreign[slot]   a second lane (-1: several), and how many are in flight there
 *   epoch[slot]                  counts arrivals that met another lane
 *
 * A write takes a ticket when it leaves for the store: the epoch then, or -1 when it meets another lane. It was alone in its lane if the epoch is still the same when its
 * reply comes. Keys that share a slot by collision cost a needless copy, never a wrong result.
 */
export class OverlapTable {
  readonly #lane: Int32Array
  readonly #own: Uint32Array
  readonly #other: Int32Array
  readonly #foreign: Uint32Array
  readonly #epoch: Uint32Array
  readonly #mask: number

  constructor(slots = 1 << 16) {
    this.#lane = new Int32Array(slots)
    this.#own = new Uint32Array(slots)
    this.#other = new Int32Array(slots)
    this.#foreign = new Uint32Array(slots)
    this.#epoch = new Uint32Array(slots)
    this.#mask = slots - 1
  }

  /** A write of a key with this hash leaves on `lane`. Gives its ticket; the tickets of a command's keys are added up by `addTickets`. */
  enter(hash: number, lane: number): number {
    const slot = hash & this.#mask
    if (this.#own[slot] === 0) {
      this.#lane[slot] = lane
      this.#own[slot] = 1
      return this.#epoch[slot]!
    }
    if (this.#lane[slot] === lane) {
      this.#own[slot]!++
      return this.#foreign[slot] === 0 ? this.#epoch[slot]! : -1
    }
    this.#other[slot] = this.#foreign[slot] === 0 || this.#other[slot] === lane ? lane : -1
    this.#foreign[slot]!++
    this.#epoch[slot]!++
    return -1
  }

  /** Its reply has come, or never will. Gives the epoch now, to be held against the ticket. */
  leave(hash: number, lane: number): number {
    const slot = hash & this.#mask
    if (this.#foreign[slot]! > 0 && this.#lane[slot] !== lane) this.#foreign[slot]!--
    else if (this.#own[slot]! > 0) this.#own[slot]!--
    // The lane that stays becomes the slot's own, so that it is alone again. Several unknown ones stay foreign to each other until all have left.
    if (this.#own[slot] === 0 && this.#foreign[slot]! > 0) {
      this.#lane[slot] = this.#other[slot]!
      this.#own[slot] = this.#foreign[slot]!
      this.#foreign[slot] = 0
    }
    return this.#epoch[slot]!
  }

  /** The lane on which writes of this hash are in flight; 0: none. */
  laneOf(hash: number): number {
    const slot = hash & this.#mask
    return this.#own[slot] === 0 ? 0 : this.#lane[slot]!
  }
}

/** Joins the tickets of several keys: -1 if any met another lane, else their sum, which changes when any of the epochs does. */
export function addTickets(one: number, other: number): number {
  return one < 0 || other < 0 ? -1 : one + other
}
