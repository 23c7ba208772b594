import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, type RouteOptions, startDataPath } from '../../support/data-path.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

/** What reaches the shadow of one write, where it is not simply the same command; each was a way to drift. */

let old: RedisServer
let fresh: RedisServer
let path: DataPathUnderTest
beforeAll(async () => {
  ;[old, fresh] = await Promise.all([startRedis(), startRedis()])
})
afterAll(() => Promise.all([old.stop(), fresh.stop()]))
beforeEach(async () => {
  await fresh.client().config('SET', 'maxmemory', '0')
  await Promise.all([old.client().flushall(), fresh.client().flushall()])
})
afterEach(() => path.stop())

const MIRROR: RouteOptions = { source: 'old', target: 'new', phase: 'mirror' }
const RENAMED: RouteOptions = {
  name: 'jobs',
  keys: ['job:{id}'],
  source: 'old',
  target: { store: 'new', keys: { 'job:{id}': 'step:{id}' } },
}

async function start(...routes: RouteOptions[]): Promise<void> {
  path = await startDataPath({ stores: { old, new: fresh }, routes: routes.length === 0 ? [MIRROR] : routes })
}

/** All commands in one packet. */
async function send(...commands: (string | number)[][]): Promise<string[]> {
  const raw = await path.raw()
  raw.send(Buffer.concat(commands.map((args) => encodeCommand(args))))
  return raw.take(commands.length)
}

function counters(route = 'all') {
  return path.runtime.stats().routes[route]!.counters
}

describe('state copies', () => {
  test('of one key in several databases do not hold each other up', async () => {
    await start()
    const writes = [0, 1, 2, 3].map(async (db) => {
      const client = path.client({ db })
      for (let i = 0; i < 20; i++)
        await client.eval("redis.call('time') redis.call('incr', KEYS[1])", 1, `key:${i % 3}`)
    })
    await Promise.all(writes)
    await settled(path)
    expect(await driftBetween(old, fresh, { databases: [0, 1, 2, 3] })).toEqual([])
    expect(await fresh.client({ db: 3 }).get('key:0')).toBe('7')
  })

  test('a key that cannot be copied does not hold up those that come after it', async () => {
    await start()
    const app = path.client()
    await fresh.client().set('gone', 'planted')
    // More than the repairer looks at in one go; their copies fail for want of memory, the others are deletions.
    await fresh.client().config('SET', 'maxmemory', '1')
    await Promise.all(
      Array.from({ length: 400 }, (_, i) =>
        app.eval("redis.call('time') redis.call('set', KEYS[1], 1)", 1, `stuck:${i}`),
      ),
    )
    await app.eval("redis.call('time') redis.call('set', KEYS[1], 1); redis.call('del', KEYS[1])", 1, 'gone')
    const there = fresh.client()
    await expect.poll(() => there.exists('gone')).toBe(0)
    await expect.poll(() => path.runtime.stats().routes['all']!.dirtyKeys).toBe(400)
    await fresh.client().config('SET', 'maxmemory', '0')
    await settled(path, 20_000)
    expect(await driftBetween(old, fresh)).toEqual([])
  })
})

describe('what a dirty key fed is dirty, too', () => {
  test('LMOVE from a list that is still to be copied', async () => {
    await start()
    await send(['EVAL', "redis.call('rpush', KEYS[1], 'x', 'y')", 1, 'from'], ['LMOVE', 'from', 'to', 'LEFT', 'RIGHT'])
    await settled(path)
    expect(await old.client().lrange('to', 0, -1)).toEqual(['x'])
    expect(await driftBetween(old, fresh)).toEqual([])
  })

  test('the same inside MULTI', async () => {
    await start()
    await send(
      ['EVAL', "redis.call('rpush', KEYS[1], 'x', 'y')", 1, 'from'],
      ['MULTI'],
      ['LMOVE', 'from', 'to', 'LEFT', 'RIGHT'],
      ['SET', 'other', 1],
      ['EXEC'],
    )
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
  })
})

describe('an integer that the shadow answers otherwise tells that it held something else', () => {
  test('a counter that the shadow has another value of', async () => {
    await start()
    await fresh.client().set('hits', 41)
    await send(['INCR', 'hits'])
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
  })

  test('the same inside MULTI', async () => {
    await start()
    await fresh.client().set('hits', 41)
    await send(['MULTI'], ['INCR', 'hits'], ['SET', 'other', 1], ['EXEC'])
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
  })

  test('a key that was deleted on both sides is equal, whatever the shadow had', async () => {
    await start()
    await fresh.client().set('only here', 1)
    await send(['SET', 'a', 1], ['SET', 'b', 1])
    await settled(path)
    await fresh.client().del('a')
    await send(['DEL', 'a', 'b'])
    await settled(path)
    expect(counters().dirtied).toBe(0)
  })
})

describe('scripts', () => {
  test('one that failed half-way, alone and inside MULTI', async () => {
    await start()
    const script = "redis.call('set', KEYS[1], 'half'); return redis.error_reply('half-way')"
    await send(['EVAL', script, 1, 'alone'], ['MULTI'], ['EVAL', script, 1, 'inside'], ['SET', 'b', 1], ['EXEC'])
    await settled(path)
    expect(await old.client().mget('alone', 'inside')).toEqual(['half', 'half'])
    expect(await driftBetween(old, fresh)).toEqual([])
  })

  test('one that declares no keys has what it wrote copied, and no key of it is said', async () => {
    await start()
    await send(['EVAL', "redis.call('set', 'secret-key', 1)", 0], ['EVAL', "redis.call('set', 'secret-key', 2)", 0])
    const there = fresh.client()
    await expect.poll(() => there.get('secret-key')).toBe('2')
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
    expect(JSON.stringify(path.notices)).not.toContain('secret-key')
  })
})

