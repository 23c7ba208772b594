import { finishCopies } from '../../base/copy-run.ts'
import { unsend } from './chunk-list.ts'
import type { InFlight, Loss } from './in-flight.ts'
import type { SendQueue } from './send-queue.ts'

/**
 * Ends commands of a pipeline without a reply, from the head of the ring on. Each owner is told once, in order, and may push again while it is told.
 *
 *   ring   [ a b c ][ d e ]
 *          written   not yet       `sent` is what a, b and c are told, `unsent` what d and e are; they stay when that is null
 */
export class Losses {
  /** The slot whose owner is being told of a reply or a loss right now: if that closes the connection, it must not be told of another loss as well. */
  settling: InFlight | null = null
  readonly #queue: SendQueue
  readonly #release: (slot: InFlight) => void
  #inSlices = false

  /** `release`: the head of the ring is done. */
  constructor(queue: SendQueue, release: (slot: InFlight) => void) {
    this.#queue = queue
    this.#release = release
  }

  /** Some of what was written on the connection before still has to be told that it is lost. */
  get unfinished(): boolean {
    return this.#inSlices
  }

  /** Whoever has not been told yet is told by another call than `writtenInSlices`. */
  stopSlices(): void {
    this.#inSlices = false
  }

  /** The head is lost. Gives how many more replies its owner waited for; 0 also when the owner has closed the connection, which brings nobody's any more. */
  head(loss: Loss): number {
    const more = (this.#queue.ring.peek()?.replies ?? 1) - 1
    return this.#lose(1, loss, loss) ? more : 0
  }

  /** All that have been written are lost; the rest keeps its place. */
  written(loss: Loss): void {
    this.#lose(Number.POSITIVE_INFINITY, loss, null)
  }

  /** Everything is lost. */
  all(sent: Loss, unsent: Loss): void {
    this.#lose(Number.POSITIVE_INFINITY, sent, unsent)
    if (this.#queue.ring.length === 0) this.#queue.reset()
  }

  /**
   * As `written`, for a queue that can be long and whose losses each make keys dirty: a slice at a time, so that no client waits meanwhile. `onSlice` is called after each slice, `onEnd` when all
   * have been told.
   */
  writtenInSlices(loss: Loss, onSlice: () => void, onEnd: () => void): void {
    this.#inSlices = true
    const slice = (): void => {
      if (!this.#inSlices) return
      this.#lose(LOST_AT_ONCE, loss, null)
      onSlice()
      const head = this.#queue.ring.peek()
      if (head === undefined || head.position >= this.#queue.written) {
        this.#inSlices = false
        onEnd()
      } else setImmediate(slice)
    }
    slice()
  }

  /** Ends commands of at most `limit` replies. `unsent` null: only those that have been written. False: an owner has closed the connection, and all have been told by that. */
  #lose(limit: number, sent: Loss, unsent: Loss | null): boolean {
    finishCopies()
    const queue = this.#queue
    queue.separate()
    if (limit === Number.POSITIVE_INFINITY) queue.loseDetached(sent)
    let left = limit
    // An owner may push again while it is told.
    for (let count = queue.ring.length; count > 0 && left > 0; count--) {
      const slot = queue.ring.peek()
      const loss = slot !== undefined && slot.position < queue.written ? sent : unsent
      if (slot === undefined || loss === null) return true
      left -= slot.replies
      if (slot === this.settling) this.settling = null
      else {
        this.settling = slot
        slot.owner!.lost(slot, loss)
        if (this.settling !== slot) return false
        this.settling = null
      }
      if (slot.chunk !== null) unsend(slot.chunk, slot.end)
      this.#release(slot)
    }
    return true
  }
}

/** About two milliseconds of a mirror's losses. */
const LOST_AT_ONCE = 1_000
