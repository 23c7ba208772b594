import { expect, test } from 'vitest'
import { startCluster } from '../support/cluster.ts'
import { doJob } from '../support/jobs.ts'
import { mirroredRoute, mirrorSettled } from '../support/migration.ts'
import { startRedis } from '../support/redis.ts'
import { startUnderstudy } from '../support/understudy.ts'

test('one server moves to a cluster, and back: copied, verified, switched, no key lost', {
  timeout: 120_000,
}, async () => {
  const [source, cluster] = await Promise.all([startRedis(), startCluster()])
  const direct = source.client()
  for (let i = 0; i < 300; i++) await direct.set(`key:${i}`, `value ${i}`)
  await direct.rpush('list', ...Array.from({ length: 500 }, (_, i) => String(i)))
  const understudy = await startUnderstudy({
    stores: { old: { url: source.url }, new: { url: cluster.url } },
    routes: [mirroredRoute()],
  })
  try {
    const client = understudy.client()
    const backfill = await doJob(understudy, 'backfill', 'all')
    await client.set('later', '1')
    await mirrorSettled(understudy)
    expect(backfill).toMatchObject({ state: 'done' })
    expect(await cluster.countKeys()).toBe(302)
    await doJob(understudy, 'verify', 'all')
    for (const phase of ['shadow', 'switched']) {
      const { status, body } = await understudy.admin('/api/v1/routes/all/phase', {
        method: 'PUT',
        body: JSON.stringify({ phase }),
      })
      expect(status, JSON.stringify(body)).toBe(200)
    }
    const there = cluster.client()
    expect(await client.incr('later')).toBe(2)
    expect(await there.get('later')).toBe('2')
    expect(await client.lrange('list', 0, -1)).toHaveLength(500)
    await mirrorSettled(understudy)
    expect(await direct.get('later')).toBe('2')
    const back = await understudy.admin('/api/v1/routes/all/phase', {
      method: 'PUT',
      body: JSON.stringify({ phase: 'shadow' }),
    })
    expect(back.status, JSON.stringify(back.body)).toBe(200)
    expect(await client.incr('later')).toBe(3)
    expect(await direct.get('later')).toBe('3')
  } finally {
    await understudy.stop()
    await Promise.all([source.stop(), cluster.stop()])
  }
})
