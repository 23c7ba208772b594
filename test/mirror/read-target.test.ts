import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../src/resp/encode.ts'
import { type DataPathUnderTest, type RouteOptions, startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { driftBetween } from '../support/keyspace.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'
import { shadowUp } from '../support/shadow-up.ts'
import { Writer } from '../support/write-load.ts'

let old: RedisServer
let fresh: RedisServer
let path: DataPathUnderTest
beforeAll(async () => {
  ;[old, fresh] = await Promise.all([startRedis(), startRedis()])
})
afterAll(() => Promise.all([old.stop(), fresh.stop()]))
beforeEach(async () => {
  await Promise.all([old.client().flushall(), fresh.client().flushall()])
  path = await startDataPath({ stores: { old, new: fresh }, routes: routes(20_000) })
  // While the target is being connected the source answers.
  await shadowUp(path)
})
afterEach(() => path.stop())

function routes(readTimeoutMs: number): RouteOptions[] {
  const shared = { phase: 'read-target', source: 'old', readTimeoutMs } as const
  return [
    { ...shared, name: 'jobs', keys: ['job:{id}'], target: { store: 'new', keys: { 'job:{id}': 'step:{id}' } } },
    { ...shared, name: 'rest', target: 'new' },
  ]
}

/** A target has this long to answer; elsewhere here it has for ever, however busy the machine is. */
async function inAHurry(readTimeoutMs: number): Promise<void> {
  await path.stop()
  path = await startDataPath({ stores: { old, new: fresh }, routes: routes(readTimeoutMs) })
}
const toShadow = (key: string): string => key.replace('job:', 'step:')

function counters(route = 'rest') {
  return path.runtime.stats().routes[route]!.counters
}

async function commandsOf(server: RedisServer, name: string): Promise<number> {
  const stats = await server.client().info('commandstats')
  return Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(stats)?.[1] ?? 0)
}

async function send(...commands: (string | number)[][]): Promise<string[]> {
  const raw = await path.raw()
  raw.send(Buffer.concat(commands.map((args) => encodeCommand(args))))
  return raw.take(commands.length)
}

describe('reads', () => {
  test.each([2, 3] as const)('that the target can answer are answered by it alone (RESP%i)', async (protocol) => {
    const app = path.client({ protocol })
    await app.set('job:1', 'a')
    await app.hset('h', 'f', 'v')
    await settled(path)
    const asked = (await commandsOf(old, 'get')) + (await commandsOf(old, 'hgetall'))
    expect(await app.get('job:1')).toBe('a')
    expect(await app.hgetall('h')).toEqual({ f: 'v' })
    expect((await commandsOf(old, 'get')) + (await commandsOf(old, 'hgetall'))).toBe(asked)
    expect(counters()).toMatchObject({ fallbackMiss: 0, fallbackError: 0, fallbackTimeout: 0 })
  })

  test('that the target misses are answered by the source, and the key is copied over', async () => {
    await old.client().set('job:1', 'a', 'EX', 100)
    await old.client().rpush('list', 'x', 'y')
    const app = path.client({ protocol: 2 })
    expect(await app.get('job:1')).toBe('a')
    expect(await app.lrange('list', 0, -1)).toEqual(['x', 'y'])
    await eventually(async () => expect((await fresh.client().keys('*')).sort()).toEqual(['list', 'step:1']))
    await settled(path)
    expect(await driftBetween(old, fresh, { toShadow })).toEqual([])
    expect(await app.get('job:1')).toBe('a')
    expect(counters('jobs').fallbackMiss).toBe(1)
  })

  test.each([2, 3] as const)('of several keys, of which the target has some, give all (RESP%i)', async (protocol) => {
    await old.client().mset('a', 1, 'b', 2)
    await old.client().sadd('s', 'x')
    await old.client().sadd('t', 'y')
    await fresh.client().set('a', 1)
    await fresh.client().sadd('s', 'x')
    const app = path.client({ protocol })
    expect(await app.exists('a', 'b')).toBe(2)
    expect((await app.sunion('s', 't')).sort()).toEqual(['x', 'y'])
    expect(await app.mget('a', 'b', 'nowhere')).toEqual(['1', '2', null])
    await eventually(async () => expect(await fresh.client().get('b')).toBe('2'))
    await settled(path)
    // Only what was missing is copied: the target's own `a` stays as it is.
    expect(counters().dirtied).toBe(1)
  })

  test('of keys that a pattern stands for are answered by the source: what the target lacks of them nobody would see', async () => {
    await old.client().rpush('list', 1, 2)
    await old.client().mset('w_1', 20, 'w_2', 10)
    await fresh.client().rpush('list', 1, 2)
    expect(await path.client().call('SORT_RO', 'list', 'BY', 'w_*')).toEqual(['2', '1'])
  })

  test.each([2, 3] as const)('of a key that nobody has copy nothing (RESP%i)', async (protocol) => {
    const app = path.client({ protocol })
    expect(await app.get('nowhere')).toBeNull()
    expect(await app.hgetall('nowhere')).toEqual({})
    expect(await app.ttl('nowhere')).toBe(-2)
    expect(counters()).toMatchObject({ fallbackMiss: 3, dirtied: 0 })
  })

  test('a key that is deleted meanwhile does not come back', async () => {
    const app = path.client({ protocol: 2 })
    await old.client().mset(Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`k${i}`, 'v'])))
    const deleter = path.client({ protocol: 3 })
    await Promise.all(Array.from({ length: 200 }, (_, i) => Promise.all([app.get(`k${i}`), deleter.del(`k${i}`)])))
    await settled(path)
    expect(await fresh.client().keys('*')).toEqual([])
    expect(await old.client().keys('*')).toEqual([])
  })
})

