import { finishCopies } from '../../base/copy-run.ts'
import { Chunk } from './chunk.ts'
import type { InFlight, Loss } from './in-flight.ts'

/** A command that has left the line: its replies come apart from those of the others. */
export interface Detached {
  /** Replies still owed. */
  readonly replies: number
  /** One of them: a view, valid during the call. */
  settle(buf: Buffer, start: number, end: number): void
  /** None of them will come. */
  lost(loss: Loss): void
}

/**
 * Commands of a pipeline whose replies come late, apart from all others: those that a cluster's silent node owes, which nobody else waits for. Each has its bytes to itself, so that the
 * pipeline's memory is free for what comes behind it.
 *
 *   ring   [ a b c d ]   a's node is silent, b's is not      detached { a }   ring [ b c d ]
 */
export class DetachedCommands {
  readonly #slots = new Set<InFlight>()
  readonly #onEnd: (bytes: number) => void
  /** Whose owner is being told of a reply or a loss right now: it is not told of another loss as well. */
  #settling: InFlight | null = null

  /** `onEnd`: one of so many bytes has been answered or lost. */
  constructor(onEnd: (bytes: number) => void) {
    this.#onEnd = onEnd
  }

  get size(): number {
    return this.#slots.size
  }

  /** So many are as many as may be. */
  get full(): boolean {
    return this.#slots.size >= MOST
  }

  /** Bytes of the pipeline before the oldest; null: there are none. */
  get oldestPosition(): number | null {
    for (const { position } of this.#slots) return position
    return null
  }

  /** Takes a slot over that is the ring's no more. Its chunk is the caller's again. */
  add(slot: InFlight): Detached {
    finishCopies()
    const chunk = new Chunk(slot.end - slot.start)
    slot.chunk!.buf.copy(chunk.buf, 0, slot.start, slot.end)
    slot.chunk = chunk
    slot.end = chunk.buf.length
    slot.start = 0
    this.#slots.add(slot)
    return {
      replies: slot.replies,
      settle: (buf, start, end) => this.#settle(slot, buf, start, end),
      lost: (loss) => this.#lost(slot, loss),
    }
  }

  /** Tells the owners of those that have waited for longer than `timeoutMs`, each once. */
  tellTimedOut(nowMs: number, timeoutMs: number): void {
    for (const slot of this.#slots) {
      if (slot.timedOut || nowMs - slot.queuedAtMs < timeoutMs) continue
      slot.timedOut = true
      slot.owner!.timedOut(slot)
    }
  }

  /** All are lost. */
  loseAll(loss: Loss): void {
    for (const slot of [...this.#slots]) this.#lost(slot, loss)
  }

  #settle(slot: InFlight, buf: Buffer, start: number, end: number): void {
    if (!this.#slots.has(slot)) return
    slot.replies--
    this.#settling = slot
    slot.owner!.settle(slot, buf, start, end)
    this.#settling = null
    if (slot.replies === 0) this.#end(slot)
  }

  #lost(slot: InFlight, loss: Loss): void {
    if (!this.#slots.has(slot)) return
    if (slot !== this.#settling) {
      // What it leads to may tell all others, of whom this one may be one.
      const settling = this.#settling
      this.#settling = slot
      slot.owner!.lost(slot, loss)
      this.#settling = settling
    }
    this.#end(slot)
  }

  #end(slot: InFlight): void {
    if (this.#slots.delete(slot)) this.#onEnd(slot.end - slot.start)
  }
}

/** Beyond it the line waits for the silent node, too. */
const MOST = 16 * 1024
