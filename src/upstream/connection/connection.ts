import type net from 'node:net'
import { Backoff } from '../../base/backoff.ts'
import { endpointIdentity } from '../../config/endpoint.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import type { Unblocking } from '../pipeline/pipeline-connection.ts'
import type { PipelineOptions } from '../pipeline/pipeline-options.ts'
import { connectTo } from './connect.ts'
import { connectReason } from './connect-error.ts'
import { type AttemptOwner, ConnectionAttempt } from './connection-attempt.ts'
import { OwnConnections, type Run, type Say, type ServerConnections, type StoreSideName } from './own-connections.ts'

/** Who uses the connection. After `failed` or `refused` it is the owner's to `drop` it. */
export interface ConnectionOwner extends AttemptOwner {
  /** What the store says: a view, valid during the call. */
  bytes(buf: Buffer, length: number): void
  /** The kernel has taken what was written. */
  drained(): void
  /** Pushes a question of the connection's own. */
  say: Say
}

/**
 * One connection to a store, which can be opened again and again: address, socket, greeting (`ConnectionAttempt`), and the pauses between attempts. What is said on it is its owner's.
 */
export class Connection {
  readonly #options: PipelineOptions
  readonly #owner: ConnectionOwner
  /** Null: there is none at the moment. */
  socket: net.Socket | null = null
  #isPlainTcp = false
  /** What the store calls the connection that is up; null: unknown. */
  #name: StoreSideName | null = null
  readonly #connections: OwnConnections
  /** Null: there is no connection, or one with a client's own login. */
  #server: ServerConnections | null = null
  /** Coarse clock, set by the owner when the store has said something. */
  lastReadMs = 0
  /** Null: it is up, or there is none. */
  #attempt: ConnectionAttempt | null = null
  readonly #backoff = new Backoff(50, 2_000)
  #retry: NodeJS.Timeout | null = null
  #readyMs = 0

  constructor(options: PipelineOptions, owner: ConnectionOwner) {
    this.#options = options
    this.#owner = owner
    this.#connections =
      options.ownConnections ??
      new OwnConnections(
        () => NAMELESS,
        () => {},
      )
  }

  open(): void {
    this.#cancelRetry()
    const { store, endpoint, identity, dedicated, whenDown, met, asksWhoItIs } = this.#options
    const owner = this.#owner
    const to = endpoint()
    if (typeof to === 'string') return owner.failed(to)
    let socket: net.Socket
    try {
      socket = connectTo(to, store, owner.bytes)
    } catch (cause) {
      return owner.failed(cause instanceof Error ? cause.message : String(cause))
    }
    this.socket = socket
    // Node resets no others: over TLS the close is an ordinary one, and what a unix socket has taken is with the store already.
    this.#isPlainTcp = store.tls === null && to.kind === 'tcp'
    const use = dedicated ? 'dedicated' : whenDown === 'wait' ? 'mirror' : 'shared'
    this.#server = identity.user === null ? this.#connections.at(to) : null
    const asks = met !== undefined && asksWhoItIs?.() !== false
    const told = asks ? (info: string) => met(endpointIdentity(to), info) : null
    this.#attempt = new ConnectionAttempt(socket, store, identity, use, this.#server, told, {
      ready: (clientId) => {
        this.#name = this.#attempt?.name ?? null
        if (!dedicated) this.#server?.speaks(owner.say)
        this.#endAttempt()
        this.#readyMs = this.#options.clock.nowMs
        this.lastReadMs = this.#readyMs
        owner.ready(clientId)
      },
      refused: owner.refused,
      failed: owner.failed,
    })
    socket.on('error', (error: Error) => owner.failed(connectReason(error, store, this.#attempt === null)))
    socket.on('end', () => owner.failed('closed by the store'))
    socket.on('close', () => owner.failed('connection closed'))
    socket.on('drain', owner.drained)
  }

  /** Opens it after a pause, which is longer each time until a connection has proven itself. */
  openLater(open: () => void): void {
    this.#retry = setTimeout(open, this.#backoff.nextMs())
  }

  /** A reply of the store before the owner was told `ready`: a view. */
  greeted(buf: Buffer, start: number, end: number): void {
    this.#attempt?.greeted(buf, start, end)
  }

  /**
   * The connection that was up has served. A store that lets us in and closes at once (too many clients, a proxy in front of nothing) is no reason to come back without a pause.
   */
  proven(): boolean {
    const proven = this.lastReadMs > this.#readyMs || this.#options.clock.nowMs - this.#readyMs > PROVEN_MS
    if (proven) this.#backoff.reset()
    return proven
  }

  unblocking(clientId: number): Unblocking {
    return clientId === 0 ? 'impossible' : encodeOwn(['CLIENT', 'UNBLOCK', clientId])
  }

  /**
   * Closes it at once; nobody is told, and nothing is opened later. What the kernel has not delivered yet: `discarded` is told as lost, so it is not to come later, nor is what the network or the store still holds
   * of it.
   */
  drop(unsent: 'delivered' | 'discarded'): void {
    const { socket } = this
    this.socket = null
    this.#server?.silent(this.#owner.say)
    if (unsent === 'discarded' && this.#name !== null) this.#server?.givenUp(this.#name)
    this.#server = null
    this.#name = null
    if (socket !== null) {
      socket.removeAllListeners()
      socket.on('error', () => {})
      if (unsent === 'discarded' && this.#isPlainTcp && !socket.connecting) socket.resetAndDestroy()
      else socket.destroy()
    }
    this.#endAttempt()
    this.#cancelRetry()
  }

  #endAttempt(): void {
    this.#attempt?.end()
    this.#attempt = null
  }

  #cancelRetry(): void {
    if (this.#retry !== null) clearTimeout(this.#retry)
    this.#retry = null
  }
}

/** Of a connection that stands for itself. */
const NAMELESS: Run = { name: 'understudy', former: new Set() }

/** A connection that has lived for so long is no longer on trial, even if nothing was asked on it. */
const PROVEN_MS = 1_000
