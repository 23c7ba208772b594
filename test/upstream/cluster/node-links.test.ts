import { afterEach, expect, test } from 'vitest'
import { CoarseClock } from '../../../src/base/clock.ts'
import { Turn } from '../../../src/base/turn.ts'
import { CommandTable } from '../../../src/command/table.ts'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { Cluster } from '../../../src/upstream/cluster/cluster.ts'
import { NodeLinks } from '../../../src/upstream/cluster/node-links.ts'
import type { Topology } from '../../../src/upstream/cluster/topology.ts'
import { ANONYMOUS, type StoreUser } from '../../../src/upstream/connection/handshake.ts'
import type { PipelineOptions } from '../../../src/upstream/pipeline/pipeline-options.ts'
import { configOf } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeNode, storeOf } from '../../support/fake-cluster.ts'

const running: { stop(): unknown }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

/** A cluster of nodes that answer, in the order of their slots, and pipelines' connections to it. */
async function startNodes(count: number) {
  const nodes = await FakeNode.start(count)
  for (const node of nodes) node.masters = nodes
  running.push(...nodes)
  const config = configOf({ stores: { many: storeOf(nodes) } }).stores['many']!
  const [turn, clock] = [new Turn(), new CoarseClock()]
  const cluster = new Cluster({ config, turn, clock, commands: () => CommandTable.builtin() })
  running.push({ stop: () => cluster.close() })
  cluster.watch(() => {})
  await eventually(() => expect(cluster.topology).not.toBeNull())
  /** One pipeline's, and what it has said. */
  const links = (dedicated: boolean, user: StoreUser | null = null) => {
    const said: string[] = []
    const owner = {
      up: () => said.includes('up') || said.push('up'),
      parted() {},
      renewed() {},
      down() {},
      refused: (text: string) => said.push(`refused: ${text}`),
      ended: (reason: string) => said.push(`ended: ${reason}`),
    }
    const identity = { database: 0, protocol: 2, user } as const
    const options: PipelineOptions = {
      ...{ store: config, endpoint: () => config.endpoints[0]!, identity, turn, clock },
      ...{ whenDown: 'fail', batchMs: 0, dedicated, limitBytes: 1_000 },
    }
    const made = new NodeLinks(cluster, options, owner)
    running.push({ stop: () => made.close('delivered') })
    return { links: made, said }
  }
  return { nodes, cluster, clock, links }
}

/** Of a pipeline that clients share: every node can be spoken to. */
async function allUp(links: NodeLinks, cluster: Cluster): Promise<void> {
  links.begin()
  await eventually(() => {
    for (const node of cluster.topology!.masters) expect(links.to(node).pipeline.state).toBe('up')
  })
}

/** What comes of it is nobody's. */
const NOBODY = { settle() {}, lost() {}, timedOut() {} }
const GET = encodeCommand(['GET', 'k'])

test('a subscriber hears on where its node becomes a replica, and is ended where the node leaves the cluster', async () => {
  const { cluster, links: linksOf } = await startNodes(2)
  const topology = cluster.topology!
  const { links, said } = linksOf(true)
  const heard: string[] = []
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
  expect(said).toEqual(['up'])
  cluster.topology = { ...topology, masters: [others] }
  links.tick(60_020)
  links.tick(80_000)
  await eventually(() => expect(said).toEqual(['up', 'ended: the node has left the cluster']))
})

test('a subscriber whose first node cannot be reached is served by another one, and ended only where none can be', async () => {
  const { nodes, links: linksOf } = await startNodes(3)
  await nodes[0]!.stop()
  const { links, said } = linksOf(true)
  const heard: string[] = []
  const relay = (of: NodeLinks, channel: string): void =>
    of.relay(encodeCommand(['SUBSCRIBE', channel]), (buf, start, end) => heard.push(buf.toString('latin1', start, end)))
  links.begin()
  relay(links, 'one')
  relay(links, 'other')
  await eventually(() => expect(nodes[1]!.heard).toEqual(expect.arrayContaining(['SUBSCRIBE one', 'SUBSCRIBE other'])))
  relay(links, 'third')
  await eventually(() => expect(heard).toHaveLength(3))
  expect(nodes[1]!.heardTimes('SUBSCRIBE one')).toBe(1)
  expect(said).toEqual(['up'])
  // What one connection has found out the next one knows.
  const next = linksOf(true).links
  expect(next.any().port).toBe(nodes[1]!.port)

  for (const node of nodes) await node.stop()
  await eventually(() => expect(said.at(-1)).toContain('ended: '))
  const last = linksOf(true)
  last.links.begin()
  relay(last.links, 'one')
  await eventually(() => expect(last.said.at(-1)).toMatch(/^ended: .*ECONNREFUSED/))
  expect(nodes.map((node) => node.heardTimes('SUBSCRIBE one'))).toEqual([0, 1, 0])
})

test('a client that logs in at the store itself does so at a node that can be reached; only the words of a node are a refusal', async () => {
  const { nodes, links: linksOf } = await startNodes(2)
  const refused = linksOf(true, { key: 'k', login: ['nobody', 'knows'], before: null })
  refused.links.begin()
  await eventually(() => expect(refused.said).toEqual(['refused: ERR unknown command']))
  await nodes[0]!.stop()
  const admitted = linksOf(true, ANONYMOUS)
  admitted.links.begin()
  await eventually(() => expect(admitted.said).toEqual(['up']))
  await nodes[1]!.stop()
  await eventually(() => expect(admitted.said.at(-1)).toContain('ended: '))
  const none = linksOf(true, ANONYMOUS)
  none.links.begin()
  await eventually(() => expect(none.said.at(-1)).toMatch(/^ended: .*ECONNREFUSED/))
})

