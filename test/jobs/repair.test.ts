import { afterEach, expect, test } from 'vitest'
import type { Status } from '../../src/admin/status.ts'
import { eventually } from '../support/eventually.ts'
import { doJob, jobOf, keysOf, over, startJob } from '../support/jobs.ts'
import { driftBetween } from '../support/keyspace.ts'
import { fillStrings, type Migration, mirroredRoute, mirrorSettled, startMigration } from '../support/migration.ts'

const running: Migration[] = []
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop()
})

test('planted differences of every kind are found by verify and mended by repair, extra keys only when it is told so', async () => {
  const migration = await startMigration([mirroredRoute()], async (server) => {
    await fillStrings(server, 500)
    const redis = server.client()
    for (let i = 0; i < 50; i++) {
      await redis.rpush('long list', ...Array.from({ length: 1000 }, (_, n) => `element ${i * 1000 + n}`))
    }
    await redis.set('expiring', 'a', 'EX', 10_000)
    await server.client({ db: 2 }).set('other', 'a')
  })
  running.push(migration)
  const { source, target, understudy } = migration
  await doJob(understudy, 'backfill', 'all')
  const there = target.client()
  await there.set('key:1', 'another')
  await there.del('key:2')
  await there.set('stranger', 'x')
  await there.persist('expiring')
  await there.lset('long list', 49_999, 'another')
  await target.client({ db: 2 }).set('other', 'b')
  const verified = await doJob(understudy, 'verify', 'all')
  expect((await keysOf(understudy, verified.id)).map((key) => [key.database, key.key, key.class]).sort()).toEqual([
    [0, 'expiring', 'ttl'],
    [0, 'key:1', 'value'],
    [0, 'key:2', 'missing'],
    [0, 'long list', 'value'],
    [0, 'stranger', 'extra'],
    [2, 'other', 'value'],
  ])

  const dry = await doJob(understudy, 'repair', 'all', { dryRun: true, from: ['verify'] })
  expect(dry).toMatchObject({ progress: { compared: 6, different: 6, repaired: 0, deleted: 0 } })
  expect(await there.get('key:1')).toBe('another')

  const first = await doJob(understudy, 'repair', 'all')
  expect(first).toMatchObject({ progress: { repaired: 5, deleted: 0, failed: 0 }, report: { clean: false } })
  expect(await keysOf(understudy, first.id)).toMatchObject([{ key: 'stranger', class: 'extra' }])
  expect(await there.get('stranger')).toBe('x')

  const second = await doJob(understudy, 'repair', 'all', { deleteExtra: true })
  expect(second).toMatchObject({ progress: { skipped: 5, repaired: 0, deleted: 1 }, report: { clean: true } })
  expect(await driftBetween(source, target, { databases: [0, 2] })).toEqual([])
  expect(await doJob(understudy, 'verify', 'all')).toMatchObject({ report: { clean: true } })
})

test('a key counts as deleted when it is gone, and as repaired when it is equal again', async () => {
  const migration = await startMigration([mirroredRoute()], (server) => server.client().set('a', '1'))
  running.push(migration)
  const { target, understudy } = migration
  await doJob(understudy, 'backfill', 'all')
  const there = target.client()
  await there.mset('a', 'another', 'stranger', 'x')
  await doJob(understudy, 'verify', 'all')
  await there.call('ACL', 'SETUSER', 'default', '-del', '-unlink')
  const refused = await doJob(understudy, 'repair', 'all', { deleteExtra: true })
  expect(refused).toMatchObject({ progress: { different: 2, repaired: 1, deleted: 0, failed: 1 } })
  expect(await there.mget('a', 'stranger')).toEqual(['1', 'x'])
  await there.call('ACL', 'SETUSER', 'default', '+@all')
  expect(await doJob(understudy, 'repair', 'all', { deleteExtra: true })).toMatchObject({
    progress: { repaired: 0, deleted: 1, failed: 0 },
    report: { clean: true },
  })
  expect(await there.exists('stranger')).toBe(0)
}, 120_000)

test('of keys that a verify lists and nobody has any more it says that they may be elsewhere', async () => {
  const migration = await startMigration([mirroredRoute()], (server) =>
    server.client().mset('a', '1', 'b', '1', 'c', '1'),
  )
  running.push(migration)
  const { target, understudy } = migration
  await doJob(understudy, 'backfill', 'all')
  await target.client().mset('a', 'another', 'b', 'another', 'stranger', 'x')
  await doJob(understudy, 'verify', 'all')
  // What only the shadow had was not to stay.
  await target.client().del('stranger')
  const before = await doJob(understudy, 'repair', 'all', { dryRun: true })
  expect(before.report!.notes).toEqual([])
  await understudy.client().rename('a', 'renamed')
  const { report, progress } = await doJob(understudy, 'repair', 'all')
  expect(progress).toMatchObject({ compared: 3, repaired: 1 })
  expect(report!.notes).toEqual([expect.stringMatching(/neither side.*may differ there still, which a verify finds/)])
  await doJob(understudy, 'verify', 'all')
  expect(await doJob(understudy, 'repair', 'all')).toMatchObject({ progress: { repaired: 1 }, report: { notes: [] } })
  expect(await target.client().get('renamed')).toBe('1')
}, 120_000)

