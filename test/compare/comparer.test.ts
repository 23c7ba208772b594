import { afterEach, describe, expect, test } from 'vitest'
import { hashBytes } from '../../src/base/hash.ts'
import type { Finding } from '../../src/compare/finding.ts'
import { type DataPathUnderTest, type RouteOptions, startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { driftBetween } from '../support/keyspace.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'
import { shadowUp } from '../support/shadow-up.ts'
import { Writer } from '../support/write-load.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

type CompareOptions = Partial<RouteOptions['compare']>

async function start(compare: CompareOptions = {}, phase: 'shadow' | 'switched' = 'shadow') {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  const shared = { phase, compare: { sample: 1, ...compare } } as RouteOptions
  const routes: RouteOptions[] = [
    {
      ...shared,
      name: 'jobs',
      keys: ['job:{id}'],
      source: 'old',
      target: { store: 'new', keys: { 'job:{id}': 'step:{id}' } },
    },
    { ...shared, name: 'rest', source: 'old', target: 'new' },
  ]
  // Each time that another connection becomes the sole lane, reads on their way are not compared.
  const path = await startDataPath({ stores: { old, new: fresh }, routes, calm: 4_096 })
  running.push(old, fresh, path)
  await shadowUp(path)
  return { old, fresh, path }
}

function findings(path: DataPathUnderTest): Finding[] {
  return path.notices.flatMap((notice) => (notice.kind === 'finding' ? [notice.finding] : []))
}

function shown(path: DataPathUnderTest): string[] {
  return findings(path)
    .map((finding) => `${finding.command} ${finding.key} ${finding.class}`)
    .sort()
}

function totals(path: DataPathUnderTest) {
  const { jobs, rest } = path.runtime.stats().routes
  const sum = (name: 'compared' | 'matched' | 'mismatched' | 'transient' | 'skipped'): number =>
    jobs!.counters[name] + rest!.counters[name]
  return {
    compared: sum('compared'),
    matched: sum('matched'),
    mismatched: sum('mismatched'),
    transient: sum('transient'),
    skipped: sum('skipped'),
  }
}

/** Resolves when every difference that was seen before this has been re-checked to its end: one that is planted now has. */
async function allRechecked(path: DataPathUnderTest, shadow: RedisServer): Promise<void> {
  await shadow.client().set('sentinel', 'planted')
  await path.client().get('sentinel')
  await eventually(() => expect(shown(path)).toContain('GET sentinel extra'))
}

async function underLoad(path: DataPathUnderTest, rounds: number, prefixes = ['', 'job:']): Promise<number> {
  const clients = await Promise.all(
    ([2, 3, 2, 3] as const).map((protocol, i) =>
      Writer.open(path.port, protocol, { seed: i + 1, prefixes, kind: i < 2 ? 'writes' : 'reads' }),
    ),
  )
  await Promise.all(clients.map((client) => client.run(rounds)))
  for (const client of clients) client.close()
  expect(clients.flatMap((client) => client.ownErrors)).toEqual([])
  return clients.reduce((sum, client) => sum + client.commands, 0)
}

describe('under any write load a difference is a real difference', () => {
  test.each(['shadow', 'switched'] as const)('every read compared, in phase %s: none confirmed', async (phase) => {
    const { old, fresh, path } = await start({}, phase)
    // A machine that is busy with others compares less: what is behind by then is skipped.
    do await underLoad(path, 600)
    while (totals(path).compared <= 2_000)
    await allRechecked(path, phase === 'shadow' ? fresh : old)
    expect(shown(path)).toEqual(['GET sentinel extra'])
    const { compared, matched } = totals(path)
    expect(matched / compared).toBeGreaterThan(0.99)
  })

  test('a hot counter that another connection counts is not compared, rather than compared wrongly', async () => {
    const { path, fresh } = await start()
    const [counting, reading] = await Promise.all([path.raw(), path.raw()])
    await counting.ask('HELLO', 3)
    let going = true
    const count = async (): Promise<void> => {
      while (going) {
        for (let i = 0; i < 20; i++) counting.command('INCR', 'hot')
        await counting.take(20)
      }
    }
    const counted = count()
    for (let i = 0; i < 1_000; i++) await reading.ask('GET', 'hot')
    await allRechecked(path, fresh)
    going = false
    await counted
    expect(shown(path)).toEqual(['GET sentinel extra'])
    expect(totals(path).skipped).toBeGreaterThan(0)
  })
})

describe('planted differences', () => {
  test('are all found and named right, and nothing else', async () => {
    const { fresh, path } = await start()
    const app = path.client()
    await app.mset({ 'job:value': 'a', 'job:missing': 'a', 'job:type': 'a', 'job:ttl': 'a', same: 'a' })
    await app.mset({ 'empty here': '', 'job:never expires': 'a', 'half of two': 'a' })
    await app.rpush('list', 'a', 'b', 'c')
    await app.rpush('order', 'a', 'b', 'c')
    await app.hset('job:hash', { f: 'v', g: 'w' })
    await app.sadd('set', 'a', 'b')
    await app.zadd('zset', 1, 'a', 2, 'b')
    await app.xadd('stream', '1-1', 'f', 'v')
    await app.set('same ttl', 'a', 'EX', 100)
    await app.expire('job:ttl', 100)
    await app.expire('job:never expires', 100)
    await settled(path)

    const there = fresh.client()
    await there.set('step:value', 'b')
    await there.del('step:missing')
    await there.set('step:extra', 'planted')
    await there.del('step:type')
    await there.rpush('step:type', 'a')
    await there.rpop('list')
    await there.lset('order', 0, 'c')
    await there.lset('order', 2, 'a')
    await there.del('empty here')
    await there.set('empty there', '')
    await there.hset('step:hash', 'g', 'x')
    await there.srem('set', 'b')
    await there.zincrby('zset', 1, 'a')
    await there.xadd('stream', '2-1', 'f', 'v')
    await there.expire('step:ttl', 50)
    await there.persist('step:never expires')
    await there.del('half of two')

    const load = underLoad(path, 150)
    const reads: (string | number)[][] = [
      ['GET', 'job:value'],
      ['GET', 'job:missing'],
      ['GET', 'job:extra'],
      ['GET', 'job:type'],
      ['LRANGE', 'list', 0, -1],
      ['LRANGE', 'order', 0, -1],
      ['GET', 'empty here'],
      ['GET', 'empty there'],
      ['HGETALL', 'job:hash'],
      ['SMEMBERS', 'set'],
      ['ZRANGE', 'zset', 0, -1, 'WITHSCORES'],
      ['XRANGE', 'stream', '-', '+'],
      ['PTTL', 'job:ttl'],
      ['TTL', 'job:never expires'],
      ['MGET', 'same', 'half of two'],
      ['GET', 'same'],
      ['TTL', 'same ttl'],
      ['GET', 'job:never expires'],
    ]
    for (const [name, ...args] of reads) await app.call(String(name), ...args)
    await load
    await allRechecked(path, fresh)
    expect(shown(path)).toEqual(
      [
        'GET job:value value',
        'GET job:missing missing',
        'GET job:extra extra',
        'GET job:type type',
        'LRANGE list length',
        'LRANGE order order',
        'GET empty here missing',
        'GET empty there extra',
        'HGETALL job:hash value',
        'SMEMBERS set length',
        'ZRANGE zset value',
        'XRANGE stream length',
        'PTTL job:ttl ttl',
        'TTL job:never expires ttl',
        'MGET half of two missing',
        'GET sentinel extra',
      ].sort(),
    )
    expect(totals(path).mismatched).toBe(16)
    for (const finding of findings(path)) {
      expect(finding).toMatchObject({ phase: 'shadow', database: 0 })
      expect(JSON.stringify([finding.primary, finding.shadow, finding.detail])).not.toMatch(/planted|"a"/)
    }
  })

  test('the same one, read again and again, is followed up once at a time', async () => {
    const { fresh, path } = await start()
    await fresh.client().set('extra', 'planted')
    // In less time than one is followed up.
    const app = await path.raw()
    for (let i = 0; i < 500; i++) app.command('GET', 'extra')
    await app.take(500)
    await allRechecked(path, fresh)
    expect(shown(path)).toEqual(['GET extra extra', 'GET sentinel extra'])
    const asked = Number((await fresh.client().info('commandstats')).match(/cmdstat_get:calls=(\d+)/)![1])
    expect(asked).toBeLessThan(520)
  })

  test('one that is gone when it is looked at again was transient', async () => {
    const { fresh, path } = await start()
    const there = fresh.client()
    await there.set('late', 'planted')
    const app = path.client()
    await app.get('late')
    await there.del('late')
    await eventually(() => expect(totals(path)).toMatchObject({ transient: 1 }))
    await allRechecked(path, fresh)
    expect(shown(path)).toEqual(['GET sentinel extra'])
  })

  test('is copied where the route says so, and only there', async () => {
    const { old, fresh, path } = await start({ repair: true })
    const app = path.client()
    await app.set('job:1', 'a')
    await settled(path)
    await fresh.client().set('step:1', 'b')
    await app.get('job:1')
    await eventually(() => expect(shown(path)).toEqual(['GET job:1 value']))
    await settled(path)
    expect(await driftBetween(old, fresh, { toShadow: (key) => key.replace('job:', 'step:') })).toEqual([])
  })

  test('is not copied where the primary may be the one that lacks it', async () => {
    const { old, fresh, path } = await start({ repair: true })
    const app = path.client()
    await app.set('job:1', 'a')
    await settled(path)
    await old.restart()
    await eventually(() => expect(path.runtime.stats().routes['jobs']!.verifyCauses).toContain('primary-restarted'))
    await eventually(async () => {
      expect(await app.get('job:1')).toBeNull()
      expect(shown(path)).toContain('GET job:1 extra')
    })
    await settled(path)
    expect(await fresh.client().get('step:1')).toBe('a')
  })

  test('a key that is known to be dirty is no news', async () => {
    const { fresh, path } = await start()
    const app = path.client()
    await app.set('known', 'a')
    await settled(path)
    await fresh.client().set('known', 'b')
    await fresh.client().config('SET', 'maxmemory', '1')
    await app.set('known', 'c')
    await eventually(() => expect(path.runtime.stats().routes['rest']!.dirtyKeys).toBe(1))
    for (let i = 0; i < 20; i++) await app.mget('other', 'known')
    expect(totals(path)).toMatchObject({ compared: 0 })
    await fresh.client().config('SET', 'maxmemory', '0')
    await settled(path)
    await app.mget('other', 'known')
    await eventually(() => expect(totals(path)).toMatchObject({ compared: 1, matched: 1 }))
  })
})

describe('sampling', () => {
  test('is by key and nested: what 5 % look at, 20 % look at too', async () => {
    const keys = Array.from({ length: 400 }, (_, i) => `key:${i}`)
    const sampled: string[][] = []
    for (const sample of [0.05, 0.2, 0]) {
      const { path, fresh } = await start({ sample })
      // Every key differs, so that every sampled one is found.
      await fresh.client().mset(Object.fromEntries(keys.map((key) => [key, 'planted'])))
      const app = path.client()
      await Promise.all(keys.map((key) => app.get(key)))
      const expected = keys.filter((key) => hashBytes(Buffer.from(key), 0, key.length) < sample * 2 ** 32)
      await eventually(() =>
        expect(
          findings(path)
            .map(({ key }) => String(key))
            .sort(),
        ).toEqual(expected.sort()),
      )
      sampled.push(expected)
    }
    const [few, more, none] = sampled as [string[], string[], string[]]
    expect(few.length).toBeGreaterThan(5)
    expect(more.length).toBeGreaterThan(few.length)
    expect(few.every((key) => more.includes(key))).toBe(true)
    expect(none).toEqual([])
  })

  test('a shadow that is down costs samples, never replies', async () => {
    const { fresh, path } = await start()
    await fresh.kill9()
    const app = path.client()
    await app.set('a', 1)
    for (let i = 0; i < 20; i++) expect(await app.get('a')).toBe('1')
    expect(totals(path)).toMatchObject({ compared: 0, mismatched: 0 })
  })
})
