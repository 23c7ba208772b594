import { GlideClient, ProtocolVersion } from '@valkey/valkey-glide'
import { Redis } from 'ioredis'
import { Redis as Valkey } from 'iovalkey'
import { createClient } from 'redis'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { PHASES, type Setting, startSetting } from './setting.ts'

describe.each(PHASES)('in %s', (phase) => {
  let setting: Setting
  beforeAll(async () => {
    setting = await startSetting(phase)
  })
  afterAll(async () => {
    await setting.stop()
  })
  beforeEach(async () => {
    const admin = await setting.path.raw()
    await admin.ask('FLUSHALL')
    admin.destroy()
  })

  test.each([
    ['ioredis', Redis],
    ['iovalkey', Valkey as unknown as typeof Redis],
  ])('%s: types, pipelines, transactions, scripts, streams, scans, blocking, pub/sub', async (_name, Client) => {
    const { host, port } = setting
    const client = new Client({ host, port, keyPrefix: 'app:', connectionName: 'app' })
    const second = new Client({ host, port })
    const subscriber = new Client({ host, port })
    try {
      await client.set('s', 'v', 'EX', 1_000)
      await client.mset({ a: '1', b: '2' })
      expect(await client.mget('a', 'b', 'none')).toEqual(['1', '2', null])
      await client.hset('h', { f: 'v', g: 'w' })
      expect(await client.hgetall('h')).toEqual({ f: 'v', g: 'w' })
      await client.zadd('z', '1', 'one', '2.5', 'two')
      expect(await client.zrange('z', '0', '-1', 'WITHSCORES')).toEqual(['one', '1', 'two', '2.5'])
      await client.sadd('set', '1', '2', '3')
      expect((await client.smembers('set')).sort()).toEqual(['1', '2', '3'])
      const pipeline = client.pipeline()
      for (let i = 0; i < 200; i++) pipeline.incr(`n${i % 10}`)
      expect((await pipeline.exec())!.every(([error]) => error === null)).toBe(true)
      expect(await client.multi().incr('n0').get('n0').exec()).toEqual([
        [null, 21],
        [null, '21'],
      ])
      await client.watch('a')
      await second.set('app:a', 'changed')
      expect(await client.multi().set('a', 'mine').exec()).toBeNull()
      client.defineCommand('bump', { numberOfKeys: 1, lua: 'return redis.call("INCRBY", KEYS[1], ARGV[1])' })
      const bumping = client as unknown as { bump(key: string, by: number): Promise<number> }
      expect(await bumping.bump('counter', 5)).toBe(5)
      expect(await bumping.bump('counter', 5)).toBe(10)
      await client.xadd('stream', '*', 'field', 'value')
      await second.xgroup('CREATE', 'app:stream', 'group', '0')
      const read = (await client.xreadgroup('GROUP', 'group', 'c', 'COUNT', 10, 'STREAMS', 'stream', '>')) as unknown[]
      expect(read).toHaveLength(1)
      const found: string[] = []
      for await (const keys of second.scanStream({ match: 'app:n*', count: 3 })) found.push(...(keys as string[]))
      expect(new Set(found).size).toBe(10)
      const popped = second.blpop('app:list', 5)
      await client.rpush('list', 'element')
      expect(await popped).toEqual(['app:list', 'element'])
      const messages: string[] = []
      subscriber.on('message', (channel, message) => messages.push(`${channel} ${message}`))
      await subscriber.subscribe('news')
      expect(await client.publish('news', 'hello')).toBe(1)
      await eventually(() => expect(messages).toEqual(['news hello']))
      expect(await client.get('s')).toBe('v')
      expect(await client.client('GETNAME')).toBe('app')
      await client.quit()
    } finally {
      for (const one of [client, second, subscriber]) one.disconnect()
    }
    await setting.verify({ comparedAtLeast: 5 })
  })

  test.each([2, 3] as const)(
    'redis over RESP%i: types, transactions, pools, scripts, pub/sub, iterators',
    async (RESP) => {
      const client = createClient({ url: `redis://127.0.0.1:${setting.port}/2`, RESP, name: 'app' })
      const subscriber = client.duplicate()
      const blocked = client.duplicate()
      await Promise.all([client.connect(), subscriber.connect(), blocked.connect()])
      try {
        await client.hSet('h', { a: '1', b: '2' })
        expect({ ...(await client.hGetAll('h')) }).toEqual({ a: '1', b: '2' })
        await client.zAdd('z', [
          { score: 1.5, value: 'a' },
          { score: 2, value: 'b' },
        ])
        expect(await client.zRangeWithScores('z', 0, -1)).toEqual([
          { score: 1.5, value: 'a' },
          { score: 2, value: 'b' },
        ])
        expect(await Promise.all(Array.from({ length: 100 }, (_, i) => client.incr(`n${i % 5}`)))).toHaveLength(100)
        expect(await client.multi().set('k', '1').incr('k').get('k').exec()).toEqual(['OK', 2, '2'])
        expect(await client.eval('return {KEYS[1], ARGV[1]}', { keys: ['k'], arguments: ['x'] })).toEqual(['k', 'x'])
        const id = await client.xAdd('stream', '*', { f: 'v' })
        expect(await client.xRange('stream', '-', '+')).toEqual([expect.objectContaining({ id })])
        const keys: string[] = []
        for await (const page of client.scanIterator({ MATCH: 'n*' })) keys.push(...page)
        expect(keys.sort()).toEqual(['n0', 'n1', 'n2', 'n3', 'n4'])
        const popped = blocked.blPop('list', 5)
        await client.rPush('list', 'element')
        expect(await popped).toEqual({ key: 'list', element: 'element' })
        const messages: string[] = []
        await subscriber.subscribe('news', (message) => messages.push(message))
        await client.publish('news', 'hello')
        await eventually(() => expect(messages).toEqual(['hello']))
        expect(await client.clientGetName()).toBe('app')
      } finally {
        for (const one of [client, subscriber, blocked]) one.destroy()
      }
      await setting.verify({ databases: [0, 2], comparedAtLeast: 2 })
    },
  )

  test('redis with its client-side cache sees what others write', async () => {
    const cached = createClient({
      url: `redis://127.0.0.1:${setting.port}`,
      RESP: 3,
      clientSideCache: { ttl: 0, maxEntries: 0 },
    })
    const writer = createClient({ url: `redis://127.0.0.1:${setting.port}` })
    await Promise.all([cached.connect(), writer.connect()])
    try {
      for (let i = 0; i < 20; i++) {
        await writer.set('k', `${i}`)
        await eventually(async () => expect(await cached.get('k')).toBe(`${i}`))
        expect(await cached.get('k')).toBe(`${i}`)
      }
      const hits = (cached.clientSideCache as unknown as { stats(): { hitCount: number } }).stats()
      expect(hits.hitCount).toBeGreaterThanOrEqual(20)
    } finally {
      cached.destroy()
      writer.destroy()
    }
    await setting.verify()
  })

  test.each([
    ['RESP2', ProtocolVersion.RESP2],
    ['RESP3', ProtocolVersion.RESP3],
  ])('valkey-glide over %s', async (_name, protocol) => {
    const client = await GlideClient.createClient({
      addresses: [{ host: setting.host, port: setting.port }],
      protocol,
      clientName: 'app',
    })
    try {
      expect(await client.set('k', 'v')).toBe('OK')
      expect(await client.get('k')).toBe('v')
      await client.hset('h', { f: 'v' })
      expect(await client.hgetall('h')).toEqual([{ field: 'f', value: 'v' }])
      await client.zadd('z', { a: 1, b: 2 })
      expect(await client.zrange('z', { start: 0, end: -1 })).toEqual(['a', 'b'])
      expect(await Promise.all(Array.from({ length: 100 }, async () => client.incr('n')))).toHaveLength(100)
      expect(await client.clientGetName()).toBe('app')
    } finally {
      client.close()
    }
    await setting.verify({ comparedAtLeast: 2 })
  })
})
