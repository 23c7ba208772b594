import type { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { type HeldReplies, holdReplies } from '../../support/held-replies.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

let old: RedisServer
let fresh: RedisServer
let way: HeldReplies
let path: DataPathUnderTest
beforeEach(async () => {
  ;[old, fresh] = await Promise.all([startRedis(), startRedis()])
  way = await holdReplies(old.port)
  path = await startDataPath({
    stores: { old: { port: way.port }, new: fresh },
    routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
  })
})
afterEach(async () => {
  await path.stop()
  await way.stop()
  await Promise.all([old.stop(), fresh.stop()])
})

const inDatabase1 = (sent: string): boolean => /select\r\n\$1\r\n1\r\n/i.test(sent)
/** The connection on which a blocking command waits, not the one where it was tried. */
const waits = (sent: string): boolean => /BLPOP/.test(sent) && !/MULTI/.test(sent)

/** A consumer waits for an element of the list in database 0. */
async function consume(key: string): Promise<{ taken: Promise<string> }> {
  const consumer = await path.raw()
  const taken = consumer.ask('BLPOP', key, 0)
  await eventually(async () => expect(await old.client().info('clients')).toContain('blocked_clients:1'))
  way.hold(waits)
  return { taken }
}

async function swapped(): Promise<void> {
  await path.client().swapdb(0, 1)
  // Until the shadow has done it, every write only makes its keys dirty.
  await eventually(() => expect(path.runtime.stats().routes['all']).toMatchObject({ backlogCommands: 0 }))
  expect(await fresh.client().info('commandstats')).toContain('cmdstat_swapdb:calls=1')
}

async function endsEqual(): Promise<void> {
  way.release()
  await settled(path)
  expect(await driftBetween(old, fresh, { databases: [0, 1] })).toEqual([])
}

test('a stream that is renamed and copied before it is known how much of it was trimmed is so on both sides', async () => {
  await old.client().config('SET', 'stream-node-max-entries', 3)
  const app = path.client()
  for (let i = 1; i <= 10; i++) await app.xadd('x', `${i}-1`, 'f', 'v')
  const cut = app.pipeline().xadd('x', 'MAXLEN', '~', 4, '11-1', 'f', 'v').copy('x', 'another').rename('x', 'y')
  await cut.xadd('y', '12-1', 'f', 'v').exec()
  expect(await app.xlen('another')).toBeLessThan(11)
  await settled(path)
  expect(await driftBetween(old, fresh)).toEqual([])
})

describe('replies of the primary that come on two connections in another order than it has executed', () => {
  test('a write is settled in the database to which SWAPDB has taken its key before its reply came', async () => {
    const app = path.client({ db: 1 })
    await app.rpush('l', 'a')
    await app.rpush('stays', 'a', 'b')
    await settled(path)
    way.hold(inDatabase1)
    const popped = Promise.all([app.lpop('l'), app.rpop('stays')])
    await eventually(async () => expect(await old.client({ db: 1 }).llen('stays')).toBe(1))
    await swapped()
    way.release()
    expect(await popped).toEqual(['a', 'b'])
    await endsEqual()
  })

  test('what a blocking command has taken is settled there, too', async () => {
    const { taken } = await consume('queue')
    await path.client().rpush('queue', 'a')
    await swapped()
    way.release()
    expect(await taken).toContain('a')
    await endsEqual()
  })

  test('a write that was lost with its connection is settled there, too', async () => {
    const app = path.client({ db: 1, retryStrategy: () => null })
    await app.rpush('l', 'a')
    await settled(path)
    way.hold(inDatabase1)
    const popped = app.lpop('l').catch(String)
    await eventually(async () => expect(await old.client({ db: 1 }).exists('l')).toBe(0))
    await swapped()
    const list = String(await old.client().call('CLIENT', 'LIST'))
    const lost = list.split('\n').find((line) => / db=1 /.test(line) && /cmd=lpop/.test(line))
    await old.client().call('CLIENT', 'KILL', 'ID', /id=(\d+)/.exec(lost!)![1]!)
    expect(await popped).toContain('may have been executed')
    await endsEqual()
  })

  test('an element that a consumer has taken is not moved on the shadow to another key', async () => {
    const { taken } = await consume('queue')
    const app = path.client()
    await app.rpush('queue', 'a', 'b')
    expect(await app.lmove('queue', 'done', 'LEFT', 'RIGHT')).toBe('b')
    await movedOnShadow()
    way.release()
    expect(await taken).toContain('a')
    await endsEqual()
  })

  describe('an element that a consumer has taken is not moved by a script either,', () => {
    const MOVES = "redis.call('lmove', KEYS[1], KEYS[2], 'LEFT', 'RIGHT') return 1"
    const LIBRARY = `#!lua name=queues\nredis.register_function('move', function(keys) redis.call('lmove', keys[1], keys[2], 'LEFT', 'RIGHT') return 1 end)`
    const ways: Record<string, (app: Redis) => Promise<unknown>> = {
      EVAL: (app) => app.eval(MOVES, 2, 'queue', 'done'),
      EVALSHA: async (app) => app.evalsha((await app.script('LOAD', MOVES)) as string, 2, 'queue', 'done'),
      FCALL: async (app) => {
        await app.call('FUNCTION', 'LOAD', 'REPLACE', LIBRARY)
        return app.call('FCALL', 'move', 2, 'queue', 'done')
      },
      'a transaction': async (app) =>
        (await app.multi().set('other', 1).eval(MOVES, 2, 'queue', 'done').exec())?.[1]?.[1],
    }
    test.each(Object.entries(ways))('run by %s', async (_, move) => {
      const { taken } = await consume('queue')
      const app = path.client()
      await app.rpush('queue', 'a', 'b')
      expect(await move(app)).toBe(1)
      await movedOnShadow()
      way.release()
      expect(await taken).toContain('a')
      await endsEqual()
    })
  })

  test('a script that only adds to a key on which consumers wait is run again, and its other keys are not copied', async () => {
    const { taken } = await consume('queue')
    const script = "redis.call('hset', KEYS[2], 'job', ARGV[1]) redis.call('rpush', KEYS[1], ARGV[1])"
    for (const job of ['a', 'b']) await path.client().eval(script, 2, 'queue', 'jobs', job)
    await eventually(() => expect(path.runtime.stats().routes['all']).toMatchObject({ backlogCommands: 0 }))
    expect(path.runtime.stats().routes['all']!.counters.dirtied).toBe(0)
    way.release()
    expect(await taken).toContain('a')
    await endsEqual()
  })
})

async function movedOnShadow(): Promise<void> {
  await eventually(() => expect(path.runtime.stats().routes['all']).toMatchObject({ backlogCommands: 0 }))
  expect(await fresh.client().exists('done')).toBe(1)
}

describe('a script that writes to keys which it does not declare', () => {
  const SOURCE = "redis.call('hincrby', KEYS[1] .. ':detail', ARGV[1], 1) return redis.call('rpush', KEYS[1], ARGV[1])"
  const shared = (sent: string): boolean => /sharing/.test(sent)

  test.each(['by itself', 'in a transaction'])(
    '%s does so on the shadow, too, where another connection writes to its keys meanwhile',
    async (where) => {
      const [app, other] = [path.client(), path.client()]
      await app.set('sharing', 1)
      await other.watch('x')
      await settled(path)
      way.hold(shared)
      const copied = () => path.runtime.stats().routes['all']!.counters.copied
      const before = copied()
      const [script, write] = where === 'by itself' ? [app, other] : [other, app]
      const run = (on: Redis, ...args: (string | number)[]) =>
        on === app
          ? on.call(...(args as [string]))
          : on
              .multi()
              .call(...(args as [string]))
              .exec()
      const first = run(write, 'RPUSH', 'l', 'b')
      const second = run(script, 'EVAL', SOURCE, 1, 'l', 'a')
      await eventually(async () => expect(await old.client().llen('l')).toBe(2))
      way.release()
      await Promise.all([first, second])
      await endsEqual()
      expect(copied()).toBeGreaterThan(before)
      expect(await fresh.client().hgetall('l:detail')).toEqual({ a: '1' })
      expect(path.runtime.stats().routes['all']).toMatchObject({ needsVerify: false })
    },
  )

  test('leaves the route in need of a verify in a transaction that also empties the database', async () => {
    const app = path.client()
    await app.multi().eval(SOURCE, 1, 'l', 'a').flushdb().exec()
    await settled(path)
    expect(path.runtime.stats().routes['all']).toMatchObject({ needsVerify: true, verifyCauses: ['script'] })
    expect(await driftBetween(old, fresh)).toEqual([])
  })
})
