import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { slotOfKey } from '../../src/command/key-slot.ts'
import type { Finding } from '../../src/compare/finding.ts'
import { type RedisCluster, startCluster } from '../support/cluster.ts'
import { type DataPathUnderTest, startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { driftBetween } from '../support/keyspace.ts'
import { named, PLANTS, type Plant, run } from '../support/planted.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'
import { Writer } from '../support/write-load.ts'

let cluster: RedisCluster
let single: RedisServer
let path: DataPathUnderTest

beforeAll(async () => {
  ;[cluster, single] = await Promise.all([startCluster(), startRedis()])
}, 180_000)
afterAll(async () => {
  await Promise.all([cluster?.stop(), single?.stop()])
})
afterEach(async () => {
  await path?.stop()
  await cluster.flushAll()
  await single.client().flushall()
})

const SIDES = ['shadow', 'primary'] as const

async function start(side: (typeof SIDES)[number]): Promise<void> {
  const endpoints = cluster.servers.map(({ port }) => ({ kind: 'tcp', host: '127.0.0.1', port }) as const)
  const ofCluster = { port: cluster.servers[0]!.port, kind: 'cluster', endpoints } as const
  const [source, target] = side === 'shadow' ? ['single', 'cluster'] : ['cluster', 'single']
  path = await startDataPath({
    stores: { single, cluster: ofCluster },
    routes: [{ name: 'all', source: source!, target: target!, phase: 'shadow', compare: { sample: 1 } }],
  })
}

async function compared(): Promise<void> {
  await eventually(() => {
    const { compare } = path.runtime.stats().routes['all']!
    expect([compare.underWay, compare.rechecking]).toEqual([0, 0])
  })
}

function found(): string[] {
  const findings = path.notices.flatMap((notice): Finding[] => (notice.kind === 'finding' ? [notice.finding] : []))
  return [...new Set(findings.map((finding) => `${finding.key} ${finding.command} ${finding.class}`))].sort()
}

/** What differs between the server and the nodes of the cluster, each for its slots. */
async function drift(): Promise<unknown[]> {
  const owners = new Map<string, RedisServer>()
  const all: unknown[] = []
  for (const key of await single.client().keys('*'))
    owners.set(key, await cluster.ownerOf(slotOfKey(Buffer.from(key, 'latin1'))))
  for (const node of await cluster.masters())
    all.push(...(await driftBetween(single, node, { ttlSlackMs: 2_000, onPrimary: (key) => owners.get(key) === node })))
  return all
}

describe.each(SIDES)('a cluster as the %s', (side) => {
  test('under every kind of write holds what the other side holds, and no difference is invented', {
    timeout: 300_000,
  }, async () => {
    await start(side)
    const clients = await Promise.all(
      ([2, 3, 2, 3] as const).map((protocol, i) =>
        Writer.open(path.port, protocol, {
          seed: i + 1,
          // Keys that share a slot, and others. What a cluster answers CROSSSLOT, and one server does not, would be a difference.
          prefixes: i < 2 || side === 'primary' ? ['', '{tag}:', 'job:'] : ['{tag}:'],
          kind: i < 2 ? 'writes' : 'reads',
          oneDatabase: true,
        }),
      ),
    )
    await Promise.all(clients.map((client) => client.run(60)))
    await settled(path)
    await compared()
    for (const client of clients) client.close()
    expect(clients.reduce((sum, client) => sum + client.commands, 0)).toBeGreaterThan(500)
    expect(found()).toEqual([])
    expect(await drift()).toEqual([])
    expect(await single.client().dbsize()).toBeGreaterThan(20)
  })

  test('is found to differ where it does, and nowhere else', { timeout: 180_000 }, async () => {
    await start(side)
    const app = path.client()
    const planted = PLANTS.map((plant, i): [Plant, string] => [plant, `{planted:${i}}`])
    for (const [plant, key] of planted) await run(app, plant.write, key)
    await settled(path)
    for (const [plant, key] of planted) {
      const shadow = side === 'primary' ? single : await cluster.ownerOf(slotOfKey(Buffer.from(key)))
      await run(shadow.client(), plant.tamper, key)
    }
    const expected = planted.map(([plant, key]) => `${key} ${plant.read[0]} ${plant.class}`).sort()
    await eventually(
      async () => {
        for (const [plant, key] of planted) {
          const [name, ...args] = named(plant.read, key)
          await app.call(name!, ...args)
        }
        expect(found()).toEqual(expected)
      },
      { timeoutMs: 40_000 },
    )
    await compared()
    expect(found()).toEqual(expected)
  })
})
