import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { encodeCommand } from '../../src/resp/encode.ts'
import { ReplyFramer } from '../../src/resp/reply-framer.ts'

/** A connection that sends any bytes in any pieces, and gives replies as they are on the wire, one by one. */
export class RawClient {
  readonly socket: Socket
  /** Resolves when the connection has ended in both directions, in whatever way. */
  readonly closed: Promise<void>
  /** The other side has said its last word. */
  ended = false
  readonly #framer = new ReplyFramer()
  readonly #frames: Buffer[] = []
  readonly #waiting: { resolve: (frame: Buffer) => void; reject: (error: Error) => void }[] = []
  #bytes: Buffer[] = []
  #length = 0

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('error', () => {})
    socket.on('end', () => this.#end())
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#end()
        resolve()
      })
    })
  }

  /** `allowHalfOpen`: the client's own end stays open until `destroy`. */
  static async open(port: number): Promise<RawClient> {
    return RawClient.over(connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: false }))
  }

  /** Rejects when TLS or the socket does not come about. */
  static async openTls(port: number, options: ConnectionOptions): Promise<RawClient> {
    return RawClient.over(connectTls({ port, host: '127.0.0.1', ...options }), 'secureConnect')
  }

  static async openUnix(path: string): Promise<RawClient> {
    return RawClient.over(connect({ path }))
  }

  static async over(socket: Socket, ready: 'connect' | 'secureConnect' = 'connect'): Promise<RawClient> {
    await new Promise((resolve, reject) => socket.once(ready, resolve).once('error', reject))
    return new RawClient(socket)
  }

  /** Sends text (one byte a character) or bytes. */
  send(bytes: Buffer | string): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  command(...args: readonly (Buffer | string | number)[]): void {
    this.send(encodeCommand(args))
  }

  /** Sends, and resolves when the kernel has it: what is sent next is a packet of its own as far as that can be forced. */
  async sendApart(bytes: Buffer | string): Promise<void> {
    await new Promise((resolve) =>
      this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, resolve),
    )
    await new Promise((resolve) => setImmediate(resolve))
  }

  /** The next reply's bytes. Rejects when the connection ends first. */
  next(): Promise<Buffer> {
    const frame = this.#frames.shift()
    if (frame !== undefined) return Promise.resolve(frame)
    if (this.ended) return Promise.reject(new Error('the connection has ended'))
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  /** The next reply as text, one character a byte. */
  async text(): Promise<string> {
    return (await this.next()).toString('latin1')
  }

  async take(count: number): Promise<string[]> {
    const texts: string[] = []
    for (let i = 0; i < count; i++) texts.push(await this.text())
    return texts
  }

  async ask(...args: readonly (Buffer | string | number)[]): Promise<string> {
    this.command(...args)
    return this.text()
  }

  /** Replies that have arrived and nobody has asked for. */
  get unread(): number {
    return this.#frames.length
  }

  /** Says no more, and goes on listening. */
  async end(): Promise<void> {
    this.socket.end()
    await once(this.socket, 'finish')
  }

  destroy(): void {
    this.socket.destroy()
  }

  #read(chunk: Buffer): void {
    this.#bytes.push(chunk)
    this.#length += chunk.length
    // Joined only when the frame can be whole, so that a large reply is copied once.
    if (this.#length < this.#framer.bytesNeeded) return
    let bytes = this.#bytes.length === 1 ? this.#bytes[0]! : Buffer.concat(this.#bytes)
    while (bytes.length > 0) {
      const end = this.#framer.frame(bytes, 0, bytes.length)
      if (end === -1) break
      const frame = bytes.subarray(0, end)
      const waiting = this.#waiting.shift()
      if (waiting === undefined) this.#frames.push(frame)
      else waiting.resolve(frame)
      bytes = bytes.subarray(end)
    }
    this.#bytes = bytes.length === 0 ? [] : [bytes]
    this.#length = bytes.length
  }

  #end(): void {
    this.ended = true
    for (const { reject } of this.#waiting.splice(0)) reject(new Error('the connection has ended'))
  }
}
