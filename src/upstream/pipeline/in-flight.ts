import type { CommandSpec } from '../../command/spec.ts'
import type { Chunk } from './chunk.ts'
import type { ReplyRun } from './reply-run.ts'

/** Why a command will never get a reply from its store. */
export interface Loss {
  /** False: no byte of it left for the store, so it was certainly not executed. */
  readonly mayHaveRun: boolean
  /** The store refuses it, and `text` are its words: an answer like any error. */
  readonly refused?: boolean
  /** Text for the client, with its code, without the leading `-`. */
  readonly text: string
}

/** Takes a reply that is too large to be held, piece by piece. */
export interface ReplySink {
  /** A view, valid during the call. */
  piece(buf: Buffer, start: number, end: number): void
  /** That was all of it. Otherwise the owner is told `lost`. */
  done(): void
}

/** Who is told what became of a command. Exactly one of the two is called last for each, whatever fails. */
export interface ReplyOwner {
  /** One reply's bytes: a view, valid during the call. Called `replies` times for a command that was announced with several. */
  settle(command: InFlight, buf: Buffer, start: number, end: number): void
  lost(command: InFlight, loss: Loss): void
  /** In place of a `settle` for each, of `count` status replies to a command that was announced with several: they are the same, and no errors. */
  settleSame?(command: InFlight, count: number): void
  /** In place of a `settle` for each, where it is defined: as `ReplyRun` says. */
  settleRun?(run: ReplyRun): void
  /** The reply has come `LATE_MS` or later, and is the first of a run: called while the run begins. Of a shared place it is the oldest command (`oldestOf`). */
  late?(command: InFlight): void
  /** Before `settleRun`, of a run of commands marked `TOGETHER`: `ring` begins with their slots, which are free after this. */
  settleTogether?(run: ReplyRun, ring: InFlightRing): void
  /**
   * The reply is large (`LARGE_REPLY_BYTES`) and has not arrived whole: it needs at least `bytes`. Null: it is gathered, and then given to `settle`. Otherwise what has arrived and
   * what comes goes to the sink, and `settle` is not called.
   */
  takesPieces?(command: InFlight, bytes: number): ReplySink | null
  /** No reply in time. The command keeps its place: `settle` or `lost` still follows. */
  timedOut(command: InFlight): void
  /**
   * The store is busy with a script of another client that came down the same connection before; `text` are its words. The command keeps its place, as one that timed out: the
   * owner may answer it now if it changes nothing.
   */
  heldUp?(command: InFlight, text: string): void
  /**
   * The command was split over nodes of a cluster, and what comes behind it is answered before it from now on: no one place of history is its. Without this it keeps the others waiting.
   */
  detached?(command: InFlight): void
  /** The client whose command it is; undefined: Understudy's own. */
  readonly client?: object
}

/** The one mark in `InFlight.flags` that a pipeline knows: a reply that can be told in a run may be, although other marks ask for more than to pass it on. */
export const TOGETHER = 256

/**
 * One command on its way: a slot of the ring, reused for ever, so that a command allocates nothing. `route` and `extra` belong to the
 * owner: the pipeline does not look at them.
 */
export class InFlight {
  owner: ReplyOwner | null = null
  /** The owner's number of it (a session's reply order). */
  seq = 0
  /** The owner's marks; 0: nothing has to be done when the reply comes but to pass it on. */
  flags = 0
  keyHash = 0
  /** Of the overlap table, and the lane it was taken for. */
  ticket = 0
  lane = 0
  /** The client's database. */
  database = 0
  spec: CommandSpec | null = null
  route: unknown = null
  extra: unknown = null
  /** The application's bytes, when they are not the ones that were sent (keys renamed for this store). */
  original: Buffer | null = null
  /** The bytes as sent, kept until the reply: `chunk.buf[start .. end)`. */
  chunk: Chunk | null = null
  start = 0
  end = 0
  /** Replies still owed. */
  replies = 1
  /**
   * Commands that share this place and await one reply each: neighbours of one owner, numbered from `seq` on, alike in all that is said here. Their bytes lie one behind the other, up to `end`. Who looks at each of them takes
   * them apart before (`SendQueue.separate`).
   */
  count = 1
  /** So many that shared it with them have been answered: theirs are the first bytes, from `start` on. */
  answered = 0
  /** Coarse clock. */
  queuedAtMs = 0
  timedOut = false
  /** Cumulative bytes of the pipeline before this command: below what has been written, it may have been executed. */
  position = 0

  clear(): void {
    this.owner = null
    this.spec = null
    this.route = null
    this.extra = null
    this.original = null
    this.chunk = null
    this.timedOut = false
    this.flags = 0
    this.ticket = 0
    this.replies = 1
    this.count = 1
    this.answered = 0
  }

  /** Its commands are not the only ones that this place was for. */
  get isShared(): boolean {
    return this.count > 1 || this.answered > 0
  }
}

