import { afterEach, expect, test } from 'vitest'
import { CoarseClock } from '../../../src/base/clock.ts'
import { Turn } from '../../../src/base/turn.ts'
import { CommandTable } from '../../../src/command/table.ts'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { Cluster } from '../../../src/upstream/cluster/cluster.ts'
import { NodeLinks } from '../../../src/upstream/cluster/node-links.ts'
import type { Topology } from '../../../src/upstream/cluster/topology.ts'
import { configOf } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeNode, storeOf } from '../../support/fake-cluster.ts'

const running: { stop(): unknown }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

test('a subscriber hears on where its node becomes a replica, and is ended where the node leaves the cluster', async () => {
  const [one, other] = (await FakeNode.start(2)) as [FakeNode, FakeNode]
  for (const node of [one, other]) {
    node.masters = [one, other]
    running.push(node)
  }
  const config = configOf({ stores: { many: storeOf([one, other]) } }).stores['many']!
  const [turn, clock] = [new Turn(), new CoarseClock()]
  const cluster = new Cluster({ config, turn, clock, commands: () => CommandTable.builtin() })
  running.push({ stop: () => cluster.close() })
  cluster.watch(() => {})
  await eventually(() => expect(cluster.topology).not.toBeNull())
  const topology = cluster.topology!
  const ended: string[] = []
  const heard: string[] = []
  const owner = {
    up() {},
    parted() {},
    renewed() {},
    down() {},
    refused() {},
    ended: (reason: string) => ended.push(reason),
  }
  const identity = { database: 0, protocol: 2, user: null } as const
  const links = new NodeLinks(
    cluster,
    {
      ...{ store: config, endpoint: () => config.endpoints[0]!, identity, turn, clock },
      ...{ whenDown: 'fail', batchMs: 0, dedicated: true, limitBytes: 1_000 },
    },
    owner,
  )
  running.push({ stop: () => links.close('delivered') })
  links.begin()
  links.relay(encodeCommand(['SUBSCRIBE', 'news']), (buf, start, end) => heard.push(buf.toString('latin1', start, end)))
  await eventually(() => expect(heard.join()).toContain('subscribe'))
  const [its, others] = topology.masters as [Topology['masters'][0], Topology['masters'][0]]
  // As a replica it is not named at first.
  cluster.topology = { ...topology, masters: [others] }
  links.tick(0)
  links.tick(5_000)
  cluster.topology = { ...topology, masters: [others], replicas: [its] }
  links.tick(60_000)
  expect(ended).toEqual([])
  cluster.topology = { ...topology, masters: [others] }
  links.tick(60_020)
  links.tick(80_000)
  await eventually(() => expect(ended).toEqual(['the node has left the cluster']))
})
