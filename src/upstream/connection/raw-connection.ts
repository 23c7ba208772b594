import type net from 'node:net'
import type { Endpoint, StoreConfig } from '../../config/config.ts'
import { MINUS } from '../../resp/bytes.ts'
import { ReplyFramer } from '../../resp/reply-framer.ts'
import { connectTo, readyEvent } from './connect.ts'
import { greetings, type StoreUser } from './handshake.ts'

export interface RawConnectionOwner {
  /** What the store says after the greeting, as it comes: a view, valid during the call. */
  bytes(buf: Buffer, length: number): void
  /** It is over, or never came to be; called once. `reason` is for the log and for the client. */
  closed(reason: string): void
  /** The store has taken what was written. */
  drained(): void
}

/**
 * A connection to a store whose bytes are not RESP replies, one for a command: a replica's stream, which begins with a whole RDB file. Signs in as every other connection,
 * and is a pipe from then on. It is not opened again when it ends.
 */
export class RawConnection {
  readonly #owner: RawConnectionOwner
  readonly #store: StoreConfig
  readonly #user: StoreUser | null
  #socket: net.Socket | null = null
  #owed = 0
  #ready = false
  /** Until it is ready; short, for its owner sends a handful of words before it hears anything. */
  #early: Buffer[] = []
  #greeting = Buffer.alloc(0)
  #deadline: NodeJS.Timeout

  constructor(store: StoreConfig, endpoint: Endpoint, user: StoreUser | null, owner: RawConnectionOwner) {
    this.#owner = owner
    this.#store = store
    this.#user = user
    this.#deadline = this.#limitTime(store.connectTimeoutMs)
    const socket = connectTo(endpoint, store, (buf, length) => this.#receive(buf, length))
    this.#socket = socket
    socket.once(readyEvent(store), () => this.#greet())
    socket.on('drain', () => owner.drained())
    socket.on('error', (error: Error) => this.#end(error.message))
    socket.on('end', () => this.#end('closed by the store'))
    socket.on('close', () => this.#end('connection closed'))
  }

  /** Bytes that wait for the store. */
  get pendingBytes(): number {
    return this.#socket?.writableLength ?? 0
  }

  /** Copies the bytes. */
  write(buf: Buffer, from: number, to: number): void {
    const bytes = Buffer.from(buf.subarray(from, to))
    if (this.#ready) this.#socket?.write(bytes)
    else this.#early.push(bytes)
  }

  pause(): void {
    this.#socket?.pause()
  }

  resume(): void {
    this.#socket?.resume()
  }

  close(): void {
    clearTimeout(this.#deadline)
    const socket = this.#socket
    this.#socket = null
    if (socket === null) return
    socket.removeAllListeners()
    socket.on('error', () => {})
    socket.destroy()
  }

  #limitTime(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.#end(`no connection within ${ms} ms`), ms)
  }

  #greet(): void {
    // It is there, and may be busy: as long as for any other answer.
    clearTimeout(this.#deadline)
    this.#deadline = this.#limitTime(Math.max(this.#store.connectTimeoutMs, this.#store.timeoutMs))
    const words = greetings(this.#store, { database: 0, protocol: 2, user: this.#user }, 'shared').filter(
      (greeting) => greeting.required,
    )
    this.#owed = words.length
    if (words.length === 0) this.#begin()
    else this.#socket!.write(Buffer.concat(words.map((greeting) => greeting.bytes)))
  }

  #begin(): void {
    clearTimeout(this.#deadline)
    this.#ready = true
    for (const bytes of this.#early.splice(0)) this.#socket?.write(bytes)
  }

  #receive(buf: Buffer, length: number): void {
    if (this.#ready) {
      this.#owner.bytes(buf, length)
      return
    }
    // Nothing follows the answers to the greeting before something has been asked.
    this.#greeting = Buffer.concat([this.#greeting, buf.subarray(0, length)])
    const framer = new ReplyFramer()
    for (let at = 0; this.#owed > 0; this.#owed--) {
      const end = framer.frame(this.#greeting, at, this.#greeting.length)
      if (end === -1) {
        this.#greeting = this.#greeting.subarray(at)
        return
      }
      if (this.#greeting[at] === MINUS) {
        this.#end(`sign-in was refused: ${this.#greeting.toString('latin1', at + 1, end - 2)}`)
        return
      }
      at = end
    }
    this.#begin()
  }

  #end(reason: string): void {
    if (this.#socket === null) return
    this.close()
    this.#owner.closed(reason)
  }
}