describe('a client reads its own writes', () => {
  test('in one pipeline, and never what it wrote only afterwards', async () => {
    const replies = await send(
      ['GET', 'k'],
      ['SET', 'k', 1],
      ['GET', 'k'],
      ['INCR', 'k'],
      ['GET', 'k'],
      ['APPEND', 'k', 'x'],
      ['GET', 'k'],
      ['EXISTS', 'job:k'],
      ['MULTI'],
      ['SET', 'job:k', 'tx'],
      ['EXEC'],
      ['GET', 'job:k'],
    )
    expect(replies.map((reply) => reply.trim().split('\r\n').at(-1))).toEqual([
      '$-1',
      '+OK',
      '1',
      ':2',
      '2',
      ':2',
      '2x',
      ':0',
      '+OK',
      '+QUEUED',
      '+OK',
      'tx',
    ])
  })

  test.each([2, 3] as const)('one command at a time, whatever kind the write is (RESP%i)', async (protocol) => {
    const app = path.client({ protocol })
    for (let i = 0; i < 100; i++) {
      await app.set('s', i)
      expect(await app.get('s')).toBe(String(i))
      await app.eval("redis.call('set', KEYS[1], ARGV[1])", 1, 'job:scripted', i)
      expect(await app.get('job:scripted')).toBe(String(i))
      await app.multi().incr('n').exec()
      expect(await app.get('n')).toBe(String(i + 1))
      await app.rpush('q', i)
      await app.blpop('q', 1)
      expect(await app.llen('q')).toBe(0)
      await app.xadd('log', 'MAXLEN', '~', 10, '*', 'f', i)
      expect(await app.xlen('log')).toBe(await old.client().xlen('log'))
    }
  })

  test('also when the write failed on the target', async () => {
    const app = path.client({ protocol: 2 })
    await app.set('k', 'before')
    await settled(path)
    await fresh.client().config('SET', 'maxmemory', '1')
    try {
      const [, read] = await send(['SET', 'k', 'after'], ['GET', 'k'])
      expect(read).toContain('after')
      for (let i = 0; i < 20; i++) {
        await app.set('k', i)
        expect(await app.get('k')).toBe(String(i))
      }
    } finally {
      await fresh.client().config('SET', 'maxmemory', '0')
    }
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
  })

  test('also while others write the same keys and every value is read back by its writer', async () => {
    const writers = await Promise.all([1, 2].map((seed) => Writer.open(path.port, 2, { seed })))
    const app = path.client({ protocol: 2 })
    const load = Promise.all(writers.map((writer) => writer.run(200)))
    for (let i = 0; i < 300; i++) {
      await app.set('mine', i)
      await app.sadd('job:mine', i)
      expect(await app.get('mine')).toBe(String(i))
      expect(await app.sismember('job:mine', i)).toBe(1)
    }
    await load
    for (const writer of writers) writer.close()
    expect(writers.flatMap((writer) => writer.ownErrors)).toEqual([])
    await settled(path)
    expect(await driftBetween(old, fresh, { toShadow, ttlSlackMs: 1_000 })).toEqual([])
  })
})

