import net from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { driftBetween } from '../support/keyspace.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

/** A network on the way to a server that can hold what clients say, and let it go when they have long gone. */
class HoldingNetwork {
  /** Of which what the client says is held from now on. */
  readonly #connections = new Set<{ isHeld: boolean }>()
  readonly #held: { upstream: net.Socket; bytes: Buffer }[] = []
  readonly #sockets = new Set<net.Socket>()
  readonly #server: net.Server

  constructor(to: RedisServer) {
    this.#server = net.createServer((client) => {
      const upstream = net.connect(to.port, to.host)
      const connection = { isHeld: false }
      this.#connections.add(connection)
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket)
        socket.on('error', () => {})
      }
      client.on('data', (bytes: Buffer) => {
        if (connection.isHeld) this.#held.push({ upstream, bytes })
        else upstream.write(bytes)
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

  /** Those who connect later are served. */
  hold(): void {
    for (const connection of this.#connections) connection.isHeld = true
  }

  get heldBytes(): number {
    return this.#held.reduce((sum, { bytes }) => sum + bytes.length, 0)
  }

  /** What is held arrives, as far as the server still takes it. */
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

for (const which of ['primary', 'shadow'] as const) {
  test(`what the network holds of a connection to the ${which} that was given up is not executed behind what came later`, async () => {
    const [old, fresh] = await Promise.all([startRedis(), startRedis()])
    running.push(old, fresh)
    const network = await new HoldingNetwork(which === 'primary' ? old : fresh).start()
    running.push(network)
    const through = { host: '127.0.0.1', port: network.port }
    const path = await startDataPath({
      stores: which === 'primary' ? { old: through, new: fresh } : { old, new: through },
      routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
      store: { timeoutMs: 400 },
    })
    running.push(path)
    const app = path.client()
    await app.sadd('s', 'before')
    await app.set('k', 'before')
    await settled(path)

    network.hold()
    const written = Promise.allSettled([app.sadd('s', 'held'), app.set('k', 'held')])
    await eventually(() => expect(network.heldBytes).toBeGreaterThan(0))
    await written
    await eventually(() => app.set('k', 'after'))
    await eventually(() => expect(path.runtime.stats().stores['new']!.state).toBe('up'))
    await settled(path)

    await network.letGo()
    // Behind what was held in the line of both servers.
    await Promise.all([old.client().ping(), fresh.client().ping()])
    await app.set('end', 1)
    await settled(path)
    expect(await old.client().get('k')).toBe('after')
    expect(await driftBetween(old, fresh)).toEqual([])
  })
}
