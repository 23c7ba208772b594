import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { bytesInBuffers } from '../../support/memory.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let store: RedisServer
let path: DataPathUnderTest
const clients: RawClient[] = []

beforeAll(async () => {
  store = await startRedis()
  path = await startDataPath({ stores: { only: store } })
})
afterAll(async () => {
  await path.stop()
  await store.stop()
})
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy()
})

const open = async (): Promise<RawClient> => {
  const client = await path.raw()
  clients.push(client)
  return client
}
const bulk = (value: string) => `$${value.length}\r\n${value}\r\n`

test('ten thousand commands in one breath are answered in order', async () => {
  const client = await open()
  client.send(Buffer.concat(Array.from({ length: 10_000 }, () => encodeCommand(['INCR', 'n']))))
  expect(await client.take(10_000)).toEqual(Array.from({ length: 10_000 }, (_, i) => `:${i + 1}\r\n`))
})

test('fifty clients with interleaved pipelines each get their own replies in order', async () => {
  const all = await Promise.all(Array.from({ length: 50 }, open))
  await Promise.all(
    all.map(async (client, c) => {
      if (c % 2 === 1) await client.ask('HELLO', 3)
      if (c % 5 === 0) await client.ask('SELECT', 1)
      for (let round = 0; round < 10; round++) {
        const tokens = Array.from({ length: 1 + ((c * 7 + round * 13) % 100) }, (_, i) => `${c}-${round}-${i}`)
        const bytes = Buffer.concat(
          tokens.map((token, i) => encodeCommand(i % 9 === 8 ? ['GETRANGE', token] : ['ECHO', token])),
        )
        // Cut anywhere, so that frames of many clients are under way at once.
        const cut = (c * 31 + round * 17) % bytes.length
        await client.sendApart(bytes.subarray(0, cut))
        client.send(bytes.subarray(cut))
        const wrong = "-ERR wrong number of arguments for 'getrange' command\r\n"
        expect(await client.take(tokens.length)).toEqual(tokens.map((token, i) => (i % 9 === 8 ? wrong : bulk(token))))
      }
    }),
  )
})

describe('sizes', () => {
  const KB = 1024
  test.each([15, 16, 17, 63, 64, 65, 128, KB, 4 * KB])('a value of about %i KB comes back whole', async (kilobytes) => {
    const client = await open()
    for (const bytes of [-20, -1, 0, 1, 20].map((delta) => kilobytes * KB + delta)) {
      const value = Buffer.alloc(bytes, `${bytes},`)
      client.command('SET', 'k', 'small')
      client.command('SET', 'k', value)
      client.command('GET', 'k')
      client.command('STRLEN', 'k')
      expect(await client.take(2)).toEqual(['+OK\r\n', '+OK\r\n'])
      const got = await client.next()
      expect(got.equals(Buffer.concat([Buffer.from(`$${bytes}\r\n`), value, Buffer.from('\r\n')]))).toBe(true)
      expect(await client.text()).toBe(`:${bytes}\r\n`)
    }
  })

  test('a value of 100 MB comes and goes while others go on', async () => {
    const [large, other] = [await open(), await open()]
    const value = Buffer.alloc(100 * KB * KB, 'abcdefg')
    let done = false
    let pings = 0
    const others = (async () => {
      while (!done) {
        expect(await other.ask('ECHO', `${pings}`)).toBe(bulk(`${pings}`))
        pings++
      }
    })()
    const bytes = encodeCommand(['SET', 'large', value])
    const half = Math.floor(bytes.length / 2)
    await large.sendApart(bytes.subarray(0, half))
    // However fast the rest is.
    await eventually(() => expect(pings).toBeGreaterThan(10))
    large.send(bytes.subarray(half))
    expect(await large.text()).toBe('+OK\r\n')
    large.command('GET', 'large')
    const reply = await large.next()
    done = true
    await others
    expect(reply.subarray(-value.length - 2, -2).equals(value)).toBe(true)
  })

  test('what a large value needed is given back, though its client and the connection stay', async () => {
    const client = await open()
    const before = bytesInBuffers()
    await (async () => {
      expect(await client.ask('SET', 'large', Buffer.alloc(50 * KB * KB))).toBe('+OK\r\n')
      client.command('GET', 'large')
      await client.next()
    })()
    expect(await client.ask('PING')).toBe('+PONG\r\n')
    // Collected when the engine gets to it.
    await eventually(() => expect(bytesInBuffers() - before).toBeLessThan(10 * KB * KB))
  })

  test('a command of a million elements, and its reply', async () => {
    const client = await open()
    const elements = Array.from({ length: 1_000_000 }, (_, i) => (i % 10).toString())
    client.command('DEL', 'list')
    client.send(encodeCommand(['RPUSH', 'list', ...elements]))
    client.command('LRANGE', 'list', 0, -1)
    client.command('PING')
    expect(await client.text()).toBe(':0\r\n')
    expect(await client.text()).toBe(':1000000\r\n')
    const reply = await client.next()
    expect(reply.length).toBe('*1000000\r\n'.length + 7 * 1_000_000)
    expect(reply.subarray(-14).toString()).toBe('$1\r\n8\r\n$1\r\n9\r\n')
    expect(await client.text()).toBe('+PONG\r\n')
  })
})

test('a thousand idle clients cost the others nothing, and all can speak', async () => {
  const idle = await Promise.all(Array.from({ length: 1_000 }, open))
  const busy = await open()
  for (let i = 0; i < 200; i++) expect(await busy.ask('ECHO', `${i}`)).toBe(bulk(`${i}`))
  await Promise.all(idle.map(async (client, i) => expect(await client.ask('ECHO', `${i}`)).toBe(bulk(`${i}`))))
  expect(path.runtime.stats().clients).toBeGreaterThanOrEqual(1_001)
})
