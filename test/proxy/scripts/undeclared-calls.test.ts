import type { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

/** Scripts that make names of keys, queued in MULTI while something else is in force than when EXEC comes. */

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

const SCRIPT = "redis.call('set', 'made:' .. ARGV[1], 'v') return redis.call('incr', KEYS[1])"
const library = (body: string) =>
  `#!lua name=l\nredis.register_function('f', function(keys, args) ${body} return redis.call('incr', keys[1]) end)`

type Phase = 'passthrough' | 'mirror' | 'switched'
const to = (phase: Phase): DataPathOptions => ({
  stores: { old, new: fresh },
  routes: [{ source: 'old', target: 'new', phase }],
})

async function queued(queue: (app: Redis) => Promise<unknown>): Promise<Redis> {
  const app = path.client()
  await app.multi({ pipeline: false })
  expect(await queue(app)).toBe('QUEUED')
  return app
}

async function equal(): Promise<void> {
  await eventually(async () => {
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
  })
  expect(path.runtime.stats().routes['all']!.needsVerify).toBe(false)
}

const CHANGES: readonly [Phase, Phase, boolean][] = [
  ['mirror', 'switched', true],
  ['mirror', 'switched', false],
  ['switched', 'mirror', true],
  ['passthrough', 'mirror', true],
  ['passthrough', 'mirror', false],
]
test.each(CHANGES)('from %s to %s, such scripts run there already: %s', async (before, after, isUsed) => {
  path = await startDataPath(to(before))
  const other = path.client()
  await other.eval(SCRIPT, 1, 'k', 'before')
  await settled(path)
  // In passthrough nothing is mirrored.
  for (const server of [old, fresh]) await server.client().flushall()
  const app = await queued((client) => client.eval(SCRIPT, 1, 'k', 'queued'))
  await path.apply(to(after))
  if (isUsed) await other.eval(SCRIPT, 1, 'k', 'after')
  expect(await app.exec()).toEqual([[null, isUsed ? 2 : 1]])
  await equal()
  expect(await fresh.client().get('made:queued')).toBe('v')
})

test.each([true, false])('a function that another client replaces, such scripts are in use: %s', async (isUsed) => {
  path = await startDataPath(to('mirror'))
  const other = path.client()
  await other.call('FUNCTION', 'LOAD', library(''))
  await other.fcall('f', 1, 'k')
  if (isUsed) await other.eval(SCRIPT, 1, 'k', 'other')
  await equal()
  const app = await queued((client) => client.fcall('f', 1, 'k', 'queued'))
  await other.call('FUNCTION', 'LOAD', 'REPLACE', library("redis.call('set', 'made:' .. args[1], 'v')"))
  expect(await app.exec()).toEqual([[null, isUsed ? 3 : 2]])
  await equal()
  expect(await fresh.client().get('made:queued')).toBe('v')
})
