import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RedisCluster, startCluster } from './cluster.ts'
import { eventually } from './eventually.ts'
import type { RedisServer } from './redis.ts'

const ports = (servers: readonly RedisServer[]): number[] => servers.map(({ port }) => port)

describe('the cluster of a test', () => {
  let cluster: RedisCluster
  beforeAll(async () => {
    cluster = await startCluster({ replicas: 1, password: 'sesame' })
  })
  afterAll(() => cluster?.stop())

  test('has its slots dealt over three masters, and moves one with its keys', async () => {
    expect(ports(await cluster.masters())).toEqual(ports(cluster.servers.slice(0, 3)))
    const client = cluster.client()
    for (let i = 0; i < 300; i++) await client.set(`{tag}:${i}`, i)
    const slot = await cluster.slotOf('{tag}:1')
    const from = await cluster.ownerOf(slot)
    const to = (await cluster.masters()).find((server) => server !== from)!
    const move = await cluster.beginMove(slot, to)
    expect(await move.migrate(100)).toBe(100)
    expect(await client.get('{tag}:299')).toBe('299')
    await move.finish()
    expect((await cluster.ownerOf(slot)).port).toBe(to.port)
    expect(await cluster.countKeys()).toBe(300)
    await cluster.flushAll()
    expect(await cluster.countKeys()).toBe(0)
  })

  test('makes a replica a master when it is asked to, and when the master dies', async () => {
    const [master] = await cluster.masters()
    const client = cluster.client()
    await client.set('k', 'v')
    const next = await cluster.failover(master!)
    expect(ports(await cluster.masters())).toContain(next.port)
    await eventually(async () => expect(ports(await cluster.replicasOf(next))).toEqual([master!.port]))
    expect((await cluster.crash(next)).port).toBe(master!.port)
    expect(await client.get('k')).toBe('v')
  })
})
