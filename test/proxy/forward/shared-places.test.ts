import type { Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeStore } from '../../support/fake-store.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { countShared } from '../../support/shared-places.ts'

// Commands of one packet that are alike share a place in the ring: what becomes of each of them has to be the same as if they did not.

const cleanUps: (() => unknown)[] = []
const shared = countShared()
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

const gets = (...keys: (string | number)[]): Buffer =>
  Buffer.concat(keys.map((key) => encodeCommand(['GET', `${key}`])))

const TEN = Array.from({ length: 10 }, (_, i) => i)

/** Both are stopped with the test. */
async function pathTo(
  store: FakeStore | RedisServer,
  settings: DataPathOptions['store'] = {},
): Promise<DataPathUnderTest> {
  const path = await startDataPath({ stores: { store }, store: settings })
  cleanUps.push(
    () => store.stop(),
    () => path.stop(),
  )
  return path
}

async function replies(client: RawClient, count: number): Promise<string[]> {
  const list: string[] = []
  for (let i = 0; i < count; i++) list.push(await client.text())
  return list
}

const value = (text: string | number): string => `$${`${text}`.length}\r\n${text}\r\n`

test.each([0, 1, 4, 9])(
  'when a store breaks off after %i of ten replies, those have come and all others are lost',
  async (some) => {
    let answered = 0
    let isOver = false
    const store = await FakeStore.start(([name, key]) => {
      if (name !== 'GET') return '-ERR no\r\n'
      if (isOver || answered++ < some) return value(key!)
      isOver = true
      return 'close'
    })
    const path = await pathTo(store)
    const client = await path.raw()
    client.send(gets(...TEN))
    const heard = await replies(client, 10)
    expect(heard.slice(0, some)).toEqual(TEN.slice(0, some).map(value))
    for (const reply of heard.slice(some)) expect(reply).toMatch(/^-.*may have been executed/)
    expect(shared.count).toBe(9)
    const { counters, inFlight } = path.runtime.stats().routes['all']!
    expect(counters).toMatchObject({ primaryOk: some, primaryLost: 10 - some })
    expect(inFlight).toBe(0)
    await eventually(async () => {
      client.send(gets(7, 8))
      expect(await replies(client, 2)).toEqual([value(7), value(8)])
    })
  },
)

test('each one that a store does not answer in time is told so, and replies that come late are nobody’s', async () => {
  let isSilent = true
  let connection: Socket | null = null
  const held: string[] = []
  const store = await FakeStore.start(([name, key], socket) => {
    if (name !== 'GET') return '-ERR no\r\n'
    if (!isSilent || Number(key) < 3) return value(key!)
    connection = socket
    held.push(key!)
    return null
  })
  const path = await pathTo(store, { timeoutMs: 1_000 })
  const [client, other] = [await path.raw(), await path.raw()]
  client.send(gets(...TEN))
  other.send(gets(10, 11, 12))
  expect(await replies(client, 3)).toEqual([value(0), value(1), value(2)])
  for (const reply of await replies(client, 7)) expect(reply).toMatch(/^-.*did not answer in time/)
  for (const reply of await replies(other, 3)) expect(reply).toMatch(/^-.*did not answer in time/)
  expect(held.map(Number)).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
  isSilent = false
  connection!.write(held.map(value).join(''))
  client.send(gets(20, 21))
  expect(await replies(client, 2)).toEqual([value(20), value(21)])
  expect(shared.count).toBe(9 + 2 + 1)
})

test('errors and replies of any kind and size among them keep their places', async () => {
  const path = await pathTo(await startRedis())
  const client = await path.raw()
  const large = 'x'.repeat(3_000_000)
  expect(await client.ask('MSET', 'a', '1', 'b', '', 'c', 'c'.repeat(1_000), 'large', large)).toBe('+OK\r\n')
  expect(await client.ask('LPUSH', 'list', 'x')).toBe(':1\r\n')
  shared.count = 0
  const keys = ['a', 'b', 'list', 'none', 'a', 'large', 'c', 'list', 'list', 'a', 'large', 'a', 'none', 'none', 'b']
  client.send(gets(...keys))
  const expected: Record<string, string> = {
    a: value(1),
    b: value(''),
    c: value('c'.repeat(1_000)),
    large: value(large),
    none: '$-1\r\n',
    list: '-WRONGTYPE Operation against a key holding the wrong kind of value\r\n',
  }
  expect(await replies(client, keys.length)).toEqual(keys.map((key) => expected[key]))
  expect(shared.count).toBe(keys.length - 1)
  client.send(Buffer.concat(TEN.map((i) => encodeCommand(['INCRBY', 'n', i]))))
  expect(await replies(client, 10)).toEqual([0, 1, 3, 6, 10, 15, 21, 28, 36, 45].map((n) => `:${n}\r\n`))
  expect(path.runtime.stats().routes['all']!.inFlight).toBe(0)
})

test('SLOWLOG names the client of a packet that was late', async () => {
  const store = await startRedis({ args: ['--slowlog-log-slower-than', '0', '--enable-debug-command', 'local'] })
  const path = await pathTo(store)
  const [client, other, direct] = [await path.raw(), await path.raw(), await RawClient.open(store.port)]
  await client.ask('CLIENT', 'SETNAME', 'late')
  await client.ask('GET', 'warm')
  direct.command('DEBUG', 'SLEEP', '0.1')
  client.send(gets('first', 'second', 'third'))
  expect(await replies(client, 3)).toEqual(['$-1\r\n', '$-1\r\n', '$-1\r\n'])
  expect(shared.count).toBe(2)
  const address = `127.0.0.1:${client.socket.localPort}`
  expect(await other.ask('SLOWLOG', 'GET')).toContain(
    `$3\r\nGET\r\n$5\r\nfirst\r\n$${address.length}\r\n${address}\r\n$4\r\nlate\r\n`,
  )
  direct.destroy()
})

test('two clients, and commands of other names between them, get places of their own', async () => {
  const path = await pathTo(await startRedis())
  const clients = [await path.raw(), await path.raw(), await path.raw()]
  for (let round = 0; round < 30; round++) {
    for (const [i, client] of clients.entries())
      client.send(
        Buffer.concat([
          ...TEN.map((n) => encodeCommand(['SET', `${i}:${n}`, `${round}-${i}-${n}`])),
          encodeCommand(['PING']),
          gets(...TEN.map((n) => `${i}:${n}`)),
          encodeCommand(['STRLEN', `${i}:0`]),
          gets(`${i}:3`, `${i}:4`),
        ]),
      )
    for (const [i, client] of clients.entries()) {
      const text = (n: number): string => value(`${round}-${i}-${n}`)
      expect(await replies(client, 24)).toEqual([
        ...TEN.map(() => '+OK\r\n'),
        '+PONG\r\n',
        ...TEN.map(text),
        `:${`${round}-${i}-0`.length}\r\n`,
        text(3),
        text(4),
      ])
    }
  }
  expect(shared.count).toBe(30 * 3 * (9 + 9 + 1))
})
