import type { CoarseClock } from '../../base/clock.ts'
import { copyBytes, finishCopies } from '../../base/copy-run.ts'
import { CHUNK_BYTES, Chunk, takeChunk } from './chunk.ts'
import { ChunkList } from './chunk-list.ts'
import { type Detached, DetachedCommands } from './detached.ts'
import { InFlight, InFlightRing, type Loss, type ReplyOwner } from './in-flight.ts'
import type { Outlet } from './pipeline-connection.ts'
import { separatePlace } from './shared-place.ts'

/**
 * The commands of one pipeline from push to their replies: their places in the ring, and their bytes, which lie in chunks and leave together.
 *
 *   ring    [ a b c d ][ e f ]      append ─▶ at the end       release ◀─ at the head
 *   bytes   [ written ][ not  ]
 *                      ^written ^pushed       `pendingBytes`: those of a to f, and of what is detached
 */
export class SendQueue {
  readonly ring: InFlightRing = new InFlightRing()
  /** Bytes of commands whose replies are owed. */
  pendingBytes = 0
  /** Cumulative bytes appended and written, to tell what of the ring has left. */
  pushed = 0
  written = 0
  readonly #clock: CoarseClock
  readonly #isDedicated: boolean
  readonly #detachedEnded: (bytes: number) => void
  readonly #chunks = new ChunkList()
  #current: Chunk | null = null
  /** Null: none was ever detached. */
  #detached: DetachedCommands | null = null
  /** Bytes without a place in the ring. */
  #relayed: Buffer[] = []
  /** Bytes that were counted in `pushed` twice, or ahead of older ones, while something was in the ring all the time. */
  #again = 0

  /** `detachedEnded`: one of the detached, of so many bytes, has been answered or lost. They still count as pending. */
  constructor(clock: CoarseClock, isDedicated: boolean, detachedEnded: (bytes: number) => void) {
    this.#clock = clock
    this.#isDedicated = isDedicated
    this.#detachedEnded = detachedEnded
  }

