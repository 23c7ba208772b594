import { afterEach, expect, test } from 'vitest'
import { type DataPathUnderTest, type RouteOptions, startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { driftBetween } from '../support/keyspace.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

type Names = 'same names' | 'other names'

const OTHERS: RouteOptions = {
  name: 'named',
  keys: ['{kind}:{id}'],
  source: 'old',
  target: { store: 'new', keys: { '{kind}:{id}': 'new:{kind}:{id}' } },
  phase: 'mirror',
}

async function start(names: Names): Promise<{ old: RedisServer; fresh: RedisServer; path: DataPathUnderTest }> {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  const path = await startDataPath({
    stores: { old, new: fresh },
    routes: [
      { name: 'all', source: 'old', target: 'new', phase: 'mirror' },
      ...(names === 'same names' ? [] : [OTHERS]),
    ],
  })
  running.push(old, fresh, path)
  return { old, fresh, path }
}

type Words = readonly [string, ...(string | number)[]]

/** How a key begins; and a write that adds to it, or makes it anew where it is gone, with the same answer. */
const ADDING: Readonly<Record<string, readonly [Words, Words]>> = {
  'set:a': [
    ['SADD', 'set:a', 'x'],
    ['SADD', 'set:a', 'y'],
  ],
  'set:moved': [
    ['SADD', 'set:moved', 'x'],
    ['SMOVE', 'set:other', 'set:moved', 'moved'],
  ],
  'hash:a': [
    ['HSET', 'hash:a', 'x', 1],
    ['HSET', 'hash:a', 'y', 1],
  ],
  'hash:b': [
    ['HSET', 'hash:b', 'x', 1],
    ['HMSET', 'hash:b', 'y', 1],
  ],
  'hash:c': [
    ['HSET', 'hash:c', 'x', 1],
    ['HINCRBY', 'hash:c', 'y', 3],
  ],
  'hash:d': [
    ['HSET', 'hash:d', 'x', 1],
    ['HINCRBYFLOAT', 'hash:d', 'y', '1.5'],
  ],
  'hash:e': [
    ['HSET', 'hash:e', 'x', 1],
    ['HSETNX', 'hash:e', 'y', 1],
  ],
  'zset:a': [
    ['ZADD', 'zset:a', 1, 'x'],
    ['ZADD', 'zset:a', 1, 'y'],
  ],
  'zset:b': [
    ['ZADD', 'zset:b', 1, 'x'],
    ['ZINCRBY', 'zset:b', 1, 'y'],
  ],
  'zset:geo': [
    ['GEOADD', 'zset:geo', 1, 1, 'x'],
    ['GEOADD', 'zset:geo', 1, 1, 'y'],
  ],
  'string:a': [
    ['SET', 'string:a', 'x'],
    ['SET', 'string:a', 'y', 'KEEPTTL'],
  ],
  'string:b': [
    ['SET', 'string:b', 1],
    ['INCRBYFLOAT', 'string:b', '1.5'],
  ],
  'string:bits': [
    ['SETBIT', 'string:bits', 1, 1],
    ['SETBIT', 'string:bits', 9, 1],
  ],
  'string:range': [
    ['SETRANGE', 'string:range', 0, 'abc'],
    ['SETRANGE', 'string:range', 5, 'x'],
  ],
  'string:fields': [
    ['BITFIELD', 'string:fields', 'SET', 'u8', 0, 7],
    ['BITFIELD', 'string:fields', 'SET', 'u8', 8, 7],
  ],
  'log:count': [
    ['PFADD', 'log:count', 'x'],
    ['PFADD', 'log:count', 'y'],
  ],
  'stream:a': [
    ['XADD', 'stream:a', '*', 'f', 'x'],
    ['XADD', 'stream:a', '*', 'f', 'y'],
  ],
  'list:a': [
    ['RPUSH', 'list:a', 'x'],
    ['RPOPLPUSH', 'list:other', 'list:a'],
  ],
  'list:b': [
    ['RPUSH', 'list:b', 'x'],
    ['RPUSH', 'list:b', 'y'],
  ],
  'count:a': [
    ['SET', 'count:a', 5],
    ['INCR', 'count:a'],
  ],
}

/** The application's own writes go out while the shadow stands still, until the keys have expired. */
async function writeLate(
  { old, fresh, path }: { old: RedisServer; fresh: RedisServer; path: DataPathUnderTest },
  how: 'one by one' | 'at once' | 'in a transaction',
): Promise<void> {
  const [app, store] = [path.client(), old.client()]
  await app.sadd('set:other', 'moved', 'stays')
  await app.rpush('list:other', 'a', 'b')
  const keys = Object.keys(ADDING)
  for (const [first] of Object.values(ADDING)) await app.call(...(first as [string]))
  for (const key of keys) await app.pexpire(key, 1_000)
  await settled(path)
  fresh.pause()
  try {
    if (how === 'one by one') for (const [, second] of Object.values(ADDING)) await app.call(...(second as [string]))
    else {
      const batch = how === 'at once' ? app.pipeline() : app.multi()
      for (const [, second] of Object.values(ADDING)) batch.call(...(second as [string]))
      await batch.exec()
    }
    await eventually(async () => expect(await store.exists(...keys)).toBe(0))
  } finally {
    fresh.resume()
  }
  await settled(path)
}

for (const names of ['same names', 'other names'] as const) {
  for (const how of ['one by one', 'at once', 'in a transaction'] as const) {
    test(`${names}, ${how}: a key that expired before a late write came to the shadow does not live on there`, async () => {
      const setup = await start(names)
      await writeLate(setup, how)
      const toShadow = (key: string): string => (names === 'other names' && key.includes(':') ? `new:${key}` : key)
      await eventually(async () => expect(await driftBetween(setup.old, setup.fresh, { toShadow })).toEqual([]))
    })
  }
}

test('what is copied from such a key before it is mended is mended, too', async () => {
  const { old, fresh, path } = await start('same names')
  const [app, store] = [path.client(), old.client()]
  await app.set('k', 'x', 'PX', 1_000)
  await settled(path)
  fresh.pause()
  try {
    await app.pipeline().set('k', 'y', 'KEEPTTL').copy('k', 'other').exec()
    await eventually(async () => expect(await store.exists('k', 'other')).toBe(0))
  } finally {
    fresh.resume()
  }
  await settled(path)
  expect(await driftBetween(old, fresh)).toEqual([])
})

test('what goes on living is not copied for a late write, unless it could just have been made', async () => {
  const { old, fresh, path } = await start('same names')
  const app = path.client()
  await app.sadd('large', ...Array.from({ length: 2_000 }, (_, i) => i))
  await app.hset('known', 'field', 1)
  await app.set('count', 1)
  await app.sadd('small', 'x')
  await settled(path)
  const before = path.runtime.stats().routes['all']!.counters.dirtied
  fresh.pause()
  try {
    await app.sadd('large', 'new')
    await app.hset('known', 'field', 2)
    await app.incr('count')
    await app.set('plain', 'overwritten')
    await app.rpush('list', 'x')
    await app.sadd('small', 'y')
    await new Promise((resolve) => setTimeout(resolve, 400))
  } finally {
    fresh.resume()
  }
  await settled(path)
  expect(path.runtime.stats().routes['all']!.counters.dirtied - before).toBe(1)
  expect(await driftBetween(old, fresh)).toEqual([])
})

test('a shadow that answers in time is asked nothing', async () => {
  const { fresh, path } = await start('same names')
  const app = path.client()
  for (const [first, second] of Object.values(ADDING)) {
    await app.call(...(first as [string]))
    await app.call(...(second as [string]))
  }
  await settled(path)
  expect(await fresh.client().info('commandstats')).not.toMatch(/cmdstat_(hlen|scard|zcard|strlen|xlen)/)
})
