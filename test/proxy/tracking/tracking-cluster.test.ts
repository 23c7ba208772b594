import { afterAll, beforeAll, expect, test } from 'vitest'
import { changeBetween } from '../../support/change.ts'
import { type RedisCluster, startCluster } from '../../support/cluster.ts'
import { startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

let cluster: RedisCluster
let single: RedisServer
beforeAll(async () => {
  ;[cluster, single] = await Promise.all([startCluster(), startRedis()])
})
afterAll(async () => {
  await Promise.all([cluster.stop(), single.stop()])
})

test('a client that tracks keys is disconnected when its route goes to a cluster, which does not track: its cache would not be kept right; the others stay', async () => {
  const endpoints = cluster.servers.map(({ port }) => ({ kind: 'tcp', host: '127.0.0.1', port }) as const)
  const stores = { old: single, cluster: { port: cluster.servers[0]!.port, kind: 'cluster', endpoints } } as const
  const routes = [{ source: 'old', target: 'cluster', phase: 'mirror' }] as const
  const path = await startDataPath({ stores, routes, store: { timeoutMs: 30_000 } })
  try {
    const [tracking, other] = [await path.raw(), await path.raw()]
    await tracking.ask('HELLO', 3)
    expect(await tracking.ask('CLIENT', 'TRACKING', 'ON')).toBe('+OK\r\n')
    await other.ask('SET', 'k', '1')
    expect(await tracking.ask('GET', 'k')).toBe('$1\r\n1\r\n')
    await settled(path)
    const next = path.config.routes.map((route) => ({ ...route, phase: 'switched' as const }))
    expect(await path.runtime.apply(changeBetween(path.config, { ...path.config, routes: next }, 1))).toMatchObject({
      ok: true,
    })
    await tracking.closed
    expect(await other.ask('INCR', 'k')).toBe(':2\r\n')
    await eventually(() => expect(path.runtime.stats().clients).toBe(1))
  } finally {
    await path.stop()
  }
}, 60_000)
