import { afterEach, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { FakeNode, storeOf } from '../../support/fake-cluster.ts'

const running: { stop(): unknown }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

/** Another process, for which these are the masters from the beginning. */
async function begun(masters: readonly FakeNode[]): Promise<DataPathUnderTest> {
  for (const node of masters) node.masters = masters
  const path = await startDataPath({ stores: { many: storeOf(masters) } })
  running.push(path)
  return path
}

/** What the rest of the scan gives. */
async function scanned(path: DataPathUnderTest, from: string): Promise<string[]> {
  const given: string[] = []
  for (let cursor = from; ; ) {
    const [next, keys] = await path.client().scan(cursor)
    given.push(...keys)
    if (next === '0') return given
    cursor = next
  }
}

test('a scan goes on in another process, unless that has begun with other masters: one could be passed over', async () => {
  const [replica, one, two, three] = (await FakeNode.start(4)) as [FakeNode, FakeNode, FakeNode, FakeNode]
  running.push(replica, one, two, three)
  const first = await begun([one, two, three])
  expect(await scanned(first, '0')).toEqual(['key of node1', 'key of node2', 'key of node3'])
  const [cursor, keys] = await first.client().scan('0')
  expect(keys).toEqual(['key of node1'])
  expect(await scanned(await begun([three, one, two]), cursor)).toEqual(['key of node2', 'key of node3'])
  // Among these the second place is that of the one that has given its keys.
  await expect(scanned(await begun([replica, one, three]), cursor)).rejects.toThrow('begin again with 0')
  // As a version gave it that had no marks of the masters.
  await expect(scanned(await begun([one, two, three]), '1')).rejects.toThrow('begin again with 0')
})