  /** Nobody waits for anything here. */
  get quiet(): boolean {
    return this.ring.length === 0 && (this.#detached === null || this.#detached.size === 0)
  }

  /** All of the cumulative bytes before this have been answered or lost. */
  get settledBytes(): number {
    if (this.quiet) this.#again = 0
    return this.#detached?.oldestPosition ?? this.pushed - this.pendingBytes - this.#again
  }

  /** Appends one command's bytes (copied) and gives its slot, with owner, bytes and time set. */
  append(owner: ReplyOwner, buf: Buffer, from: number, to: number): InFlight {
    const bytes = to - from
    let chunk = this.#current
    if (chunk === null || chunk.buf.length - chunk.used < bytes) chunk = this.#nextChunk(bytes)
    const start = chunk.used
    copyBytes(buf, from, to, chunk.buf, start)
    chunk.used = start + bytes
    chunk.live++
    this.pendingBytes += bytes
    const slot = this.ring.push()
    slot.owner = owner
    slot.chunk = chunk
    slot.start = start
    slot.end = start + bytes
    slot.queuedAtMs = this.#clock.nowMs
    slot.position = this.pushed
    this.pushed += bytes
    return slot
  }

  /**
   * Appends one command's bytes (copied), which is the same as the newest, `slot`, in all but its bytes and its number, `seq`: its reply is told with that one's. False: it needs a place of its own, and nothing was done.
   */
  join(slot: InFlight, owner: ReplyOwner, seq: number, buf: Buffer, from: number, to: number): boolean {
    const chunk = this.#current
    const start = slot.end
    if (
      chunk === null ||
      slot.chunk !== chunk ||
      chunk.buf.length - start < to - from ||
      slot.owner !== owner ||
      slot.seq + slot.count !== seq ||
      slot.queuedAtMs !== this.#clock.nowMs ||
      slot.position < this.written ||
      !this.ring.join(slot)
    )
      return false
    copyBytes(buf, from, to, chunk.buf, start)
    const bytes = to - from
    chunk.used = slot.end = start + bytes
    this.pendingBytes += bytes
    this.pushed += bytes
    return true
  }

  /** Each command at the head gets a place of its own. Gives the oldest. */
  separateHead(): InFlight {
    const { ring } = this
    const slot = ring.peek()!
    if (!slot.isShared) return slot
    finishCopies()
    slot.chunk!.live += slot.count - 1
    this.pendingBytes -= separatePlace(slot, ring.spreadOldest())
    return ring.peek()!
  }

  /** Each command gets a place of its own, except for those of the oldest `kept` places. */
  separate(kept = 0): void {
    const { ring } = this
    if (ring.length === 0) return
    finishCopies()
    if (kept === 0) this.separateHead()
    if (!ring.hasShared) return
    const places: InFlight[] = []
    for (let i = 0; i < ring.length; i++) {
      const slot = ring.at(i)
      const from = places.length
      if (i < kept) {
        places.push(slot)
        continue
      }
      for (let more = slot.count - 1; more > 0; more--) places.push(new InFlight())
      places.push(slot)
      if (!slot.isShared) continue
      slot.chunk!.live += slot.count - 1
      separatePlace(slot, places.slice(from))
    }
    ring.replace(places)
  }

  /** One of those that `takeUnsent` has taken is appended once more. */
  appendAgain(slot: InFlight): InFlight {
    const again = this.append(slot.owner!, slot.chunk!.buf, slot.start, slot.end)
    const { chunk, start, end, position } = again
    return Object.assign(again, slot, { chunk, start, end, position })
  }

  /** As `append`, but it leaves ahead of all that has not been written yet. */
  appendAhead(owner: ReplyOwner, buf: Buffer, from: number, to: number): InFlight {
    const unsent = this.takeUnsent()
    const slot = this.append(owner, buf, from, to)
    this.#again += to - from
    for (const one of unsent) this.appendAgain(one)
    return slot
  }

  /** Appends bytes without a place in the ring (copied), behind all commands: nobody waits for their replies. */
  relay(buf: Buffer, from: number, to: number): void {
    this.#relayed.push(Buffer.from(buf.subarray(from, to)))
  }

  /** Their connection has gone before they were written. */
  dropRelayed(): void {
    this.#relayed = []
  }

  /** Writes what has not been written. */
  writeTo(socket: Outlet): void {
    finishCopies()
    this.#chunks.writeTo(socket)
    this.written = this.pushed
    if (this.#relayed.length > 0) socket.write(Buffer.concat(this.#relayed.splice(0)))
  }

  /** The head of the ring is done: its bytes and its slot are free. */
  release(slot: InFlight): void {
    const chunk = slot.chunk!
    this.pendingBytes -= slot.end - slot.start
    this.ring.pop()
    this.#leaveChunk(chunk)
  }

  /**
   * Takes the head out of the ring: its replies come apart from those of the others. Null: it stays. So it is when it has not been written, when it still owes more than `most` replies, when as many
   * as may be are detached already, and for `settling`, whose owner is being told of a reply; where it is one of `several`, also when its owner could not be told of it (`ReplyOwner.detached`).
   */
  detachHead(most: number, several: boolean, settling: InFlight | null): Detached | null {
    if (this.ring.length === 0) return null
    const slot = this.separateHead()
    if (slot.position >= this.written || slot.replies > most || slot === settling) return null
    if (several && slot.owner!.detached === undefined) return null
    const taken = this.#detach(slot)
    if (several && taken !== null) slot.owner!.detached!(slot)
    return taken
  }

  /** All that are detached are lost. */
  loseDetached(loss: Loss): void {
    this.#detached?.loseAll(loss)
  }

  /** Takes the newest of the ring away, as far as they have not been written, the oldest of them first; each with its bytes in a chunk of its own. */
  takeUnsent(): InFlight[] {
    finishCopies()
    this.separate()
    const { ring } = this
    let count = 0
    while (count < ring.length && ring.at(ring.length - 1 - count).position >= this.written) count++
    const taken = ring.takeNewest(count)
    for (const slot of taken) {
      const chunk = slot.chunk!
      chunk.live--
      chunk.used = Math.min(chunk.used, slot.start)
      slot.chunk = new Chunk(slot.end - slot.start)
      chunk.buf.copy(slot.chunk.buf, 0, slot.start, slot.end)
      this.pendingBytes -= slot.chunk.buf.length
      this.#again += slot.chunk.buf.length
      slot.start = 0
      slot.end = slot.chunk.buf.length
    }
    return taken
  }

  /** Tells the owners of those that have waited for longer than `timeoutMs`, each once. They keep their places. */
  tellTimedOut(nowMs: number, timeoutMs: number): void {
    this.ring.tellTimedOut(nowMs, timeoutMs, () => this.separate())
    this.#detached?.tellTimedOut(nowMs, timeoutMs)
  }

  /** Nothing is in the ring: all chunks go. */
  reset(): void {
    this.#chunks.clear()
    this.#current = null
    this.written = this.pushed
    this.pendingBytes = 0
  }

  #detach(slot: InFlight): Detached | null {
    const detached = (this.#detached ??= new DetachedCommands(this.#detachedEnded))
    if (detached.full) return null
    const chunk = slot.chunk!
    this.ring.takeOldest()
    const taken = detached.add(slot)
    this.#leaveChunk(chunk)
    return taken
  }

  #leaveChunk(chunk: Chunk): void {
    if (--chunk.live === 0 && chunk.sent === chunk.used) {
      if (chunk === this.#current && chunk.buf.length === CHUNK_BYTES) {
        chunk.used = 0
        chunk.sent = 0
      } else this.#current = this.#chunks.dropSettled(this.#current)
    }
  }

  #nextChunk(bytes: number): Chunk {
    // Thousands of dedicated ones wait with one small command each.
    const small = this.#isDedicated && bytes <= SMALL_CHUNK_BYTES
    this.#current = this.#chunks.next(this.#current, small ? new Chunk(SMALL_CHUNK_BYTES) : takeChunk(bytes))
    return this.#current
  }
}

/** What a dedicated connection begins with. */
const SMALL_CHUNK_BYTES = 4 * 1024
