import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeStore } from '../../support/fake-store.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

const LARGE = Buffer.alloc(20 * 1024 * 1024, 'large reply ')
const MIDDLE = LARGE.subarray(0, 3 * 1024 * 1024)

let redis: RedisServer
let path: DataPathUnderTest

beforeAll(async () => {
  redis = await startRedis()
  await redis.client().mset('large', LARGE, 'middle', MIDDLE, 'small', 'x')
  await redis.client().rpush('list', ...Array.from({ length: 3_000 }, () => 'e'.repeat(1_000)))
})

afterAll(async () => {
  await redis?.stop()
})

afterEach(async () => {
  await path?.stop()
})

describe('large replies', () => {
  test.each(['shared', 'dedicated'] as const)(
    '(%s) come whole and in order, whatever is pipelined around them',
    async (connections) => {
      path = await startDataPath({ stores: { redis }, listen: { connections } })
      const raw = await path.raw()
      for (let round = 0; round < 2; round++) {
        for (const command of [
          ['GET', 'small'],
          ['GET', 'large'],
          ['LRANGE', 'list', '0', '-1'],
          ['GET', 'middle'],
          ['PING'],
        ])
          raw.command(...command)
        const [small, large, list, middle, pong] = [
          await raw.next(),
          await raw.next(),
          await raw.next(),
          await raw.next(),
          await raw.next(),
        ]
        expect(small.toString()).toBe('$1\r\nx\r\n')
        expect(large.subarray(11, -2).equals(LARGE)).toBe(true)
        expect(list.toString('latin1', 0, 7)).toBe('*3000\r\n')
        expect(list.length).toBe(7 + 3_000 * 1_009)
        expect(middle.subarray(10, -2).equals(MIDDLE)).toBe(true)
        expect(pong.toString()).toBe('+PONG\r\n')
        // One at a time: read again on a connection of its own where it may be.
        raw.command('GET', 'large')
        expect((await raw.next()).subarray(11, -2).equals(LARGE)).toBe(true)
      }
    },
  )

  test.each(['shared', 'dedicated'] as const)(
    '(%s) wait for a client that reads slowly; nobody else does',
    async (connections) => {
      path = await startDataPath({
        stores: { redis },
        listen: { connections },
        clients: { outputBuffer: limits(8 * 1024 * 1024) },
      })
      const [slow, other] = [await path.raw(), await path.raw()]
      slow.socket.pause()
      slow.command('GET', 'large')
      for (let i = 0; i < 100; i++) expect(await other.ask('PING')).toBe('+PONG\r\n')
      slow.socket.resume()
      expect((await slow.next()).subarray(11, -2).equals(LARGE)).toBe(true)
      expect(await slow.ask('PING')).toBe('+PONG\r\n')
    },
  )

  test.each(['shared', 'dedicated'] as const)('(%s) are left out where the client wants none', async (connections) => {
    path = await startDataPath({ stores: { redis }, listen: { connections } })
    const raw = await path.raw()
    // From the second time on the key is known to be large.
    for (const key of ['large', 'middle', 'large', 'large']) {
      raw.command('CLIENT', 'REPLY', 'SKIP')
      raw.command('GET', key)
      expect(await raw.ask('PING')).toBe('+PONG\r\n')
      raw.command('CLIENT', 'REPLY', 'OFF')
      raw.command('GET', key)
      expect(await raw.ask('CLIENT', 'REPLY', 'ON')).toBe('+OK\r\n')
      expect((await raw.ask('GET', key)).length).toBeGreaterThan(3_000_000)
    }
  })

  test('are not torn apart by messages to the same client', async () => {
    path = await startDataPath({ stores: { redis } })
    const client = await path.raw()
    await client.ask('HELLO', '3')
    await client.ask('SUBSCRIBE', 'news')
    client.socket.pause()
    client.command('GET', 'large')
    const publisher = redis.client()
    for (let i = 0; i < 50; i++) await publisher.publish('news', `message ${i}`)
    client.socket.resume()
    const frames: Buffer[] = []
    while (frames.length < 51) frames.push(await client.next())
    const reply = frames.find((frame) => frame[0] === 36)!
    expect(reply.subarray(11, -2).equals(LARGE)).toBe(true)
    const messages = frames
      .filter((frame) => frame[0] === 62)
      .map((frame) => /message (\d+)\r\n$/.exec(frame.toString())![1])
    expect(messages).toEqual(Array.from({ length: 50 }, (_, i) => `${i}`))
  })

  test('whose store goes half-way end the connection: nothing can follow half a reply', async () => {
    const store = await startRedis()
    await store.client().set('large', LARGE)
    path = await startDataPath({ stores: { store } })
    const client = await path.raw()
    client.socket.pause()
    client.command('GET', 'large')
    await eventually(async () => expect(await store.client().info('commandstats')).toContain('cmdstat_get:calls=2'))
    await store.stop()
    client.socket.resume()
    await client.closed
    expect(client.unread).toBe(0)
    const next = await path.raw()
    expect(await next.ask('PING')).toMatch(/^-ERR Understudy: store 'store' is down/)
  })

  test('whose rest never comes end the connection, too, when the store is given up', async () => {
    const fake = await halfOf(MIDDLE.length)
    path = await startDataPath({ stores: { fake }, store: { timeoutMs: 100 } })
    const [one, other] = [await path.raw(), await path.raw()]
    expect(await one.ask('ECHO')).toBe('+first\r\n')
    one.command('GET', 'middle')
    one.command('ECHO')
    await one.closed
    expect(one.unread).toBe(0)
    await eventually(async () => expect(await other.ask('ECHO')).toBe('+first\r\n'))
    await fake.stop()
  })

  test('whose store goes after the timeout end the connection as well', async () => {
    const fake = await halfOf(MIDDLE.length)
    // Long enough not to be given up before the store goes.
    path = await startDataPath({ stores: { fake }, store: { timeoutMs: 500 } })
    const [client, behind] = [await path.raw(), await path.raw()]
    client.command('GET', 'middle')
    await eventually(async () => expect(await behind.ask('ECHO')).toMatch(/did not answer in time/))
    fake.disconnect()
    await client.closed
    expect(client.unread).toBe(0)
    await fake.stop()
  })

  test('on connections of their own are given up when nothing more comes', async () => {
    const fake = await halfOf(LARGE.length)
    path = await startDataPath({ stores: { fake }, store: { timeoutMs: 100 } })
    const client = await path.raw()
    client.command('GET', 'large')
    await client.closed
    expect(client.unread).toBe(0)
    expect(fake.accepted).toBeGreaterThan(1)
    await fake.stop()
  })

  test.each(['shared', 'dedicated'] as const)(
    '(%s) may take longer than all timeouts, while something comes or the client does not read',
    async (connections) => {
      const half = LARGE.subarray(0, LARGE.length / 2)
      const piece = half.length / 40
      let isSent = false
      const fake = await FakeStore.start(([name], socket) => {
        if (name !== 'GET') return '+first\r\n'
        socket.write(`$${LARGE.length}\r\n`)
        socket.write(half)
        let at = 0
        const timer = setInterval(() => {
          socket.write(half.subarray(at, at + piece))
          at += piece
          if (at < half.length) return
          clearInterval(timer)
          isSent = true
          socket.write('\r\n')
        }, 30)
        return null
      })
      path = await startDataPath({ stores: { fake }, store: { timeoutMs: 200 }, listen: { connections } })
      const client = await path.raw()
      client.socket.pause()
      client.command('GET', 'large')
      await eventually(() => expect(isSent).toBe(true))
      client.socket.resume()
      expect((await client.next()).length).toBe(LARGE.length + 13)
      await fake.stop()
    },
  )
})

/** Gives the first half of a value of so many bytes, and is silent on that connection from then on. */
function halfOf(bytes: number): Promise<FakeStore> {
  const silent = new Set<unknown>()
  return FakeStore.start(([name], socket) => {
    if (silent.has(socket)) return null
    if (name !== 'GET') return '+first\r\n'
    silent.add(socket)
    socket.write(`$${bytes}\r\n`)
    return LARGE.subarray(0, bytes / 2)
  })
}

function limits(hardBytes: number) {
  const limit = { hardBytes, softBytes: 0, softMs: 0 }
  return { normal: limit, pubsub: limit }
}
