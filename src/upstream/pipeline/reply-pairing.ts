import { UnderstudyError } from '../../base/errors.ts'
import { GREATER, PLUS } from '../../resp/bytes.ts'
import { usualReply } from '../../resp/reply-framer.ts'
import type { InFlight, ReplySink } from './in-flight.ts'
import type { Losses } from './losses.ts'
import type { Pipeline } from './pipeline.ts'
import { ReplyReader, type ReplyTaker } from './reply-reader.ts'
import { ReplyRun } from './reply-run.ts'

/**
 * Pairs what comes from a store with what a pipeline has in flight: a reply is always that of the command at the head of the ring.
 *
 *   bytes ─▶ reader ─▶ frame ─┬─▶ not up yet: the handshake's
 *                             ├─▶ a push, or relay mode: `onPush`
 *                             └─▶ the head's owner: in a run of its replies, alone, or in pieces
 */
export class ReplyPairing implements ReplyTaker {
  readonly #pipeline: Pipeline
  readonly #losses: Losses
  readonly #greeted: (buf: Buffer, start: number, end: number) => void
  readonly #reader = new ReplyReader(this)
  readonly #run = new ReplyRun()
  /** So many places at the head of the ring are those whose owner is being told of a run. */
  telling = 0

  /** `greeted`: takes a frame of the handshake. */
  constructor(pipeline: Pipeline, losses: Losses, greeted: (buf: Buffer, start: number, end: number) => void) {
    this.#pipeline = pipeline
    this.#losses = losses
    this.#greeted = greeted
  }

  /** A view, valid during the call. Throws PROTOCOL for bytes that are not RESP, or that are nobody's; whose reply is next is not known then. */
  read(buf: Buffer, length: number): void {
    try {
      this.#reader.read(buf, length)
    } finally {
      this.#tell()
    }
  }

  /** For a new connection. */
  reset(): void {
    this.telling = 0
    this.#reader.reset()
  }

  /** Who takes the reply of the command at the head in pieces. */
  sinkFor(type: number, bytes: number): ReplySink | null {
    this.#tell()
    const pipeline = this.#pipeline
    if (pipeline.relay || type === GREATER || pipeline.state !== 'up') return null
    if (pipeline.ring.length === 0) return null
    const slot = pipeline.separateHead()
    if (slot.replies !== 1) return null
    return slot.owner!.takesPieces?.(slot, bytes) ?? null
  }

  pieced(sink: ReplySink): void {
    const slot = this.#pipeline.ring.peek()!
    slot.replies = 0
    this.#losses.settling = slot
    sink.done()
    this.#losses.settling = null
    if (slot.chunk !== null) this.#pipeline.release(slot)
  }

  frame(buf: Buffer, start: number, end: number, to: number): number {
    const pipeline = this.#pipeline
    if (pipeline.state !== 'up') {
      this.#greeted(buf, start, end)
      return end
    }
    if (pipeline.relay || buf[start] === GREATER) {
      this.#tell()
      pipeline.onPush?.(buf, start, end)
      return end
    }
    const { ring, full } = pipeline
    const run = this.#run
    const { kept } = run
    let slot = kept === 0 ? ring.peek() : kept < ring.length ? ring.at(kept) : undefined
    if (slot === undefined) throw new UnderstudyError('PROTOCOL', 'the store sent a reply that no command waits for')
    if (run.owner !== null) {
      if (!full && run.extend(slot, buf, start, end)) return this.#gathered(slot, buf, end, to)
      this.#tell()
      // That may have ended this connection.
      if (pipeline.state !== 'up') return end
      // Or have taken apart who shared a place.
      slot = ring.peek()!
    }
    // Who is told of room comes after those whose replies made it: no run then.
    if (!full && run.begin(slot, pipeline.options.clock.nowMs, buf, start, end))
      return this.#gathered(slot, buf, end, to)
    slot = pipeline.separateHead()
    const owner = slot.owner!
    const losses = this.#losses
    losses.settling = slot
    slot.replies--
    let next = end
    if (slot.replies > 0 && buf[start] === PLUS && owner.settleSame !== undefined) {
      const more = sameBehind(buf, start, end, to, slot.replies)
      slot.replies -= more
      next += more * (end - start)
      owner.settleSame(slot, more + 1)
    } else owner.settle(slot, buf, start, end)
    losses.settling = null
    if (slot.replies === 0 && slot.chunk !== null) pipeline.release(slot)
    return next
  }

  /** The reply to `slot` is in the run, which there is only while the pipeline is not full; so are those behind it that go on with it, as far as they are usual ones. Gives the end of the last one. */
  #gathered(slot: InFlight, buf: Buffer, end: number, to: number): number {
    const pipeline = this.#pipeline
    const { ring } = pipeline
    const run = this.#run
    let taken: InFlight | undefined = slot
    let at = end
    for (;;) {
      if (taken.isShared) {
        const { count } = run
        const before = taken.count
        at = run.extendUsual(taken.count - 1, buf, at, to)
        const answered = run.count - count + 1
        if (taken.flags === 0) ring.answer(taken, answered)
        if (answered < before) {
          // What is left of a place that the owner has to look at goes one by one.
          if (taken.flags !== 0) this.#tell()
          return at
        }
      }
      if (taken.flags === 0) pipeline.releaseWithRoom(taken)
      const next = usualReply(buf, at, to)
      if (next === -1) return at
      const { kept } = run
      taken = kept === 0 ? ring.peek() : kept < ring.length ? ring.at(kept) : undefined
      if (taken === undefined || !run.extend(taken, buf, at, next)) return at
      at = next
    }
  }

  /** The run, if there is one, has come to its end. */
  #tell(): void {
    const run = this.#run
    const { owner, kept } = run
    if (kept > 0) {
      const pipeline = this.#pipeline
      // Should that fail, it is as if these replies had not come.
      run.owner = null
      this.telling = kept
      owner!.settleTogether!(run, pipeline.ring)
      run.owner = owner
      this.#release(run.count)
    }
    run.tell()
  }

  /** The first `count` commands are done. */
  #release(count: number): void {
    const pipeline = this.#pipeline
    const { ring } = pipeline
    for (let left = count; left > 0; ) {
      const slot = ring.peek()!
      const some = Math.min(slot.count, left)
      const all = some === slot.count
      this.telling--
      if (slot.isShared) ring.answer(slot, some)
      if (all) pipeline.release(slot)
      else pipeline.separateHead()
      left -= some
    }
  }
}

/** How many of the replies behind `buf[start .. end)` are the very same, `most` at most. */
function sameBehind(buf: Buffer, start: number, end: number, to: number, most: number): number {
  const length = end - start
  let same = 0
  for (let at = end; same < most && at + length <= to; at += length) {
    for (let i = 0; i < length; i++) if (buf[at + i] !== buf[start + i]) return same
    same++
  }
  return same
}
