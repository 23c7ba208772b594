import { afterEach, expect, test } from 'vitest'
import { CoarseClock } from '../../../src/base/clock.ts'
import { Turn } from '../../../src/base/turn.ts'
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

test('whatever a subscriber asks is answered in turn, and owes no reply once it is', async () => {
  const nodes = await FakeNode.start(2)
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
      ...{ batchMs: 0, dedicated: true, limitBytes: 1_000 },
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
  say(['SUBSCRIBE', 'news'], ['PING'], ['PING'])
  // That it is no command here is this node's answer to PING.
  const pong = '-ERR unknown command\r\n'
  await eventually(() => expect(heard.slice(1)).toEqual([pong, pong]))
  expect(heard[0]).toContain('subscribe')
  // A reply that has a place among others, behind whatever should be owed before it.
  say(['SELECT', '0'])
  await eventually(() => expect(heard.slice(3)).toEqual(['+OK\r\n']))
})
