import type { Redis } from 'ioredis'
import { afterEach, describe, expect, test } from 'vitest'
import { COPIED } from '../../../src/mirror/copy/copy-batch.ts'
import type { CopyLimits } from '../../../src/mirror/copy/copy-state.ts'
import { isStagingKey } from '../../../src/routing/staging-key.ts'
import { copyAsJob } from '../../support/copy-as-job.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeStore } from '../../support/fake-store.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { type RedisServer, type RedisServerOptions, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

/** As if the shadow were of another make: it does not take the primary's payloads. */
const REFUSES_RESTORE: RedisServerOptions = { args: ['--rename-command', 'RESTORE', ''] }

interface Setup {
  readonly old: RedisServer
  readonly fresh: RedisServer
  readonly path: DataPathUnderTest
}

async function twoStores(
  fresh: RedisServerOptions = {},
  old: RedisServerOptions = {},
  copyLimits: Partial<CopyLimits> = {},
): Promise<Setup> {
  const [one, other] = await Promise.all([startRedis(old), startRedis(fresh)])
  const path = await startDataPath({
    stores: { old: one, new: other },
    routes: [
      {
        name: 'jobs',
        keys: ['job:{id}'],
        source: 'old',
        target: { store: 'new', keys: { 'job:{id}': 'step:{id}' } },
        phase: 'mirror',
      },
      { name: 'rest', source: 'old', target: 'new', phase: 'mirror' },
    ],
    copyLimits,
  })
  running.push(one, other, path)
  return { old: one, fresh: other, path }
}

/** A new key schema on one server. */
async function oneStore(): Promise<{ store: RedisServer; path: DataPathUnderTest }> {
  const store = await startRedis()
  const path = await startDataPath({
    stores: { only: store },
    routes: [
      {
        name: 'jobs',
        keys: ['job:{id}'],
        source: 'only',
        target: { store: 'only', keys: { 'job:{id}': 'step:{id}' } },
        phase: 'mirror',
      },
      { name: 'rest', source: 'only' },
    ],
  })
  running.push(store, path)
  return { store, path }
}

const toShadow = (key: string): string => key.replace(/^job:/, 'step:')

const ONE_STORE = {
  onPrimary: (key: string) => key.startsWith('job:'),
  onShadow: (key: string) => key.startsWith('step:'),
  toShadow,
}

/** What nobody can tell the effect of, so that the key is copied. */
const UNCLEAR = "if redis.call('time')[1] == '0' then redis.call('del', KEYS[1]) end"

/** So many that a copy in the middle of them is seen on any machine. */
const MANY_PIECES: Partial<CopyLimits> = { pieceBytes: 16 * 1024 }

/** One key is being copied in pieces. */
async function underWay(there: Redis): Promise<void> {
  await eventually(async () => expect(await there.keys('understudy:copy:*')).toHaveLength(1), { intervalMs: 0 })
}

async function unclear(path: DataPathUnderTest, ...keys: string[]): Promise<void> {
  const app = path.client()
  await Promise.all(keys.map((key) => app.eval(UNCLEAR, 1, key)))
}

/** No key is dirty; writes go on. On a machine whose answers take half a second, some of these writes make their key dirty once more, and a copy between them takes its time to come. */
async function clean(path: DataPathUnderTest): Promise<void> {
  await eventually(
    () => {
      for (const { dirtyKeys } of Object.values(path.runtime.stats().routes)) expect(dirtyKeys).toBe(0)
    },
    { timeoutMs: 100_000 },
  )
}

async function copied(path: DataPathUnderTest, ...keys: string[]): Promise<void> {
  await unclear(path, ...keys)
  await settled(path)
}

/** One key of every type and of every peculiarity that a copy has to bring over. */
async function fill(client: Redis): Promise<string[]> {
  const at = Date.now() + 500_000
  await client.set('string', Buffer.from([0, 255, 13, 10, 1]))
  await client.set('empty', '')
  await client.set('job:timed', 'v', 'PXAT', at)
  await client.setbit('bits', 100_000, 1)
  await client.pfadd('hll', 'a', 'b', 'c')
  await client.rpush('list', ...Array.from({ length: 3_000 }, (_, i) => `element ${i}`))
  await client.sadd('intset', 1, 2, 3)
  await client.sadd('job:set', ...Array.from({ length: 3_000 }, (_, i) => `member ${i}`))
  await client.hset('hash', Object.fromEntries(Array.from({ length: 3_000 }, (_, i) => [`field ${i}`, `value ${i}`])))
  await client.zadd('zset', '-inf', 'a', '0.1', 'b', '1e300', 'c', '+inf', 'd', '3.0000000000000004', 'e')
  await client.pexpireat('zset', at)
  for (let i = 1; i <= 20; i++) await client.xadd('stream', `${i}-1`, 'f', i)
  await client.xgroup('CREATE', 'stream', 'g', 0)
  await client.xgroup('CREATE', 'stream', 'late', '$')
  await client.xreadgroup('GROUP', 'g', 'one', 'COUNT', 4, 'STREAMS', 'stream', '>')
  await client.xreadgroup('GROUP', 'g', 'two', 'COUNT', 5, 'STREAMS', 'stream', '>')
  await client.xreadgroup('GROUP', 'g', 'two', 'COUNT', 1, 'STREAMS', 'stream', 0)
  await client.xgroup('CREATECONSUMER', 'stream', 'g', 'idle')
  await client.xack('stream', 'g', '3-1')
  // Pending and deleted: before the first entry, among them, and at the end.
  await client.xdel('stream', '1-1', '7-1', '20-1')
  // Pending and trimmed: nothing was ever deleted.
  for (let i = 1; i <= 5; i++) await client.xadd('trimmed', `${i}-1`, 'f', i)
  await client.xgroup('CREATE', 'trimmed', 'g', 0)
  await client.xreadgroup('GROUP', 'g', 'one', 'COUNT', 4, 'STREAMS', 'trimmed', '>')
  await client.xtrim('trimmed', 'MAXLEN', 2)
  await client.xgroup('CREATE', 'drained', 'g', 0, 'MKSTREAM')
  await client.xadd('emptied', '5-5', 'f', 'v')
  await client.xtrim('emptied', 'MAXLEN', 0)
  return client.keys('*')
}

/** With what is pending with each, and with what its groups have read. */
async function consumersOf(server: RedisServer): Promise<unknown> {
  const list = (await server.client().call('XINFO', 'CONSUMERS', 'stream', 'g')) as unknown[][]
  return [list.map((fields) => [fields[1], fields[3]]), await server.client().xinfo('GROUPS', 'stream')]
}

describe('a copy brings over everything a key is', () => {
  test('by its payload', async () => {
    const { old, fresh, path } = await twoStores()
    await copied(path, ...(await fill(old.client())))
    expect(await driftBetween(old, fresh, { toShadow })).toEqual([])
    expect(await consumersOf(fresh)).toEqual(await consumersOf(old))
  })

  test('by commands of its type, where the payload is refused', async () => {
    const { old, fresh, path } = await twoStores(REFUSES_RESTORE)
    const keys = await fill(old.client())
    await copied(path, ...keys)
    expect(await driftBetween(old, fresh, { toShadow })).toEqual([])
    expect(await consumersOf(fresh)).toEqual(await consumersOf(old))
    const said = path.notices.filter(({ kind }) => kind === 'log').map((notice) => JSON.stringify(notice))
    expect(said.filter((line) => line.includes('does not take payloads')).length).toBe(1)
    // And again, over what is there, of another type.
    const app = old.client()
    await app.multi().del('string').sadd('string', 'a').rename('list', 'job:set').exec()
    await copied(path, 'string', 'list', 'job:set', 'stream')
    expect(await driftBetween(old, fresh, { toShadow })).toEqual([])
  })

  test('by commands of its type, while databases are swapped under it', async () => {
    const { old, fresh, path } = await twoStores(REFUSES_RESTORE)
    const [here, there] = [path.client(), path.client({ db: 1 })]
    for (let i = 0; i < 60; i++) {
      await here.mset(`a:${i}`, i, `b:${i}`, i)
      const copying = ['a', 'b'].map((name) => here.eval(UNCLEAR, 1, `${name}:${i}`))
      await Promise.all([...copying, there.swapdb(0, 1), there.eval(UNCLEAR, 1, `a:${i}`)])
    }
    await settled(path)
    expect(await driftBetween(old, fresh, { databases: [0, 1], toShadow })).toEqual([])
  })

  test('which a right is missing for stays dirty, and what is missing is told', async () => {
    const { old, path } = await twoStores(REFUSES_RESTORE)
    const client = old.client()
    await client.hset('h', 'f', 'v')
    await client.acl('SETUSER', 'default', '-hscan')
    path
      .client()
      .eval(UNCLEAR, 1, 'h')
      .catch(() => {})
    await eventually(() =>
      expect(JSON.stringify(path.notices.filter(({ kind }) => kind === 'log'))).toContain('"reason":"NOPERM HSCAN"'),
    )
    expect(path.runtime.stats().routes['rest']).toMatchObject({ dirtyKeys: 1, repair: 'copying' })
  })

  test('where the primary gives no payloads, sizes or absolute times', async () => {
    const without = ['DUMP', 'MEMORY', 'PEXPIRETIME'].flatMap((name) => ['--rename-command', name, ''])
    const { old, fresh, path } = await twoStores({}, { args: without })
    const client = old.client()
    await client.set('timed', 'v', 'PX', 500_000)
    await client.hset('job:h', 'f', 'v')
    await copied(path, 'timed', 'job:h', 'missing')
    expect(await fresh.client().hgetall('step:h')).toEqual({ f: 'v' })
    expect(Math.abs((await fresh.client().pttl('timed')) - (await client.pttl('timed')))).toBeLessThan(1_000)
  })

  test('which is in its last millisecond, of a primary that tells only how long it has to live', async () => {
    const fresh = await startRedis()
    const redis = fresh.client()
    await redis.set('k', 'v')
    const payload = (await redis.dumpBuffer('k'))!.toString('latin1')
    const answers: Readonly<Record<string, string>> = {
      MEMORY: ':50\r\n',
      DUMP: `$${payload.length}\r\n${payload}\r\n`,
      PTTL: ':0\r\n',
    }
    const old = await FakeStore.start(([name]) => answers[name!] ?? '-ERR unknown command\r\n')
    running.push(fresh, old)
    const path = await startDataPath({
      stores: { old: { port: old.port }, new: fresh },
      routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
    })
    running.push(path)
    await eventually(async () => expect([...(await copyAsJob(path, 'all', ['k'])).outcomes]).toEqual([COPIED]))
    await eventually(async () => expect(await redis.exists('k')).toBe(0))
  })

  test('on one server, by COPY: values, times, and that there is nothing', async () => {
    const { store, path } = await oneStore()
    const client = store.client()
    await client.rpush('job:list', 'a', 'b')
    await client.set('job:timed', 'v', 'PX', 500_000)
    await client.set('step:gone', 'left over')
    await copied(path, 'job:list', 'job:timed', 'job:gone')
    expect(await driftBetween(store, store, ONE_STORE)).toEqual([])
    expect(await client.info('commandstats')).toMatch(/cmdstat_copy:calls=3/)
    expect(await client.info('commandstats')).not.toMatch(/cmdstat_dump/)
  })
})

async function stagingKeys(server: RedisServer): Promise<Buffer[]> {
  return (await server.client().keysBuffer('*')).filter((key) => isStagingKey(key, 0, key.length))
}

describe('a key that is too big for one piece', () => {
  const ELEMENTS = 40_000
  const FILL: Record<string, string> = {
    zset: `for i = 1, ${ELEMENTS} do redis.call('zadd', KEYS[1], i, 'member number ' .. string.rep('x', 80) .. i) end`,
    hash: `for i = 1, ${ELEMENTS} do redis.call('hset', KEYS[1], 'field number ' .. string.rep('x', 80) .. i, i) end`,
    set: `for i = 1, ${ELEMENTS} do redis.call('sadd', KEYS[1], 'member number ' .. string.rep('x', 80) .. i) end`,
    list: `for i = 1, ${ELEMENTS} do redis.call('rpush', KEYS[1], string.rep('x', 150) .. i) end`,
    stream: `for i = 1, ${ELEMENTS} do redis.call('xadd', KEYS[1], i .. '-1', 'field', string.rep('x', 150)) end
             redis.call('xgroup', 'create', KEYS[1], 'g', 0)
             redis.call('xreadgroup', 'group', 'g', 'c', 'count', 500, 'streams', KEYS[1], '>')
             redis.call('xdel', KEYS[1], '7-1', '400-1') redis.call('xtrim', KEYS[1], 'maxlen', ${ELEMENTS - 100})`,
    string: "redis.call('set', KEYS[1], string.rep('0123456789', 600000))",
  }

  /** Writes that happen to such keys all the time. */
  const WRITES: Record<string, (i: number) => (string | number)[]> = {
    zset: (i) =>
      [
        ['ZINCRBY', 'job:big', 7, `member number ${'x'.repeat(80)}${(i * 7919) % ELEMENTS}`],
        ['ZREM', 'job:big', `member number ${'x'.repeat(80)}${(i * 104_729) % ELEMENTS}`],
        ['ZADD', 'job:big', 'GT', 5, `new ${i % 100}`],
      ][i % 3]!,
    hash: (i) =>
      [
        ['HINCRBY', 'job:big', `field number ${'x'.repeat(80)}${(i * 7919) % ELEMENTS}`, 3],
        ['HDEL', 'job:big', `field number ${'x'.repeat(80)}${(i * 104_729) % ELEMENTS}`],
        ['HSET', 'job:big', `new ${i % 100}`, i],
      ][i % 3]!,
    set: (i) =>
      [
        ['SADD', 'job:big', `new ${i}`],
        ['SREM', 'job:big', `member number ${'x'.repeat(80)}${(i * 104_729) % ELEMENTS}`],
        ['SPOP', 'job:big'],
      ][i % 3]!,
    list: (i) =>
      [
        ['RPUSH', 'job:big', `tail ${i}`, `more ${i}`],
        ['LPOP', 'job:big', 3],
        ['LPUSH', 'job:big', `head ${i}`],
        ['RPOP', 'job:big'],
      ][i % 4]!,
    stream: (i) =>
      [
        ['XADD', 'job:big', '*', 'f', i],
        ['XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', 2, 'STREAMS', 'job:big', '>'],
        ['XDEL', 'job:big', `${1_000 + ((i * 7919) % ELEMENTS)}-1`],
        ['XACK', 'job:big', 'g', `${i}-1`],
      ][i % 4]!,
    string: () => ['APPEND', 'job:big', 'more'],
  }

  test.each(Object.keys(FILL))(
    '%s: is copied in pieces while it is written to all the time',
    { timeout: 200_000 },
    async (type) => {
      const { old, fresh, path } = await twoStores()
      const client = old.client()
      await client.eval(FILL[type]!, 1, 'job:big')
      const app = path.client()
      let going = true
      let written = 0
      const writing = (async () => {
        while (going) {
          const batch = app.pipeline()
          for (let i = 0; i < 5; i++) batch.call(...(WRITES[type]!(written++) as [string, ...string[]]))
          await batch.exec()
        }
      })()
      await unclear(path, 'job:big')
      await clean(path).finally(() => {
        going = false
      })
      await writing
      await settled(path)
      expect(written).toBeGreaterThan(20)
      expect(await driftBetween(old, fresh, { toShadow })).toEqual([])
      // A later copy may find it small: what MEMORY USAGE says comes from samples.
      expect(await client.info('commandstats')).toMatch(
        /cmdstat_(getrange|lrange|sscan|hscan|zscan|xrange):calls=\d{2,}/,
      )
      expect(await stagingKeys(fresh)).toEqual([])
    },
  )

  test('is what it is by then, where it is to have expired meanwhile and is filled anew', async () => {
    const { old, fresh, path } = await twoStores({}, {}, { firstElements: 4, fewestElements: 4, pieceBytes: 1 })
    await old.client().eval(FILL['set']!, 1, 'job:big')
    const copied = copyAsJob(path, 'jobs', ['job:big'])
    await underWay(fresh.client())
    await path.client().multi().expireat('job:big', 1).sadd('job:big', 'new').exec()
    await copied
    await settled(path)
    expect(await fresh.client().smembers('step:big')).toEqual(['new'])
  })

  test('is told of every write in each of two copies that a job and the mirror make of it at the same time', {
    timeout: 200_000,
  }, async () => {
    const { old, fresh, path } = await twoStores({}, {}, { pieceBytes: 4_096 })
    await old.client().eval(FILL['zset']!, 1, 'job:big')
    const copied = copyAsJob(path, 'jobs', ['job:big'])
    await underWay(fresh.client())
    await unclear(path, 'job:big')
    await eventually(async () => expect(await stagingKeys(fresh)).toHaveLength(2), { intervalMs: 0 })
    const app = path.client()
    let going = true
    const writing = (async () => {
      for (let i = ELEMENTS; going; i++) {
        await app.multi().zadd('job:big', i, `new ${i}`).zremrangebyrank('job:big', 0, 0).exec()
      }
    })()
    await copied.finally(() => {
      going = false
    })
    await writing
    await settled(path)
    expect(await driftBetween(old, fresh, { toShadow })).toEqual([])
  })

  test('a stream of which very much is pending comes in pieces, too', { timeout: 120_000 }, async () => {
    const { old, fresh, path } = await twoStores()
    await old.client().eval(
      `for i = 1, 200000 do redis.call('xadd', KEYS[1], i .. '-1', 'f', 'v') end
       redis.call('xgroup', 'create', KEYS[1], 'g', 0)
       redis.call('xreadgroup', 'group', 'g', 'c', 'count', 200000, 'streams', KEYS[1], '>')
       redis.call('xtrim', KEYS[1], 'maxlen', 100000)`,
      1,
      'job:big',
    )
    await unclear(path, 'job:big')
    await clean(path)
    expect(await fresh.client().xpending('step:big', 'g')).toEqual(await old.client().xpending('job:big', 'g'))
    expect(await driftBetween(old, fresh, { toShadow })).toEqual([])
    expect(await old.client().info('commandstats')).toMatch(/cmdstat_xpending:calls=\d{2,}/)
  })

  test('on one server: the application never sees the copy that is being built', async () => {
    const { store, path } = await oneStore()
    await store.client().eval(FILL['hash']!, 1, 'job:big')
    const app = path.client()
    await unclear(path, 'job:big')
    let seen = 0
    while (path.runtime.stats().routes['jobs']!.dirtyKeys > 0) {
      if ((await store.client().keys('understudy:*')).length > 0) seen++
      expect(await app.keys('*')).toEqual(['job:big'])
      expect((await app.scan(0, 'COUNT', 100))[1]).toEqual(['job:big'])
    }
    expect(seen).toBeGreaterThan(0)
    await settled(path)
    expect(await driftBetween(store, store, ONE_STORE)).toEqual([])
  })

  test('counts as backlog from the first piece to the last, so that no switch comes between', async () => {
    const { old, path } = await twoStores()
    await old.client().eval(FILL['set']!, 1, 'job:big')
    await path.client().ping()
    const backlog = (): number => path.runtime.stats().routes['jobs']!.backlogCommands
    let done = false
    const copying = copyAsJob(path, 'jobs', ['job:big']).finally(() => {
      done = true
    })
    await expect.poll(backlog, { interval: 1 }).toBeGreaterThan(0)
    const seen: number[] = []
    while (!done) {
      seen.push(backlog())
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect((await copying).outcomes).toEqual(new Uint8Array([0]))
    expect(seen.slice(0, -2).filter((commands) => commands === 0)).toEqual([])
    expect(backlog()).toBe(0)
  })

  test('one that is changed as a whole all the time is copied in one piece', async () => {
    const { old, fresh, path } = await twoStores()
    await old.client().eval(FILL['zset']!, 1, 'job:big')
    const app = path.client()
    let going = true
    const writing = (async () => {
      for (let i = 0; going; i++) await app.zremrangebyrank('job:big', 0, i % 2)
    })()
    await unclear(path, 'job:big')
    await clean(path).finally(() => {
      going = false
    })
    await writing
    await settled(path)
    expect(await driftBetween(old, fresh, { toShadow })).toEqual([])
    expect(await old.client().info('commandstats')).toMatch(/cmdstat_dump/)
  })

  test('that is deleted, replaced, renamed or flushed meanwhile ends as it is on the primary', async () => {
    const { old, fresh, path } = await twoStores({}, {}, MANY_PIECES)
    const [client, there] = [old.client(), fresh.client()]
    const app = path.client()
    const writes: ((key: string) => Promise<unknown>)[] = [
      (key) => app.del(key),
      (key) => app.set(key, 'small'),
      (key) => app.rename(key, 'other'),
      (key) => app.multi().del(key, 'another').zadd(key, 1, 'a').exec(),
      (key) => app.eval("redis.call('time') redis.call('del', KEYS[1])", 1, key),
      () => app.flushall(),
    ]
    for (const [i, write] of writes.entries()) {
      const key = `big:${i}`
      await client.eval(FILL['zset']!, 1, key)
      await unclear(path, key)
      await underWay(there)
      await write(key)
      await settled(path)
      expect(await driftBetween(old, fresh, { toShadow })).toEqual([])
    }
  })

  test('while databases are swapped: what is copied is the key that has its name afterwards', async () => {
    const { old, fresh, path } = await twoStores({}, {}, MANY_PIECES)
    await old.client().eval(FILL['hash']!, 1, 'big')
    await old.client({ db: 1 }).eval(FILL['hash']!.replace("'field number '", "'other field '"), 1, 'big')
    const app = path.client()
    await app.ping()
    const copying = copyAsJob(path, 'rest', ['big'])
    await underWay(fresh.client())
    await app.swapdb(0, 1)
    await copying
    await settled(path)
    expect(await driftBetween(old, fresh, { onShadow: (key) => key === 'big' })).toEqual([])
  })

  test('whose copy is cut off leaves nothing behind that does not expire', async () => {
    const { old, fresh, path } = await twoStores(
      { args: ['--appendonly', 'yes', '--appendfsync', 'always'] },
      {},
      MANY_PIECES,
    )
    await old.client().eval(FILL['hash']!, 1, 'big')
    const there = fresh.client()
    await there.ping()
    const copying = copied(path, 'big').catch(() => {})
    await underWay(there)
    await fresh.kill9()
    await fresh.restart()
    await copying
    await settled(path)
    for (const key of await fresh.client().keys('understudy:copy:*')) {
      expect(await fresh.client().pttl(key)).toBeGreaterThan(0)
      await fresh.client().del(key)
    }
    expect(await driftBetween(old, fresh)).toEqual([])
  })
})
