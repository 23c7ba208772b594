import { expect, test } from 'vitest'
import { ClusterWatch } from '../../src/upstream/cluster-watch.ts'
import { startCluster } from '../support/cluster.ts'
import { configOf } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { FakeNode, storeOf } from '../support/fake-cluster.ts'

const PATIENCE = { timeoutMs: 30_000 }

test('every node of a cluster is known by its slots and its health; a master that is gone is named until it is back', async () => {
  const cluster = await startCluster({ masters: 2, replicas: 1 })
  const endpoints = cluster.servers.map(({ host, port }) => ({ kind: 'tcp', host, port }) as const)
  const { stores } = configOf({ stores: { new: { port: 0, kind: 'cluster', endpoints } } })
  const said: string[] = []
  const watch = new ClusterWatch({
    store: stores['new']!,
    onNode: (address, error) => said.push(`${address} ${error === null ? 'up' : 'down'}`),
  })
  try {
    // A replica that has received nothing yet is not named.
    const client = cluster.client()
    for (let i = 0; i < 20; i++) await client.set(`key:${i}`, i)
    await watch.start()
    await eventually(() => {
      expect(watch.view).toMatchObject({ slotsCovered: 16_384, error: null })
      expect(watch.view!.nodes.map(({ role, slots, up }) => ({ role, slots, up }))).toEqual([
        { role: 'master', slots: 8192, up: true },
        { role: 'master', slots: 8192, up: true },
        { role: 'replica', slots: 0, up: true },
        { role: 'replica', slots: 0, up: true },
      ])
      expect(watch.view!.nodes.every(({ version }) => version !== null)).toBe(true)
    }, PATIENCE)
    const [first] = cluster.servers
    await first!.kill9()
    const address = `${first!.host}:${first!.port}`
    await eventually(
      () => expect(watch.view!.error).toBe(`1 of 2 masters does not answer: ${address} (8192 slots)`),
      PATIENCE,
    )
    expect(said).toContain(`${address} down`)
    await first!.start()
    await eventually(() => expect(watch.view!.error).toBeNull(), PATIENCE)
  } finally {
    watch.stop()
    await cluster.stop()
  }
}, 240_000)

test('a node that says that the cluster is down is believed only when all say so', async () => {
  const [one, other, third] = (await FakeNode.start(3)) as [FakeNode, FakeNode, FakeNode]
  for (const node of [one, other, third]) node.masters = [one, other]
  const { stores } = configOf({ stores: { new: storeOf([one, other]) } })
  const watch = new ClusterWatch({ store: stores['new']!, onNode: () => {} })
  const masters = () => watch.view!.nodes.map(({ address }) => Number(address.split(':')[1]))
  try {
    await watch.start()
    expect(masters()).toEqual([one.port, other.port])
    // Cut off from the others, who have another master in its place.
    one.isDown = true
    other.masters = [third, other]
    await eventually(() => expect(masters()).toEqual([third.port, other.port]))
    other.masters = [other]
    for (const node of [other, third]) node.isDown = true
    third.masters = [other]
    await eventually(() => expect(masters()).not.toContain(third.port))
  } finally {
    watch.stop()
    for (const node of [one, other, third]) await node.stop()
  }
})