test('a node that a redirection names before the topology does is spoken to for as long as it owes an answer; one that is no master any more is not', async () => {
  const { nodes, cluster, links: linksOf } = await startNodes(2)
  const { links } = linksOf(false)
  await allUp(links, cluster)
  const topology = cluster.topology!
  const [known] = topology.masters as [Topology['masters'][0]]
  const [fresh] = await FakeNode.start(1)
  running.push(fresh!)
  const pipelines = [known, { host: '127.0.0.1', port: fresh!.port }].map((node) => links.to(node).pipeline)
  for (const node of [nodes[0]!, fresh!]) node.withholds = (command) => command.startsWith('GET')
  for (const pipeline of pipelines) pipeline.push(NOBODY, GET, 0, GET.length)
  await eventually(() => expect(nodes[0]!.heardTimes('GET k') + fresh!.heardTimes('GET k')).toBe(2))
  cluster.topology = { ...topology, masters: topology.masters.slice(1) }
  for (const nowMs of [0, 500, 5_000, 60_000]) links.tick(nowMs)
  expect(pipelines.map(({ state }) => state)).toEqual(['closed', 'up'])
  fresh!.release()
  await eventually(() => expect(pipelines[1]!.quiet).toBe(true))
  links.tick(60_001)
  expect(pipelines[1]!.state).toBe('closed')
})

test('a user is refused when every node has refused it, or has not been reached lately', async () => {
  const { nodes, cluster, links: linksOf } = await startNodes(2)
  const user: StoreUser = { key: 'k', login: ['nobody', 'knows'], before: null }
  nodes[1]!.withholds = () => true
  const waiting = linksOf(false, user)
  waiting.links.begin()
  const second = cluster.topology!.masters[1]!
  // The first one has refused it.
  await eventually(() => expect(waiting.links.any()).toEqual(second))
  expect(waiting.said).toEqual([])
  nodes[1]!.release()
  await eventually(() => expect(waiting.said).toEqual(['refused: ERR unknown command']))
  nodes[1]!.withholds = () => true
  cluster.standings.unreached(second)
  const next = linksOf(false, user)
  next.links.begin()
  await eventually(() => expect(next.said).toEqual(['refused: ERR unknown command']))
})

test('a node that cannot be reached ends no connection of which it holds nothing', async () => {
  const { nodes, cluster, links: linksOf } = await startNodes(2)
  const { links, said } = linksOf(true)
  links.begin()
  await nodes[0]!.stop()
  const [dead, other] = cluster.topology!.masters as [Topology['masters'][0], Topology['masters'][0]]
  const told: string[] = []
  const owner = { ...NOBODY, lost: (_slot: unknown, { text }: { text: string }) => told.push(text) }
  links.to(dead).pipeline.push(owner, GET, 0, GET.length)
  await eventually(() => expect(told.join()).toContain('not executed'))
  expect(links.speaker()).toEqual(other)
  let settled = false
  const waits = {
    ...NOBODY,
    settle: () => {
      settled = true
    },
  }
  links.to(other).pipeline.push(waits, GET, 0, GET.length)
  await eventually(() => expect(settled).toBe(true))
  expect(said).toEqual(['up'])
  // There it may hold something: keys that are watched, say.
  nodes[1]!.disconnect()
  await eventually(() => expect(said).toEqual(['up', 'ended: closed by the store']))
})

test('where no node answers at once, one that is slow is asked rather than one that is down', async () => {
  const { nodes, cluster, clock, links: linksOf } = await startNodes(3)
  const { links } = linksOf(false)
  await allUp(links, cluster)
  const [first, second, third] = cluster.topology!.masters as readonly Topology['masters'][0][]
  expect(links.any()).toEqual(first)
  await nodes[0]!.stop()
  await eventually(() => expect(links.any()).toEqual(second))
  for (const node of nodes) node.withholds = (command) => command.startsWith('GET')
  const ask = async (node: FakeNode, times: number) => {
    const { pipeline } = links.to(cluster.topology!.masters.find(({ port }) => port === node.port)!)
    pipeline.push(NOBODY, GET, 0, GET.length)
    await eventually(() => expect(node.heardTimes('GET k')).toBe(times))
  }
  await ask(nodes[1]!, 1)
  clock.nowMs += 100
  expect(links.any()).toEqual(third)
  await ask(nodes[2]!, 1)
  clock.nowMs += 100
  expect(links.any()).toEqual(third)
  // Who is to open a first connection knows as much.
  links.tick(clock.nowMs)
  expect(linksOf(true).links.any()).not.toEqual(first)
})

test('the first connection of one client goes by a node at which those that clients share do not wait', async () => {
  const { nodes, cluster, clock, links: linksOf } = await startNodes(2)
  const { links } = linksOf(false)
  await allUp(links, cluster)
  const [first, second] = cluster.topology!.masters as readonly Topology['masters'][0][]
  const one = linksOf(true).links
  expect(one.any()).toEqual(first)
  nodes[0]!.withholds = (command) => command.startsWith('GET')
  links.to(first!).pipeline.push(NOBODY, GET, 0, GET.length)
  await eventually(() => expect(nodes[0]!.heard).toContain('GET k'))
  clock.nowMs += 100
  links.tick(clock.nowMs)
  expect(one.any()).toEqual(second)
  clock.nowMs += 5_000
  expect(one.any()).toEqual(first)
})
