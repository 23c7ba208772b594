import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../../support/understudy.ts'

let redis: RedisServer
let path: DataPathUnderTest | null = null
let understudy: UnderstudyProcess | null = null

afterEach(async () => {
  await path?.stop()
  await understudy?.stop()
  await redis?.stop()
  path = null
  understudy = null
})

function memory(): number {
  const status = readFileSync(`/proc/${understudy!.pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) / 1024
}

async function open(count: number): Promise<RawClient[]> {
  const clients: RawClient[] = []
  while (clients.length < count) {
    const next = Array.from({ length: Math.min(100, count - clients.length) }, () => RawClient.open(understudy!.port))
    clients.push(...(await Promise.all(next)))
  }
  return clients
}

describe('many clients', () => {
  test('1,000 that block cost little each, each gets one element, and none goes to who is gone', async () => {
    redis = await startRedis()
    understudy = await startUnderstudy({
      stores: { only: redis.url },
      routes: [{ name: 'all', keys: ['*'], source: 'only' }],
    })
    const admin = redis.client()
    const before = memory()
    const clients = await open(1_000)
    for (const client of clients) client.command('BLPOP', 'queue', 0)
    const blocked = async (): Promise<number> => Number(/blocked_clients:(\d+)/.exec(await admin.info('clients'))![1])
    await eventually(async () => expect(await blocked()).toBe(1_000), { timeoutMs: 20_000 })
    expect(memory() - before).toBeLessThan(120)
    // Half of them go; the others get everything.
    for (const client of clients.slice(0, 500)) client.destroy()
    await eventually(async () => expect(await blocked()).toBe(500), { timeoutMs: 20_000 })
    const elements = Array.from({ length: 500 }, (_, i) => `element ${i}`)
    await admin.rpush('queue', ...elements)
    const got = await Promise.all(clients.slice(500).map((client) => client.text()))
    expect(got.map((reply) => /element \d+/.exec(reply)![0]).sort()).toEqual(elements.sort())
    expect(await admin.llen('queue')).toBe(0)
    for (const client of clients) client.destroy()
  })

  test('beyond the connections that there may be, what needs one is refused in words, and nothing else', async () => {
    redis = await startRedis()
    path = await startDataPath({ stores: { redis }, clients: { dedicatedConnections: 3 } })
    const clients = await Promise.all(Array.from({ length: 4 }, () => path!.raw()))
    for (const client of clients.slice(0, 3)) client.command('BLPOP', 'queue', 0)
    const last = clients[3]!
    await eventually(async () => {
      const refused =
        /^-ERR Understudy: 3 connections of their own are in use at store 'redis' \(clients\.dedicatedConnections\); the command was not executed/
      expect(await last.ask('BLPOP', 'queue', '0.01')).toMatch(refused)
      expect(await last.ask('WATCH', 'k')).toMatch(refused)
    })
    expect(await last.ask('SET', 'k', 'v')).toBe('+OK\r\n')
    for (const command of [['MULTI'], ['INCR', 'n'], ['EXEC']]) last.command(...command)
    last.command('RPUSH', 'queue', 'a', 'b', 'c')
    const replies = await last.take(4)
    expect(replies.at(-1)).toBe(':3\r\n')
    for (const client of clients.slice(0, 3)) expect(await client.text()).toMatch(/^\*2/)
    await eventually(async () => expect(await last.ask('BLPOP', 'queue', '0.01')).toBe('*-1\r\n'))
  })

  test('thousands of subscribers share a connection, and each gets each message once, in order', async () => {
    redis = await startRedis()
    path = await startDataPath({ stores: { redis }, clients: { subscriberConnections: 2 } })
    const admin = redis.client()
    const subscribers = await Promise.all(Array.from({ length: 300 }, () => path!.raw()))
    for (const [i, client] of subscribers.entries()) {
      if (i % 2 === 1) await client.ask('HELLO', '3')
      client.command('SUBSCRIBE', 'news', `own:${i}`)
      client.command('PSUBSCRIBE', 'n?ws')
      client.command('SSUBSCRIBE', 'shard')
      const [one, two, three, four] = await client.take(4)
      const mark = i % 2 === 1 ? '>' : '*'
      expect(one).toBe(`${mark}3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n`)
      expect(two).toContain(`own:${i}\r\n:2\r\n`)
      expect(three).toBe(`${mark}3\r\n$10\r\npsubscribe\r\n$4\r\nn?ws\r\n:3\r\n`)
      expect(four).toBe(`${mark}3\r\n$10\r\nssubscribe\r\n$5\r\nshard\r\n:1\r\n`)
    }
    const connected = async (): Promise<number> =>
      ((await admin.call('CLIENT', 'LIST', 'TYPE', 'pubsub')) as string).trim().split('\n').length
    // Two of their own, and one that is shared for each protocol.
    expect(await connected()).toBe(4)
    expect(await admin.publish('news', '0')).toBe(8)
    for (let i = 1; i < 20; i++) await admin.publish('news', `${i}`)
    await admin.call('SPUBLISH', 'shard', 'last')
    await admin.publish('own:250', 'private')
    for (const [i, client] of subscribers.entries()) {
      const messages = await client.take(i === 250 ? 42 : 41)
      const of = (word: string): string[] => messages.filter((m) => m.includes(`\r\n${word}\r\n`))
      expect(messages.filter((m) => m.includes('private')).length).toBe(i === 250 ? 1 : 0)
      const numbered = of('message').filter((m) => !m.includes('private'))
      expect(numbered.map((m) => /\r\n(\d+)\r\n$/.exec(m)![1])).toEqual(Array.from({ length: 20 }, (_, n) => `${n}`))
      expect(of('pmessage').length).toBe(20)
      expect(of('smessage').length).toBe(1)
      expect(client.unread).toBe(0)
    }
    // The names go when the last one goes.
    for (const client of subscribers.slice(2, 299)) client.destroy()
    const last = subscribers[299]!
    last.command('UNSUBSCRIBE', 'news')
    expect(await last.text()).toContain('unsubscribe')
    for (const client of subscribers.slice(0, 2)) client.destroy()
    await eventually(async () => expect(await admin.publish('news', 'x')).toBe(1))
    expect(await last.text()).toContain('pmessage')
    last.destroy()
    await eventually(async () => expect(await admin.publish('news', 'x')).toBe(0))
  })

  test('3,000 that are idle cost at most 30 KB each, and one too many is told so', async () => {
    redis = await startRedis()
    understudy = await startUnderstudy({
      stores: { only: redis.url },
      routes: [{ name: 'all', keys: ['*'], source: 'only' }],
      clients: { max: 3_001 },
    })
    const before = memory()
    const clients = await open(3_000)
    for (const client of clients) client.command('PING')
    for (const client of clients) expect(await client.text()).toBe('+PONG\r\n')
    expect((memory() - before) / 3_000).toBeLessThan(0.03)
    const [last, beyond] = await open(2)
    expect(await last!.ask('PING')).toBe('+PONG\r\n')
    expect(await beyond!.text()).toBe('-ERR max number of clients reached\r\n')
    for (const client of [...clients, last!]) client.destroy()
  })
})
