import { downText, unreadableReason } from '../connection/connect-error.ts'
import type { StoreUser } from '../connection/handshake.ts'
import { ask } from './ask.ts'
import { CHUNK_BYTES } from './chunk.ts'
import type { InFlight, ReplyOwner } from './in-flight.ts'
import type { Unblocking } from './pipeline-connection.ts'
import { PipelineLifecycle } from './pipeline-lifecycle.ts'
import type { PipelineOptions } from './pipeline-options.ts'
import { type Busy, refuseUnsent } from './refuse-unsent.ts'
import { ReplyPairing } from './reply-pairing.ts'
import { silenceOf } from './silence.ts'
import { WriteDelay } from './write-delay.ts'

/**
 * One connection to a store with the FIFO of what is in flight on it, and when something is written. How the connection comes and goes is `PipelineLifecycle`'s.
 *
 *   push ─▶ SendQueue ── chunks ──(one write for what has gathered, `Turn`)──▶ socket ─▶ store
 *              └─ ring ◀── head ── settle ◀── ReplyPairing ◀── bytes ◀── socket ◀── store
 *                  ▲
 *               Losses: what gets no reply
 *
 * A command that timed out keeps its place, so a late reply is still paired with it.
 */
export class Pipeline extends PipelineLifecycle {
  /** Tells connections apart in the overlap table. */
  readonly lane: number = ++lanes
  /** A script that is in flight takes its time: nothing more is written before the head is answered. See `BusyWatch`. */
  #held = false
  /** The store runs that script and refuses everything else. */
  #busy: Busy | null = null
  /** For pushes (RESP3) and, in `relay` mode, for every frame: a view, valid during the call. */
  onPush: ((buf: Buffer, start: number, end: number) => void) | null = null
  /** Every frame is a push: RESP2 subscribers and MONITOR, where replies have no commands. */
  relay = false
  /** Dedicated connections: given up when a reply is owed and nothing comes for so long. 0: a command may block for ever. */
  answersWithinMs = 0
  /** Dedicated connections: what is in flight waits for something to happen, perhaps for ever. */
  blocks = false
  /** Whose it is: as it was opened, unless its client has become another user of the store since. */
  user: StoreUser | null

  #queued = false
  /** Nothing is read until the client has taken what there is: no silence of the store. */
  #paused = false
  /** Null: what has been pushed leaves with the turn of the event loop. */
  readonly #delay: WriteDelay | null
  /** Clients share it, and its ring has all that is in flight. */
  readonly listsAll: boolean
  /** Commands may share places: their replies come one behind the other, in the thread's read buffer. */
  readonly #shares: boolean
  readonly #pairing: ReplyPairing

  constructor(options: PipelineOptions) {
    super(options)
    const { batchMs, clock, dedicated, identity } = options
    this.user = identity.user
    this.listsAll = options.connection === undefined && !dedicated
    this.#shares = options.connection === undefined && options.store.tls === null
    const greeted = (buf: Buffer, start: number, end: number): void => this.connection.greeted(buf, start, end)
    this.#pairing = new ReplyPairing(this, this.losses, greeted)
    const writeNow = (): void => {
      if (this.state === 'up') this.write()
    }
    this.#delay = batchMs === 0 ? null : new WriteDelay(batchMs, clock, writeNow)
  }

  /** Bytes of commands whose replies are owed. */
  get pendingBytes(): number {
    return this.queue.pendingBytes
  }

  /** No more should be pushed until `onDrain`. */
  get full(): boolean {
    return (
      this.queue.pendingBytes >= this.options.limitBytes || this.ring.commands >= MAX_IN_FLIGHT || this.#busy !== null
    )
  }

  /** What the store tells others than the client whose script it runs; null: it runs none, or perhaps this client's. */
  busyFor(client: object): string | null {
    return this.#busy === null || this.#busy.clients.has(client) ? null : this.#busy.text
  }

  /** Nothing more is written until the command at the head has been answered; unless that has not left itself, for then it would never be. */
  hold(): void {
    const head = this.ring.peek()
    this.#held = head !== undefined && head.position < this.queue.written
  }

  /** Bytes of all commands ever pushed. */
  get totalBytes(): number {
    return this.queue.pushed
  }

  /** Bytes of all commands that have been answered or lost: those pushed before a moment at which `totalBytes` was no more than this are done. */
  get settledBytes(): number {
    return this.queue.settledBytes
  }

  /** Bytes handed to the socket that the kernel has not taken. */
  get writableLength(): number {
    return this.connection.socket?.writableLength ?? 0
  }

  /** A client that takes its replies slowly keeps its own connection from bringing more: dedicated ones only. */
  pauseReading(): void {
    this.#paused = true
    this.connection.socket?.pause()
  }

  resumeReading(): void {
    this.#paused = false
    this.connection.socket?.resume()
  }

  /** When the store last said something here, or could not because nobody read (coarse clock); 0: never. Of a cluster that is not known: each of its nodes may hang alone. */
  get lastReadMs(): number {
    return this.connection.lastReadMs
  }

  /** Milliseconds the oldest command has waited; 0: none. */
  oldestAgeMs(): number {
    const head = this.ring.peek()
    return head === undefined ? 0 : Math.max(0, this.options.clock.nowMs - head.queuedAtMs)
  }

