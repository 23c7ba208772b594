import { afterEach, expect, test } from 'vitest'
import { startDataPath } from '../../support/data-path.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

async function start() {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  running.push(old, fresh)
  const path = await startDataPath({
    stores: { old, new: fresh },
    routes: [
      { name: 'there', keys: ['*'], source: 'old', target: 'new', phase: 'mirror' },
      { name: 'back', keys: ['back:*'], source: 'old', target: 'new', phase: 'switched' },
    ],
  })
  running.push(path)
  const copied = () => path.runtime.stats().routes['there']!.counters.copied
  return { path, old, fresh, app: path.client(), copied }
}

test("as long as the primary's clock has not been read, what is given a time to live is copied with the primary's own", async () => {
  const { path, old, fresh, app, copied } = await start()
  path.runtime.expectFacts()
  await app.set('a', 1, 'EX', 100)
  await app.set('b', 1)
  await settled(path)
  expect(copied()).toBe(1)
  path.runtime.setFacts('old', 0, '7.0.0', false)
  await app.set('c', 1, 'EX', 100)
  await settled(path)
  expect(copied()).toBe(1)
  expect(await driftBetween(old, fresh, { ttlSlackMs: 500 })).toEqual([])
})

test("somebody has set the primary's clock: the routes that have it as theirs need a verify, and the log says it", async () => {
  const { path } = await start()
  const causes = (route: string) => path.runtime.stats().routes[route]!.verifyCauses
  path.runtime.setFacts('old', 5, '7.0.0', false)
  expect(causes('there')).toEqual([])
  path.runtime.setFacts('old', 3_600_000, '7.0.0', true)
  expect(causes('there')).toEqual(['primary-clock'])
  expect(causes('back')).toEqual([])
  const warnings = path.notices.filter((notice) => notice.kind === 'log' && notice.line.level === 'warn')
  expect(warnings).toContainEqual(
    expect.objectContaining({ line: expect.objectContaining({ fields: { store: 'old' } }) }),
  )
})
