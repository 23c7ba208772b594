import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { type HeldReplies, holdReplies } from '../support/held-replies.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'

let old: RedisServer
let fresh: RedisServer
let replies: HeldReplies
let path: DataPathUnderTest
beforeAll(async () => {
  ;[old, fresh] = await Promise.all([startRedis(), startRedis()])
})
afterAll(() => Promise.all([old.stop(), fresh.stop()]))
afterEach(async () => {
  await path.stop()
  await replies.stop()
  await Promise.all([old, fresh].map((server) => server.client().flushall()))
})

test('a difference seen before a switch is not mended behind it: what was the primary may have the last good copy', async () => {
  replies = await holdReplies(old.port)
  const stores = { old: { port: replies.port, timeoutMs: 60_000 }, new: fresh }
  const routes = (phase: 'shadow' | 'switched') => [
    { source: 'old', target: 'new', phase, compare: { sample: 1, repair: true } },
  ]
  path = await startDataPath({ stores, routes: routes('shadow') })
  const app = path.client()
  await app.set('k', 'a')
  await settled(path)
  await fresh.client().set('k', 'b')
  // With this the look at the key as a whole begins, when the same read has differed again and again.
  replies.hold((sent) => /pttl/i.test(sent))
  await app.get('k')
  await eventually(async () => expect(await old.client().info('commandstats')).toContain('cmdstat_pttl:calls=1'))
  await path.apply({ stores, routes: routes('switched') })
  replies.release()
  await eventually(() =>
    expect(path.notices.filter((notice) => notice.kind === 'finding')).toMatchObject([
      { finding: { phase: 'shadow' } },
    ]),
  )
  await settled(path)
  expect([await old.client().get('k'), await fresh.client().get('k')]).toEqual(['a', 'b'])
  expect(path.runtime.stats().routes['all']!.compare.repaired).toBe(0)
})
