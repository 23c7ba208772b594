import { expect, test } from 'vitest'
import { changeBetween } from '../../support/change.ts'
import { startCluster } from '../../support/cluster.ts'
import { configOf, type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { startRedis } from '../../support/redis.ts'
import { endedAfterEach } from '../../support/running.ts'
import { settled } from '../../support/settled.ts'

const { running, redis } = endedAfterEach()

const ROUTE = { source: 'old', target: 'new', phase: 'mirror' } as const

async function start(options: DataPathOptions): Promise<DataPathUnderTest> {
  const path = await startDataPath(options)
  running.push(path)
  return path
}

const sameAs = (path: DataPathUnderTest) => path.runtime.stats().stores['new']!.sameAs

test('a shadow that is the primary under another address gets nothing; what was written goes to the next target', async () => {
  const [server, fresh] = [await redis(), await redis()]
  const path = await start({ stores: { old: server, new: server }, store: { timeoutMs: 1_000 }, routes: [ROUTE] })
  const client = path.client()
  expect(await client.incr('n')).toBe(1)
  expect(await client.rpush('list', 'a')).toBe(1)
  await eventually(() => expect(sameAs(path)).toBe('old'))
  expect(await client.incr('n')).toBe(2)
  expect(path.runtime.stats().routes['all']!.counters.applied).toBe(0)
  expect(path.notices).toContainEqual(
    expect.objectContaining({
      kind: 'log',
      line: expect.objectContaining({ level: 'error', msg: expect.stringContaining('one server under two addresses') }),
    }),
  )

  const next = configOf({ stores: { old: server, new: fresh }, routes: [ROUTE] })
  expect(
    await path.runtime.apply(changeBetween(path.config, { ...next, listen: path.config.listen }, 1)),
  ).toMatchObject({
    ok: true,
  })
  expect(await client.incr('n')).toBe(3)
  await settled(path)
  expect(sameAs(path)).toBeNull()
  expect(await server.client().lrange('list', 0, -1)).toEqual(['a'])
})

test('one that the gates had not heard of does not become the primary', async () => {
  const server = await redis()
  const stores = { old: server, new: server }
  const path = await start({ stores, routes: [ROUTE] })
  await path.client().get('a')
  await eventually(() => expect(sameAs(path)).toBe('old'))
  const next = configOf({ stores, routes: [{ ...ROUTE, phase: 'switched' }] })
  const change = changeBetween(path.config, { ...next, listen: path.config.listen }, 1)
  // The two addresses are the same one here, which is no move.
  const moving = { ...change, hold: ['all'], needsEqual: ['all'], holdTimeoutMs: 2_000 }
  expect(await path.runtime.apply(moving)).toEqual({
    ok: false,
    reason: "stores 'old' and 'new' are one server under two addresses",
  })
})

test.each(['shared', 'dedicated'] as const)(
  'also where only clients have credentials for the source (%s connections)',
  async (connections) => {
    const server = await startRedis({ args: ['--requirepass', 'secret'], password: 'secret' })
    running.push(server)
    const path = await start({
      stores: { old: { port: server.port }, new: { port: server.port, password: 'secret' } },
      clients: { auth: 'passthrough' },
      listen: { connections },
      routes: [ROUTE],
    })
    const client = path.client({ password: 'secret' })
    expect([await client.incr('n'), await client.incr('n'), await client.rpush('list', 'a')]).toEqual([1, 2, 1])
    await eventually(() => expect(sameAs(path)).toBe('old'))
    expect(await client.incr('n')).toBe(3)
    expect(path.runtime.stats().routes['all']!.counters.applied).toBe(0)
  },
)

test('a shadow that is connected loses that when another route makes its own server the primary', async () => {
  const [server, other] = [await redis(), await redis()]
  const stores = { other, old: server, new: server }
  const path = await start({ stores, routes: [{ ...ROUTE, source: 'other' }] })
  const client = path.client()
  await client.set('a', '1')
  await settled(path)
  expect(await server.client().get('a')).toBe('1')
  expect(sameAs(path)).toBeNull()

  const next = configOf({ stores, routes: [ROUTE] })
  expect(
    await path.runtime.apply(changeBetween(path.config, { ...next, listen: path.config.listen }, 1)),
  ).toMatchObject({
    ok: true,
  })
  expect(await client.incr('a')).toBe(2)
  await eventually(() => expect(sameAs(path)).toBe('old'))
  expect(await client.incr('a')).toBe(3)
  expect(await server.client().get('a')).toBe('3')
})

test('a cluster under the addresses of other nodes is the same one', async () => {
  const cluster = await startCluster({ masters: 2 })
  running.push(cluster)
  const at = (node: number) => {
    const { port } = cluster.servers[node]!
    return { port, kind: 'cluster', endpoints: [{ kind: 'tcp', host: '127.0.0.1', port }] } as const
  }
  const path = await start({ stores: { old: at(0), new: at(1) }, routes: [ROUTE] })
  const client = path.client()
  const keys = Array.from({ length: 50 }, (_, i) => `n:${i}`)
  for (const key of keys) expect(await client.incr(key)).toBe(1)
  await eventually(() => expect(sameAs(path)).toBe('old'))
  for (const key of keys) expect(await client.incr(key)).toBe(2)
  expect(path.runtime.stats().routes['all']!.counters.applied).toBe(0)
})
