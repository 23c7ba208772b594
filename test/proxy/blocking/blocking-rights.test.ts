import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type RedisCluster, startCluster } from '../../support/cluster.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

let source: RedisServer
let target: RedisServer
let cluster: RedisCluster
let path: DataPathUnderTest

beforeAll(async () => {
  ;[source, target, cluster] = await Promise.all([startRedis(), startRedis(), startCluster({ masters: 2 })])
}, 180_000)
afterAll(async () => {
  await Promise.all([source, target, cluster].map((server) => server?.stop()))
})
afterEach(async () => {
  await path?.stop()
})

test.each([
  { lacks: 'MULTI', rules: ['-multi'], at: 'a server' },
  { lacks: 'EXEC', rules: ['-exec'], at: 'a server' },
  { lacks: 'MULTI', rules: ['-multi'], at: 'a cluster' },
  { lacks: 'EXEC', rules: ['-exec'], at: 'a cluster' },
])(
  'a user without the right to $lacks at $at gets every element of a queue, and keeps no other client waiting',
  async ({ rules, at }) => {
    const nodes = at === 'a cluster' ? cluster.servers : [source]
    await Promise.all([...nodes, target].map((server) => server.client().flushall()))
    for (const node of nodes)
      await node.client().call('ACL', 'SETUSER', 'worker', 'reset', 'on', '>w', '~*', '+@all', ...rules)
    const endpoints = nodes.map(({ host, port }) => ({ kind: 'tcp', host, port }) as const)
    const primary = at === 'a cluster' ? ({ port: endpoints[0]!.port, kind: 'cluster', endpoints } as const) : source
    path = await startDataPath({
      stores: { source: primary, target },
      routes: [{ source: 'source', target: 'target', phase: 'mirror' }],
      clients: { auth: 'passthrough' },
    })
    const [giver, taker, bystander] = [await path.raw(), await path.raw(), await path.raw()]
    for (const client of [giver, taker, bystander]) expect(await client.ask('AUTH', 'worker', 'w')).toBe('+OK\r\n')
    for (let round = 0; round < 3; round++) {
      const values = Array.from({ length: 30 }, (_, i) => `${round}:${i}`)
      expect(await giver.ask('RPUSH', 'queue', ...values)).toBe(':30\r\n')
      const taken: string[] = []
      for (const value of values) {
        const answer = await taker.ask('BLPOP', 'queue', '0')
        expect(answer).toMatch(/^[*]2\r\n/)
        taken.push(answer.includes(`\r\n${value}\r\n`) ? value : answer)
      }
      expect(taken).toEqual(values)
      // Nothing is left, and whoever waits now waits alone.
      taker.command('BLPOP', 'queue', round === 2 ? '1000000' : '0')
      expect(await bystander.ask('SET', 'k', `${round}`)).toBe('+OK\r\n')
      expect(await giver.ask('RPUSH', 'queue', 'last')).toBe(':1\r\n')
      expect(await taker.text()).toContain('last')
    }
    await settled(path)
    expect(await driftBetween(nodes, target)).toEqual([])
  },
)