describe('commands that answer with a key, where the primary has another name for it', () => {
  const commands: [string, (string | number)[][], (string | number)[]][] = [
    ['LMPOP', [['RPUSH', 'job:q', 'a', 'b', 'c']], ['LMPOP', 1, 'job:q', 'LEFT', 'COUNT', 2]],
    ['ZMPOP', [['ZADD', 'job:q', 1, 'a', 2, 'b']], ['ZMPOP', 1, 'job:q', 'MAX']],
    ['BLPOP', [['RPUSH', 'job:q', 'a', 'b']], ['BLPOP', 'job:q', 1]],
    ['BZPOPMIN', [['ZADD', 'job:q', 1, 'a', 2, 'b']], ['BZPOPMIN', 'job:q', 1]],
    [
      'XREADGROUP',
      [
        ['XADD', 'job:q', '1-1', 'f', 'v'],
        ['XGROUP', 'CREATE', 'job:q', 'g', 0],
      ],
      ['XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 'job:q', '>'],
    ],
  ]
  test.each(commands)('%s', async (name, before, command) => {
    await start({ ...RENAMED, phase: 'switched' }, { name: 'rest', source: 'old' })
    await send(...before)
    await settled(path)
    const dirtied = counters('jobs').dirtied
    const [reply] = await send(command)
    expect(reply).toContain('job:q')
    expect(reply).not.toContain('step:q')
    await settled(path)
    // What is taken on a connection of its own is settled by a copy.
    const copies = name.startsWith('B') ? 1 : 0
    expect(counters('jobs').dirtied - dirtied).toBeLessThanOrEqual(copies)
    expect(await driftBetween(fresh, old, { toShadow: (key) => key.replace('step:', 'job:') })).toEqual([])
  })
})

describe('blocking takes from keys of several routes, the first of which mirrors nothing', () => {
  const both = [
    { ...RENAMED, phase: 'mirror' as const },
    { name: 'rest', source: 'old' },
  ]
  const toShadow = (key: string): string => key.replace('job:', 'step:')

  test('at once', async () => {
    await start(...both)
    await send(['RPUSH', 'job:q', 'a', 'b'], ['BLPOP', 'plain', 'job:q', 1])
    await settled(path)
    expect(await driftBetween(old, fresh, { toShadow })).toEqual([])
    expect(await fresh.client().lrange('step:q', 0, -1)).toEqual(['b'])
  })

  test('after a wait', async () => {
    await start(...both)
    const waiting = await path.raw()
    waiting.command('BLPOP', 'plain', 'job:q', 0)
    await expect.poll(async () => (await old.client().info('clients')).match(/blocked_clients:(\d+)/)?.[1]).toBe('1')
    await send(['RPUSH', 'job:q', 'a', 'b'])
    expect(await waiting.text()).toContain('job:q')
    await settled(path)
    expect(await driftBetween(old, fresh, { toShadow })).toEqual([])
    expect(await fresh.client().lrange('step:q', 0, -1)).toEqual(['b'])
  })
})

describe('what the reply does not tell is asked', () => {
  test('an approximate trim leaves the same entries, without copying the stream', async () => {
    await start({ ...RENAMED, phase: 'switched' }, { name: 'rest', source: 'old' })
    const added = (from: number, count: number, ...trim: (string | number)[]) =>
      Array.from({ length: count }, (_, i) => ['XADD', 'job:log', ...trim, `${from + i}-0`, 'f', 'v'])
    // So many that no write which comes late to the shadow, as on a busy machine, has it copied.
    await send(...added(1, 1_600))
    await settled(path)
    const { dirtied, copied } = counters('jobs')
    await send(...added(1_601, 450, 'MAXLEN', '~', 1_100))
    await settled(path)
    const length = await fresh.client().xlen('step:log')
    expect(length).toBeLessThan(1_300)
    expect(await old.client().xlen('job:log')).toBe(length)
    expect(await driftBetween(fresh, old, { toShadow: (key) => key.replace('step:', 'job:') })).toEqual([])
    expect(counters('jobs')).toMatchObject({ dirtied, copied })
  })

  test('while the answer is on its way from a primary that dies, the key is remembered', async () => {
    await start()
    const app = path.client()
    for (let i = 0; i < 250; i++) await app.xadd('log', `${i + 1}-0`, 'f', 'v')
    await settled(path)
    const id = await app.client('ID')
    expect(id).toBeGreaterThan(0)
    // The connection is cut behind the trim: its answer, and that of the question behind it, never come.
    const killer = old.client()
    await Promise.all([
      app.xtrim('log', 'MAXLEN', '~', 100).catch(() => {}),
      killer.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'),
    ])
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
  })
})

describe('bytes as clients send them', () => {
  test('inline commands, and names in any case', async () => {
    await start()
    const raw = await path.raw()
    raw.send('set a "with blank"\r\nSet b 2 nX\r\nappend a !\r\nincr b\r\n')
    expect(await raw.take(4)).toEqual(['+OK\r\n', '+OK\r\n', ':11\r\n', ':3\r\n'])
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
    expect(counters().dirtied).toBe(0)
  })

  test('keys and values are bytes, not text', async () => {
    await start({ ...RENAMED, phase: 'mirror' }, { ...MIRROR, name: 'rest' })
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
    const app = path.client()
    await app.set(Buffer.concat([Buffer.from('job:'), bytes]), bytes)
    await app.hset(bytes, bytes, bytes)
    await settled(path)
    expect(await fresh.client().getBuffer(Buffer.concat([Buffer.from('step:'), bytes]))).toEqual(bytes)
    expect(await fresh.client().hgetBuffer(bytes, bytes)).toEqual(bytes)
  })
})
