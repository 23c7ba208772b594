import { downText, lostText } from '../connection/connect-error.ts'
import { Connection } from '../connection/connection.ts'
import type { InFlight, InFlightRing, Loss } from './in-flight.ts'
import { Losses } from './losses.ts'
import type { PipelineConnection, PipelineConnectionOwner } from './pipeline-connection.ts'
import type { PipelineOptions, PipelineState } from './pipeline-options.ts'
import { SendQueue } from './send-queue.ts'

/**
 * The states of a pipeline's connection, and what those are told whose commands are lost with one.
 *
 *   idle ──connect──▶ connecting ──ready──▶ up
 *                      ▲      │ failed      │ lost
 *                      │      ▼             │
 *                      └──── down ◀─────────┘      close, refused, a dedicated one that is lost ─▶ closed
 *
 * When the connection is lost or its bytes cannot be trusted, everything that was written is answered `lost` with `mayHaveRun: true`, in order; nothing is sent twice. What was not written yet is lost as
 * "not executed" (`fail`) or keeps its place for the next connection (`wait`). What travels while it is up is `Pipeline`'s.
 */
export abstract class PipelineLifecycle {
  readonly options: PipelineOptions
  readonly ring: InFlightRing
  state: PipelineState = 'idle'
  /** Why it is down; null when up or never tried. */
  error: string | null = null
  /** How many connections it has had that were ready. */
  generation = 0
  /** How often it has come to a server that may be another one, or have lost what it keeps in memory alone: of a cluster, one of its nodes. */
  arrivals = 0
  /** CLIENT ID on the store; 0: unknown. */
  clientId = 0
  onDrain: (() => void) | null = null
  onClosed: ((text: string) => void) | null = null
  protected readonly connection: PipelineConnection
  /** The connection is opened when whoever has asked for it is done. */
  #opens = false
  protected readonly queue: SendQueue
  protected readonly losses: Losses

  constructor(options: PipelineOptions) {
    this.options = options
    const { clock, dedicated } = options
    this.queue = new SendQueue(clock, dedicated, (bytes) => this.detachedEnded(bytes))
    this.ring = this.queue.ring
    this.losses = new Losses(this.queue, (slot) => this.release(slot))
    const owner: PipelineConnectionOwner = {
      lostHead: (loss) => this.losses.head(loss),
      parted: () => {
        this.arrivals++
      },
      renewed: () => {
        this.arrivals++
        this.tellState(null)
      },
      // What waits for a new connection has an order to keep.
      detachHead: (most, several) =>
        options.whenDown === 'wait' ? null : this.queue.detachHead(most, several, this.losses.settling),
      bytes: (buf, length) => this.receive(buf, length),
      drained: () => this.onDrain?.(),
      say: (command, answered) => this.say(command, answered),
      ready: (clientId) => this.#ready(clientId),
      refused: (text) => this.#refused(text),
      failed: (reason) => this.disconnected(reason),
    }
    this.connection = options.connection?.(options, owner) ?? new Connection(options, owner)
  }

  /** Nobody waits for anything here. */
  get quiet(): boolean {
    return this.queue.quiet
  }

