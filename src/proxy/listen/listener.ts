import { chmodSync } from 'node:fs'
import { lstat, stat, unlink } from 'node:fs/promises'
import net from 'node:net'
import { dirname } from 'node:path'
import { UnderstudyError } from '../../base/errors.ts'
import type { ListenConfig } from '../../config/config.ts'
import { errorFields } from '../../observability/log-error.ts'
import type { DataPath } from '../data-path.ts'
import { endWithin } from '../session/downstream.ts'
import { OwnConnection } from '../session/own-connection.ts'
import { abandonPins } from '../session/pin.ts'
import { Session } from '../session/session.ts'
import { adoptSocket } from './accepted-socket.ts'
import { SecureServer } from './secure-server.ts'

const TOO_MANY = Buffer.from('-ERR max number of clients reached\r\n')
const KEEPALIVE_MS = 60_000

/** Accepts clients on one address. */
export class Listener {
  readonly #path: DataPath
  readonly #server: net.Server
  #config: ListenConfig
  #secure: SecureServer | null

  /** Throws LISTEN_FAILED when a certificate cannot be used. */
  constructor(config: ListenConfig, path: DataPath) {
    this.#config = config
    this.#path = path
    this.#secure = this.#secureServer(config)
    this.#server = net.createServer({ noDelay: true, pauseOnConnect: true, allowHalfOpen: true }, (socket) =>
      this.#arrived(socket),
    )
  }

  get config(): ListenConfig {
    return this.#config
  }

  /** Resolves with the port (0 for a unix socket). Rejects with LISTEN_FAILED. */
  async open(): Promise<number> {
    const { endpoint, url, mode } = this.#config
    if (endpoint.kind === 'unix') await makeRoom(endpoint.path, url)
    return new Promise((resolve, reject) => {
      this.#server.once('error', (error: NodeJS.ErrnoException) => reject(listenFailed(url, error)))
      const listening = (): void => {
        this.#server.on('error', (error) =>
          this.#path.log({ level: 'error', msg: 'listener error', fields: { url, error: error.message } }),
        )
        const address = this.#server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : 0)
      }
      if (endpoint.kind === 'tcp') {
        this.#server.listen({ host: endpoint.host, port: endpoint.port, backlog: 1024 }, listening)
        return
      }
      this.#server.listen({ path: endpoint.path, backlog: 1024 }, listening)
      // At once, before anybody can have been accepted.
      if (mode !== null && this.#server.listening) chmodSync(endpoint.path, mode)
    })
  }

  /**
   * Other settings at the same address. Throws LISTEN_FAILED when a certificate cannot be used; what it gives puts them in force: clients that come from then on find them, those
   * who are there stay as they are.
   */
  prepare(config: ListenConfig): () => void {
    const secure = this.#secureServer(config)
    return () => {
      this.#secure?.close()
      this.#secure = secure
      const { endpoint, mode } = config
      if (endpoint.kind === 'unix' && mode !== null && mode !== this.#config.mode) this.#changeMode(endpoint.path, mode)
      this.#config = config
    }
  }

  /** No new clients; the connected ones stay. */
  close(): void {
    this.#server.close()
    this.#secure?.close()
  }

  #secureServer({ tls, url }: ListenConfig): SecureServer | null {
    return tls === null ? null : new SecureServer(url, tls, this.#path.log, (socket) => this.#accept(socket))
  }

  #changeMode(file: string, mode: number): void {
    try {
      chmodSync(file, mode)
    } catch (error) {
      this.#path.log({
        level: 'error',
        msg: 'the mode of the socket file could not be changed',
        fields: { file, error: (error as Error).message },
      })
    }
  }

  #arrived(socket: net.Socket): void {
    const secure = this.#secure
    if (secure === null) {
      this.#accept(socket)
      return
    }
    socket.on('error', () => socket.destroy())
    if (this.#path.sessions.size + secure.handshakes >= this.#path.clients.maxClients + SPARE_HANDSHAKES) {
      socket.destroy()
      return
    }
    socket.setKeepAlive(true, KEEPALIVE_MS)
    secure.admit(socket)
  }

  #accept(accepted: net.Socket): void {
    const path = this.#path
    if (path.sessions.size >= path.clients.maxClients || path.shuttingDown) {
      accepted.on('error', () => {})
      endWithin(accepted, TOO_MANY)
      accepted.resume()
      return
    }
    accepted.setKeepAlive(true, KEEPALIVE_MS)
    let session: Session | null = null
    const socket = adoptSocket(accepted, (buf, length) => {
      if (session !== null) received(session, buf, length)
    })
    const { endpoint } = this.#config
    session = new Session(path, socket, endpoint.kind === 'unix' ? endpoint.path : null)
    if (this.config.connections === 'dedicated') session.own = new OwnConnection(session, true)
    path.sessions.add(session)
    socket.resume()
  }
}

/**
 * A defect met by one client's bytes ends that client's connection, nobody else's. What it has begun is taken back at once: a transaction that went down the
 * shared connection must not stay open for what comes next.
 */
function received(session: Session, buf: Buffer, length: number): void {
  try {
    session.receive(buf, length)
    session.path.turn.clientRead(length)
  } catch (error) {
    session.path.log({
      level: 'error',
      msg: 'a defect in Understudy; the client was disconnected',
      fields: errorFields(error),
    })
    abandonPins(session)
    session.socket.destroy()
  }
}

function listenFailed(url: string, error: NodeJS.ErrnoException): UnderstudyError {
  const reason = REASONS[error.code ?? ''] ?? error.message
  return new UnderstudyError('LISTEN_FAILED', `cannot listen on ${url}: ${reason}, or change \`listen\``, {
    cause: error,
  })
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the address is in use: stop what listens there',
  EACCES: 'permission denied: choose a port above 1023, or a directory that Understudy may write to',
  EADDRNOTAVAIL: 'this machine has no such address: give it one',
  ENOTFOUND: 'the host name is not known: write an address',
}

/**
 * A socket file whose owner was killed stays behind, and would keep the next one from listening: it goes when nobody answers there. Anything but a socket is not
 * ours to remove, and of a directory that is missing the system only says that there is no permission.
 */
async function makeRoom(path: string, url: string): Promise<void> {
  const refuse = (reason: string): UnderstudyError =>
    new UnderstudyError('LISTEN_FAILED', `cannot listen on ${url}: ${reason}, or change \`listen\``)
  const found = await lstat(path).catch(() => null)
  if (found === null) {
    const above = await stat(dirname(path)).catch(() => null)
    if (above === null) throw refuse(`there is no directory ${dirname(path)}: make it`)
    return
  }
  if (!found.isSocket()) throw refuse('there is a file of that name that is not a socket: move it away')
  const left = await new Promise<boolean>((resolve) => {
    const probe = net.connect({ path })
    probe.once('connect', () => {
      probe.destroy()
      resolve(false)
    })
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'))
  })
  if (left) await unlink(path)
}

/** Clients beyond the limit that may still finish their handshake, to be told in Redis' words that they are too many. */
const SPARE_HANDSHAKES = 64
