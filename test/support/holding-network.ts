import net from 'node:net'
import type { RedisServer } from './redis.ts'

/** A network on the way to a server that can hold what clients say, and let it go when they have long gone. */
export class HoldingNetwork {
  readonly #connections = new Set<{ isHeld: boolean; said: string }>()
  readonly #held: { upstream: net.Socket; bytes: Buffer }[] = []
  readonly #sockets = new Set<net.Socket>()
  readonly #server: net.Server
  #heldFrom: string | null = null

  constructor(to: RedisServer) {
    this.#server = net.createServer((client) => {
      const upstream = net.connect(to.port, to.host)
      const connection = { isHeld: false, said: '' }
      this.#connections.add(connection)
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket)
        socket.on('error', () => {})
      }
      client.on('data', (bytes: Buffer) => {
        if (this.#heldFrom !== null && bytes.toString('latin1').toUpperCase().includes(this.#heldFrom))
          connection.isHeld = true
        if (connection.isHeld) this.#held.push({ upstream, bytes })
        else {
          connection.said += bytes.toString('latin1').toUpperCase()
          upstream.write(bytes)
        }
      })
      client.on('close', () => connection.isHeld || upstream.destroy())
      upstream.on('data', (bytes) => client.destroyed || client.write(bytes))
      upstream.on('close', () => client.destroy())
    })
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return this
  }

  /** What is said from now on by those that have said `word` (upper case) before. Those who connect later are served. */
  hold(word = ''): void {
    for (const connection of this.#connections) if (connection.said.includes(word)) connection.isHeld = true
  }

  /** Whoever says `word` (upper case) is held from there on. */
  holdFrom(word: string): void {
    this.#heldFrom = word
  }

  /** Whether somebody has said this, and it is held. */
  holds(text: string): boolean {
    return this.#held.some(({ bytes }) => bytes.includes(text))
  }

  /** Somebody is held, and has said something. */
  get holdsAny(): boolean {
    return this.#held.length > 0
  }

  /** What is held arrives, and so does what is said from now on. */
  pass(): void {
    this.#heldFrom = null
    for (const connection of this.#connections) connection.isHeld = false
    for (const { upstream, bytes } of this.#held.splice(0)) upstream.write(bytes)
  }

  /** What is held arrives, as far as the server still takes it, and then the connection ends. */
  async letGo(): Promise<void> {
    for (const { upstream, bytes } of this.#held.splice(0)) {
      if (!upstream.destroyed) await new Promise((resolve) => upstream.end(bytes, () => resolve(null)))
    }
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
