import type net from 'node:net'
import type { CommandSpec } from '../../command/spec.ts'
import type { StoreUser } from '../../upstream/connection/handshake.ts'
import type { DataPath } from '../data-path.ts'
import { clientAddress } from '../listen/client-address.ts'

/** Who a client is: where it comes from, what it has said of itself and chosen for its connection, as CLIENT LIST shows it. What is said to it is its `ClientReplies`', what it asks its `Session`'s. */
export class ConnectedClient {
  readonly id: number
  readonly connectedAtMs: number
  /** The listener's, when that is a unix socket. */
  readonly unixPath: string | null
  /** Where it comes from and where it came to, as CLIENT LIST shows them. */
  readonly remote: string
  readonly local: string
  database = 0
  protocol: 2 | 3 = 2
  /** Whose rights its commands have at the stores; null: those of the configuration. */
  user: StoreUser | null = null
  /** Who it has logged in as. */
  userName = 'default'
  name = ''
  libName = ''
  libVersion = ''
  noEvict = false
  noTouch = false
  importSource = false
  /** READONLY, of Valkey. */
  readOnly = false
  /** CLIENT CAPA redirect, of Valkey. */
  followsRedirects = false
  /** For CLIENT LIST. */
  lastSpec: CommandSpec | null = null
  lastActiveMs: number
  /** CLIENT REPLY OFF | SKIP: replies are counted, not sent. */
  replyMode: 'on' | 'off' | 'skip' = 'on'
  /** What the store says of its right to the command at hand, if it has to be asked: that it may, or why not. Null: not asked. */
  right: 'asked' | 'given' | Buffer | null = null

  constructor(path: DataPath, socket: net.Socket, unixPath: string | null) {
    this.id = path.nextClientId()
    this.connectedAtMs = path.clock.nowMs
    this.unixPath = unixPath
    this.remote =
      unixPath === null ? clientAddress(socket.remoteAddress, socket.remotePort) : clientAddress(unixPath, 0)
    this.local = unixPath === null ? clientAddress(socket.localAddress, socket.localPort) : this.remote
    this.lastActiveMs = path.clock.nowMs
  }
}
