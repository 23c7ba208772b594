import { afterEach, expect, test } from 'vitest'
import { CoarseClock } from '../../../src/base/clock.ts'
import { Turn } from '../../../src/base/turn.ts'
import { slotOfKey } from '../../../src/command/key-slot.ts'
import { CommandTable } from '../../../src/command/table.ts'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { Cluster } from '../../../src/upstream/cluster/cluster.ts'
import { ClusterConnection } from '../../../src/upstream/cluster/cluster-connection.ts'
import { configOf } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeNode, storeOf } from '../../support/fake-cluster.ts'

const running: { stop(): unknown }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

/** A connection to two nodes that know each other, and what it has said. */
async function connected({ dedicated }: { dedicated: boolean }) {
  const nodes = (await FakeNode.start(2)) as [FakeNode, FakeNode]
  for (const node of nodes) node.masters = nodes
  running.push(...nodes)
  const config = configOf({ stores: { many: storeOf(nodes) } }).stores['many']!
  const [turn, clock] = [new Turn(), new CoarseClock()]
  const cluster = new Cluster({ config, turn, clock, commands: () => CommandTable.builtin() })
  running.push({ stop: () => cluster.close() })
  const heard: string[] = []
  let isReady = false
  const connection = new ClusterConnection(
    cluster,
    {
      ...{ store: config, endpoint: () => config.endpoints[0]!, turn, clock },
      ...{ identity: { database: 0, protocol: 2, user: null }, whenDown: 'fail' },
      ...{ batchMs: 0, dedicated, limitBytes: 1_000 },
    },
    {
      ready: () => {
        isReady = true
      },
      bytes: (buf, length) => heard.push(buf.toString('latin1', 0, length)),
      ...{ refused() {}, failed() {}, drained() {}, parted() {}, renewed() {}, say() {} },
      ...{ lostHead: () => 0, detachHead: () => null },
    },
  )
  running.push({ stop: () => connection.drop('discarded') })
  connection.open()
  await eventually(() => expect(isReady).toBe(true))
  const say = (...commands: string[][]): void => {
    connection.socket!.write(Buffer.concat(commands.map((command) => encodeCommand(command))))
    connection.endWrite()
  }
  const tick = (): void => connection.tick(clock.nowMs)
  return { nodes, cluster, store: config, clock, heard, say, tick }
}

/** A key of the first or the second half of the slots. */
function keyOf(half: 0 | 1): string {
  for (let i = 0; ; i++) if (slotOfKey(Buffer.from(`key:${i}`)) >> 13 === half) return `key:${i}`
}

test('whatever a subscriber asks is answered in turn, and owes no reply once it is', async () => {
  const { heard, say } = await connected({ dedicated: true })
  say(['SUBSCRIBE', 'news'], ['PING'], ['AUTH', 'user', 'password'])
  // That it is no command here is this node's answer to both.
  const pong = '-ERR unknown command\r\n'
  await eventually(() => expect(heard.slice(1)).toEqual([pong, pong]))
  expect(heard[0]).toContain('subscribe')
  // A reply that has a place among others, behind whatever should be owed before it.
  say(['SELECT', '0'])
  await eventually(() => expect(heard.slice(3)).toEqual(['+OK\r\n']))
})

test('what another node that has taken the place of a master is sent does not overtake what that one has not answered', async () => {
  const { nodes, cluster, heard, say } = await connected({ dedicated: false })
  const [former, successor] = nodes
  former.movedTo = successor
  former.withholds = (command) => command.startsWith('SET')
  const [key, others] = [keyOf(0), keyOf(1)]
  say(['SET', key, '1'])
  await eventually(() => expect(former.heard).toContain(`SET ${key} 1`))
  for (const node of nodes) node.masters = [successor]
  await new Promise<void>((learnt) => cluster.refresh(learnt))
  say(['SET', key, '2'], ['SET', others, 'v'])
  await eventually(() => expect(successor.heard).toContain(`SET ${others} v`))
  former.release()
  await eventually(() => expect(heard.join('')).toBe('+OK\r\n'.repeat(3)))
  expect(successor.heard.filter((command) => command.includes(key))).toEqual([`SET ${key} 1`, `SET ${key} 2`])
})

