import { afterEach, expect, test } from 'vitest'
import { CoarseClock } from '../../../src/base/clock.ts'
import { Turn } from '../../../src/base/turn.ts'
import { CommandTable } from '../../../src/command/table.ts'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { Store } from '../../../src/upstream/store.ts'
import { configOf } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeNode, storeOf } from '../../support/fake-cluster.ts'
import { HoldingNetwork } from '../../support/holding-network.ts'
import { startRedis } from '../../support/redis.ts'

const running: { stop(): unknown }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

const commands = CommandTable.builtin()

test('what the network to a node still holds of connections that were given up is not executed there, also where another store has taken the place', async () => {
  const server = await startRedis()
  const network = await new HoldingNetwork(server).start()
  const [seed] = (await FakeNode.start(1)) as [FakeNode]
  // Another node tells of it, so that it can be any server behind that network.
  seed.masters = [{ id: 'the-node', port: network.port } as FakeNode]
  running.push(server, network, seed)
  const config = configOf({ stores: { many: storeOf([seed]) } }).stores['many']!
  const openStore = (): Store => {
    const clock = new CoarseClock()
    const store = new Store({
      ...{ config, endpoint: () => config.endpoints[0]!, commands: () => commands, turn: new Turn(), clock },
      ...{ onState() {}, onDrain() {}, met: () => null, onUnendable() {} },
      unserved: () => new Map(),
      run: () => ({ name: 'understudy', former: new Set() }),
    })
    clock.start(5, (nowMs) => store.tick(nowMs))
    running.push({
      stop: () => {
        store.close('the test is over')
        clock.stop()
      },
    })
    return store
  }
  const set = (store: Store, value: string): Promise<string> =>
    new Promise((resolve) => {
      const bytes = encodeCommand(['SET', 'k', value])
      const settle = (_slot: unknown, buf: Buffer, start: number, end: number) =>
        resolve(buf.toString('latin1', start, end))
      const owner = { settle, lost: () => resolve('lost'), timedOut() {} }
      store.shadows.to(0).push(owner, bytes, 0, bytes.length).spec = commands.byName('SET')!
    })
  const former = openStore()
  expect(await set(former, 'first')).toBe('+OK\r\n')
  network.hold()
  const late = set(former, 'late')
  await eventually(() => expect(network.holds('late')).toBe(true))
  former.shadows.giveUp('test')
  expect(await late).toBe('lost')
  const next = openStore()
  next.succeed(former)
  expect(await set(next, 'last')).toBe('+OK\r\n')
  // What its network lets go finds nobody any more.
  const list = String(await server.client().client('LIST'))
  expect(list.split('\n').filter((line) => line.includes(' name=understudy '))).toHaveLength(1)
  network.pass()
  expect(await server.client().get('k')).toBe('last')
})
