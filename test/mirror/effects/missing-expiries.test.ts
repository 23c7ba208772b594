import { expect, test } from 'vitest'
import { ADDING, type Words } from '../../support/adding-writes.ts'
import { type RedisCluster, startCluster } from '../../support/cluster.ts'
import { type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { startMigration } from '../../support/migration.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { endedAfterEach } from '../../support/running.ts'
import { settled } from '../../support/settled.ts'

const { running } = endedAfterEach()

interface Setup {
  readonly old: RedisServer
  readonly fresh: RedisServer
  readonly path: DataPathUnderTest
}

/** `before`: what the source holds when mirroring begins; the target lacks it until a backfill comes, of which there is none here. */
async function start(before: readonly Words[], options: Partial<DataPathOptions> = {}): Promise<Setup> {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  await run(old.client(), before)
  const path = await startDataPath({
    stores: { old, new: fresh },
    routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
    shadowsLack: true,
    ...options,
  })
  running.push(old, fresh, path)
  return { old, fresh, path }
}

async function run(at: ReturnType<RedisServer['client']>, list: readonly Words[]): Promise<void> {
  for (const [name, ...args] of list) await at.call(name, ...args)
}

/** The source's keys have expired, and the target has none of them either. */
async function bothBecomeEmpty({ old, fresh, path }: Setup): Promise<void> {
  await eventually(async () => expect(await old.client().keys('*')).toEqual([]))
  await settled(path)
  await eventually(async () => expect(await fresh.client().keys('*')).toEqual([]))
}

const SEVERAL: DataPathOptions['routes'] = [
  { name: 'all', source: 'old', target: 'new', phase: 'mirror' },
  {
    name: 'named',
    keys: ['{kind}:{id}'],
    source: 'old',
    target: { store: 'new', keys: { '{kind}:{id}': 'new:{kind}:{id}' } },
    phase: 'mirror',
  },
]

/** Beside those of a shadow that is late: here the primary's key is there, and what is added to nothing is as much. */
const TO_NOTHING: Readonly<Record<string, readonly [Words, Words]>> = {
  'count:zero': [
    ['SET', 'count:zero', 0],
    ['INCR', 'count:zero'],
  ],
  'count:zero-by': [
    ['SET', 'count:zero-by', 0],
    ['DECRBY', 'count:zero-by', 5],
  ],
  'string:blank': [
    ['SET', 'string:blank', ''],
    ['APPEND', 'string:blank', 'x'],
  ],
  'log:alone': [
    ['PFADD', 'log:alone', 'x'],
    ['PFMERGE', 'log:alone'],
  ],
  'hash:script': [
    ['HSET', 'hash:script', 'x', 1],
    ['EVAL', 'return redis.call("HSET", KEYS[1], "y", 1)', 1, 'hash:script'],
  ],
}

for (const names of ['same names', 'other names'] as const) {
  for (const how of ['one by one', 'at once', 'in a transaction'] as const) {
    test(`${names}, ${how}: what is added to a key whose time to live is of before mirroring expires on the shadow, too`, async () => {
      const writes = Object.entries({ ...ADDING, ...TO_NOTHING })
      const before: Words[] = [
        ['SADD', 'set:other', 'moved', 'stays'],
        ['RPUSH', 'list:other', 'a', 'b'],
        ...writes.map(([, [first]]) => first),
        ...['set:other', 'list:other', ...writes.map(([key]) => key)].map((key): Words => ['PEXPIRE', key, 2_000]),
      ]
      const setup = await start(before, names === 'same names' ? {} : { routes: SEVERAL! })
      const app = setup.path.client()
      const batch = how === 'in a transaction' ? app.multi() : app.pipeline()
      for (const [, [, [name, ...args]]] of writes) {
        if (how === 'one by one') await app.call(name, ...args)
        else batch.call(name, ...args)
      }
      await batch.exec()
      expect(await setup.old.client().exists(...writes.map(([key]) => key))).toBe(writes.length)
      await bothBecomeEmpty(setup)
    })
  }
}

test('the time to live comes with the first of many writes to a key, whatever many others are written', async () => {
  const keys = Array.from({ length: 11_000 }, (_, i) => `k${i}`)
  const setup = await start([])
  const [app, store] = [setup.path.client(), setup.old.client()]
  const batch = store.pipeline()
  for (const key of keys) batch.hset(key, 'a', 1).pexpire(key, 600_000)
  await batch.exec()
  for (const field of ['b', 'c']) {
    const writes = app.pipeline()
    for (const key of keys) writes.hset(key, field, 1)
    await writes.exec()
  }
  await settled(setup.path)
  expect(await timesOf(setup.fresh, keys)).toEqual(await timesOf(setup.old, keys))
})

test('the nodes of a cluster are asked, each for its own keys', async () => {
  const [old, fresh] = await Promise.all([startCluster(), startCluster()])
  running.push(old, fresh)
  const keys = Array.from({ length: 60 }, (_, i) => `k${i}`)
  const store = old.client()
  for (const key of keys) {
    await store.hset(key, 'a', 1)
    await store.pexpire(key, 600_000)
  }
  const path = await startDataPath({
    stores: { old: storeOf(old), new: storeOf(fresh) },
    routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
    shadowsLack: true,
  })
  running.push(path)
  const app = path.client()
  await Promise.all(keys.map((key) => app.hset(key, 'b', 1)))
  await settled(path)
  const times = async (cluster: RedisCluster) => {
    const client = cluster.client()
    return Promise.all(keys.map((key) => client.pexpiretime(key)))
  }
  expect(await times(fresh)).toEqual(await times(old))
})

test('a key is asked about once, and again when it may be another one', async () => {
  const setup = await start([['HSET', 'h', 'a', 1]])
  const { old, path } = setup
  const [app, store] = [path.client(), old.client()]
  const asked = async (): Promise<number> => {
    const stats = await store.info('commandstats')
    return Number(/cmdstat_pexpiretime:calls=(\d+)/.exec(stats)?.[1] ?? 0)
  }
  for (let i = 0; i < 10; i++) {
    await app.hset('h', 'b', i)
    await app.expire('h', 1_000)
    await app.persist('h')
  }
  await settled(path)
  expect(await asked()).toBe(1)
  await store.select(1)
  await store.hset('h', 'a', 1)
  await store.pexpire('h', 2_000)
  await app.swapdb(0, 1)
  await app.hset('h', 'c', 1)
  await settled(path)
  await eventually(async () => expect(await setup.fresh.client().exists('h')).toBe(0))
})

test.each<[string, Words, Words, Words, Words]>([
  ['hash', ['HSET', 'k', 'a', 1], ['HSET', 'k', 'b', 1], ['HDEL', 'k', 'b'], ['HSET', 'k', 'c', 1]],
  ['set', ['SADD', 'k', 'a'], ['SADD', 'k', 'b'], ['SREM', 'k', 'b'], ['SADD', 'k', 'c']],
  ['set whose member moves', ['SADD', 'k', 'a'], ['SADD', 'k', 'b'], ['SMOVE', 'k', 'm', 'b'], ['SADD', 'k', 'c']],
  ['sorted set', ['ZADD', 'k', 1, 'a'], ['ZADD', 'k', 2, 'b'], ['ZPOPMIN', 'k'], ['ZADD', 'k', 3, 'c']],
])(
  '%s: what is added to it when nothing of it is left on the shadow gets its time to live again',
  async (_type, before, ...writes) => {
    const setup = await start([before, ['PEXPIRE', 'k', 600_000]])
    const app = setup.path.client()
    for (const [name, ...args] of writes) {
      await app.call(name, ...args)
      await settled(setup.path)
    }
    expect(await timesOf(setup.fresh, ['k'])).toEqual(await timesOf(setup.old, ['k']))
  },
)

test('where the primary does not say when, a key is copied once or twice, however often something is added to it and taken away', async () => {
  const { old, fresh, path } = await start([
    ['HSET', 'h', 'a', 1, 'b', 2],
    ['PEXPIRE', 'h', 600_000],
  ])
  await old.client().call('ACL', 'SETUSER', 'default', '-pexpiretime')
  const app = path.client()
  for (let i = 0; i < 20; i++) {
    await app.hset('h', 'new', i)
    await app.hdel('h', 'new')
    await settled(path)
  }
  const copies = /cmdstat_restore:calls=(\d+)/.exec(await fresh.client().info('commandstats'))
  expect(Number(copies?.[1])).toBeLessThan(4)
  expect(await fresh.client().hgetall('h')).toEqual({ a: '1', b: '2' })
  expect(await fresh.client().pttl('h')).toBeGreaterThan(0)
})

test('a shadow that is known to lack nothing is asked for nothing', async () => {
  const setup = await start([['HSET', 'h', 'a', 1]], { shadowsLack: false })
  await setup.path.client().hset('h', 'b', 1)
  await settled(setup.path)
  expect(await setup.old.client().info('commandstats')).not.toContain('pexpiretime')
})

test('what a script has deleted here, and made there where the key was missing, is deleted', async () => {
  const toggle =
    'if redis.call("EXISTS", KEYS[1]) == 1 then redis.call("DEL", KEYS[1]) else redis.call("SET", KEYS[1], 1) end return 1'
  const setup = await start([['SET', 'k', 1]])
  const app = setup.path.client()
  expect(await app.eval(toggle, 1, 'k')).toBe(1)
  await bothBecomeEmpty(setup)
})

test('what a kill -9 leaves unasked is known to the next start', async () => {
  const keys = Array.from({ length: 6_000 }, (_, i) => `session:${i}`)
  const migration = await startMigration(undefined, async (server) => {
    const batch = server.client().pipeline()
    for (const key of keys) batch.hset(key, 'user', 1).pexpire(key, 600_000)
    await batch.exec()
  })
  running.push(migration)
  const { source, target, understudy } = migration
  for (const field of ['a', 'b']) {
    const app = understudy.client({ retryStrategy: () => null })
    const cut = Promise.allSettled(keys.map((key) => app.hset(key, field, 1)))
    await eventually(async () => expect(await target.client().info('commandstats')).toMatch(/hset:calls=\d{4}/), {
      intervalMs: 2,
    })
    await understudy.kill9()
    await cut
    await target.client().config('RESETSTAT')
    await understudy.restart()
  }
  await eventually(async () => {
    const [wanted, found] = await Promise.all([timesOf(source, keys), timesOf(target, keys)])
    expect(found.filter((at) => at !== GONE).length).toBeGreaterThan(1_000)
    expect(found.filter((at, i) => at !== GONE && at !== wanted[i])).toEqual([])
  })
})

function storeOf({ servers }: RedisCluster) {
  const endpoints = servers.map(({ port }) => ({ kind: 'tcp', host: '127.0.0.1', port }) as const)
  return { port: servers[0]!.port, kind: 'cluster', endpoints } as const
}

const GONE = -2

async function timesOf(at: RedisServer, keys: readonly string[]): Promise<unknown[]> {
  const batch = at.client().pipeline()
  for (const key of keys) batch.pexpiretime(key)
  return (await batch.exec())!.map(([, time]) => time)
}