  /**
   * Appends one command's bytes (copied) and gives its slot, with owner, bytes and time set; the caller fills in the rest at once. The
   * slot is the owner's until `settle` or `lost` returns.
   */
  push(owner: ReplyOwner, buf: Buffer, from: number, to: number): InFlight {
    const slot = this.queue.append(owner, buf, from, to)
    if (!this.#queued) this.#leaves()
    return slot
  }

  /**
   * As `push`, of a command that is the same as the newest, `slot`, in all but its bytes and its number, `seq`: it shares its place. False: it cannot, and nothing was done.
   */
  join(slot: InFlight, owner: ReplyOwner, seq: number, buf: Buffer, from: number, to: number): boolean {
    if (!this.#shares || !this.queue.join(slot, owner, seq, buf, from, to)) return false
    if (!this.#queued) this.#leaves()
    return true
  }

  /** Each command in flight gets a place of its own: somebody is to look at them. Not those whose owner is being told of their replies. */
  separate(): void {
    this.queue.separate(this.#pairing.telling)
  }

  /** The same for those at the head, of which there are some. Gives the oldest. */
  separateHead(): InFlight {
    return this.queue.separateHead()
  }

  /** As `push`, but it leaves ahead of all that has not left yet. */
  pushAhead(owner: ReplyOwner, buf: Buffer, from: number, to: number): InFlight {
    const slot = this.queue.appendAhead(owner, buf, from, to)
    this.#leaves()
    return slot
  }

  /** What cancels the command that waits here. */
  unblocking(): Unblocking {
    // It leaves with the first write, and has a name from then on.
    if (this.state === 'idle' || this.state === 'connecting') return 'later'
    return this.connection.unblocking(this.clientId)
  }

  /** Bytes that nobody waits for the replies of: relay mode only (SUBSCRIBE on a RESP2 subscriber's connection). */
  pushRelayed(buf: Buffer, from: number, to: number): void {
    this.queue.relay(buf, from, to)
    this.#leaves()
  }

  /** What has been pushed is written with this turn of the event loop. */
  #leaves(): void {
    if (this.#queued) return
    this.#queued = true
    if (this.options.dedicated) this.options.turn.add(this)
    else this.options.turn.gather(this)
  }

  /** Called by the turn: everything pushed since the last one leaves in one write. */
  flush(): void {
    this.#queued = false
    switch (this.state) {
      case 'up':
        if (!this.#held && (this.#delay === null || !this.#delay.holds(this.queue.pushed - this.queue.written)))
          this.write()
        break
      case 'idle':
        this.connect()
        break
      case 'down':
      case 'closed':
        if (this.options.whenDown === 'fail' || this.state === 'closed')
          this.loseAll(downText(this.options.store, this.error), false)
        break
      case 'connecting':
        break
    }
  }

  /** What has been pushed leaves with this turn of the event loop, `batchMs` or not: somebody waits for the reply. */
  hurry(): void {
    this.#delay?.hurry()
  }

  /** Now and then: answers what has waited longer than the store's timeout, and gives a connection up that says nothing at all. */
  tick(nowMs: number): void {
    const { ring } = this
    this.connection.tick?.(nowMs, this.answersWithinMs)
    if (ring.length === 0) ring.shrink()
    const { clock, dedicated, store } = this.options
    const mayTimeOut = !dedicated && store.timeoutMs > 0 && nowMs - clock.awakeSinceMs >= store.timeoutMs
    if (mayTimeOut) this.queue.tellTimedOut(nowMs, store.timeoutMs)
    if (this.#paused) this.connection.lastReadMs = nowMs
    const silence = silenceOf(this, this.connection.lastReadMs, this.#busy !== null, nowMs)
    if (silence !== null) this.reconnect(silence)
  }

  protected override write(): void {
    this.#delay?.written()
    // What may be written has to be known before it may be written.
    this.options.turn.ahead?.flush()
    this.queue.writeTo(this.connection.socket!)
    this.connection.endWrite?.()
  }

  protected override receive(buf: Buffer, length: number): void {
    this.options.clock.refresh()
    this.connection.lastReadMs = this.options.clock.nowMs
    try {
      this.#pairing.read(buf, length)
    } catch (error) {
      // Bytes that are not RESP, or a defect of ours: either way nobody knows any more which reply is whose. This connection ends, and what was in
      // flight on it is lost and said to be; every other goes on.
      this.losses.settling = null
      this.disconnected(unreadableReason(error, this.options.store, this.state === 'up' ? null : buf))
    }
  }

  /** For `ReplyPairing` and `Losses`: the head of the ring is done, its bytes and its slot are free. */
  override release(slot: InFlight): void {
    const wasFull = this.full
    this.releaseWithRoom(slot)
    if (wasFull && !this.full) this.onDrain?.()
  }

  /** The same where it is known not to be full: nobody waits for room. */
  releaseWithRoom(slot: InFlight): void {
    if (this.#held) this.#unhold()
    this.queue.release(slot)
  }

  protected override detachedEnded(bytes: number): void {
    const wasFull = this.full
    this.queue.pendingBytes -= bytes
    if (wasFull && !this.full) this.onDrain?.()
  }

  #unhold(): void {
    this.#held = false
    this.#busy = null
    if (this.queue.written !== this.queue.pushed) this.#leaves()
  }

  /**
   * The store is busy with a script on this connection. What waits to be written is answered in its words, as not executed, and so is what comes until the command at the head has been
   * answered; those whose script it may be are not told: their commands stay.
   */
  setBusy(busy: Busy): void {
    this.#busy = busy
    refuseUnsent(this.queue, busy, () => this.#leaves())
  }

  protected override tellState(error: string | null): void {
    this.options.onState?.(this, error)
  }

  protected override say(command: Buffer, answered: (reply: string | null) => void): void {
    ask(this, command, answered)
  }

  protected override dropped(): void {
    this.#pairing.reset()
    this.queue.dropRelayed()
  }
}

let lanes = 0

/** Small commands cost more by their slot than by their bytes. */
const MAX_IN_FLIGHT = 256 * 1024

export const PIPELINE_LIMIT_BYTES = 1024 * CHUNK_BYTES