/**
 * The FIFO of commands that wait for their replies: a ring of slots whose size is a power of two.
 *
 *   slots  [ . . a b c d . . ]     length = tail - head; slot of index i: i & mask
 *               ^head   ^tail
 *
 * Replies come in the order of commands, so a reply always belongs to `head`: that is all there is to pairing. A slot may be the place of several commands (`InFlight.count`).
 */
export class InFlightRing {
  #slots: InFlight[] = []
  #mask: number
  #head = 0
  #tail = 0
  /** Commands beyond the first of each place. */
  #beyond = 0
  /** So many at the head have been told that they have timed out. */
  #timedOut = 0

  constructor(size = 16) {
    this.#mask = size - 1
    for (let i = 0; i < size; i++) this.#slots.push(new InFlight())
  }

  /** Places. */
  get length(): number {
    return this.#tail - this.#head
  }

  /** Commands. */
  get commands(): number {
    return this.#tail - this.#head + this.#beyond
  }

  /** Several commands share a place. */
  get hasShared(): boolean {
    return this.#beyond > 0
  }

  /** Appends a cleared slot, for the caller to fill. */
  push(): InFlight {
    if (this.#tail - this.#head === this.#slots.length) this.#grow()
    return this.#slots[this.#tail++ & this.#mask]!
  }

  /** One more command has the place of the newest, which is `slot`. False: it is not. */
  join(slot: InFlight): boolean {
    if (this.#tail === this.#head || this.#slots[(this.#tail - 1) & this.#mask] !== slot) return false
    slot.count++
    this.#beyond++
    return true
  }

  /** The first `count` of the commands that share `slot` have been answered. */
  answer(slot: InFlight, count: number): void {
    this.#beyond -= Math.min(count, slot.count - 1)
    slot.seq += count
    slot.count -= count
    slot.answered += count
  }

  /** Gives each of the commands of the oldest a place: these are they, in their order, and the last one is the one it was. The caller fills the others in. */
  spreadOldest(): InFlight[] {
    const more = this.peek()!.count - 1
    while (this.length + more > this.#slots.length) this.#grow()
    this.#head -= more
    this.#beyond -= more
    const places: InFlight[] = []
    for (let i = 0; i <= more; i++) places.push(this.at(i))
    return places
  }

  /** What is in flight is `places` from now on. */
  replace(places: InFlight[]): void {
    let size = this.#slots.length
    while (size < places.length) size *= 2
    this.#head = 0
    this.#tail = places.length
    this.#beyond = places.reduce((sum, { count }) => sum + count - 1, 0)
    this.#mask = size - 1
    while (places.length < size) places.push(new InFlight())
    this.#slots = places
  }

  /** The oldest; undefined when empty. */
  peek(): InFlight | undefined {
    return this.#tail === this.#head ? undefined : this.#slots[this.#head & this.#mask]
  }

  /** Takes the newest `count` away, the oldest of them first. They are the caller's. */
  takeNewest(count: number): InFlight[] {
    const taken: InFlight[] = []
    for (let i = this.#tail - count; i < this.#tail; i++) {
      taken.push(this.#slots[i & this.#mask]!)
      this.#slots[i & this.#mask] = new InFlight()
    }
    this.#tail -= count
    this.#timedOut = Math.min(this.#timedOut, this.length)
    return taken
  }

  /** Takes the oldest away: it is the caller's. */
  takeOldest(): void {
    this.#slots[this.#head++ & this.#mask] = new InFlight()
    if (this.#timedOut > 0) this.#timedOut--
  }

  /** The one that is `offset` behind the oldest. */
  at(offset: number): InFlight {
    return this.#slots[(this.#head + offset) & this.#mask]!
  }

  pop(): void {
    const slot = this.#slots[this.#head++ & this.#mask]!
    if (this.#timedOut > 0) this.#timedOut--
    slot.clear()
  }

  /** Tells the owners of those that have waited for longer than `timeoutMs`, each once. They keep their places. `separate`: gives each of those that share one a place. */
  tellTimedOut(nowMs: number, timeoutMs: number, separate: () => void): void {
    while (this.#timedOut < this.length) {
      let slot = this.at(this.#timedOut)
      if (nowMs - slot.queuedAtMs < timeoutMs) return
      if (slot.isShared) {
        separate()
        slot = this.at(this.#timedOut)
      }
      this.#timedOut++
      // Answered already: it was held up.
      if (slot.timedOut) continue
      slot.timedOut = true
      slot.owner!.timedOut(slot)
    }
  }

  /** Gives back what a burst has needed. Only when empty. */
  shrink(): void {
    if (this.#slots.length <= KEPT) return
    this.#slots.length = KEPT
    this.#mask = KEPT - 1
    this.#head = 0
    this.#tail = 0
  }

  #grow(): void {
    const old = this.#slots
    const slots: InFlight[] = []
    for (let i = this.#head; i < this.#tail; i++) slots.push(old[i & this.#mask]!)
    const { length } = slots
    while (slots.length < old.length * 2) slots.push(new InFlight())
    this.#slots = slots
    this.#mask = slots.length - 1
    this.#head = 0
    this.#tail = length
  }
}

/** Slots that an empty ring keeps; a power of two. */
const KEPT = 4096
