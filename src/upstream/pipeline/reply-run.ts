import { READ_BUFFER } from '../../base/read-buffer.ts'
import { MINUS } from '../../resp/bytes.ts'
import { usualReply } from '../../resp/reply-framer.ts'
import { type InFlight, type ReplyOwner, TOGETHER } from './in-flight.ts'

/**
 * Replies that lie one behind the other in one read, to commands that one owner gave one behind the other: told by one call instead of one each. Sixteen commands of a client that went out together come
 * back so.
 *
 *   READ_BUFFER  [ ... | reply 7 | reply 8 | reply 9 | ... ]      seq 7, count 3
 *                      ^start                        ^end
 *
 * Only replies that need nothing but to be passed on: no errors, no marks, none that has timed out. Their places in the ring are free already when the run is told; so it is told before anything else is,
 * and at the latest when the read has been looked at. Replies to commands marked `TOGETHER` make runs, too: their places are free when their owner has looked at them (`settleTogether`).
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
  /** Places that their commands have, or had, in the ring. */
  places = 0
  /** The marks of all of them. */
  flags = 0
  /** The length of each reply; 0: they are of several lengths. */
  step = 0
  /** Of `READ_BUFFER`: valid during the call. */
  start = 0
  end = 0

  /** Takes the reply to `slot`, if it goes on from the last one. */
  extend(slot: InFlight, buf: Buffer, start: number, end: number): boolean {
    if (
      slot.owner !== this.owner ||
      start !== this.end ||
      slot.seq !== this.seq + this.count ||
      slot.flags !== this.flags ||
      slot.replies !== 1 ||
      slot.route !== this.route ||
      slot.queuedAtMs !== this.queuedAtMs ||
      slot.timedOut ||
      buf[start] === MINUS ||
      buf !== READ_BUFFER
    )
      return false
    if (end - start !== this.step) this.step = 0
    this.end = end
    this.count++
    this.places++
    return true
  }

  /** Takes the replies to `most` commands more that share the place of the last one, as far as they are there and usual ones. Gives their end. */
  extendUsual(most: number, buf: Buffer, from: number, to: number): number {
    let at = from
    for (let i = 0; i < most; i++) {
      const end = usualReply(buf, at, to)
      if (end === -1) break
      if (end - at !== this.step) this.step = 0
      this.count++
      at = end
    }
    this.end = at
    return at
  }

  /** Takes the reply to `slot` as the first one, if it can be one. The run before has been told. */
  begin(slot: InFlight, nowMs: number, buf: Buffer, start: number, end: number): boolean {
    if (
      (slot.flags !== 0 && (slot.flags & TOGETHER) === 0) ||
      slot.replies !== 1 ||
      slot.seq < 0 ||
      slot.timedOut ||
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
    this.places = 1
    this.flags = slot.flags
    this.step = end - start
    this.start = start
    this.end = end
    if (nowMs - slot.queuedAtMs >= LATE_MS) slot.owner!.late?.(slot)
    return true
  }

  /** How many places at the head of the ring are still those of the run. */
  get kept(): number {
    return this.owner !== null && this.flags !== 0 ? this.places : 0
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

/** Of a reply that took so long the owner may want to know which command it was: of a run, of the first one, behind which the others have waited. As `slowlog-log-slower-than` by default. */
export const LATE_MS = 10
