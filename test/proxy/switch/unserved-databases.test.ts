import { afterEach, beforeEach, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

let old: RedisServer
let fresh: RedisServer
let path: DataPathUnderTest
let client: RawClient
beforeEach(async () => {
  ;[old, fresh] = await Promise.all([startRedis(), startRedis()])
})
afterEach(async () => {
  await path.stop()
  await Promise.all([old.stop(), fresh.stop()])
})

const between = (source: number, target: number) => ({
  stores: { old: { port: old.port, database: source }, new: { port: fresh.port, database: target } },
  routes: [{ name: 'all', source: 'old', target: 'new', phase: 'mirror' as const }],
})

async function start(source: number, target: number): Promise<void> {
  path = await startDataPath(between(source, target))
  client = await path.raw()
}

/** What is in each database of a server that holds anything. */
async function keysOf(server: RedisServer): Promise<Record<string, string[]>> {
  const redis = server.client()
  const found: Record<string, string[]> = {}
  for (let db = 0; db < 16; db++) {
    await redis.select(db)
    const keys = await redis.keys('*')
    if (keys.length > 0) found[db] = keys.sort()
  }
  return found
}

test.each([
  [0, 5],
  [2, 2],
])(
  'clients that are in one when a reload takes it away are served no more, on connections of their own either (%i)',
  async (number, database) => {
    await start(number, number)
    const shared = path.client()
    await shared.select(database)
    await shared.set('shared', 'before')
    await client.ask('CLIENT', 'NO-EVICT', 'on')
    await client.ask('SELECT', database)
    expect(await client.ask('SET', 'own', 'before')).toBe('+OK\r\n')
    await settled(path)
    await path.apply(between(number, 5))
    await expect(shared.set('shared', 'after')).rejects.toThrow(/does not serve database|not served/)
    await client.closed
    const there = old.client()
    await there.select(database)
    expect(await there.mget('shared', 'own')).toEqual(['before', 'before'])
  },
)

test.each([
  [0, 5],
  [2, 2],
])('nor are those that log in at the store themselves, nor those that wait there (%i)', async (number, database) => {
  const before = { ...between(number, number), clients: { auth: 'passthrough' as const } }
  path = await startDataPath(before)
  const [user, waiting] = [await path.raw(), await path.raw()]
  for (const one of [user, waiting]) {
    await one.ask('AUTH', 'default', '')
    expect(await one.ask('SELECT', database)).toBe('+OK\r\n')
  }
  expect(await user.ask('SET', 'a', 'before')).toBe('+OK\r\n')
  waiting.command('BLPOP', 'list', 0)
  const there = old.client()
  await eventually(async () => expect(await there.info('clients')).toContain('blocked_clients:1'))
  await settled(path)
  await path.apply({ ...before, ...between(number, 5) })
  expect(await user.ask('SET', 'a', 'after')).toMatch(/does not serve database/)
  await Promise.race([waiting.text(), waiting.closed])
  await eventually(async () => expect(await there.info('clients')).toContain('blocked_clients:0'))
  await there.select(database)
  expect(await there.get('a')).toBe('before')
})

const NOT_SERVED = /^-ERR Understudy does not serve database [25]: .*\('old' 2, 'new' 5\).*\r\n$/

test('a database whose number is another one in the URL of a store is refused to clients, however they select it', async () => {
  await start(2, 5)
  for (const database of [2, 5]) expect(await client.ask('SELECT', database)).toMatch(NOT_SERVED)
  expect(await client.ask('SET', 'a', 1)).toBe('+OK\r\n')
  await client.ask('MULTI')
  expect(await client.ask('SELECT', 5)).toMatch(NOT_SERVED)
  expect(await client.ask('EXEC')).toMatch(/^-EXECABORT/)
  for (const words of [['MULTI'], ['SELECT', 2], ['SET', 'b', 1], ['EXEC']]) client.send(encodeCommand(words))
  expect((await client.take(4))[3]).toMatch(/^-EXECABORT/)
  await client.ask('WATCH', 'a')
  expect(await client.ask('SELECT', 5)).toMatch(NOT_SERVED)
  await client.ask('UNWATCH')
  // A connection of its own.
  await client.ask('CLIENT', 'NO-EVICT', 'on')
  expect(await client.ask('SELECT', 5)).toMatch(NOT_SERVED)
  const refused = (database: number) =>
    expect.stringMatching(new RegExp(`^-ERR Understudy refuses [A-Z]+ with database ${database}: .*'old' 2, 'new' 5`))
  for (const database of [0, 2, 5]) {
    expect(await client.ask('MOVE', 'a', database)).toEqual(refused(database))
    expect(await client.ask('COPY', 'a', 'b', 'DB', database)).toEqual(refused(database))
    expect(await client.ask('SWAPDB', 1, database)).toEqual(refused(database))
  }
  await client.ask('MULTI')
  expect(await client.ask('MOVE', 'a', 5)).toEqual(refused(5))
  await client.ask('DISCARD')
  await settled(path)
  expect(await keysOf(old)).toEqual({ 2: ['a'] })
  expect(await keysOf(fresh)).toEqual({ 5: ['a'] })
})

test('every other database is served and mirrored as itself', async () => {
  await start(2, 5)
  await client.ask('SET', 'a', 1)
  expect(await client.ask('COPY', 'a', 'copied', 'DB', 7)).toBe(':1\r\n')
  expect(await client.ask('SELECT', 7)).toBe('+OK\r\n')
  await client.ask('SET', 'b', 1)
  expect(await client.ask('MOVE', 'copied', 8)).toBe(':1\r\n')
  expect(await client.ask('SWAPDB', 8, 9)).toBe('+OK\r\n')
  await settled(path)
  expect(await keysOf(old)).toEqual({ 2: ['a'], 7: ['b'], 9: ['copied'] })
  expect(await keysOf(fresh)).toEqual({ 5: ['a'], 7: ['b'], 9: ['copied'] })
})

test('where the numbers are the same, an application that keeps its own goes on', async () => {
  await start(3, 3)
  expect(await client.ask('SELECT', 3)).toBe('+OK\r\n')
  await client.ask('SET', 'a', 1)
  await settled(path)
  expect(await keysOf(fresh)).toEqual({ 3: ['a'] })
})

test('a script that selects a database is not called again at the shadow, where it would be another one', async () => {
  // So that it does not tell what scripts write, and they would be called again.
  await old.client().call('ACL', 'SETUSER', 'default', '-client|tracking')
  await start(2, 5)
  await client.ask('SET', 'a', 'ours')
  await client.ask('EVAL', "redis.call('SELECT', 5) redis.call('SET', 'a', 'theirs')", 0)
  await settled(path)
  expect(await old.client({ db: 5 }).get('a')).toBe('theirs')
  expect(await fresh.client({ db: 5 }).get('a')).toBe('ours')
  expect(path.runtime.stats().routes['all']).toMatchObject({ needsVerify: true })
})

test('FLUSHALL of a part of a server leaves the databases that no client has', async () => {
  const keys = { '*': 'app:*' }
  const { stores } = between(2, 5)
  path = await startDataPath({
    stores,
    routes: [
      { name: 'all', source: { store: 'old', keys } },
      { name: 'jobs', keys: ['job:{id}'], source: 'new' },
    ],
  })
  client = await path.raw()
  const fill = async (): Promise<void> => {
    for (const db of [2, 5, 7]) await old.client({ db }).set('app:a', db)
  }
  await fill()
  expect(await client.ask('FLUSHALL')).toBe('+OK\r\n')
  expect(await keysOf(old)).toEqual({ 5: ['app:a'] })
  await path.apply({ stores, routes: [{ name: 'all', source: { store: 'old', keys }, target: 'new' }] })
  await fill()
  for (const words of [['MULTI'], ['FLUSHALL'], ['EXEC']]) await client.ask(...words)
  expect(await keysOf(old)).toEqual({ 5: ['app:a'] })
})

test('a client in a database that is served no longer is told so until it selects another, and what it says is nowhere', async () => {
  await start(0, 0)
  for (const database of [4, 5]) {
    await client.ask('SELECT', database)
    await client.ask('SET', 'a', 1)
  }
  await settled(path)
  const other = await startRedis()
  try {
    const { stores, routes } = between(0, 0)
    await path.apply({
      stores: { ...stores, third: { port: other.port, database: 5 } },
      routes: [...routes, { name: 'jobs', keys: ['job:{id}'], source: 'third' }],
    })
    for (const key of ['b', 'job:1'])
      expect(await client.ask('SET', key, 1)).toMatch(/^-ERR Understudy does not serve database 5: /)
    await client.ask('SELECT', 4)
    expect(await client.ask('SET', 'job:1', 1)).toBe('+OK\r\n')
    await settled(path)
    expect(await keysOf(other)).toEqual({ 4: ['job:1'] })
    expect(await keysOf(fresh)).toEqual({ 4: ['a'], 5: ['a'] })
    await path.apply(between(0, 0))
    expect(await client.ask('SELECT', 5)).toBe('+OK\r\n')
    expect(await client.ask('SET', 'b', 1)).toBe('+OK\r\n')
    await settled(path)
    expect(await keysOf(fresh)).toEqual({ 4: ['a'], 5: ['a', 'b'] })
  } finally {
    await path.stop()
    await other.stop()
  }
})
