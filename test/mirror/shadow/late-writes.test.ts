import { afterEach, describe, expect, test } from 'vitest'
import { ADDING, type Words } from '../../support/adding-writes.ts'
import { type DataPathUnderTest, type RouteOptions, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

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
  // On a busy machine they are written to while they live.
  for (const key of keys) await app.pexpire(key, 3_000)
  await settled(path)
  fresh.pause()
  try {
    if (how === 'one by one') for (const [, second] of Object.values(ADDING)) await app.call(...(second as [string]))
    else {
      const batch = how === 'at once' ? app.pipeline() : app.multi()
      for (const [, second] of Object.values(ADDING)) batch.call(...(second as [string]))
      await batch.exec()
    }
    const writtenMs = performance.now()
    await eventually(async () => expect(await store.exists(...keys)).toBe(0))
    // What comes within 250 ms is not late.
    await eventually(() => expect(performance.now() - writtenMs).toBeGreaterThan(500))
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

test('a group that comes late to a stream which has expired there leaves none behind', async () => {
  const { old, fresh, path } = await start('same names')
  const [app, store] = [path.client(), old.client()]
  await app.xadd('events', '*', 'f', 'x')
  await app.pexpire('events', 1_000)
  await settled(path)
  fresh.pause()
  try {
    await app.xgroup('CREATE', 'events', 'workers', '$', 'MKSTREAM')
    await eventually(async () => expect(await store.exists('events')).toBe(0))
  } finally {
    fresh.resume()
  }
  await settled(path)
  await eventually(async () => expect(await fresh.client().exists('events')).toBe(0))
})

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

test('what is mixed late from a key that has expired there is copied: it is as large as it should be, and another', async () => {
  const { old, fresh, path } = await start('same names')
  const [app, store] = [path.client(), old.client()]
  await app.zadd('scores', 20, 'x')
  await app.zadd('others', 1, 'x')
  await app.set('bits', 'xyz')
  await app.set('more', 'abc')
  await app.pfadd('seen', 'x')
  await app.pfadd('also', 'y')
  const gone = ['scores', 'bits', 'seen']
  for (const key of gone) await app.pexpire(key, 1_000)
  await settled(path)
  fresh.pause()
  try {
    expect(await app.zunionstore('union', 2, 'scores', 'others')).toBe(1)
    expect(await app.bitop('OR', 'mixed', 'bits', 'more')).toBe(3)
    expect(await app.pfmerge('merged', 'seen', 'also')).toBe('OK')
    await eventually(async () => expect(await store.exists(...gone)).toBe(0))
  } finally {
    fresh.resume()
  }
  await settled(path)
  expect(await fresh.client().zscore('union', 'x')).toBe('21')
  await eventually(async () => expect(await driftBetween(old, fresh)).toEqual([]))
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

test('what a late command only reads is not copied', async () => {
  const { old, fresh, path } = await start('same names')
  const app = path.client()
  for (let i = 0; i < 50; i++) await app.pfadd(`seen:${i}`, i)
  await settled(path)
  const before = path.runtime.stats().routes['all']!.counters.dirtied
  fresh.pause()
  try {
    await app.pfmerge('merged', ...Array.from({ length: 50 }, (_, i) => `seen:${i}`))
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

describe('a script that came late', () => {
  const LIBRARY = `#!lua name=late
redis.register_function('add', function(keys, args) redis.call('sadd', keys[1], args[1]) return 'done' end)
redis.register_function('if_there', function(keys)
  if redis.call('exists', keys[1]) == 1 then redis.call('rpush', keys[2], 'x') end
  return 'done'
end)`
  const ADD = "redis.call('sadd', KEYS[1], ARGV[1]) return 'done'"
  const KEEP = "if redis.call('exists', KEYS[1]) == 1 then redis.call('set', KEYS[1], 'kept') end return 'done'"
  const IF_THERE = "if redis.call('exists', KEYS[1]) == 1 then redis.call('rpush', KEYS[2], 'x') end return 'done'"

  type Call = (app: ReturnType<DataPathUnderTest['client']>, sha: string) => Promise<unknown>

  /** `call` goes out while the shadow stands still, until `t:key` has expired, or would have. */
  async function callLate(
    first: Words,
    call: Call,
    names: Names = 'same names',
  ): Promise<{ old: RedisServer; fresh: RedisServer; path: DataPathUnderTest }> {
    const setup = await start(names)
    const { old, fresh, path } = setup
    const app = path.client()
    await app.call('FUNCTION', 'LOAD', LIBRARY)
    const sha = (await app.script('LOAD', ADD)) as string
    // A function is read before it is called the first time.
    await app.call('FCALL', 'add', 1, 't:other', 'x')
    await app.call(...(first as [string]))
    await app.multi().pexpire('t:key', 1_000).set('t:clock', '', 'PX', 1_000).exec()
    await settled(path)
    fresh.pause()
    try {
      await call(app, sha)
      await eventually(async () => expect(await old.client().exists('t:clock')).toBe(0))
    } finally {
      fresh.resume()
    }
    await settled(path)
    return setup
  }

  const SET: Words = ['SADD', 't:key', 'a']
  test.each<[string, Words, Call]>([
    ['EVAL', SET, (app) => app.eval(ADD, 1, 't:key', 'b')],
    ['EVALSHA', SET, (app, sha) => app.evalsha(sha, 1, 't:key', 'b')],
    ['FCALL', SET, (app) => app.fcall('add', 1, 't:key', 'b')],
    ['in a transaction', SET, (app, sha) => app.multi().evalsha(sha, 1, 't:key', 'b').set('t:x', 1).exec()],
    // Here the key lives on, there it was gone by then.
    ['that keeps a key from expiring', ['SET', 't:key', 'v'], (app) => app.eval(KEEP, 1, 't:key')],
    ['that wrote one key because of another', SET, (app) => app.eval(IF_THERE, 2, 't:key', 't:list')],
    ['FCALL of that kind', SET, (app) => app.fcall('if_there', 2, 't:key', 't:list')],
  ])('leaves its keys as the primary has them: %s', async (_name, first, call) => {
    const { old, fresh } = await callLate(first, call)
    await eventually(async () => expect(await driftBetween(old, fresh)).toEqual([]))
  })

  test('under other names, too', async () => {
    const { old, fresh } = await callLate(SET, (app) => app.eval(IF_THERE, 2, 't:key', 't:list'), 'other names')
    const toShadow = (key: string): string => `new:${key}`
    await eventually(async () => expect(await driftBetween(old, fresh, { toShadow })).toEqual([]))
  })

  test('has nothing copied where its keys have been there all the time, and are large', async () => {
    const { old, fresh, path } = await start('same names')
    const app = path.client()
    const large = Array.from({ length: 3_000 }, (_, i) => `${'x'.repeat(40)}${i}`)
    await app.rpush('from', ...large)
    await app.rpush('to', ...large)
    await settled(path)
    const before = path.runtime.stats().routes['all']!.counters.dirtied
    fresh.pause()
    try {
      await app.eval("redis.call('lmove', KEYS[1], KEYS[2], 'LEFT', 'RIGHT') return 'done'", 2, 'from', 'to')
      await new Promise((resolve) => setTimeout(resolve, 400))
    } finally {
      fresh.resume()
    }
    await settled(path)
    expect(path.runtime.stats().routes['all']!.counters.dirtied - before).toBe(0)
    expect(await driftBetween(old, fresh)).toEqual([])
  })
})
