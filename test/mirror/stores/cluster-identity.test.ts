import { afterEach, beforeEach, expect, test } from 'vitest'
import { slotOfKey } from '../../../src/command/key-slot.ts'
import { configOf, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeNode, storeOf } from '../../support/fake-cluster.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

/** Of the cluster the first two serve its slots; the third is who takes the first one's place. */
let nodes: [FakeNode, FakeNode, FakeNode]
let single: RedisServer
let path: DataPathUnderTest

beforeEach(async () => {
  ;[nodes, single] = await Promise.all([FakeNode.start(3) as Promise<typeof nodes>, startRedis()])
  for (const node of nodes) node.masters = nodes.slice(0, 2)
})
afterEach(async () => {
  await path?.stop()
  for (const node of nodes) await node.stop()
  await single.stop()
})

const OF_CLUSTER = { source: 'many', target: 'one', phase: 'mirror' } as const
const TO_CLUSTER = { source: 'one', target: 'many', phase: 'mirror' } as const

/** Resolves when it is known who the nodes are. */
async function start(route: typeof OF_CLUSTER | typeof TO_CLUSTER): Promise<void> {
  const stores = { many: storeOf(nodes.slice(0, 2)), one: single }
  path = await startDataPath({ stores, routes: [route], store: { timeoutMs: 30_000 } })
  await eventually(() => {
    for (const node of nodes.slice(0, 2)) expect(node.heardTimes('INFO server')).toBeGreaterThan(0)
  })
  await path.client({ protocol: 2 }).set('before', 'v')
}

const causes = () => path.runtime.stats().routes['all']!.verifyCauses.filter((cause) => cause !== 'functions')

/** One of the first node. */
function keyOfFirst(): string {
  for (let i = 0; ; i++) if (slotOfKey(Buffer.from(`key:${i}`)) < 8_192) return `key:${i}`
}

/** The third has taken the first one's place, and everybody knows. */
function failOver(): void {
  for (const node of nodes) node.masters = [nodes[2], nodes[1]]
}

test('a node that comes back as another process is noticed however late it says so, while clients are told what it said last', async () => {
  await start(OF_CLUSTER)
  const [first] = nodes
  const client = path.client({ protocol: 2 })
  expect(await client.info('server')).toContain('run_id')
  const before = first.heardTimes('INFO server')
  first.runId = 'another'
  first.withholds = (command) => command.startsWith('INFO')
  first.disconnect()
  // Understudy's own question came before the client's, whose answer does not wait.
  await eventually(() => expect(first.heardTimes('INFO server')).toBeGreaterThan(before))
  expect(await client.info('server')).toContain('run_id')
  expect(causes()).toEqual([])
  first.release()
  await eventually(() => expect(causes()).toEqual(['primary-restarted']))
})

test('a new master is asked who it is also where a redirection has led to it before the cluster told of it', async () => {
  await start(OF_CLUSTER)
  const [first, , third] = nodes
  const client = path.client({ protocol: 2 })
  // Behind all that has been asked so far.
  await client.info('server')
  const before = first.heardTimes('INFO server')
  // The third is busy with what has been sent on to it until it is asked.
  for (const node of nodes) node.withholds = (command) => command === 'CLUSTER SLOTS'
  third.withholds = (command) => /^(CLUSTER SLOTS|SET)/.test(command)
  first.movedTo = third
  const written = client.set(keyOfFirst(), 'v')
  // Its connection has come up, and those that were masters have been asked for that.
  await eventually(() => expect(first.heardTimes('INFO server')).toBeGreaterThan(before))
  failOver()
  for (const node of nodes) node.release(/CLUSTER/)
  await eventually(() => expect(third.heardTimes('INFO server')).toBeGreaterThan(0))
  third.release()
  expect(await written).toBe('OK')
  await eventually(() => expect(causes()).toEqual(['primary-restarted']))
})

test('the authority does not move to a cluster that has failed over a moment ago, although who was its master says that it is who it was', async () => {
  await start(TO_CLUSTER)
  await eventually(() => expect(path.runtime.stats().routes['all']).toMatchObject({ backlogCommands: 0, dirtyKeys: 0 }))
  const { listen } = path.config
  const stores = { many: storeOf(nodes.slice(0, 2)), one: single }
  const config = { ...configOf({ stores, routes: [TO_CLUSTER], store: { timeoutMs: 30_000 } }), listen }
  const change = { endpoints: {}, hold: ['all'], needsEqual: ['all'], forget: [], holdTimeoutMs: 20_000 }
  expect(await path.runtime.apply({ config, generation: 1, ...change })).toMatchObject({ ok: true })
  failOver()
  expect(await path.runtime.apply({ config, generation: 2, ...change })).toMatchObject({
    ok: false,
    // It is noticed by whoever looks first: the check before the swap, or a connection that has come up.
    reason: expect.stringMatching(
      /'many' is another server than it was|needs a verify since a moment ago \(shadow-restarted\)/,
    ),
  })
  await eventually(() => expect(causes()).toEqual(['shadow-restarted']))
})

test('a master that is cut off from the others, and knows of no failover, is not believed while another node knows better', async () => {
  await start(OF_CLUSTER)
  failOver()
  const [first] = nodes
  first.masters = nodes.slice(0, 2)
  first.isDown = true
  expect(await path.client().set(keyOfFirst(), 'v')).toBe('OK')
  expect(nodes[2].heardTimes(`SET ${keyOfFirst()} v`)).toBe(1)
  await eventually(() => expect(causes()).toEqual(['primary-restarted']))
})
