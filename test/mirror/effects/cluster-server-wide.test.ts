import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { type RedisCluster, startCluster } from '../../support/cluster.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

let cluster: RedisCluster
let single: RedisServer
let path: DataPathUnderTest

beforeAll(async () => {
  ;[cluster, single] = await Promise.all([startCluster(), startRedis()])
})
afterAll(async () => {
  await Promise.all([cluster.stop(), single.stop()])
})
beforeEach(async () => {
  const endpoints = cluster.servers.map(({ port }) => ({ kind: 'tcp', host: '127.0.0.1', port }) as const)
  path = await startDataPath({
    stores: { old: single, new: { port: cluster.servers[0]!.port, kind: 'cluster', endpoints } },
    routes: [{ source: 'old', target: 'new', phase: 'switched' }],
  })
})
afterEach(async () => {
  await path.stop()
  await Promise.all([cluster.flushAll(), single.client().flushall()])
})

/** Enough for every node to have some, and a key of the first master's. */
async function fill(): Promise<string> {
  const app = path.client()
  for (let i = 0; i < 60; i++) await app.set(`key:${i}`, i)
  await settled(path)
  const [first] = await cluster.servers[0]!.client().keys('*')
  return first!
}

/** What was sent last waits for the node that lags. */
const underWay = () => eventually(() => expect(path.runtime.stats().routes['all']!.inFlight).toBe(1))

const counts = async () => [await cluster.countKeys(), await single.client().dbsize()]

test.each(['FLUSHALL', 'FLUSHDB'])(
  'a %s of a cluster of which a node lags, so that others are answered before, empties the shadow; and what they wrote is on both sides',
  async (flush) => {
    const key = await fill()
    const slow = cluster.servers[2]!
    slow.pause()
    const flushed = path.client().call(flush)
    await underWay()
    const other = path.client()
    for (let i = 0; i < 3; i++) await other.rpush(`{${key}}:list`, i)
    slow.resume()
    expect(await flushed).toBe('OK')
    await settled(path)
    expect(await driftBetween(single, cluster.servers)).toEqual([])
    expect(await counts()).toEqual([1, 1])
    expect(path.runtime.stats().routes['all']!.needsVerify).toBe(false)
  },
)

test('functions that are loaded to a cluster of which a node lags are brought to the shadow', async () => {
  const key = await fill()
  const slow = cluster.servers[2]!
  slow.pause()
  const loaded = path
    .client()
    .call('FUNCTION', 'LOAD', "#!lua name=lib\nredis.register_function('f', function() return 1 end)")
  await underWay()
  await path.client().set(key, 'meanwhile')
  slow.resume()
  expect(await loaded).toBe('lib')
  await settled(path)
  expect(JSON.stringify(await single.client().call('FUNCTION', 'LIST'))).toContain('lib')
})

test('a FLUSHALL that one node refuses and others have executed asks for a verify', async () => {
  await fill()
  const node = cluster.servers[1]!.client()
  await node.call('ACL', 'SETUSER', 'default', '-flushall')
  try {
    await expect(path.client().flushall()).rejects.toThrow('NOPERM')
    await settled(path)
    const [onCluster, onSingle] = await counts()
    expect(onCluster).toBeLessThan(60)
    expect(onSingle).toBe(60)
    expect(path.runtime.stats().routes['all']!.verifyCauses).toEqual(['server-wide'])
  } finally {
    await node.call('ACL', 'SETUSER', 'default', '+flushall')
  }
})