test('what the comparer has found is mended without a verify, and leaves the list', async () => {
  const migration = await startMigration([mirroredRoute({ phase: 'shadow', compare: { sample: '100%' } })])
  running.push(migration)
  const { target, understudy } = migration
  const app = understudy.client()
  await app.set('job:\u0001', 'a')
  await eventually(async () => expect(await target.client().get('job:\u0001')).toBe('a'))
  await target.client().set('job:\u0001', 'b')
  await app.get('job:\u0001')
  await eventually(async () =>
    expect((await understudy.admin<unknown[]>('/api/v1/mismatches')).body).toMatchObject([{ class: 'value' }]),
  )
  await doJob(understudy, 'repair', 'all', { dryRun: true })
  expect((await understudy.admin<unknown[]>('/api/v1/mismatches')).body).toHaveLength(1)
  const job = await doJob(understudy, 'repair', 'all', { from: ['mismatches'] })
  expect(job).toMatchObject({ progress: { compared: 1, repaired: 1 }, report: { clean: true } })
  expect((await understudy.admin<unknown[]>('/api/v1/mismatches')).body).toEqual([])
  expect(await target.client().get('job:\u0001')).toBe('a')
})

test('what the comparer has found while the other store was the primary is left alone', async () => {
  const migration = await startMigration([mirroredRoute({ phase: 'shadow', compare: { sample: '100%' } })])
  running.push(migration)
  const { source, target, understudy } = migration
  const app = understudy.client()
  await app.mset('k', 'a', 'last copy', 'a')
  await eventually(async () => expect(await target.client().mget('k', 'last copy')).toEqual(['a', 'a']))
  await target.client().set('k', 'b')
  await target.client().del('last copy')
  await app.get('k')
  await app.get('last copy')
  await eventually(async () => expect((await understudy.admin('/api/v1/mismatches')).body).toHaveLength(2))
  const body = JSON.stringify({ phase: 'switched', force: true, reason: 'test' })
  expect((await understudy.admin('/api/v1/routes/all/phase', { method: 'PUT', body })).status).toBe(200)
  const repair = await doJob(understudy, 'repair', 'all', { from: ['mismatches'], deleteExtra: true })
  expect(repair).toMatchObject({
    progress: { compared: 2, different: 2, repaired: 0, deleted: 0, failed: 0 },
    report: { clean: false },
  })
  expect(await source.client().mget('k', 'last copy')).toEqual(['a', 'a'])
  // A verify of this side tells, also to a repair that takes its keys from elsewhere.
  await doJob(understudy, 'verify', 'all')
  expect(await doJob(understudy, 'repair', 'all', { from: ['mismatches'] })).toMatchObject({
    progress: { compared: 2, different: 2, repaired: 1, deleted: 0 },
  })
  expect(await source.client().mget('k', 'last copy')).toEqual(['b', 'a'])
  // What is equal by now leaves the list all the same.
  await app.mset('k', 'c', 'last copy', 'c')
  await eventually(async () => expect(await source.client().mget('k', 'last copy')).toEqual(['c', 'c']))
  await doJob(understudy, 'repair', 'all')
  expect((await understudy.admin('/api/v1/mismatches')).body).toEqual([])
})

test('what was known before the primary was changed by force, there and back, is left alone until a verify tells', async () => {
  const migration = await startMigration([mirroredRoute({ phase: 'shadow', compare: { sample: '100%' } })])
  running.push(migration)
  const { source, target, understudy } = migration
  const app = understudy.client()
  const mirror = async () => (await understudy.admin<Status>('/api/v1/status')).body.routes['all']!.mirror
  const phase = async (to: string) => {
    const body = JSON.stringify({ phase: to, force: true, reason: 'test' })
    expect((await understudy.admin('/api/v1/routes/all/phase', { method: 'PUT', body })).status).toBe(200)
  }
  await app.set('k', 'old')
  await app.rpush('list', 'a')
  await mirrorSettled(understudy)
  await target.client().set('k', 'planted')
  await app.get('k')
  await eventually(async () => expect((await understudy.admin('/api/v1/mismatches')).body).toHaveLength(1))
  await doJob(understudy, 'verify', 'all')

  // The source gets nothing of what is written meanwhile.
  await phase('switched')
  await source.client().config('SET', 'maxmemory', '1')
  await app.set('k', 'new')
  await app.rpush('list', 'last')
  await eventually(async () => expect((await mirror()).dirtyKeys).toBe(2))
  await phase('shadow')
  await source.client().config('SET', 'maxmemory', '0')
  await app.rpush('list', 'b')
  await eventually(async () => expect(await mirror()).toMatchObject({ dirtyKeys: 1, repair: 'resting' }))
  expect((await mirror()).verifyCauses).toContain('turned')

  const here = target.client()
  for (const from of ['verify', 'mismatches', 'dirty'] as const) {
    const { report } = await doJob(understudy, 'repair', 'all', { from: [from], deleteExtra: true })
    if (from === 'verify') expect(report!.notes.join()).toMatch(/verify again before a repair/)
    else expect(report).toMatchObject({ clean: false })
    expect([await here.get('k'), await here.lrange('list', 0, -1)]).toEqual(['new', ['a', 'last', 'b']])
  }
  // A verify of now tells.
  await doJob(understudy, 'verify', 'all')
  await doJob(understudy, 'repair', 'all')
  expect([await here.get('k'), await here.lrange('list', 0, -1)]).toEqual(['old', ['a', 'b']])
})

