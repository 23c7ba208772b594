import { unlink } from 'node:fs/promises'
import net from 'node:net'
import { UnderstudyError } from '../base/errors.ts'
import type { ListenConfig } from '../config/config.ts'
import { errorFields } from '../observability/log-error.ts'
import { adoptSocket } from './accepted-socket.ts'
import type { DataPath } from './data-path.ts'
import { endWithin } from './downstream.ts'
import { Session } from './session.ts'

const TOO_MANY = Buffer.from('-ERR max number of clients reached\r\n')
const KEEPALIVE_MS = 60_000

/** Accepts clients on one address. */
export class Listener {
  readonly config: ListenConfig
  readonly #path: DataPath
  readonly #server: net.Server

  constructor(config: ListenConfig, path: DataPath) {
    this.config = config
    this.#path = path
    this.#server = net.createServer({ noDelay: true, pauseOnConnect: true, allowHalfOpen: true }, (socket) =>
      this.#accept(socket),
    )
  }

  /** Resolves with the port (0 for a unix socket). Rejects with LISTEN_FAILED. */
  async open(): Promise<number> {
    const { endpoint, url } = this.config
    if (endpoint.kind === 'unix') await removeLeftOver(endpoint.path)
    return new Promise((resolve, reject) => {
      this.#server.once('error', (error: NodeJS.ErrnoException) => {
        const hint =
          error.code === 'EADDRINUSE'
            ? 'the address is in use: stop what listens there, or change `listen` in the configuration'
            : error.message
        reject(new UnderstudyError('LISTEN_FAILED', `cannot listen on ${url}: ${hint}`, { cause: error }))
      })
      const listening = (): void => {
        this.#server.on('error', (error) =>
          this.#path.log({ level: 'error', msg: 'listener error', fields: { url, error: error.message } }),
        )
        const address = this.#server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : 0)
      }
      if (endpoint.kind === 'unix') this.#server.listen({ path: endpoint.path }, listening)
      else this.#server.listen({ host: endpoint.host, port: endpoint.port, backlog: 1024 }, listening)
    })
  }

  /** No new clients; the connected ones stay. */
  close(): void {
    this.#server.close()
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
    session = new Session(path, socket)
    path.sessions.add(session)
    socket.resume()
  }
}

/** A defect met by one client's bytes ends that client's connection, nobody else's. */
function received(session: Session, buf: Buffer, length: number): void {
  try {
    session.receive(buf, length)
    session.path.turn.clientRead()
  } catch (error) {
    session.path.log({
      level: 'error',
      msg: 'a defect in Understudy; the client was disconnected',
      fields: errorFields(error),
    })
    session.socket.destroy()
  }
}

/** A socket file whose owner was killed stays behind, and would keep the next one from listening: it goes when nobody answers there. */
async function removeLeftOver(path: string): Promise<void> {
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
