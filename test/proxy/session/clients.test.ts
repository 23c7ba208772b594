import { once } from 'node:events'
import { connect } from 'node:net'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ClientsConfig, OutputLimit } from '../../../src/config/config.ts'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { bytesInBuffers } from '../../support/memory.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let store: RedisServer
let path: DataPathUnderTest
let admin: RawClient

beforeAll(async () => {
  store = await startRedis()
  path = await startDataPath({ stores: { only: store } })
  admin = await RawClient.open(store.port)
})
afterAll(async () => {
  admin.destroy()
  await path.stop()
  await store.stop()
})
/** Whatever happened: the store has seen no connection of the proxy go, and nobody has met a defect. */
afterEach(async () => {
  const client = await path.raw()
  expect(await client.ask('PING')).toBe('+PONG\r\n')
  client.destroy()
  const said = path.notices.map((notice) => JSON.stringify(notice))
  expect(said.filter((line) => /lost|defect/.test(line))).toEqual([])
  await eventually(() => expect(path.runtime.stats().routes['all']!.inFlight).toBe(0))
})

const packet = (...commands: (string | number)[][]) => Buffer.concat(commands.map((command) => encodeCommand(command)))

describe('bytes that are no command', () => {
  test.each([
    '*abc\r\n',
    '*1x\r\n',
    '*1\r\n+OK\r\n',
    '*1\r\n$abc\r\n',
    '*1\r\n$-5\r\n',
    '*1\r\n$536870913\r\n',
    '*2\r\n$3\r\nGET\r\n:1\r\n',
    'SET k "unbalanced\r\n',
    "GET 'a'b\r\n",
  ])('%j: answered as by the server, and the connection ends', (bytes) => endsAlike(bytes))

  test('a line of more than 64 KB: as by the server', () => endsAlike('x'.repeat(70_000)))

  test('more arguments than Understudy takes: refused by their number alone', async () => {
    for (const header of ['*16777217\r\n', '*99999999999999999999\r\n']) {
      const client = await path.raw()
      client.send(header)
      expect(await client.text()).toMatch(/^-ERR Protocol error: /)
      await client.closed
    }
  })

  const endsAlike = async (bytes: string): Promise<void> => {
    const [there, here] = [await RawClient.open(store.port), await path.raw()]
    for (const client of [there, here]) {
      client.send(encodeCommand(['ECHO', 'before']))
      client.send(bytes)
    }
    const expected = await there.take(2)
    expect(await here.take(2)).toEqual(expected)
    await here.closed
    there.destroy()
  }

  test('an HTTP request is not passed on: the store would drop the connection that all share', async () => {
    const client = await path.raw()
    client.send('POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSET k evil\r\n')
    await client.closed
    const other = await path.raw()
    other.send('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    expect(await other.text()).toMatch(/^-ERR wrong number/)
    await other.closed
    const third = await path.raw()
    third.send(packet(['MULTI'], ['SET', 'k', 'v'], ['POST', 'x'], ['EXEC']))
    await third.closed
    expect(await admin.ask('EXISTS', 'k')).toBe(':0\r\n')
    for (let i = 0; i < 5; i++) {
      const again = await path.raw()
      again.send('Host: localhost\r\n')
      await again.closed
    }
    // Whoever looks by HTTP whether anybody is there, again and again, does not fill the log.
    expect(path.notices.filter((notice) => JSON.stringify(notice).includes('speaks HTTP'))).toHaveLength(1)
  })

  test('any bytes at all harm nobody but their sender', async () => {
    const witness = await path.raw()
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
      fc.constantFrom(
        ...[
          '*',
          '$',
          '\r\n',
          '*2\r\n',
          '$3\r\n',
          '*-1\r\n',
          '*1\r\n$4\r\nPING\r\n',
          'PING\r\n',
          '*3\r\n$3\r\nSET\r\n',
          '"',
          '\0',
        ].map((text) => Buffer.from(text)),
      ),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 12 }), fc.nat(), async (pieces, seed) => {
        const bytes = Buffer.concat(pieces)
        // A word that would stop the server or the test itself is improbable enough.
        const client = await path.raw()
        const cut = bytes.length === 0 ? 0 : seed % bytes.length
        await client.sendApart(bytes.subarray(0, cut))
        client.send(bytes.subarray(cut))
        await client.end()
        const token = `${seed}`
        expect(await witness.ask('ECHO', token)).toBe(`$${token.length}\r\n${token}\r\n`)
        await client.closed
      }),
      { numRuns: 150 },
    )
  })
})

