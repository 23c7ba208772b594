import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../support/data-path.ts'
import { driftBetween } from '../support/keyspace.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'

let old: RedisServer
let fresh: RedisServer
let path: DataPathUnderTest
const toShadow = (key: string): string => key.replace(/^job:/, 'step:')
beforeAll(async () => {
  ;[old, fresh] = await Promise.all([startRedis(), startRedis()])
})
afterAll(() => Promise.all([old.stop(), fresh.stop()]))
afterEach(async () => {
  await path.stop()
  await Promise.all([old, fresh].map((server) => server.client().flushall()))
  await Promise.all([old, fresh].map((server) => server.client().call('FUNCTION', 'FLUSH')))
})

async function start(renamed: boolean): Promise<void> {
  const rest = { name: 'rest', source: 'old', target: 'new', phase: 'mirror' } as const
  const jobs = {
    name: 'jobs',
    keys: ['job:{id}'],
    source: 'old',
    target: { store: 'new', keys: { 'job:{id}': 'step:{id}' } },
    phase: 'mirror',
  } as const
  path = await startDataPath({ stores: { old, new: fresh }, routes: renamed ? [jobs, rest] : [rest] })
}

function counters() {
  const routes = Object.values(path.runtime.stats().routes)
  return {
    applied: routes.reduce((sum, { counters: { applied } }) => sum + applied, 0),
    copied: routes.reduce((sum, { counters: { copied } }) => sum + copied, 0),
    errors: routes.reduce((sum, { counters: { shadowError } }) => sum + shadowError, 0),
    needsVerify: routes.some(({ needsVerify }) => needsVerify),
  }
}

describe('a script that does the same everywhere', () => {
  test('is run again on the shadow, under its key names, by EVAL, EVALSHA and inside MULTI', async () => {
    await start(true)
    const app = path.client()
    const source = "redis.call('rpush', KEYS[1], ARGV[1]) return redis.call('incr', KEYS[2])"
    expect(await app.eval(source, 2, 'job:list', 'job:count', 'a')).toBe(1)
    const sha = (await app.script('LOAD', source)) as string
    expect(await app.evalsha(sha, 2, 'job:list', 'job:count', 'b')).toBe(2)
    await app.multi().evalsha(sha, 2, 'job:list', 'job:count', 'c').set('job:other', 1).exec()
    await app.eval("return redis.call('get', KEYS[1])", 1, 'job:count')
    await settled(path)
    expect(counters()).toEqual({ applied: 4, copied: 0, errors: 0, needsVerify: false })
    expect(await driftBetween(old, fresh, { toShadow })).toEqual([])
  })

  test('is loaded on the shadow before it is called there, also after the shadow has forgotten it', async () => {
    await start(false)
    const app = path.client()
    const source = "return redis.call('incr', KEYS[1])"
    const sha = (await app.script('LOAD', source)) as string
    await app.evalsha(sha, 1, 'count')
    await settled(path)
    await fresh.client().script('FLUSH')
    await app.evalsha(sha, 1, 'count')
    await settled(path)
    await app.evalsha(sha, 1, 'count')
    await settled(path)
    // Once it was not there: that key was copied, and the script loaded again.
    expect(counters()).toMatchObject({ applied: 3, copied: 1, errors: 1 })
    expect(await fresh.client().get('count')).toBe('3')
    expect(await fresh.client().script('EXISTS', sha)).toEqual([1])
  })

  test('is found out if it does not', async () => {
    await start(false)
    const app = path.client()
    await old.client().rpush('list', 'a', 'b')
    await app.eval("return redis.call('lpop', KEYS[1])", 1, 'list')
    await settled(path)
    expect(counters().copied).toBe(1)
    expect(await driftBetween(old, fresh)).toEqual([])
  })
})

describe('any other script', () => {
  test('has its keys copied', async () => {
    await start(true)
    const app = path.client()
    await app.eval("redis.call('set', KEYS[1], redis.call('time')[2]) redis.call('expire', KEYS[1], 100)", 1, 'job:a')
    await app.eval("redis.call('set', KEYS[1], 1) return redis.error_reply('ERR half-way')", 1, 'b').catch(() => {})
    await settled(path)
    expect(counters()).toMatchObject({ applied: 0, copied: 2 })
    expect(await driftBetween(old, fresh, { toShadow })).toEqual([])
  })

  test('that was loaded before anybody looked has its keys copied', async () => {
    const sha = (await old.client().script('LOAD', "return redis.call('incr', KEYS[1])")) as string
    await start(true)
    await path.client().evalsha(sha, 1, 'job:count')
    await settled(path)
    expect(counters()).toMatchObject({ applied: 0, copied: 1, errors: 0 })
    expect(await driftBetween(old, fresh, { toShadow })).toEqual([])
  })

  test('that uses keys which it does not declare is run again where keys have the same names, and said to be in doubt', async () => {
    await start(false)
    const app = path.client()
    await app.eval(
      "redis.call('set', KEYS[1] .. ':detail', ARGV[1]) redis.call('xadd', KEYS[1], '*', 'f', 'v')",
      1,
      'job',
      'x',
    )
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
    expect(JSON.stringify(path.notices)).toContain('which it does not declare')
  })

  test('that does so where keys have other names leaves the route in need of a verify', async () => {
    await start(true)
    await path.client().eval("redis.call('set', KEYS[1] .. ':detail', 1) redis.call('set', KEYS[1], 1)", 1, 'job:a')
    await settled(path)
    expect(counters().needsVerify).toBe(true)
    expect(await fresh.client().get('step:a')).toBe('1')
  })
})

test('functions are loaded on both sides, and run again like scripts', async () => {
  await start(true)
  const app = path.client()
  const library = `#!lua name=counters
redis.register_function('add', function(keys, args) return redis.call('incrby', keys[1], args[1]) end)`
  await app.call('FUNCTION', 'LOAD', library)
  await app.fcall('add', 1, 'job:n', 5)
  await app.fcall('add', 1, 'job:n', 6)
  await settled(path)
  expect(counters()).toMatchObject({ applied: 3, copied: 0, errors: 0 })
  expect(await fresh.client().get('step:n')).toBe('11')
})

test('a key that went to another database is copied there', async () => {
  await start(true)
  const app = path.client()
  await app.mset('job:a', 1, 'job:b', 2)
  await app.move('job:a', 3)
  await app.call('COPY', 'job:b', 'job:c', 'DB', 2)
  await settled(path)
  expect(await driftBetween(old, fresh, { databases: [0, 2, 3], toShadow })).toEqual([])
  await Promise.all([old, fresh].map((server) => server.client().flushall()))
})