test('what is published goes by one node, also while that lags, and by another one when all before it is answered', async () => {
  const { nodes, cluster, clock, heard, say } = await connected({ dedicated: false })
  const published = (node: FakeNode) => node.heard.filter((command) => command.startsWith('PUBLISH'))
  // All are up.
  const written = ['{a}', '{b}', '{c}', '{d}']
  say(...written.map((key) => ['SET', key, 'v']))
  await eventually(() => expect(heard.join('')).toBe('+OK\r\n'.repeat(written.length)))
  say(['PUBLISH', 'news', '0'])
  await eventually(() => expect(heard).toHaveLength(written.length + 1))
  const [speaker, other] = published(nodes[0]).length === 1 ? nodes : ([...nodes].reverse() as typeof nodes)
  const spoken = published(speaker)
  speaker.withholds = (command) => command.startsWith('PUBLISH')
  say(['PUBLISH', 'news', '1'])
  await eventually(() => expect(published(speaker)).toEqual([...spoken, 'PUBLISH news 1']))
  clock.nowMs += 1_000
  say(['PUBLISH', 'news', '2'], ['MULTI'], ['PUBLISH', 'news', '3'], ['EXEC'])
  await eventually(() => expect(published(speaker).slice(1)).toEqual([1, 2, 3].map((n) => `PUBLISH news ${n}`)))
  const topology = cluster.topology!
  const masters = topology.masters.filter(({ port }) => port === other.port)
  cluster.topology = { ...topology, masters, owners: topology.owners.map(() => 0) }
  say(['PUBLISH', 'news', '4'], ['SET', 'behind', 'it'])
  await eventually(() => expect(other.heard).toContain('SET behind it'))
  expect(published(other)).toEqual([])
  speaker.release()
  await eventually(() => expect(published(other)).toEqual(['PUBLISH news 4']))
})

test('a node that owes an answer for longer than the timeout publishes no more: another one does, when all before it are told as not answered', async () => {
  const { nodes, store, clock, heard, say, tick } = await connected({ dedicated: false })
  const published = (node: FakeNode) => node.heard.filter((command) => command.startsWith('PUBLISH'))
  const written = ['{a}', '{b}', '{c}', '{d}']
  say(...written.map((key) => ['SET', key, 'v']))
  await eventually(() => expect(heard.join('')).toBe('+OK\r\n'.repeat(written.length)))
  say(['PUBLISH', 'news', '0'])
  await eventually(() => expect(heard).toHaveLength(written.length + 1))
  const [speaker, other] = published(nodes[0]).length === 1 ? nodes : ([...nodes].reverse() as typeof nodes)
  speaker.withholds = (command) => command.startsWith('PUBLISH')
  say(['PUBLISH', 'news', '1'])
  await eventually(() => expect(published(speaker)).toHaveLength(2))
  // What is heard sets the clock again.
  const begunMs = clock.nowMs
  const passes = (times: number): void => {
    clock.nowMs = begunMs + store.timeoutMs * times
    tick()
  }
  passes(0.5)
  say(['PUBLISH', 'news', '2'])
  await eventually(() => expect(published(speaker)).toHaveLength(3))
  expect(published(other)).toEqual([])
  passes(1.1)
  // The oldest message is lost, and the one behind it may yet be published.
  say(['PUBLISH', 'news', '3'], ['SET', 'behind', 'it'])
  await eventually(() => expect([...speaker.heard, ...other.heard]).toContain('SET behind it'))
  passes(1.4)
  expect(published(other)).toEqual([])
  passes(1.6)
  await eventually(() => expect(published(other)).toEqual(['PUBLISH news 3']))
  // It stays so when the first one answers again.
  speaker.release()
  await eventually(() => expect(heard.join('').split('\r\n')).toHaveLength(written.length + 6))
  say(['PUBLISH', 'news', '4'])
  await eventually(() => expect(published(other)).toEqual(['PUBLISH news 3', 'PUBLISH news 4']))
  expect(published(speaker).slice(1)).toEqual(['PUBLISH news 1', 'PUBLISH news 2'])
})

test('on a connection of its own a client has its messages published by one node, however long that takes', async () => {
  const { nodes, store, clock, heard, say, tick } = await connected({ dedicated: true })
  const published = (node: FakeNode) => node.heard.filter((command) => command.startsWith('PUBLISH'))
  for (const node of nodes) node.withholds = (command) => command.startsWith('PUBLISH')
  say(['PUBLISH', 'news', '1'])
  await eventually(() => expect(nodes.flatMap(published)).toHaveLength(1))
  const [speaker, other] = published(nodes[0]).length === 1 ? nodes : ([...nodes].reverse() as typeof nodes)
  // The other one can be spoken to as well.
  const written = ['{a}', '{b}', '{c}', '{d}']
  say(...written.map((key) => ['SET', key, 'v']))
  await eventually(() => expect(other.heard.join()).toContain('SET'))
  clock.nowMs += store.timeoutMs * 2
  tick()
  say(['PUBLISH', 'news', '2'])
  await eventually(() => expect(published(speaker)).toHaveLength(2))
  speaker.release()
  await eventually(() => expect(heard.join('').split('\r\n')).toHaveLength(written.length + 3))
  expect(published(other)).toEqual([])
})
