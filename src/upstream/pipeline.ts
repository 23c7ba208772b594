import { copyBytes, finishCopies } from '../base/copy-run.ts'
import { UnderstudyError } from '../base/errors.ts'
import { GREATER } from '../resp/bytes.ts'
import { CHUNK_BYTES, Chunk, takeChunk } from './chunk.ts'
import { ChunkList, unsend } from './chunk-list.ts'
import { downText, lostText, unreadableReason } from './connect-error.ts'
import { Connection } from './connection.ts'
import { type Detached, DetachedCommands } from './detached.ts'
import { type InFlight, InFlightRing, type Loss, type ReplyOwner, type ReplySink } from './in-flight.ts'
import type { PipelineConnection, PipelineConnectionOwner } from './pipeline-connection.ts'
import type { PipelineOptions, PipelineState } from './pipeline-options.ts'
import { ReplyReader } from './reply-reader.ts'
import { ReplyRun } from './reply-run.ts'
import { WriteDelay } from './write-delay.ts'

/**
 * One connection to a store with the FIFO of what is in flight on it.
 *
 *   push ─▶ chunk bytes ──(one write per turn of the event loop)──▶ socket ─▶ store
 *     └───▶ InFlightRing ◀── head ── settle ◀── framer ◀── bytes ◀── socket ◀── store
 *
 * Failure: when the connection is lost or its bytes cannot be trusted, everything that was written is answered `lost` with
 * `mayHaveRun: true`, in order; nothing is sent twice. What was not written yet is lost as "not executed" (`fail`) or keeps its place
 * for the next connection (`wait`). A command that timed out keeps its place too, so a late reply is still paired with it.
 */
export class Pipeline {
  readonly options: PipelineOptions
  /** Tells connections apart in the overlap table. */
  readonly lane: number = ++lanes
  readonly ring: InFlightRing = new InFlightRing()
  state: PipelineState = 'idle'
  /** Why it is down; null when up or never tried. */
  error: string | null = null
  /** A script that is in flight takes its time: nothing more is written before the head is answered. See `BusyWatch`. */
  #held = false
  /** The store runs that script and refuses everything else. */
  #busy: Busy | null = null
  /** How many connections it has had that were ready. */
  generation = 0
  /** CLIENT ID on the store; 0: unknown. */
  clientId = 0
  /** Bytes of commands whose replies are owed. */
  pendingBytes = 0
  /** For pushes (RESP3) and, in `relay` mode, for every frame: a view, valid during the call. */
  onPush: ((buf: Buffer, start: number, end: number) => void) | null = null
  /** Every frame is a push: RESP2 subscribers and MONITOR, where replies have no commands. */
  relay = false
  /** Dedicated connections: given up when a reply takes longer. 0: a command may block for ever. */
  answersWithinMs = 0
  /** Dedicated connections: what is in flight waits for something to happen, perhaps for ever. */
  blocks = false
  onDrain: (() => void) | null = null
  onClosed: ((text: string) => void) | null = null

