import { afterEach, expect, test } from 'vitest'
import { type DataPathOptions, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

type Words = readonly [string, ...(string | number)[]]

async function start(options: Partial<DataPathOptions> = {}) {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  const path = await startDataPath({
    stores: { old, new: fresh },
    routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
    ...options,
  })
  running.push(old, fresh, path)
  return { old, fresh, path }
}

async function run(at: RedisServer, list: readonly Words[]): Promise<void> {
  for (const [name, ...args] of list) await at.client().call(name, ...args)
}

interface Case {
  /** What the source alone holds: it has not been copied yet. */
  readonly lacking: readonly Words[]
  /** What has been copied. */
  readonly copied?: readonly Words[]
  /** What then makes `d`; both sides answer the same to it. */
  readonly writes: readonly Words[]
}

const CASES: readonly Case[] = [
  { lacking: [['PFADD', 'x', 'a']], copied: [['PFADD', 'd', 'b']], writes: [['PFMERGE', 'd', 'x']] },
  { lacking: [['ZADD', 'x', 5, 'm']], copied: [['ZADD', 'y', 1, 'm']], writes: [['ZUNIONSTORE', 'd', 2, 'x', 'y']] },
  { lacking: [['SET', 'x', 'pq']], copied: [['SET', 'y', 'ab']], writes: [['BITOP', 'OR', 'd', 'x', 'y']] },
  {
    lacking: [['ZADD', 'x', 1, 'a', 2, 'b']],
    writes: [
      ['ZADD', 'x', 3, 'c'],
      ['ZRANGESTORE', 'd', 'x', 0, 0],
    ],
  },
  {
    lacking: [['SADD', 'x', 1]],
    writes: [
      ['SADD', 'x', 2],
      ['SORT', 'x', 'LIMIT', 0, 1, 'STORE', 'd'],
    ],
  },
  {
    lacking: [['HSET', 'x', 'a', 1]],
    writes: [
      ['HSET', 'x', 'b', 1],
      ['RENAME', 'x', 'd'],
    ],
  },
  {
    lacking: [['HSET', 'x', 'a', 1]],
    writes: [
      ['HSET', 'x', 'b', 1],
      ['COPY', 'x', 'd'],
    ],
  },
  {
    lacking: [['RPUSH', 'x', 1, 2]],
    copied: [['RPUSH', 'y', 3]],
    writes: [
      ['LMOVE', 'y', 'x', 'LEFT', 'LEFT'],
      ['LMOVE', 'x', 'd', 'RIGHT', 'LEFT'],
    ],
  },
  {
    lacking: [['SET', 'x', 'v']],
    copied: [['SET', 'd', 'v']],
    writes: [['EVAL', "redis.call('SET', KEYS[2], redis.call('GET', KEYS[1]) or 'none') return 1", 2, 'x', 'd']],
  },
]

for (const { lacking, copied = [], writes } of CASES)
  for (const way of ['by itself', 'in a transaction'])
    test(`what ${writes.at(-1)![0]} makes of a key that the shadow has not got yet is copied, ${way}`, async () => {
      const { old, fresh, path } = await start({ shadowsLack: true })
      await run(old, [...lacking, ...copied])
      await run(fresh, copied)
      const app = path.client()
      if (way === 'by itself') for (const [name, ...args] of writes) await app.call(name, ...args)
      else {
        const multi = app.multi()
        for (const [name, ...args] of writes) multi.call(name, ...args)
        await multi.exec()
      }
      const made = await old.client().dumpBuffer('d')
      await eventually(async () => expect(await fresh.client().dumpBuffer('d')).toEqual(made))
      expect(made).not.toBeNull()
    })

const dirtied = ({ runtime }: Awaited<ReturnType<typeof start>>['path']) => runtime.stats().routes.all!.counters.dirtied

test('what does to each of its keys what it says itself is not copied, nor are the keys that others are made of', async () => {
  const { fresh, path } = await start({ shadowsLack: true })
  const app = path.client()
  await app.mset('a', 1, 'b', 2)
  await app.sadd('s', 1, 2)
  await app.smove('s', 't', '1')
  await app.del('a', 'b')
  await app.unlink('a', 's')
  await settled(path)
  expect(dirtied(path)).toBe(0)
  await app.zadd('y', 1, 'm')
  await app.zadd('x', 1, 'm')
  await app.zunionstore('d', 2, 'x', 'y')
  await eventually(() => expect(dirtied(path)).toBe(1))
  await settled(path)
  expect(await fresh.client().zscore('d', 'm')).toBe('2')
})

test('once the shadow is said to be complete nothing is copied, until another phase begins', async () => {
  const { old, fresh, path } = await start({ shadowsLack: true })
  const app = path.client()
  const make = async (): Promise<void> => {
    await app.zunionstore('d', 2, 'x', 'y')
    await settled(path)
  }
  await app.zadd('y', 1, 'm')
  await app.zadd('x', 1, 'm')
  // That was of the routes before.
  path.runtime.setCompleteShadows(['all'], 1)
  await make()
  expect(dirtied(path)).toBe(1)
  path.runtime.setCompleteShadows(['all'], 0)
  await make()
  expect(dirtied(path)).toBe(1)
  const stores = { old, new: fresh }
  await path.apply({ stores, routes: [{ source: 'old', target: 'new', phase: 'mirror', keys: ['*'] }] })
  expect(path.runtime.stats().generation).toBe(1)
  await make()
  expect(dirtied(path)).toBe(1)
  await path.apply({ stores, routes: [{ source: 'old', target: 'new', phase: 'shadow' }] })
  await make()
  expect(dirtied(path)).toBe(2)
})

test('while a verify is needed they are copied as well: its listing need not give a name that has come behind its place', async () => {
  const { fresh, path } = await start()
  const app = path.client()
  await app.hset('x', 'a', 1)
  await app.hset('y', 'a', 1)
  await settled(path)
  await fresh.client().hset('x', 'a', 'lost')
  const needed = (): boolean => path.runtime.stats().routes.all!.needsVerify
  await app.rename('y', 'e')
  await settled(path)
  expect([dirtied(path), needed()]).toEqual([0, false])
  // Nobody tells of groups which keys they are of.
  await app.eval("return redis.call('xgroup', 'create', ARGV[1], 'g', '0', 'mkstream')", 0, 's')
  await eventually(() => expect(needed()).toBe(true))
  await app.rename('x', 'd')
  await eventually(async () => expect(await fresh.client().hgetall('d')).toEqual({ a: '1' }))
})

test('what was on its way when the shadow became complete may be made of what it lacked until then', async () => {
  const { old, fresh, path } = await start({ shadowsLack: true })
  await old.client().hset('x', 'a', 1)
  const app = path.client()
  await app.hset('x', 'b', 2)
  await settled(path)
  fresh.pause()
  await app.rename('x', 'd')
  // The listing has found neither: one was gone, and the other came behind its place.
  path.runtime.setCompleteShadows(['all'], 0)
  fresh.resume()
  await eventually(async () => expect(await fresh.client().hgetall('d')).toEqual({ a: '1', b: '2' }))
})

test('what was on its way when a verify had found no difference may be made of what differed until then', async () => {
  const { fresh, path } = await start()
  const app = path.client()
  await app.zadd('x', 5, 'm')
  await app.zadd('y', 1, 'm')
  await settled(path)
  await fresh.client().del('x')
  await app.eval("return redis.call('xgroup', 'create', ARGV[1], 'g', '0', 'mkstream')", 0, 's')
  const needed = (): boolean => path.runtime.stats().routes.all!.needsVerify
  await eventually(() => expect(needed()).toBe(true))
  const { jobs } = path.runtime
  const ticket = await jobs.verifyTicket('all')
  fresh.pause()
  await app.multi().zunionstore('d', 2, 'x', 'y').del('x').exec()
  const verified = jobs.verified('all', ticket)
  fresh.resume()
  await eventually(async () => expect(await fresh.client().zscore('d', 'm')).toBe('6'))
  await verified
  expect(needed()).toBe(false)
})
