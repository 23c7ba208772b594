import { afterAll, beforeAll, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

/** What is counted of subscribers who share connections: two have one of their own, the others do not. */
let one: RedisServer
let two: RedisServer
let path: DataPathUnderTest

beforeAll(async () => {
  ;[one, two] = await Promise.all([startRedis(), startRedis()])
  path = await startDataPath({
    stores: { one, two },
    routes: [
      {
        name: 'events',
        keys: ['events:*'],
        source: 'one',
        target: { store: 'two', channels: { 'events:*': 'new:*' } },
        phase: 'switched',
      },
      { name: 'rest', source: 'one' },
    ],
    clients: { subscriberConnections: 2 },
  })
})
afterAll(async () => {
  await path.stop()
  await Promise.all([one.stop(), two.stop()])
})

const SUBSCRIBERS = 12

test('PUBLISH, SPUBLISH and NUMSUB say how many there are, alone and in transactions, under other names, and as they go', async () => {
  const subscribers = await Promise.all(Array.from({ length: SUBSCRIBERS }, () => path.raw()))
  for (const [i, client] of subscribers.entries()) {
    if (i % 2 === 1) await client.ask('HELLO', '3')
    client.command('SUBSCRIBE', 'news', 'events:a')
    client.command('PSUBSCRIBE', i % 3 === 0 ? 'n?ws' : 'new[s]')
    client.command('SSUBSCRIBE', 'shard')
    await client.take(4)
  }
  const publisher = await path.raw()
  const counts = async (left: number, byPattern: number): Promise<void> => {
    expect(await publisher.ask('PUBLISH', 'news', 'x')).toBe(`:${left + byPattern}\r\n`)
    expect(await publisher.ask('PUBLISH', 'events:a', 'x')).toBe(`:${left}\r\n`)
    expect(await publisher.ask('PUBLISH', 'nobody', 'x')).toBe(':0\r\n')
    expect(await publisher.ask('SPUBLISH', 'shard', 'x')).toBe(`:${left}\r\n`)
    expect(await publisher.ask('PUBSUB', 'NUMSUB', 'news', 'events:a', 'none')).toBe(
      `*6\r\n$4\r\nnews\r\n:${left}\r\n$8\r\nevents:a\r\n:${left}\r\n$4\r\nnone\r\n:0\r\n`,
    )
    expect(await publisher.ask('PUBSUB', 'SHARDNUMSUB', 'shard')).toBe(`*2\r\n$5\r\nshard\r\n:${left}\r\n`)
    for (const command of [['MULTI'], ['PUBLISH', 'news', 'x'], ['SPUBLISH', 'shard', 'x'], ['EXEC']])
      publisher.command(...command)
    expect((await publisher.take(4)).at(-1)).toBe(`*2\r\n:${left + byPattern}\r\n:${left}\r\n`)
  }
  await counts(SUBSCRIBERS, SUBSCRIBERS)
  const rest: RawClient[] = subscribers.slice(5)
  for (const client of subscribers.slice(0, 5)) client.destroy()
  await eventually(() => counts(rest.length, rest.length))
  for (const client of rest) {
    client.command('PUNSUBSCRIBE')
    for (let frame = ''; !frame.includes('punsubscribe'); ) frame = await client.text()
  }
  await counts(rest.length, 0)
  for (const client of rest) client.destroy()
  await eventually(() => counts(0, 0))
})
