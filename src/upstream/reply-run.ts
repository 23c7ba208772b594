import { READ_BUFFER } from '../base/read-buffer.ts'
import { MINUS } from '../resp/bytes.ts'
import type { InFlight, ReplyOwner } from './in-flight.ts'

/**
 * Replies that lie one behind the other in one read, to commands that one owner gave one behind the other: told by one call instead of one each. Sixteen commands of a client that went out together come
 * back so.
 *
 *   READ_BUFFER  [ ... | reply 7 | reply 8 | reply 9 | ... ]      seq 7, count 3
 *                      ^start                        ^end
 *
 * Only replies that need nothing but to be passed on: no errors, no marks, none that came late. Their places in the ring are free already when the run is told; so it is told before anything else is,
 * and at the latest when the read has been looked at.
 */
export class ReplyRun {
  /** Null: there is none. */
  owner: ReplyOwner | null = null
  /** What all their slots have in common. */
  route: unknown = null
  queuedAtMs = 0
  /** The owner's number of the first one. */
  seq = 0
  count = 0
  /** Of `READ_BUFFER`: valid during the call. */
  start = 0
  end = 0

  /** Takes the reply to `slot`, if it goes on from the last one. */
  extend(slot: InFlight, buf: Buffer, start: number, end: number): boolean {
    if (
      slot.owner !== this.owner ||
      start !== this.end ||
      slot.seq !== this.seq + this.count ||
      slot.flags !== 0 ||
      slot.replies !== 1 ||
      slot.route !== this.route ||
      slot.queuedAtMs !== this.queuedAtMs ||
      slot.timedOut ||
      buf[start] === MINUS ||
      buf !== READ_BUFFER
    )
      return false
    this.end = end
    this.count++
    return true
  }

  /** Takes the reply to `slot` as the first one, if it can be one. The run before has been told. */
  begin(slot: InFlight, nowMs: number, buf: Buffer, start: number, end: number): boolean {
    if (
      slot.flags !== 0 ||
      slot.replies !== 1 ||
      slot.seq < 0 ||
      slot.timedOut ||
      nowMs - slot.queuedAtMs >= LATE_MS ||
      buf !== READ_BUFFER ||
      buf[start] === MINUS ||
      slot.owner!.settleRun === undefined
    )
      return false
    this.owner = slot.owner
    this.route = slot.route
    this.queuedAtMs = slot.queuedAtMs
    this.seq = slot.seq
    this.count = 1
    this.start = start
    this.end = end
    return true
  }

  /** Tells the owner, if there is a run. */
  tell(): void {
    const { owner } = this
    if (owner === null) return
    this.owner = null
    owner.settleRun!(this)
    this.route = null
  }
}

/** A reply that took so long is told alone: its owner may want to know which command it was. As `slowlog-log-slower-than` by default. */
export const LATE_MS = 10
