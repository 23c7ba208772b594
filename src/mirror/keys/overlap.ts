import type { CoarseClock } from '../../base/clock.ts'
import { hashBytes } from '../../base/hash.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import type { InFlight, InFlightRing } from '../../upstream/pipeline/in-flight.ts'
import { NOBODY, Sweeps } from '../copy/sweeps.ts'

/** A shared connection, as far as its lane goes: all of its writes in flight are in its ring. */
export interface SharedLane {
  readonly lane: number
  readonly ring: InFlightRing
  /** Gives each command in flight a place in the ring; but not those whose replies are being told. */
  separate(): void
}

/**
 * Notices writes to one key that are on two connections ("lanes") at once: their order is unknown, because each connection has its own history. Such a
 * key is settled by a state copy. Also tells a read whether writes of other lanes came between its leaving and its reply.
 *
 *   slot = hash & mask
 *   LANE  OWN       one lane, and how many of its writes are in flight
 *   OTHER FOREIGN   a second lane (-1: several), and how many are in flight there
 *   EPOCH           counts arrivals that met another lane
 *   LAST  TURNS     the lane that wrote last, and how often that changed
 *   WRITES          counts arrivals
 *
 * A write takes a ticket when it leaves for the store: the epoch then, or -1 when it meets another lane. It was alone in its lane if the epoch is still the same when its
 * reply comes. A read (`look`, `traffic`) counts nothing, so reads never disturb writes, nor each other. Keys that share a slot by collision cost a needless copy, never a
 * wrong result.
 *
 * While a command that touches every key is under way (`beginSweep`), nobody is alone but those on its own lane.
 *
 * Most of the time one shared connection has all the writes, and then nobody can meet anybody. It is the sole lane after CALM of its writes between which nothing was asked or written on
 * another one; from then on its writes are not counted, until somebody comes whose lane is another: those in flight are found in its ring, and are counted before anything else is done.
 * What it writes uncounted is not seen by a read that left on another lane before. So there is no sole lane while such a read may still be under way: for a second, or longer when that has been too short.
 */
export class OverlapTable {
  /** Eight fields a slot, side by side: one cache line a write. */
  readonly #slots: Int32Array
  readonly #mask: number
  /** Part of every ticket. */
  readonly #sweeps = new Sweeps()
  /** The sole lane, whose writes are not counted; null: there is none. */
  #sole: SharedLane | null = null
  /** What its writes in flight have for a ticket: another number each time that there is one. */
  #soleTicket = NOT_COUNTED
  /** Sole lanes so far, who was the latest, and how many there had been before it was one for the first time since another: what they have written is not counted, so they are part of what a read goes by. */
  #soles = 0
  #lastSole = NOBODY
  #solesBefore = 0
  /** Who may become it, and how many writes it has sent since anything happened on another lane. */
  #candidate: SharedLane | null = null
  #candidateLane = NOBODY
  #calm = 0
  readonly #calmWrites: number
  readonly #clock: Pick<CoarseClock, 'nowMs'>
  /** When a read left on another lane than the candidate's, and how long there is no sole lane after that. */
  #lookedMs = Number.NEGATIVE_INFINITY
  #quietMs: number
  readonly #leastQuietMs: number

  /**
   * `slots`: a power of two. Only writes in flight at the same moment on different connections can collide, so few are enough: with 200 in flight on each of
   * two lanes, about one in a hundred of them. `calm`: after so many writes of one shared connection it is the sole lane; `quietMs`: at the
   * earliest so long after a read on another one.
   */
  constructor(clock: Pick<CoarseClock, 'nowMs'>, slots = 1 << 14, calm = CALM, quietMs = QUIET_MS) {
    this.#quietMs = quietMs
    this.#leastQuietMs = quietMs
    this.#clock = clock
    this.#calmWrites = calm
    this.#slots = new Int32Array(slots * STRIDE)
    this.#mask = slots - 1
  }