test('nothing is copied any more once the primary has come back empty, though the job began before that', async () => {
  const migration = await startMigration([mirroredRoute()], (server) => fillStrings(server, 60))
  running.push(migration)
  const { source, target, understudy } = migration
  const mirror = async () => (await understudy.admin<Status>('/api/v1/status')).body.routes['all']!.mirror
  await fillStrings(target, 60)
  await target.client().mset(Array.from({ length: 60 }, (_, i) => [`key:${i}`, 'older']).flat())
  await doJob(understudy, 'verify', 'all')
  // All are admitted for a look, and wait for the rate.
  const { id } = await startJob(understudy, 'repair', 'all', { rate: 20, deleteExtra: true })
  await eventually(async () => expect((await jobOf(understudy, id)).throttle).toMatch(/rate/))
  await source.restart()
  await eventually(async () => expect((await mirror()).verifyCauses).toContain('primary-restarted'))
  expect(await over(understudy, id)).toMatchObject({
    state: 'failed',
    error: expect.stringMatching(/since the job began/),
  })
  expect(await target.client().dbsize()).toBe(60)
})

test('a verify of since the primary may have lost something counts, whatever the shadow may have lost after that', async () => {
  const migration = await startMigration()
  running.push(migration)
  const { source, target, understudy } = migration
  const mirror = async () => (await understudy.admin<Status>('/api/v1/status')).body.routes['all']!.mirror
  await understudy.client().mset('a', '1', 'b', '1')
  await mirrorSettled(understudy)
  await source.restart()
  await eventually(async () => expect((await mirror()).verifyCauses).toEqual(['primary-restarted']))
  await eventually(async () => expect(await understudy.client().set('b', '2')).toBe('OK'))
  await mirrorSettled(understudy)
  await doJob(understudy, 'verify', 'all')
  await target.restart()
  await eventually(async () => expect((await mirror()).verifyCauses).toEqual(['primary-restarted', 'shadow-restarted']))
  await target.client().set('a', '1')
  const repair = await doJob(understudy, 'repair', 'all', { deleteExtra: true })
  expect(repair).toMatchObject({ progress: { compared: 1, deleted: 1 } })
})

test('it goes by every verify back to the last one of all keys, and by none of the other side', async () => {
  const migration = await startMigration([mirroredRoute()], (server) => fillStrings(server, 50))
  running.push(migration)
  const { source, target, understudy } = migration
  await doJob(understudy, 'backfill', 'all')
  const unsettled = async () =>
    (await understudy.admin<Status>('/api/v1/status')).body.routes['all']!.mirror.unsettledVerify
  const phase = async (to: string) => {
    const body = JSON.stringify({ phase: to, force: true, reason: 'test' })
    expect((await understudy.admin('/api/v1/routes/all/phase', { method: 'PUT', body })).status).toBe(200)
  }

  await target.client().set('key:1', 'another')
  await doJob(understudy, 'verify', 'all')
  await doJob(understudy, 'verify', 'all', { sample: 0.000_001 })
  expect(await unsettled()).toMatchObject({ keys: 1, turned: false })
  expect(await doJob(understudy, 'repair', 'all')).toMatchObject({ progress: { repaired: 1 } })
  expect(await unsettled()).toBeNull()

  // What only the source has, and what only the target has: told from the source's side.
  await source.client().set('last copy', 'x')
  await target.client().set('stranger', 'y')
  await target.client().del('key:2')
  await doJob(understudy, 'verify', 'all')
  await phase('switched')
  expect(await unsettled()).toMatchObject({ keys: 3, turned: true })
  const repair = await doJob(understudy, 'repair', 'all', { deleteExtra: true })
  expect(repair).toMatchObject({ progress: { compared: 0, deleted: 0 } })
  expect(repair.report!.notes.join()).toMatch(/while the other store was the primary/)
  expect(await source.client().mget('last copy', 'key:2')).toEqual(['x', 'value 2'])
  await phase('shadow')
  expect(await doJob(understudy, 'repair', 'all', { deleteExtra: true })).toMatchObject({
    progress: { repaired: 2, deleted: 1 },
  })
  expect(await driftBetween(source, target)).toEqual([])
})
