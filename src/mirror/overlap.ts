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
  /** Five fields a slot, side by side: one cache line a write. */
  readonly #slots: Int32Array
  readonly #mask: number

  /** `slots`: a power of two. Only writes in flight at the same moment on different connections can collide, so few are enough. */
  constructor(slots = 1 << 12) {
    this.#slots = new Int32Array(slots * STRIDE)
    this.#mask = slots - 1
  }

  /** A write of a key with this hash leaves on `lane`. Gives its ticket; the tickets of a command's keys are added up by `addTickets`. */
  enter(hash: number, lane: number): number {
    const slots = this.#slots
    const at = (hash & this.#mask) * STRIDE
    const own = slots[at + OWN]!
    if (own === 0) {
      slots[at + LANE] = lane
      slots[at + OWN] = 1
      return slots[at + EPOCH]!
    }
    if (slots[at + LANE] === lane) {
      slots[at + OWN] = own + 1
      return slots[at + FOREIGN] === 0 ? slots[at + EPOCH]! : -1
    }
    const foreign = slots[at + FOREIGN]!
    slots[at + OTHER] = foreign === 0 || slots[at + OTHER] === lane ? lane : -1
    slots[at + FOREIGN] = foreign + 1
    slots[at + EPOCH] = (slots[at + EPOCH]! + 1) & EPOCH_MASK
    return -1
  }

  /** Its reply has come, or never will. Gives the epoch now, to be held against the ticket. */
  leave(hash: number, lane: number): number {
    const slots = this.#slots
    const at = (hash & this.#mask) * STRIDE
    const foreign = slots[at + FOREIGN]!
    if (foreign === 0) {
      if (slots[at + OWN]! > 0) slots[at + OWN]!--
      return slots[at + EPOCH]!
    }
    if (slots[at + LANE] !== lane) slots[at + FOREIGN] = foreign - 1
    else slots[at + OWN]!--
    // The lane that stays becomes the slot's own, so that it is alone again. Several unknown ones stay foreign to each other until all have left.
    if (slots[at + OWN] === 0 && slots[at + FOREIGN]! > 0) {
      slots[at + LANE] = slots[at + OTHER]!
      slots[at + OWN] = slots[at + FOREIGN]!
      slots[at + FOREIGN] = 0
    }
    return slots[at + EPOCH]!
  }

  /** The lane on which writes of this hash are in flight; 0: none. */
  laneOf(hash: number): number {
    const at = (hash & this.#mask) * STRIDE
    return this.#slots[at + OWN] === 0 ? 0 : this.#slots[at + LANE]!
  }
}

const STRIDE = 8
const LANE = 0
const OWN = 1
const OTHER = 2
const FOREIGN = 3
const EPOCH = 4
/** Stays positive: a ticket of -1 is never an epoch. */
const EPOCH_MASK = 0x3fffffff

/** Joins the tickets of several keys: -1 if any met another lane, else their sum, which changes when any of the epochs does. */
export function addTickets(one: number, other: number): number {
  return one < 0 || other < 0 ? -1 : one + other
}
