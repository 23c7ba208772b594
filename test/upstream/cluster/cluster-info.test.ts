import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeNode, storeOf } from '../../support/fake-cluster.ts'

const running: { stop(): unknown }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

test('the first INFO is that of all masters, also where one of them is slow to answer', async () => {
  const nodes = (await FakeNode.start(2)) as [FakeNode, FakeNode]
  running.push(...nodes)
  for (const node of nodes) node.masters = nodes
  const path = await startDataPath({ stores: { many: storeOf(nodes) } })
  running.push(path)
  const [, slow] = nodes
  slow.withholds = (command) => command === 'INFO everything'
  const raw = await path.raw()
  const answer = raw.ask('INFO', 'everything')
  await eventually(() => expect(slow.heardTimes('INFO everything')).toBe(1))
  // Longer than what has an answer of before to stand in for it is waited for.
  await sleep(300)
  slow.release()
  const both = createHash('sha1').update('runnode0 runnode1').digest('hex')
  expect(await answer).toContain(`run_id:${both}`)
})