test('one client too many is told so, and there is room again when another leaves', async () => {
  const small = await startDataPath({ stores: { only: store }, clients: { maxClients: 3 } })
  try {
    const clients = await Promise.all([small.raw(), small.raw(), small.raw()])
    for (const client of clients) await client.ask('PING')
    const refused = await small.raw()
    expect(await refused.text()).toBe('-ERR max number of clients reached\r\n')
    await refused.closed
    clients[0]!.destroy()
    await eventually(async () => expect(await (await small.raw()).ask('PING')).toBe('+PONG\r\n'))
  } finally {
    await small.stop()
  }
})

test('a refused client that does not close is closed', async () => {
  const small = await startDataPath({ stores: { only: store }, clients: { maxClients: 0 } })
  const socket = connect({ port: small.port, host: '127.0.0.1', allowHalfOpen: true })
  socket.resume()
  try {
    await once(socket, 'end')
    // Written after the other side has closed for good: answered by a reset.
    const reset = once(socket, 'error')
    const writing = setInterval(() => socket.write('x'), 20)
    await reset
    clearInterval(writing)
  } finally {
    socket.destroy()
    await small.stop()
  }
})

describe('a client that sends and says its last word', () => {
  test.each([
    ['ordinary commands', packet(['SET', 'a', 1], ['GET', 'a'], ['ECHO', 'x']), 3],
    ['commands and half of one', Buffer.concat([packet(['PING'], ['PING']), Buffer.from('*2\r\n$3\r\nGET')]), 2],
    ['a database of its own', packet(['SELECT', 9], ['SET', 'a', 9], ['GET', 'a']), 3],
    ['a transaction', packet(['MULTI'], ['INCR', 'n'], ['EXEC'], ['GET', 'n']), 4],
    ['a watched transaction', packet(['WATCH', 'a'], ['MULTI'], ['SET', 'a', 2], ['EXEC'], ['GET', 'a']), 5],
    ['a change of protocol', packet(['PING'], ['HELLO', 3], ['PING']), 3],
    ['blocking commands that find something', packet(['RPUSH', 'l', 'x'], ['BLPOP', 'l', 0], ['PING']), 3],
    ['a thousand commands', packet(...Array.from({ length: 1_000 }, (_, i) => ['ECHO', i])), 1_000],
  ])('gets every reply: %s', async (_what, bytes, replies) => {
    for (let round = 0; round < 5; round++) {
      const client = await path.raw()
      client.send(bytes)
      await client.end()
      expect((await client.take(replies)).filter((reply) => reply.startsWith('-'))).toEqual([])
      await client.closed
      expect(client.unread).toBe(0)
    }
  })

  test('is gone from the list, also when it was blocked', async () => {
    const client = await path.raw()
    client.command('BLPOP', 'never', 0)
    await eventually(async () => expect(await admin.ask('INFO', 'clients')).toContain('blocked_clients:1\r\n'))
    await client.end()
    await client.closed
    await eventually(async () => expect(await admin.ask('INFO', 'clients')).toContain('blocked_clients:0\r\n'))
  })
})

test('clients that send and vanish leave the others’ replies alone', async () => {
  const witness = await path.raw()
  await admin.ask('SET', 'large', 'x'.repeat(100_000))
  for (let i = 0; i < 200; i++) {
    const client = await path.raw()
    client.send(packet(['GET', 'large'], ['ECHO', 'not yours'], ['INCR', 'n'], ['GET', 'large']))
    if (i % 3 === 0) await client.text()
    if (i % 2 === 0) client.socket.resetAndDestroy()
    else client.destroy()
    expect(await witness.ask('ECHO', i)).toBe(`$${`${i}`.length}\r\n${i}\r\n`)
  }
  await eventually(() => expect(path.runtime.stats().clients).toBeLessThan(5))
})