  readonly #connection: PipelineConnection
  readonly #reader = new ReplyReader({
    frame: (buf, start, end) => this.#frame(buf, start, end),
    sinkFor: (type, bytes) => this.#sinkFor(type, bytes),
    pieced: (sink) => this.#pieced(sink),
  })
  readonly #run = new ReplyRun()
  readonly #chunks = new ChunkList()
  /** Null: none was ever detached. */
  #detached: DetachedCommands | null = null
  #current: Chunk | null = null
  /** Bytes without a place in the ring. */
  #relayed: Buffer[] = []
  #queued = false
  /** Null: what has been pushed leaves with the turn of the event loop. */
  readonly #delay: WriteDelay | null
  /** Cumulative bytes pushed and written, to tell what of the ring has left. */
  #pushed = 0
  #written = 0
  /** What was written on the connection before is being told that it is lost. */
  #losing = false
  /** The slot whose owner is being told of a reply right now: if that closes this connection, it must not be told of a loss as well. */
  #settling: InFlight | null = null

  constructor(options: PipelineOptions) {
    this.options = options
    const { batchMs, clock } = options
    const owner: PipelineConnectionOwner = {
      lostHead: (loss) => this.#loseHead(loss),
      renewed: () => this.options.onState?.(this, null),
      detachHead: (most, several) => this.#detachHead(most, several),
      bytes: (buf, length) => this.#receive(buf, length),
      drained: () => this.onDrain?.(),
      ready: (clientId) => this.#ready(clientId),
      refused: (text) => this.#refused(text),
      failed: (reason) => this.#disconnected(reason),
    }
    this.#connection = options.connection?.(options, owner) ?? new Connection(options, owner)
    const writeNow = (): void => {
      if (this.state === 'up') this.#write()
    }
    this.#delay = batchMs === 0 ? null : new WriteDelay(batchMs, clock, writeNow)
  }

  /** No more should be pushed until `onDrain`. */
  get full(): boolean {
    return this.pendingBytes >= this.options.limitBytes || this.ring.length >= MAX_IN_FLIGHT || this.#busy !== null
  }

  /** What the store tells others than the client whose script it runs; null: it runs none, or perhaps this client's. */
  busyFor(client: object): string | null {
    return this.#busy === null || this.#busy.clients.has(client) ? null : this.#busy.text
  }

  /** Nothing more is written until the command at the head has been answered; unless that has not left itself, for then it would never be. */
  hold(): void {
    const head = this.ring.peek()
    this.#held = head !== undefined && head.position < this.#written
  }

  /** Nobody waits for anything here. */
  get quiet(): boolean {
    return this.ring.length === 0 && (this.#detached === null || this.#detached.size === 0)
  }

  /** Bytes of all commands ever pushed. */
  get totalBytes(): number {
    return this.#pushed
  }

  /** Bytes of all commands that have been answered or lost: those pushed before a moment at which `totalBytes` was no more than this are done. */
  get settledBytes(): number {
    return this.#detached?.oldestPosition ?? this.#pushed - this.pendingBytes
  }

  /** Bytes handed to the socket that the kernel has not taken. */
  get writableLength(): number {
    return this.#connection.socket?.writableLength ?? 0
  }

  /** A client that takes its replies slowly keeps its own connection from bringing more: dedicated ones only. */
  pauseReading(): void {
    this.#connection.socket?.pause()
  }

  resumeReading(): void {
    this.#connection.socket?.resume()
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
    slot.queuedAtMs = this.options.clock.nowMs
    slot.position = this.#pushed
    this.#pushed += bytes
    if (!this.#queued) {
      this.#queued = true
      this.options.turn.add(this)
    }
    return slot
  }

  /** Bytes that nobody waits for the replies of: relay mode only (SUBSCRIBE on a RESP2 subscriber's connection). */
  pushRelayed(buf: Buffer, from: number, to: number): void {
    this.#relayed.push(Buffer.from(buf.subarray(from, to)))
    if (!this.#queued) {
      this.#queued = true
      this.options.turn.add(this)
    }
  }

  /** Called by the turn: everything pushed since the last one leaves in one write. */
  flush(): void {
    this.#queued = false
    switch (this.state) {
      case 'up':
        if (!this.#held && (this.#delay === null || !this.#delay.holds(this.#pushed - this.#written))) this.#write()
        break
      case 'idle':
        this.connect()
        break
      case 'down':
      case 'closed':
        if (this.options.whenDown === 'fail' || this.state === 'closed')
          this.#loseAll(downText(this.options.store, this.error), false)
        break
      case 'connecting':
        break
    }
  }

  /** What has been pushed leaves with this turn of the event loop, `batchMs` or not: somebody waits for the reply. */
  hurry(): void {
    this.#delay?.hurry()
  }

  /** Opens the connection, if there is none and nobody is still being told of the loss of the last one. */
  connect(): void {
    if ((this.state !== 'idle' && this.state !== 'down') || this.#losing) return
    this.#setState('connecting', null)
    this.#connection.open()
  }

  /** Closes for good; what is in flight is lost. */
  close(reason: string): void {
    if (this.state === 'closed') return
    this.#drop()
    this.#losing = false
    this.#setState('closed', reason)
    this.#loseAll(`ERR Understudy: ${reason}`, true)
    this.onClosed?.(reason)
  }

  /** Drops the connection (a broken stream, a hang) and opens a new one. */
  reconnect(reason: string): void {
    if (this.state === 'up' || this.state === 'connecting') this.#disconnected(reason)
  }

  /** The store is somewhere else now: what was written is lost, what was not waits for the connection there. A dedicated one is closed, as when it is lost. */
  move(reason: string): void {
    if (this.state === 'connecting' && !this.options.dedicated) {
      this.#drop()
      this.#setState('down', reason)
    } else this.reconnect(reason)
    if (this.state === 'down') this.connect()
  }

  /** Now and then: answers what has waited longer than the store's timeout, and gives a connection up that says nothing at all. */
  tick(nowMs: number): void {
    const { ring } = this
    this.#connection.tick?.(nowMs)
    if (ring.length === 0) ring.shrink()
    const awakeMs = nowMs - this.options.clock.awakeSinceMs
    if (this.options.dedicated) {
      const head = ring.peek()
      if (this.answersWithinMs === 0 || head === undefined) return
      if (Math.min(awakeMs, nowMs - head.queuedAtMs) < this.answersWithinMs) return
      this.reconnect(`no reply for ${this.answersWithinMs} ms`)
      return
    }
    const { timeoutMs } = this.options.store
    if (timeoutMs === 0) return
    if (awakeMs >= timeoutMs) {
      ring.tellTimedOut(nowMs, timeoutMs)
      this.#detached?.tellTimedOut(nowMs, timeoutMs)
    }
    const head = ring.peek()
    const hangMs = HANG_FACTOR * timeoutMs
    if (
      this.state === 'up' &&
      head !== undefined &&
      this.#busy === null &&
      Math.min(awakeMs, nowMs - Math.max(head.queuedAtMs, this.#connection.lastReadMs)) > hangMs
    )
      this.reconnect(`no reply for ${hangMs} ms`)
  }

  #ready(clientId: number): void {
    this.clientId = clientId
    this.generation++
    this.#setState('up', null)
    this.#write()
    if (this.options.dedicated) this.onDrain?.()
  }

  /** The store will never serve this identity (database out of range): everybody is told in its words, and nothing is tried again. */
  #refused(text: string): void {
    this.#drop()
    this.#setState('closed', text)
    this.#loseAll(text, false)
    this.onClosed?.(text)
  }

  #write(): void {
    this.#delay?.written()
    // What may be written has to be known before it may be written.
    this.options.turn.ahead?.flush()
    const socket = this.#connection.socket!
    finishCopies()
    this.#chunks.writeTo(socket)
    this.#written = this.#pushed
    if (this.#relayed.length > 0) socket.write(Buffer.concat(this.#relayed.splice(0)))
  }

  #receive(buf: Buffer, length: number): void {
    this.options.clock.refresh()
    this.#connection.lastReadMs = this.options.clock.nowMs
    try {
      try {
        this.#reader.read(buf, length)
      } finally {
        this.#run.tell()
      }
    } catch (error) {
      // Bytes that are not RESP, or a defect of ours: either way nobody knows any more which reply is whose. This connection ends, and what was in
      // flight on it is lost and said to be; every other goes on.
      this.#settling = null
      this.#disconnected(unreadableReason(error, this.options.store, this.state === 'up' ? null : buf))
    }
  }

  /** Who takes the reply of the command at the head in pieces. */
  #sinkFor(type: number, bytes: number): ReplySink | null {
    this.#run.tell()
    if (this.relay || type === GREATER || this.state !== 'up') return null
    const slot = this.ring.peek()
    if (slot === undefined || slot.replies !== 1) return null
    return slot.owner!.takesPieces?.(slot, bytes) ?? null
  }

  #pieced(sink: ReplySink): void {
    const slot = this.ring.peek()!
    slot.replies = 0
    this.#settling = slot
    sink.done()
    this.#settling = null
    if (slot.chunk !== null) this.#release(slot)
  }

  #frame(buf: Buffer, start: number, end: number): void {
    if (this.state !== 'up') {
      this.#connection.greeted(buf, start, end)
      return
    }
    if (this.relay || buf[start] === GREATER) {
      this.#run.tell()
      this.onPush?.(buf, start, end)
      return
    }
    const slot = this.ring.peek()
    if (slot === undefined) throw new UnderstudyError('PROTOCOL', 'the store sent a reply that no command waits for')
    const run = this.#run
    const { full } = this
    if (run.owner !== null) {
      if (!full && run.extend(slot, buf, start, end)) return this.#release(slot)
      run.tell()
      // That may have ended this connection.
      if (this.state !== 'up') return
    }
    // Who is told of room comes after those whose replies made it: no run then.
    if (!full && run.begin(slot, this.options.clock.nowMs, buf, start, end)) return this.#release(slot)
    slot.replies--
    this.#settling = slot
    slot.owner!.settle(slot, buf, start, end)
    this.#settling = null
    if (slot.replies === 0 && slot.chunk !== null) this.#release(slot)
  }

  /** The head of the ring is done: its bytes and its slot are free. */
  #release(slot: InFlight): void {
    const chunk = slot.chunk!
    const wasFull = this.full
    this.pendingBytes -= slot.end - slot.start
    if (this.#held) this.#unhold()
    this.ring.pop()
    this.#leaveChunk(chunk)
    if (wasFull && !this.full) this.onDrain?.()
  }

  #leaveChunk(chunk: Chunk): void {
    if (--chunk.live === 0 && chunk.sent === chunk.used) {
      if (chunk === this.#current && chunk.buf.length === CHUNK_BYTES) {
        chunk.used = 0
        chunk.sent = 0
      } else this.#current = this.#chunks.dropSettled(this.#current)
    }
  }

  #unhold(): void {
    this.#held = false
    this.#busy = null
    if (this.#queued || this.#written === this.#pushed) return
    this.#queued = true
    this.options.turn.add(this)
  }

  /**
   * The store is busy with a script on this connection. What waits to be written is answered in its words, as not executed, and so is what comes until the command at the head has been
   * answered; those whose script it may be are not told: their commands stay.
   */
  setBusy(busy: Busy): void {
    this.#busy = busy
    const { text, clients } = busy
    const unsent = this.#takeUnsent()
    const isKept = ({ owner }: InFlight): boolean => owner!.client !== undefined && clients.has(owner!.client)
    for (const slot of unsent) {
      if (!isKept(slot)) continue
      const again = this.push(slot.owner!, slot.chunk!.buf, slot.start, slot.end)
      const { chunk, start, end, position } = again
      Object.assign(again, slot, { chunk, start, end, position })
    }
    const loss: Loss = { mayHaveRun: false, refused: true, text }
    for (const slot of unsent) if (!isKept(slot)) slot.owner!.lost(slot, loss)
  }

  /** The newest of the ring, as far as they have not been written, each with its bytes in a chunk of its own. */
  #takeUnsent(): InFlight[] {
    finishCopies()
    const { ring } = this
    let count = 0
    while (count < ring.length && ring.at(ring.length - 1 - count).position >= this.#written) count++
    const taken = ring.takeNewest(count)
    for (const slot of taken) {
      const chunk = slot.chunk!
      chunk.live--
      chunk.used = Math.min(chunk.used, slot.start)
      slot.chunk = new Chunk(slot.end - slot.start)
      chunk.buf.copy(slot.chunk.buf, 0, slot.start, slot.end)
      this.pendingBytes -= slot.chunk.buf.length
      slot.start = 0
      slot.end = slot.chunk.buf.length
    }
    return taken
  }

  #nextChunk(bytes: number): Chunk {
    // Thousands of them wait with one small command each.
    const small = this.options.dedicated && bytes <= SMALL_CHUNK_BYTES
    this.#current = this.#chunks.next(this.#current, small ? new Chunk(SMALL_CHUNK_BYTES) : takeChunk(bytes))
    return this.#current
  }

  #disconnected(reason: string): void {
    if (this.state === 'closed' || this.state === 'down') return
    const wasUp = this.state === 'up'
    const proven = wasUp && this.#connection.proven()
    this.#drop()
    if (this.options.dedicated) {
      this.#setState('closed', reason)
      this.#loseAll(wasUp ? lostText(this.options.store, this.error) : downText(this.options.store, this.error), wasUp)
      this.onClosed?.(reason)
      return
    }
    this.#setState('down', reason)
    if (this.options.whenDown === 'wait') {
      this.#losing = true
      this.#loseSome()
      return
    }
    this.#loseWritten(Number.POSITIVE_INFINITY)
    this.#loseAll(downText(this.options.store, this.error), false)
    // Right after a loss one attempt is made at once, and commands wait for its outcome: a restarted store costs its clients nothing more.
    if (proven) this.connect()
    else this.#connection.openLater(() => this.connect())
  }

  #drop(): void {
    this.#connection.drop()
    this.#reader.reset()
    this.#relayed = []
    this.clientId = 0
  }

  /**
   * A mirror's queue can be long, and each loss makes keys dirty: a slice at a time, so that no client waits meanwhile. There is no new connection before all are told.
   */
  #loseSome(): void {
    if (!this.#losing) return
    this.#loseWritten(LOST_AT_ONCE)
    const head = this.ring.peek()
    if (head === undefined || head.position >= this.#written) {
      this.#losing = false
      this.#connection.openLater(() => this.connect())
    } else setImmediate(() => this.#loseSome())
  }

  /** As `PipelineConnectionOwner` says. */
  #loseHead(loss: Loss): number {
    const more = (this.ring.peek()?.replies ?? 1) - 1
    this.#lose(1, loss, loss)
    return more
  }

  /** As `PipelineConnectionOwner` says. What waits for a new connection has an order to keep, and so have those that are not told. */
  #detachHead(most: number, several: boolean): Detached | null {
    const slot = this.ring.peek()
    if (slot === undefined || this.options.whenDown === 'wait') return null
    if (slot.position >= this.#written || slot.replies > most || slot === this.#settling) return null
    if (several && slot.owner!.detached === undefined) return null
    const detached = (this.#detached ??= new DetachedCommands((bytes) => {
      const wasFull = this.full
      this.pendingBytes -= bytes
      if (wasFull && !this.full) this.onDrain?.()
    }))
    if (detached.full) return null
    const chunk = slot.chunk!
    this.ring.takeOldest()
    const taken = detached.add(slot)
    this.#leaveChunk(chunk)
    if (several) slot.owner!.detached!(slot)
    return taken
  }

  /** At most `limit` commands that have been written are lost; the rest keeps its place. */
  #loseWritten(limit: number): void {
    this.#lose(limit, { mayHaveRun: true, text: lostText(this.options.store, this.error) }, null)
    this.onDrain?.()
  }

  /** Everything in the ring is lost, what has been written as "may have run". */
  #loseAll(text: string, mayHaveRun: boolean): void {
    const sent: Loss = { mayHaveRun: true, text: mayHaveRun ? lostText(this.options.store, this.error) : text }
    this.#lose(Number.POSITIVE_INFINITY, sent, { mayHaveRun: false, text })
    if (this.ring.length === 0) this.#resetBytes()
    this.onDrain?.()
  }

  /** Ends at most `limit` commands from the head of the ring on without a reply. `unsent` null: only those that have been written. */
  #lose(limit: number, sent: Loss, unsent: Loss | null): void {
    finishCopies()
    if (limit === Number.POSITIVE_INFINITY) this.#detached?.loseAll(sent)
    // An owner may push again while it is told.
    for (let count = Math.min(limit, this.ring.length); count > 0; count--) {
      const slot = this.ring.peek()
      const loss = slot !== undefined && slot.position < this.#written ? sent : unsent
      if (slot === undefined || loss === null) return
      if (slot === this.#settling) this.#settling = null
      else slot.owner!.lost(slot, loss)
      if (slot.chunk !== null) unsend(slot.chunk, slot.end)
      this.#release(slot)
    }
  }

  #resetBytes(): void {
    this.#chunks.clear()
    this.#current = null
    this.#written = this.#pushed
    this.pendingBytes = 0
  }

  #setState(state: PipelineState, error: string | null): void {
    this.state = state
    this.error = error
    this.options.onState?.(this, error)
  }
}

/** A store that runs a script and nothing else. */
export interface Busy {
  /** Its `-BUSY` text, without the dash. */
  readonly text: string
  /** Whose script it may be (`ReplyOwner.client`). */
  readonly clients: ReadonlySet<object>
}

let lanes = 0

/** A store that has sent nothing for this many timeouts, with commands waiting, is taken for hung: its connection is opened anew. */
const HANG_FACTOR = 3

/** About two milliseconds of a mirror's losses. */
const LOST_AT_ONCE = 1_000

/** What a dedicated connection begins with. */
const SMALL_CHUNK_BYTES = 4 * 1024

/** Small commands cost more by their slot than by their bytes. */
const MAX_IN_FLIGHT = 256 * 1024

export const PIPELINE_LIMIT_BYTES = 1024 * CHUNK_BYTES
