import { afterEach, expect, test } from 'vitest'
import type { Status } from '../../src/admin/status.ts'
import { eventually } from '../support/eventually.ts'
import { doJob, jobOf, over, startJob } from '../support/jobs.ts'
import { driftBetween } from '../support/keyspace.ts'
import { fillStrings, mirroredRoute } from '../support/migration.ts'
import { startRedis } from '../support/redis.ts'
import { startSentinelGroup } from '../support/sentinels.ts'
import { startUnderstudy } from '../support/understudy.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

const KEYS = 8_000

test('a backfill whose source fails over between two pages scans the new primary from its beginning, and misses no key', async () => {
  const [group, target] = await Promise.all([startSentinelGroup(), startRedis()])
  running.push(group, target)
  const old = await group.primary()
  await fillStrings(old, KEYS)
  await old.client().wait(1, 0)
  const understudy = await startUnderstudy({
    stores: { old: group.url, new: target.url },
    routes: [mirroredRoute()],
  })
  running.push(understudy)
  const status = async () => (await understudy.admin<Status>('/api/v1/status')).body

  const { id } = await startJob(understudy, 'backfill', 'all', { rate: 2_000 })
  await eventually(async () => expect((await jobOf(understudy, id)).progress.total).toBe(KEYS))
  // Copies do not end from here on, so that the job stands in the middle, with nothing of the scan under way.
  target.pause()
  const now = await group.failover()
  await eventually(async () =>
    expect((await status()).stores['old']!.sentinel).toMatchObject({ primary: `127.0.0.1:${now.port}` }),
  )
  target.resume()
  const job = await over(understudy, id, 90_000)
  expect(job).toMatchObject({ state: 'done', error: null, progress: { failed: 0 } })
  // What was scanned in vain counts, too.
  expect(job.progress.copied).toBeGreaterThan(KEYS)
  expect(await driftBetween(now, target)).toEqual([])
  await doJob(understudy, 'verify', 'all')
  expect((await status()).routes['all']!.mirror.needsVerify).toBe(false)
}, 180_000)