describe('a client that does not read', () => {
  test('is disconnected beyond the limit; until then its commands wait, and nobody else’s', async () => {
    const limit = 4 * 1024 * 1024
    const strict = await startDataPath({ stores: { only: store }, clients: outputLimits({ hardBytes: limit }) })
    try {
      await admin.ask('SET', 'large', 'x'.repeat(100_000))
      const [lazy, other] = [await strict.raw(), await strict.raw()]
      lazy.socket.pause()
      const before = bytesInBuffers()
      // Far more than kernel buffers hold: 200 MB of replies.
      for (let i = 0; i < 2_000; i++) lazy.command('GET', 'large')
      for (let i = 0; i < 200; i++) expect(await other.ask('ECHO', i)).toBe(`$${`${i}`.length}\r\n${i}\r\n`)
      expect(bytesInBuffers() - before).toBeLessThan(8 * limit)
      // It begins to read: either everything comes, in order, or it had been disconnected. Never a wrong or missing reply in between.
      lazy.socket.resume()
      const got = await Promise.race([
        lazy
          .take(2_000)
          .then((all) => all.length)
          .catch(() => -1),
        lazy.closed.then(() => -1),
      ])
      expect([2_000, -1]).toContain(got)
    } finally {
      await strict.stop()
    }
  })

  test('is disconnected when messages pile up', async () => {
    const strict = await startDataPath({ stores: { only: store }, clients: outputLimits({ hardBytes: 1024 * 1024 }) })
    try {
      const [lazy, publisher] = [await strict.raw(), await strict.raw()]
      await lazy.ask('SUBSCRIBE', 'news')
      lazy.socket.pause()
      const message = 'x'.repeat(100_000)
      await eventually(async () => expect(await publisher.ask('PUBLISH', 'news', message)).toBe(':0\r\n'), {
        intervalMs: 0,
      })
      const said = strict.notices.map((notice) => JSON.stringify(notice))
      expect(said.some((line) => line.includes('does not read what it is sent'))).toBe(true)
      lazy.destroy()
    } finally {
      await strict.stop()
    }
  })

  test('may stay beyond the soft limit for the soft time only, also when nothing more is said to it', async () => {
    // Longer for a machine on which the messages and the reading of them take longer than that.
    for (let softMs = 1_500; !(await leavesOnlyTheLazy(softMs)); softMs *= 4) expect(softMs).toBeLessThan(10_000)
  })

  /** False: the machine was too slow for that time, and nothing is known. */
  const leavesOnlyTheLazy = async (softMs: number): Promise<boolean> => {
    const soft = { softBytes: 512 * 1024, softMs }
    const strict = await startDataPath({ stores: { only: store }, clients: outputLimits(soft) })
    try {
      const [lazy, brief, publisher] = [await strict.raw(), await strict.raw(), await strict.raw()]
      for (const client of [lazy, brief]) {
        await client.ask('SUBSCRIBE', 'news')
        client.socket.pause()
      }
      const began = performance.now()
      // More than the kernel takes for a client that does not read.
      for (let i = 0; i < 120; i++) await publisher.ask('PUBLISH', 'news', 'x'.repeat(100_000))
      const { clients } = strict.runtime.stats()
      brief.socket.resume()
      await Promise.race([brief.take(120).catch(() => {}), brief.closed])
      if (performance.now() - began > softMs * 0.8) return false
      expect(clients).toBe(3)
      await eventually(() => expect(strict.runtime.stats().clients).toBe(2))
      expect(await brief.ask('PING')).toContain('pong')
      await publisher.ask('PUBLISH', 'news', 'still there')
      expect(await brief.text()).toContain('still there')
      return true
    } finally {
      await strict.stop()
    }
  }

  test('costs about what its limit says, however small the messages are', async () => {
    const limit = 4 * 1024 * 1024
    const strict = await startDataPath({ stores: { only: store }, clients: outputLimits({ hardBytes: limit }) })
    try {
      const [lazy, publisher] = [await strict.raw(), await strict.raw()]
      await lazy.ask('SUBSCRIBE', 'news')
      lazy.socket.pause()
      // Until the kernel takes no more, which does not always take the same.
      const waits = async (): Promise<boolean> => / sub=1 .* omem=[1-9]/.test(await publisher.ask('CLIENT', 'LIST'))
      let filled = 0
      for (; !(await waits()); filled++) await publisher.ask('PUBLISH', 'news', 'x'.repeat(100_000))
      const before = bytesInBuffers()
      for (let i = 0; i < 1_000; i++) await publisher.ask('PUBLISH', 'news', `message ${i}`)
      expect(strict.runtime.stats().clients).toBe(2)
      expect(bytesInBuffers() - before).toBeLessThan(limit)
      lazy.socket.resume()
      const last = (await lazy.take(filled + 1_000)).at(-1)
      expect(last).toContain('message 999')
    } finally {
      await strict.stop()
    }
  })
})

function outputLimits(limits: Partial<OutputLimit>): Partial<ClientsConfig> {
  const whole = { hardBytes: 256 * 1024 * 1024, softBytes: 0, softMs: 0, ...limits }
  return { outputBuffer: { normal: whole, pubsub: whole } }
}
