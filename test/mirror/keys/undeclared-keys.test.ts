import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Change } from '../../../src/proxy/messages.ts'
import { type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { type HeldReplies, holdReplies } from '../../support/held-replies.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

/** Scripts that looked as if they wrote to declared keys only: what they write arrives on the shadow all the same. */

let old: RedisServer
let fresh: RedisServer
let path: DataPathUnderTest
beforeAll(async () => {
  ;[old, fresh] = await Promise.all([startRedis(), startRedis()])
})
afterAll(() => Promise.all([old.stop(), fresh.stop()]))
afterEach(async () => {
  await path.stop()
  await Promise.all([old, fresh].map((server) => server.client().flushall()))
  await Promise.all([old, fresh].map((server) => server.client().call('FUNCTION', 'FLUSH')))
})

async function start(): Promise<ReturnType<DataPathUnderTest['client']>> {
  path = await startDataPath({
    stores: { old, new: fresh },
    routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
  })
  return path.client()
}

async function equal(): Promise<void> {
  await eventually(async () => {
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
  })
  expect(path.runtime.stats().routes['all']!.needsVerify).toBe(false)
}

test('a rate limit whose key is made of a declared one and an argument', async () => {
  const app = await start()
  const source =
    "local key = KEYS[1] .. ':' .. ARGV[1] local n = redis.call('incr', key) redis.call('expire', key, 600) return n"
  expect(await app.eval(source, 1, 'limit', '10.0.0.1')).toBe(1)
  expect(await app.eval(source, 1, 'limit', '10.0.0.1')).toBe(2)
  await equal()
  expect(await fresh.client().get('limit:10.0.0.1')).toBe('2')
  expect(await fresh.client().ttl('limit:10.0.0.1')).toBeGreaterThan(590)
})

test('in a transaction whose SELECT the server refuses: no key is left behind in a database that it does not have', async () => {
  const app = await start()
  const source = "return redis.call('set', 'made:' .. ARGV[1], '1')"
  // From now on the primary tells what is written.
  await app.eval(source, 0, 'up')
  const replies = await app.multi().call('SELECT', '99').eval(source, 0, 'here').exec()
  expect(replies!.map(([error, reply]) => error?.message ?? reply)).toEqual(['ERR DB index is out of range', 'OK'])
  // Told in each database that the script may have run in.
  await eventually(() => expect(path.runtime.stats().routes['all']!.counters.dirtied).toBeGreaterThanOrEqual(3))
  await equal()
  expect(path.runtime.stats().routes['all']).toMatchObject({ dirtyKeys: 0, strandedDatabases: [] })
  expect(await fresh.client().get('made:here')).toBe('1')
})

test('keys that are deleted by a pattern', async () => {
  const app = await start()
  await app.mset('session:1', 'a', 'session:2', 'b', 'other', 'c')
  await equal()
  const source = "local keys = redis.call('keys', ARGV[1]) for i=1,#keys do redis.call('del', keys[i]) end return #keys"
  expect(await app.eval(source, 0, 'session:*')).toBe(2)
  await equal()
  expect(await fresh.client().keys('*')).toEqual(['other'])
})

test('a list of keys that was changed', async () => {
  const app = await start()
  await app.eval("table.insert(KEYS, ARGV[1]) for i = 1, #KEYS do redis.call('incr', KEYS[i]) end", 1, 'a', 'b')
  await app.eval("KEYS[1] = KEYS[1] .. ':n' return redis.call('incr', KEYS[1])", 1, 'a')
  await equal()
  expect(await fresh.client().mget('a', 'b', 'a:n')).toEqual(['1', '1', '1'])
})

test('a time to live among arguments that are unpacked', async () => {
  const app = await start()
  await app.eval("redis.call('set', KEYS[1], unpack(ARGV))", 1, 'a', 'v', 'EX', '600')
  await equal()
  // Run again it would begin anew.
  expect(path.runtime.stats().routes['all']!.counters).toMatchObject({ copied: 1 })
})

test('functions: one that keeps to its keys is run again, of the others what they write is copied', async () => {
  const app = await start()
  const library = `#!lua name=limits
local function hit(keys, args)
  local key = keys[1] .. ':' .. args[1]
  return redis.call('incr', key)
end
redis.register_function('hit', hit)
redis.register_function('pick', function(keys, args)
  local keys = {args[1]}
  return redis.call('incr', keys[1])
end)`
  await app.call('FUNCTION', 'LOAD', library)
  const plain = "redis.register_function('plain', function(k) return redis.call('incr', k[1]) end)"
  await app.call('FUNCTION', 'LOAD', `#!lua name=plain\n${plain}`)
  await app.fcall('hit', 1, 'limit', '10.0.0.1')
  await app.fcall('pick', 1, 'limit', 'chosen')
  await equal()
  const { applied } = path.runtime.stats().routes['all']!.counters
  await app.fcall('plain', 1, 'count')
  await equal()
  expect(path.runtime.stats().routes['all']!.counters.applied).toBe(applied + 1)
  expect(await fresh.client().mget('limit:10.0.0.1', 'chosen', 'count')).toEqual(['1', '1', '1'])
})

test('functions: behind one that changes how cjson writes, what another writes by it is copied', async () => {
  const app = await start()
  const coarse = "redis.register_function('coarse', function() cjson.encode_number_precision(3) return 1 end)"
  const write =
    "redis.register_function('write', function(k, a) return redis.call('set', k[1], cjson.encode({tonumber(a[1])})) end)"
  await app.call('FUNCTION', 'LOAD', `#!lua name=write\n${write}`)
  await app.fcall('write', 1, 'before', '0.123456')
  await app.call('FUNCTION', 'LOAD', `#!lua name=coarse\n${coarse}`)
  await app.fcall('coarse', 0)
  await app.fcall('write', 1, 'behind', '0.123456')
  await equal()
  expect(await fresh.client().mget('before', 'behind')).toEqual(['[0.123456]', '[0.123]'])
})

test('functions: of one that is changed in the same transaction, whatever it writes is copied', async () => {
  const app = await start()
  const library = (body: string) =>
    `#!lua name=l\nredis.register_function('f', function(keys, args) ${body} return redis.call('set', keys[1], args[1]) end)`
  await app.call('FUNCTION', 'LOAD', library(''))
  await app.fcall('f', 1, 'k', 'v')
  await equal()
  const other = library("redis.call('set', 'made-' .. args[1], 'x')")
  await app.multi().call('FUNCTION', 'LOAD', 'REPLACE', other).call('FCALL', 'f', 1, 'k', '1').exec()
  await equal()
  expect(await fresh.client().mget('k', 'made-1')).toEqual(['1', 'x'])
})

describe('what a primary does not name', () => {
  const verified = () => eventually(() => expect(path.runtime.stats().routes['all']!.verifyCauses).toEqual(['script']))
  const library = (body: string) =>
    `#!lua name=l\nredis.register_function('f', function(keys, args) return redis.call(${body}) end)`

  test.each(['flushdb', 'flushall'])(
    'a %s of a script that was loaded before: the route needs a verify',
    async (flush) => {
      const app = await start()
      await app.set('k', 'v')
      const sha = (await old.client().script('LOAD', `return redis.call('${flush}')`)) as string
      expect(await app.evalsha(sha, 0)).toBe('OK')
      await verified()
    },
  )

  test.each([
    ['flushdb', []],
    ['SELECT', ['1']],
    ['swapdb', ['0', '1']],
    ['xgroup', ['CREATE', 's', 'g', '0', 'MKSTREAM']],
  ])('a script that is given %s as an argument', async (command, args) => {
    const app = await start()
    await app.eval('return redis.call(unpack(ARGV))', 0, command, ...args)
    await verified()
  })

  test.each(["'flushdb'", "'select', '1'", 'unpack(args)'])(
    'a function that is loaded in the same transaction and calls %s',
    async (words) => {
      const app = await start()
      await app
        .multi()
        .call('FUNCTION', 'LOAD', library(words))
        .call('FCALL', 'f', 0, 'xgroup', 'CREATE', 's', 'g', '0', 'MKSTREAM')
        .exec()
      await verified()
    },
  )

  type App = ReturnType<DataPathUnderTest['client']>
  test.each([
    [
      'that is refused',
      async (app: App) => {
        await expect(app.call('FLUSHALL', 'WHATEVER')).rejects.toThrow('syntax')
      },
    ],
    [
      'in a transaction that executes nothing',
      async (app: App) => {
        await app.watch('k')
        await path.client().set('k', 'changed')
        expect(await app.multi().flushall().exec()).toBeNull()
      },
    ],
  ])("a script's flush behind a client's %s", async (_, flush) => {
    const app = await start()
    await app.set('k', 'v')
    const sha = (await old.client().script('LOAD', "return redis.call('flushall')")) as string
    // From now on the primary tells what is written.
    await app.eval("return redis.call('set', 'made:' .. ARGV[1], '1')", 0, 'first')
    await equal()
    await flush(app)
    expect(await app.evalsha(sha, 0)).toBe('OK')
    await verified()
  })

  test('flushes of clients beside such scripts are mirrored, and nothing is in doubt', async () => {
    const app = await start()
    const others = [path.client(), path.client()]
    const rounds = async (run: (i: number) => Promise<unknown>) => {
      for (let i = 0; i < 60; i++) await run(i)
    }
    await Promise.all([
      rounds((i) => app.eval("return redis.call('set', 'made:' .. ARGV[1], '1')", 0, i)),
      rounds((i) => (i % 3 === 0 ? others[0]!.flushdb() : others[0]!.set(`k${i}`, '1'))),
      rounds((i) => (i % 5 === 0 ? others[1]!.multi().set('m', i).flushall().exec() : others[1]!.set(`l${i}`, '1'))),
    ])
    await equal()
    await others[0]!.flushdb('SYNC')
    await app.pipeline().flushdb().eval("return redis.call('set', 'made:' .. ARGV[1], '1')", 0, 'last').exec()
    await equal()
  })
})

describe('what a primary tells late of a script', () => {
  const SCRIPT = "return redis.call('set', 'made:' .. ARGV[1], ARGV[2])"
  const to = (phase: 'mirror' | 'read-target' | 'switched') => [{ source: 'old', target: 'new', phase }]
  let replies: HeldReplies
  afterEach(() => replies.stop())

  /** The last of two scripts has been answered, and what it wrote is not told. Gives the change to `next`; default: a switch. */
  async function toldLate(
    next?: (port: number) => DataPathOptions,
    phase: 'mirror' | 'read-target' = 'mirror',
  ): Promise<Change> {
    replies = await holdReplies(old.port)
    const stores = { old: { port: replies.port }, new: fresh }
    path = await startDataPath({ stores, routes: to(phase) })
    const app = path.client()
    await app.eval(SCRIPT, 0, 'k', 'first')
    await eventually(async () => expect(await fresh.client().get('made:k')).toBe('first'))
    await settled(path)
    replies.hold((sent) => sent.includes('BCAST'))
    await app.eval(SCRIPT, 0, 'k', 'last')
    return path.change(next?.(replies.port) ?? { stores, routes: to('switched') })
  }

  test.each([
    [
      'other settings',
      (port: number) => ({ stores: { old: { port, timeoutMs: 9_000 }, new: fresh }, routes: to('mirror') }),
    ],
    [
      'another name',
      (port: number) => ({
        stores: { former: { port }, new: fresh },
        routes: [{ source: 'former', target: 'new', phase: 'mirror' as const }],
      }),
    ],
  ])('is waited for by a reload that gives the primary %s', async (_, next) => {
    const change = await toldLate(next)
    const refused = await path.runtime.apply({ ...change, holdTimeoutMs: 50 })
    expect(refused).toMatchObject({ ok: false, reason: expect.stringContaining('has not told yet what scripts') })
    const reloaded = path.runtime.apply(change)
    replies.release()
    expect(await reloaded).toMatchObject({ ok: true })
    await settled(path)
    expect(await fresh.client().get('made:k')).toBe('last')
    expect(path.runtime.stats().routes['all']!.needsVerify).toBe(false)
  })

  test('is waited for by a switch', async () => {
    const change = await toldLate()
    const refused = await path.runtime.apply({ ...change, holdTimeoutMs: 50 })
    expect(refused).toMatchObject({ ok: false, reason: expect.stringContaining('has not told yet what scripts') })
    const switched = path.runtime.apply(change)
    const read = path.client().get('made:k')
    replies.release()
    expect(await switched).toMatchObject({ ok: true })
    expect(await read).toBe('last')
    await settled(path)
    expect(path.runtime.stats().routes['all']!.needsVerify).toBe(false)
  })

  test('is read from the source meanwhile', async () => {
    await toldLate(undefined, 'read-target')
    expect(await path.client().get('made:k')).toBe('last')
    expect(await path.client().mget('made:k', 'other')).toEqual(['last', null])
  })

  test('is waited for by a stop', async () => {
    await toldLate()
    const stopped = path.runtime.stop(20_000)
    expect(await Promise.race([stopped, sleep(300, 'waits')])).toBe('waits')
    replies.release()
    await stopped
    expect(path.runtime.stats().routes['all']!.needsVerify).toBe(false)
  })

  test('is told from a flush whose refusal comes late', async () => {
    replies = await holdReplies(old.port)
    path = await startDataPath({ stores: { old: { port: replies.port }, new: fresh }, routes: to('mirror') })
    const [app, other] = [path.client(), path.client()]
    await app.eval(SCRIPT, 0, 'k', 'first')
    await settled(path)
    await other.watch('watched')
    replies.hold((sent) => sent.includes('WHATEVER'))
    const refused = app.call('FLUSHALL', 'WHATEVER').catch(String)
    const script = app.eval(SCRIPT, 0, 'k', 'last')
    // Executed, and not answered yet, when what another one has written is told.
    await eventually(async () => expect(await old.client().get('made:k')).toBe('last'))
    await old.client().config('RESETSTAT')
    await other.multi().eval(SCRIPT, 0, 'other', 'first').exec()
    await eventually(async () =>
      expect(await old.client().info('commandstats')).toMatch(/cmdstat_ping:calls=([2-9]|\d\d)/),
    )
    await sleep(50)
    replies.release()
    expect(await refused).toContain('syntax')
    await script
    await equal()
  })

  test('is copied neither way after a switch that was forced', async () => {
    const change = await toldLate()
    expect(await path.runtime.apply({ ...change, holdTimeoutMs: 50, force: true })).toMatchObject({ ok: true })
    replies.release()
    await settled(path)
    await path.client().set('another', '1')
    await settled(path)
    expect([await old.client().get('made:k'), await fresh.client().get('made:k')]).toEqual(['last', 'first'])
    expect(path.runtime.stats().routes['all']).toMatchObject({ dirtyKeys: 0, verifyCauses: ['turned'] })
  })
})
