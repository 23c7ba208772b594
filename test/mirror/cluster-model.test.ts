import { afterEach, expect, test } from 'vitest'
import type { Phase } from '../../src/config/config.ts'
import { type RedisCluster, startCluster } from '../support/cluster.ts'
import { startDataPath } from '../support/data-path.ts'
import { driftBetween } from '../support/keyspace.ts'
import { again, type Load, ROUNDS, SECONDS, Totals } from '../support/model.ts'
import { Outages } from '../support/outages.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { payloadsOf, Random } from '../support/write-load.ts'

/**
 * The model of `model.test.ts` with a cluster at the one end: keys of one slot and of several, nodes that hang, reset their connections, run out of memory and die with what they have.
 *
 *   MODEL_SECONDS=600 vitest run test/mirror/cluster-model.test.ts
 */
const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

const PERSISTENT = ['--appendonly', 'yes', '--appendfsync', 'always']

/** By hand: what lies at random in clusters and outages is too much for every run of the suite. */
test.skipIf(SECONDS === 0).for<[string, Phase]>([
  ['shadow', 'shadow'],
  ['primary', 'switched'],
])(
  'after random writes of every kind by several clients a server and a cluster are equal, the cluster as %s, through outages of the shadow',
  { timeout: SECONDS * 1_000 + 150_000 },
  async ([role, phase]) => {
    const [single, cluster] = await Promise.all([startRedis({ args: PERSISTENT }), startCluster({ args: PERSISTENT })])
    running.push(single, cluster)
    const path = await startDataPath({
      stores: { old: single, new: storeOf(cluster) },
      routes: [{ source: 'old', target: 'new', phase }],
    })
    running.push(path)
    const shadows: readonly RedisServer[] = role === 'shadow' ? cluster.servers : [single]
    const load: Load = {
      databases: [0],
      oneDatabase: true,
      prefixes: ['', '{t}:'],
      payloads: await payloadsOf(single),
      everywhere: true,
      fieldTimes: false,
      undeclared: false,
      refused: /concerns a whole cluster, and a transaction is on one of its nodes/,
    }
    const differs = () => driftBetween(single, cluster.servers, { ttlSlackMs: 3_000 })
    const totals = new Totals()
    await again(async (seed) => {
      await totals.run(path, load, seed, [], ROUNDS / 4)
      expect(await differs()).toEqual([])
      const random = new Random(seed)
      const outages = [Outages.start(random.pick(shadows), random)]
      await totals.run(path, { ...load, everywhere: false }, seed + 1_000_000, outages, ROUNDS / 4)
      await cluster.ready()
      expect(await differs(), totals.happened.join('; ')).toEqual([])
    })
    totals.keys = await cluster.countKeys()
    totals.report(`a cluster as ${role}`, path)
  },
)

function storeOf({ servers }: RedisCluster) {
  const endpoints = servers.map(({ port }) => ({ kind: 'tcp', host: '127.0.0.1', port }) as const)
  return { port: servers[0]!.port, kind: 'cluster', endpoints } as const
}