describe('a target in trouble', () => {
  test('that hangs costs each read its deadline at most, and nothing but that', async () => {
    await inAHurry(250)
    const app = path.client({ protocol: 2 })
    await app.set('k', 'v')
    await settled(path)
    fresh.pause()
    try {
      expect(await Promise.all(Array.from({ length: 50 }, () => app.get('k')))).toEqual(Array(50).fill('v'))
      expect(counters().fallbackTimeout).toBe(50)
      await app.set('k', 'w')
      expect(await app.get('k')).toBe('w')
    } finally {
      fresh.resume()
    }
    await settled(path)
    await eventually(async () => {
      const misses = counters().fallbackTimeout
      expect(await app.get('k')).toBe('w')
      expect(counters().fallbackTimeout).toBe(misses)
    })
  })

  test('that goes on hanging is not asked any more, until single reads get through again', async () => {
    await inAHurry(50)
    const app = path.client({ protocol: 2 })
    await app.set('k', 'v')
    await settled(path)
    fresh.pause()
    try {
      await eventually(async () => {
        expect(await app.get('k')).toBe('v')
        expect(counters().fallbackOpen).toBeGreaterThan(0)
      })
      // Beside a probe now and then nobody waits for it.
      const { fallbackTimeout } = counters()
      const began = performance.now()
      for (let i = 0; i < 200; i++) expect(await app.get('k')).toBe('v')
      const probes = counters().fallbackTimeout - fallbackTimeout
      expect(probes).toBeLessThanOrEqual(Math.ceil((performance.now() - began) / 250) + 1)
      expect(path.notices).toContainEqual({
        kind: 'log',
        line: expect.objectContaining({ msg: expect.stringContaining('the source answers them for now') }),
      })
    } finally {
      fresh.resume()
    }
    await eventually(async () => {
      const { fallbackOpen, fallbackTimeout } = counters()
      expect(await app.get('k')).toBe('v')
      expect(counters()).toMatchObject({ fallbackOpen, fallbackTimeout })
    })
  })

  test('what the target says of a key is not taken for illness', async () => {
    const app = path.client({ protocol: 2 })
    await app.rpush('list', 'x')
    await settled(path)
    for (let i = 0; i < 20; i++) await expect(app.get('list')).rejects.toThrow(/WRONGTYPE/)
    expect(counters()).toMatchObject({ fallbackOpen: 0, fallbackError: 20 })
  })

  test('that is down is not asked; what was written meanwhile is read from the source until it is copied', async () => {
    const app = path.client({ protocol: 2 })
    await app.set('k', 'v')
    await settled(path)
    await fresh.kill9()
    try {
      await eventually(() => expect(path.runtime.stats().stores['new']!.state).not.toBe('up'))
      expect(await app.get('k')).toBe('v')
      for (let i = 0; i < 20; i++) {
        await app.set('k', i)
        expect(await app.get('k')).toBe(String(i))
      }
    } finally {
      await fresh.restart()
    }
    for (let i = 0; i < 50; i++) {
      await app.incr('k')
      expect(await app.get('k')).toBe(String(20 + i))
    }
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
  })

  test('that answers an error is passed over', async () => {
    const app = path.client({ protocol: 2 })
    await old.client().set('k', 'v')
    await fresh.client().rpush('k', 'of another type')
    expect(await app.get('k')).toBe('v')
    expect(counters().fallbackError).toBe(1)
  })

  test('is not asked while a swap of databases or a flush is on its way there', async () => {
    const [one, two] = [path.client({ db: 1 }), path.client({ db: 2 })]
    let [first, second] = ['a', 'b']
    await one.set('k', first)
    await two.set('k', second)
    await settled(path)
    for (let i = 0; i < 200; i++) {
      await one.swapdb(1, 2)
      ;[first, second] = [second, first]
      expect([await two.get('k'), await one.get('k')]).toEqual([second, first])
    }
    for (let i = 0; i < 50; i++) {
      await Promise.all([one.set('k', i), two.set('k', i)])
      await settled(path)
      await path.client().flushall()
      expect(await Promise.all([one.get('k'), two.get('k')])).toEqual([null, null])
    }
  })
})