  /** A write of a key with this hash leaves on `lane`. Gives its ticket; the tickets of a command's keys are added up by `addTickets`. */
  enter(hash: number, lane: number): number {
    if (lane !== this.#candidateLane) this.#disturb()
    const slots = this.#slots
    const at = (hash & this.#mask) * STRIDE
    slots[at + WRITES]!++
    if (slots[at + LAST] !== lane) {
      slots[at + LAST] = lane
      slots[at + TURNS]!++
    }
    const own = slots[at + OWN]!
    const foreign = slots[at + FOREIGN]!
    if (own > 0 && slots[at + LANE] !== lane) {
      slots[at + OTHER] = foreign === 0 || slots[at + OTHER] === lane ? lane : -1
      slots[at + FOREIGN] = foreign + 1
      slots[at + EPOCH] = (slots[at + EPOCH]! + 1) & EPOCH_MASK
      return -1
    }
    slots[at + LANE] = lane
    slots[at + OWN] = own + 1
    return foreign === 0 && this.#sweeps.spare(lane) ? slots[at + EPOCH]! + this.#sweeps.ofOthers(lane) : -1
  }

  /** The same for one that lies in the ring of a shared connection until `left`, with its hash and the ticket that this gives. */
  enterShared(shared: SharedLane, hash: number): number {
    if (shared === this.#sole) return this.#soleTicket
    if (shared !== this.#candidate) {
      this.#disturb()
      this.#candidate = shared
      this.#candidateLane = shared.lane
    } else if (++this.#calm >= this.#calmWrites) {
      this.#calm = 0
      const isQuiet = this.#clock.nowMs - this.#lookedMs >= this.#quietMs
      if (isQuiet && !this.#sweeps.anyUnderWay && this.#hasOnly(shared.lane)) {
        return this.#beginSole(shared)
      }
    }
    return this.enter(hash, shared.lane)
  }

  /** It is that of a write which is not counted, so that others like it may share its place. */
  isUncounted(ticket: number): boolean {
    return ticket === this.#soleTicket && this.#sole !== null
  }

  /** Whether another lane's write came between: of one that `enter` or `enterShared` has given `ticket`. */
  left(hash: number, lane: number, ticket: number): boolean {
    if (ticket > NOT_COUNTED) return this.leave(hash, lane) !== ticket
    // When they were counted it was in no ring, or shared a place: who it has met is not known.
    return !this.isUncounted(ticket)
  }

  /** Its reply has come, or never will. Gives what the ticket is if nobody came between. */
  leave(hash: number, lane: number): number {
    const slots = this.#slots
    const at = (hash & this.#mask) * STRIDE
    const foreign = slots[at + FOREIGN]!
    if (foreign === 0) {
      if (slots[at + OWN]! > 0) slots[at + OWN]!--
      return slots[at + EPOCH]! + this.#sweeps.ofOthers(lane)
    }
    if (slots[at + LANE] !== lane) slots[at + FOREIGN] = foreign - 1
    else slots[at + OWN]!--
    // The lane that stays becomes the slot's own, so that it is alone again. Several unknown ones stay foreign to each other until all have left.
    if (slots[at + OWN] === 0 && slots[at + FOREIGN]! > 0) {
      slots[at + LANE] = slots[at + OTHER]!
      slots[at + OWN] = slots[at + FOREIGN]!
      slots[at + FOREIGN] = 0
    }
    return slots[at + EPOCH]! + this.#sweeps.ofOthers(lane)
  }

  /** The lane on which writes of this hash are in flight; 0: none; -1: several. */
  laneOf(hash: number): number {
    if (this.#sole !== null) this.#disturb()
    return this.#laneOf(hash)
  }

  /** A lane on which nobody who asks for this key is overtaken by writes that are in flight; 0: whichever; -1: there is none. */
  laneToAsk(hash: number): number {
    return this.#sole === null ? this.#laneOf(hash) : this.#sole.lane
  }

  #laneOf(hash: number): number {
    const at = (hash & this.#mask) * STRIDE
    if (this.#slots[at + OWN] === 0) return 0
    return this.#slots[at + FOREIGN] === 0 ? this.#slots[at + LANE]! : -1
  }

  /** A read of a key with this hash leaves on `lane`. Gives its ticket, which `traffic` still gives if it was met by none; those of several keys are joined by `mix`, not added: such a number can become smaller. */
  look(hash: number, lane: number): number {
    if (lane !== this.#candidateLane) this.#lookElsewhere()
    const inFlight = this.#laneOf(hash)
    return (inFlight === 0 || inFlight === lane) && this.#sweeps.spare(lane) ? this.traffic(hash, lane) : -1
  }

  /**
   * A number that changes with every write from a lane other than `lane`. A read whose ticket it still is when the reply comes was met by none: none was in
   * flight when it left, none has left since.
   */
  traffic(hash: number, lane: number): number {
    const slots = this.#slots
    const at = (hash & this.#mask) * STRIDE
    // Even when `lane` wrote last, odd otherwise: going from one to the other is a change too.
    const count = slots[at + LAST] === lane ? slots[at + TURNS]! * 2 : slots[at + WRITES]! * 2 + 1
    return (count + (this.#sweeps.ofOthers(lane) + this.#solesOfOthers(lane)) * 2) & EPOCH_MASK
  }

  /** A number that is the same at two moments only if no write of a key with this hash has left between them, on any lane. What a sole lane writes counts from the first call on. */
  writes(hash: number): number {
    this.look(hash, NOBODY)
    return this.traffic(hash, NOBODY)
  }

  /** How often every key of a store has changed at once. */
  get sweeps(): number {
    return this.#sweeps.count
  }

  /**
   * Every key of a store changes at once: what is in flight now, and what comes until `endSweep`, overlaps with it. `lane`: the connection on which it is done, whose writes are before it or
   * behind it for certain; NOBODY: there is none.
   */
  beginSweep(lane: number): void {
    this.#disturb()
    this.#sweeps.begin(lane)
  }

  endSweep(): void {
    this.#sweeps.end()
  }

  /** Grows when another lane becomes the sole one, and only then. */
  #solesOfOthers(lane: number): number {
    return this.#lastSole === lane ? this.#solesBefore : this.#soles
  }

  /** Gives the ticket of its writes. */
  #beginSole(shared: SharedLane): number {
    const { lane } = shared
    if (this.#lastSole !== lane) {
      this.#lastSole = lane
      this.#solesBefore = this.#soles
    }
    this.#soles++
    this.#sole = shared
    return --this.#soleTicket
  }

  /** A read leaves on another lane than the candidate's. It may be the one before, that was under way when the sole lane began, and is tried again: then it is given twice the time that it took. */
  #lookElsewhere(): void {
    const { nowMs } = this.#clock
    const sinceMs = nowMs - this.#lookedMs
    this.#lookedMs = nowMs
    const least = this.#leastQuietMs
    if (this.#sole !== null) this.#quietMs = sinceMs < LONGEST_READ_MS ? Math.max(least, sinceMs * 2) : least
    this.#disturb()
  }

  /** Somebody is on another lane than the candidate's: all writes count from now on. */
  #disturb(): void {
    this.#calm = 0
    const sole = this.#sole
    if (sole === null) return
    this.#sole = null
    const { ring, lane } = sole
    sole.separate()
    for (let i = 0; i < ring.length; i++) {
      const slot = ring.at(i)
      if (slot.ticket !== this.#soleTicket || slot.isShared) continue
      if (slot.keyHash === 0) slot.keyHash = hashOfKey(slot)
      slot.ticket = this.enter(slot.keyHash, lane)
    }
  }

  /** No write of another lane is in flight. */
  #hasOnly(lane: number): boolean {
    const slots = this.#slots
    for (let at = 0; at < slots.length; at += STRIDE) {
      if (slots[at + OWN]! > 0 && (slots[at + LANE] !== lane || slots[at + FOREIGN]! > 0)) return false
    }
    return true
  }

  /** A sweep is under way. */
  get sweeping(): boolean {
    return this.#sweeps.anyUnderWay
  }
}

const STRIDE = 8
const LANE = 0
const OWN = 1
const OTHER = 2
const FOREIGN = 3
const EPOCH = 4
const LAST = 5
const TURNS = 6
const WRITES = 7
/** Tickets of a sole lane's writes are below this one. */
export const NOT_COUNTED = -2
/** Writes of one lane. The table is then looked through, which takes as long as a few hundred of them. */
const CALM = 4096
/** Most reads take less. */
const QUIET_MS = 1_000
/** What comes later than this is another read. */
const LONGEST_READ_MS = 60_000
/** Stays positive: a ticket of -1 is never an epoch. */
const EPOCH_MASK = 0x3fffffff

const parser = new CommandParser()

/** Of one that has shared its place: its one key, as the application has written it. */
function hashOfKey({ spec, chunk, start, end }: InFlight): number {
  const { buf } = chunk!
  parser.parse(buf, start, end)
  const { firstKey } = spec!
  return hashBytes(buf, parser.start[firstKey]!, parser.end[firstKey]!)
}

/** Joins the tickets of several keys that are written: -1 if any met another lane, else their sum, which changes when any of the epochs does. */
export function addTickets(one: number, other: number): number {
  return one < 0 || other < 0 ? -1 : one + other
}