  /**
   * Opens the connection, if there is none and nobody is still being told of the loss of the last one. Nobody is told what comes of it before the caller is done, which may be in the middle of a command: who is
   * told of a loss, or of room, sends the next one.
   */
  connect(): void {
    if ((this.state !== 'idle' && this.state !== 'down') || this.losses.unfinished) return
    this.#setState('connecting', null)
    if (this.#opens) return
    this.#opens = true
    queueMicrotask(() => {
      this.#opens = false
      if (this.state !== 'connecting') return
      const { refused } = this.options
      if (refused === undefined || refused === null) this.connection.open()
      else this.#refused(refused)
    })
  }

  /** Closes for good; what is in flight is lost. `unsent`: of that, what has been written and has not arrived yet: `discarded` is not executed later. */
  close(reason: string, unsent: 'delivered' | 'discarded' = 'delivered'): void {
    if (this.state === 'closed') return
    this.#drop(this.quiet ? 'delivered' : unsent)
    this.losses.stopSlices()
    this.#setState('closed', reason)
    this.loseAll(`ERR Understudy: ${reason}`, true)
    this.onClosed?.(reason)
  }

  /** Drops the connection (a broken stream, a hang) and opens a new one. */
  reconnect(reason: string): void {
    if (this.state === 'up' || this.state === 'connecting') this.disconnected(reason)
  }

  /** The store is somewhere else now: what was written is lost, what was not waits for the connection there. A dedicated one is closed, as when it is lost. */
  move(reason: string): void {
    if (this.state === 'connecting' && !this.options.dedicated) {
      this.#drop('delivered')
      this.#setState('down', reason)
    } else this.reconnect(reason)
    if (this.state === 'down') this.connect()
  }

  #ready(clientId: number): void {
    this.clientId = clientId
    this.generation++
    this.arrivals++
    this.#setState('up', null)
    this.write()
    if (this.options.dedicated) this.onDrain?.()
  }

  /** The store will never serve this identity (database out of range), or it is not asked to (`options.refused`): everybody is told in its words, and nothing is tried again. */
  #refused(text: string): void {
    this.#drop('delivered')
    this.#setState('closed', text)
    this.loseAll(text, false)
    this.onClosed?.(text)
  }

  protected disconnected(reason: string): void {
    if (this.state === 'closed' || this.state === 'down') return
    const wasUp = this.state === 'up'
    const proven = wasUp && this.connection.proven()
    // It is told as lost: it must not be executed behind what the next connection brings, when a hanging network lets go.
    this.#drop(this.options.dedicated && this.quiet ? 'delivered' : 'discarded')
    if (this.options.dedicated) {
      this.#setState('closed', reason)
      this.loseAll(wasUp ? lostText(this.options.store, this.error) : downText(this.options.store, this.error), wasUp)
      this.onClosed?.(reason)
      return
    }
    this.#setState('down', reason)
    if (this.options.whenDown === 'wait') {
      // There is no new connection before all are told.
      const room = (): void => this.onDrain?.()
      this.losses.writtenInSlices(this.#lostWritten(), room, () => this.connection.openLater(() => this.connect()))
      return
    }
    this.losses.written(this.#lostWritten())
    this.onDrain?.()
    this.loseAll(downText(this.options.store, this.error), false)
    // Right after a loss one attempt is made at once, and commands wait for its outcome: a restarted store costs its clients nothing more.
    if (proven) this.connect()
    else this.connection.openLater(() => this.connect())
  }

  #drop(unsent: 'delivered' | 'discarded'): void {
    this.connection.drop(unsent)
    this.dropped()
    this.clientId = 0
  }

  /** What those are told that were written on the connection that is lost. */
  #lostWritten(): Loss {
    return { mayHaveRun: true, text: lostText(this.options.store, this.error) }
  }

  /** Everything in flight is lost, what has been written as "may have run". */
  protected loseAll(text: string, mayHaveRun: boolean): void {
    this.losses.all(mayHaveRun ? this.#lostWritten() : { mayHaveRun: true, text }, { mayHaveRun: false, text })
    this.onDrain?.()
  }

  #setState(state: PipelineState, error: string | null): void {
    this.state = state
    this.error = error
    this.tellState(error)
  }

  protected abstract tellState(error: string | null): void
  /** Writes what has been pushed. */
  protected abstract write(): void
  /** Bytes of the store: a view. */
  protected abstract receive(buf: Buffer, length: number): void
  /** Says something of the connection's own, behind what has been pushed. */
  protected abstract say(command: Buffer, answered: (reply: string | null) => void): void
  /** The connection has been dropped: nothing of what it said will go on. */
  protected abstract dropped(): void
  protected abstract detachedEnded(bytes: number): void
  abstract release(slot: InFlight): void
}
