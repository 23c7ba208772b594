import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { parseDocument } from 'yaml'
import type { PhaseResult } from '../../src/admin/control.ts'
import type { Status } from '../../src/admin/status.ts'
import type { Job } from '../../src/jobs/runner/job.ts'
import { eventually } from '../support/eventually.ts'
import { HoldingNetwork } from '../support/holding-network.ts'
import { doJob, jobOf, keysOf, over, startJob, steer } from '../support/jobs.ts'
import { driftBetween } from '../support/keyspace.ts'
import { fillStrings, type Migration, mirroredRoute, mirrorSettled, startMigration } from '../support/migration.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { startUnderstudy } from '../support/understudy.ts'
import { Writer } from '../support/write-load.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop()
})

async function setUp(routes?: readonly object[], fill?: (source: RedisServer) => Promise<unknown>): Promise<Migration> {
  const migration = await startMigration(routes, fill)
  running.push(migration)
  return migration
}

const ALL = [mirroredRoute()]

test('every key of every type and database is copied, with its time of expiry', async () => {
  const { source, target, understudy } = await setUp(ALL, async (server) => {
    const redis = server.client()
    await redis.mset('string', 'a', 'empty', '', 'binary', Buffer.from([0, 13, 10, 255]))
    await redis.set('expires', 'a', 'EX', 1000)
    await redis.rpush('list', ...Array.from({ length: 2000 }, (_, i) => i))
    await redis.hset('hash', { a: 1, b: 2 })
    await redis.sadd('set', 'a', 'b')
    await redis.zadd('zset', 1, 'a', 2.5, 'b')
    await redis.xadd('stream', '*', 'field', 'value')
    await redis.xgroup('CREATE', 'stream', 'group', '0')
    await server.client({ db: 3 }).set('third', 'c')
  })
  const job = await doJob(understudy, 'backfill', 'all')
  expect(job.progress).toMatchObject({ done: 10, total: 10, copied: 10, failed: 0 })
  expect(job.report).toMatchObject({ clean: true, summary: '10 keys copied.', classes: {} })
  expect(await driftBetween(source, target, { databases: [0, 3] })).toEqual([])
  expect(await understudy.metrics()).toContain(
    'understudy_job_keys_total{route="all",job="backfill",outcome="copied"} 10',
  )
})

test('only the keys of the route are copied, under their names there', async () => {
  const routes = [
    mirroredRoute({ name: 'jobs', keys: ['job:{id}'], target: { store: 'new', keys: { 'job:{id}': 'step:{id}' } } }),
    { name: 'rest', keys: ['*'], source: { store: 'old' } },
  ]
  const { target, understudy } = await setUp(routes, async (server) => {
    await server.client().mset('job:1', 'a', 'job:2', 'b', 'user:1', 'c')
  })
  await doJob(understudy, 'backfill', 'jobs')
  expect((await target.client().keys('*')).sort()).toEqual(['step:1', 'step:2'])
  await expect(startJob(understudy, 'backfill', 'rest')).rejects.toThrow(/mirrors nothing.*mirror first/)
  await expect(startJob(understudy, 'backfill', 'none')).rejects.toThrow(/no route/)
})

test('on one server, a new key schema: the copies are not taken for keys', async () => {
  const routes = [
    mirroredRoute({ name: 'jobs', keys: ['job:{id}'], target: { store: 'old', keys: { 'job:{id}': 'step:{id}' } } }),
    mirroredRoute({ name: 'rest' }),
  ]
  const { source, target, understudy } = await setUp(routes, async (server) => {
    await server.client().mset('job:1', 'a', 'user:1', 'c')
  })
  await doJob(understudy, 'backfill', 'jobs')
  await doJob(understudy, 'backfill', 'rest')
  expect((await source.client().keys('*')).sort()).toEqual(['job:1', 'step:1', 'user:1'])
  expect(await target.client().keys('*')).toEqual(['user:1'])
})

test('a source with names of its own is read under them', async () => {
  const keys = ['job:{id}']
  const source = { store: 'old', keys: { 'job:{id}': 'legacy:{id}:job' } }
  const { target, understudy } = await setUp(
    [mirroredRoute({ name: 'jobs', keys, source }), { name: 'rest', keys: ['*'], source: { store: 'old' } }],
    (server) => server.client().mset('legacy:1:job', 'a', 'legacy:2', 'b'),
  )
  expect((await doJob(understudy, 'backfill', 'jobs')).report?.summary).toBe('1 key copied.')
  expect(await target.client().keys('*')).toEqual(['job:1'])
})

test('keys that hold something else are left, or stop it, when it is told so; a dry run writes nothing', async () => {
  const { target, understudy } = await setUp(ALL, async (server) => {
    await server.client().mset('same', 'a', 'other', 'a', 'absent', 'a')
  })
  const there = target.client()
  await there.mset('same', 'a', 'other', 'b')
  const stopped = await startJob(understudy, 'backfill', 'all', { onConflict: 'fail' })
  expect(await over(understudy, stopped.id)).toMatchObject({
    state: 'failed',
    error: expect.stringContaining('hold something else'),
  })
  const dry = await doJob(understudy, 'backfill', 'all', { onConflict: 'skip', dryRun: true })
  expect(dry).toMatchObject({ progress: { copied: 1, skipped: 2, different: 1 }, report: { clean: false } })
  expect(await there.exists('absent')).toBe(0)
  const counted = (await understudy.metrics()).match(/^understudy_job_keys_total\{.*outcome="(\w+)"\}/gm)?.join('\n')
  expect(counted).toContain('outcome="different"')
  expect(counted).not.toContain('outcome="copied"')
  const skipped = await doJob(understudy, 'backfill', 'all', { onConflict: 'skip' })
  expect(skipped).toMatchObject({ progress: { copied: 1, skipped: 2 }, report: { classes: { conflict: 1 } } })
  expect(await keysOf(understudy, skipped.id)).toMatchObject([{ key: 'other', class: 'conflict' }])
  expect(await there.mget('other', 'absent')).toEqual(['b', 'a'])
  await doJob(understudy, 'backfill', 'all')
  expect(await there.get('other')).toBe('a')
})

test('a key that waits for a copy is no conflict, and one that cannot be compared is told as that', async () => {
  const { source, target, understudy } = await setUp(ALL, (server) =>
    server.client().mset('busy', '1', 'hidden', '2', 'other', '3'),
  )
  await doJob(understudy, 'backfill', 'all')
  // What is written to the first is neither mirrored nor copied; the second cannot be read.
  await target.client().call('ACL', 'SETUSER', 'default', 'resetkeys', '~other', '%R~busy')
  await understudy.client().set('busy', 'written')
  await eventually(async () =>
    expect((await understudy.admin<Status>('/api/v1/status')).body.routes['all']!.mirror.dirtyKeys).toBe(1),
  )
  for (const onConflict of ['skip', 'fail'] as const) {
    const job = await doJob(understudy, 'backfill', 'all', { onConflict })
    expect(job).toMatchObject({
      progress: { copied: 0, skipped: 2, different: 0, failed: 1 },
      report: { clean: false, notes: expect.arrayContaining([expect.stringContaining('left to the mirror')]) },
    })
    expect(await keysOf(understudy, job.id)).toMatchObject([
      { key: 'hidden', class: 'failed', detail: expect.stringMatching(/could not be compared.*NOPERM/) },
    ])
  }
  await source.client().del('hidden')
  expect(await doJob(understudy, 'backfill', 'all', { onConflict: 'fail' })).toMatchObject({ report: { clean: true } })
  expect(await doJob(understudy, 'repair', 'all')).toMatchObject({
    progress: { compared: 1, skipped: 1, different: 0, failed: 0 },
    report: { clean: true, notes: [expect.stringContaining('left to the mirror')] },
  })
}, 120_000)

test('it pauses, goes on where it stood, and is cancelled', async () => {
  const { target, understudy } = await setUp(ALL, (server) => fillStrings(server, 1500))
  const { id } = await startJob(understudy, 'backfill', 'all', { rate: 400 })
  await eventually(async () => expect((await jobOf(understudy, id)).progress.done).toBeGreaterThan(0))
  expect((await steer(understudy, id, 'pause')).state).toBe('paused')
  expect(await target.client().dbsize()).toBeLessThan(1500)
  expect((await steer(understudy, id, 'resume')).state).toMatch(/queued|running/)
  expect(await over(understudy, id)).toMatchObject({ state: 'done', progress: { copied: 1500 } })
  expect(await target.client().dbsize()).toBe(1500)
  const other = await startJob(understudy, 'backfill', 'all', { rate: 100 })
  const next = await startJob(understudy, 'backfill', 'all')
  expect(next.state).toBe('queued')
  expect((await steer(understudy, other.id, 'cancel')).state).toBe('cancelled')
  await over(understudy, next.id)
  const body = JSON.stringify({ action: 'pause' })
  expect((await understudy.admin(`/api/v1/jobs/${other.id}`, { method: 'PATCH', body })).status).toBe(409)
})

test('what has begun with other keys does not go on: also when they changed while it was paused, or nothing ran', async () => {
  const routes = [mirroredRoute(), { name: 'apart', keys: ['apart:*'], source: { store: 'old' } }]
  const { target, understudy } = await setUp(routes, async (server) => {
    await fillStrings(server, 3000)
    await server.client().set('apart:1', 'a')
  })
  const begun: number[] = []
  for (const action of ['pause', 'kill'] as const) {
    const { id } = await startJob(understudy, 'backfill', 'all', { rate: 200 })
    begun.push(id)
    await eventually(async () => expect((await jobOf(understudy, id)).progress.done).toBeGreaterThan(0))
    if (action === 'pause') expect((await steer(understudy, id, 'pause')).state).toBe('paused')
    else await understudy.kill9()
    // A key that the job may have passed by is the route's from now on.
    understudy.edit((text) =>
      text.replace(action === 'pause' ? 'apart:*' : 'other:*', action === 'pause' ? 'other:*' : 'third:*'),
    )
    if (action === 'kill') await understudy.restart()
    else {
      const epoch = async () => (await understudy.admin<{ epoch: number }>('/api/v1/status')).body.epoch
      await eventually(async () => expect(await epoch()).toBe(1))
      await steer(understudy, id, 'resume')
    }
    expect(await over(understudy, id)).toMatchObject({
      state: 'failed',
      error: expect.stringMatching(/start it again$/),
    })
  }
  await steer(understudy, begun[1]!, 'resume')
  expect(await over(understudy, begun[1]!)).toMatchObject({ state: 'failed' })
  await doJob(understudy, 'backfill', 'all')
  expect(await target.client().get('apart:1')).toBe('a')
}, 240_000)

/** By what a job speaks of its last keys, and to whom. */
const LAST_WORDS = [
  { kind: 'backfill', word: 'RESTORE', to: 'new' },
  { kind: 'verify', word: 'EXISTS', to: 'old' },
] as const

test.each(LAST_WORDS)(
  'a $kind that is at its last keys while the route gets others does not count for these',
  async ({ kind, word, to }) => {
    const servers = { old: await startRedis(), new: await startRedis() }
    const network = await new HoldingNetwork(servers[to]).start()
    const ends = { source: { store: 'old' }, target: { store: 'new' }, phase: 'mirror' }
    const carts = { name: 'carts', keys: ['cart:{id}'], ...ends }
    const users = { name: 'users', keys: ['user:{id}'], ...ends }
    const rest = { name: 'rest', keys: ['*'], source: { store: 'old' } }
    await servers.old.client().mset('cart:1', 'a', 'user:1', 'b')
    if (kind === 'verify') await servers.new.client().set('cart:1', 'a')
    const urls = { old: { url: servers.old.url }, new: { url: servers.new.url } }
    const understudy = await startUnderstudy({
      stores: { ...urls, [to]: { url: `redis://127.0.0.1:${network.port}` } },
      routes: [carts, users, rest],
    })
    running.push({
      stop: () => Promise.all([understudy.stop(), network.stop(), servers.old.stop(), servers.new.stop()]),
    })

    network.holdFrom(word)
    const { id } = await startJob(understudy, kind, 'carts')
    await eventually(() => expect(network.holdsAny).toBe(true))
    understudy.edit((text) => {
      const document = parseDocument(text)
      document.set('routes', [{ ...carts, keys: ['cart:{id}', 'user:{id}'] }, rest])
      return document.toString()
    })
    expect(await understudy.admin('/api/v1/config/reload', { method: 'POST' })).toMatchObject({ status: 200 })
    network.pass()
    expect(await over(understudy, id)).toMatchObject({
      state: 'failed',
      error: expect.stringMatching(/start it again$/),
    })
    expect(await servers.new.client().exists('user:1')).toBe(0)
    const switched = { method: 'PUT', body: JSON.stringify({ phase: 'switched', dryRun: true }) }
    const { body } = await understudy.admin<PhaseResult>('/api/v1/routes/carts/phase', switched)
    expect(body.closedGates).toContainEqual(expect.stringMatching(/may lack what 'old' held.*backfill carts/))
  },
)

test('a job that waits for a store that leaves the configuration ends, and says why', async () => {
  const { target, understudy } = await setUp(ALL, (server) => fillStrings(server, 3000))
  const { id } = await startJob(understudy, 'verify', 'all', { rate: 200 })
  await eventually(async () => expect((await jobOf(understudy, id)).progress.done).toBeGreaterThan(0))
  await target.kill9()
  await eventually(async () => expect((await jobOf(understudy, id)).throttle).toMatch(/'new' does not answer/))
  understudy.edit((text) => {
    const file = parseDocument(text)
    file.deleteIn(['stores', 'new'])
    file.deleteIn(['routes', 0, 'target'])
    file.setIn(['routes', 0, 'phase'], 'passthrough')
    return file.toString()
  })
  expect(await over(understudy, id)).toMatchObject({
    state: 'failed',
    error: expect.stringMatching(/start it again$/),
  })
})

test("a key that the store's user may not touch is listed in the store's words, and costs the other keys nothing", async () => {
  const { target, understudy } = await setUp(ALL, async (server) => {
    await fillStrings(server, 20)
    await server.client().set('forbidden', 'a')
    await server.client().acl('SETUSER', 'default', 'resetkeys', '~key:*')
  })
  const job = await doJob(understudy, 'backfill', 'all')
  expect(job).toMatchObject({ progress: { copied: 20, failed: 1 } })
  expect(await keysOf(understudy, job.id)).toMatchObject([
    { key: 'forbidden', detail: expect.stringMatching(/NOPERM/) },
  ])
  expect(await target.client().dbsize()).toBe(20)
})

test('a key that cannot be copied for want of a right, or of a command, is listed with its name', async () => {
  const { source, target, understudy } = await setUp(ALL, async (server) => {
    await server.client().hset('h', 'secret', 'a')
    await server.client().set('s', 'a')
  })
  await source.client().acl('SETUSER', 'default', '-hscan')
  await target.client().acl('SETUSER', 'default', '-restore')
  const job = await doJob(understudy, 'backfill', 'all')
  expect(job).toMatchObject({ progress: { copied: 1, failed: 1 } })
  expect(await keysOf(understudy, job.id)).toMatchObject([
    { key: 'h', detail: 'It could not be copied: the user of a store has no right to HSCAN (NOPERM).' },
  ])
})

test('a store that is away is waited for, and said to be', async () => {
  const { target, understudy } = await setUp(ALL, (server) => fillStrings(server, 2000))
  // Slow enough to be under way still when the target goes, on a busy machine too.
  const { id } = await startJob(understudy, 'backfill', 'all', { rate: 500 })
  await eventually(async () => expect((await jobOf(understudy, id)).progress.done).toBeGreaterThan(0))
  await target.kill9()
  await eventually(async () => expect((await jobOf(understudy, id)).throttle).toMatch(/'new' does not answer/))
  await target.start()
  expect(await over(understudy, id)).toMatchObject({ state: 'done', progress: { failed: 0 } })
})

test('a target that is full, or takes no writes, is waited for, and said to be', async () => {
  const { target, understudy } = await setUp(ALL, (server) => fillStrings(server, 500))
  const redis = target.client()
  await redis.config('SET', 'maxmemory', '1')
  const { id } = await startJob(understudy, 'backfill', 'all')
  await eventually(async () =>
    expect((await jobOf(understudy, id)).throttle).toBe("store 'new' has no memory left for writes (OOM)"),
  )
  // Of a server that nobody has.
  await redis.replicaof('127.0.0.1', 1)
  await redis.config('SET', 'maxmemory', '0')
  await eventually(async () => expect((await jobOf(understudy, id)).throttle).toMatch(/takes no writes.*READONLY/))
  await redis.replicaof('NO', 'ONE')
  expect(await over(understudy, id)).toMatchObject({
    state: 'done',
    throttle: null,
    progress: { copied: 500, failed: 0 },
  })
}, 240_000)

test('a source that was started again is listed from its beginning, and the report says what it holds since', async () => {
  const { source, target, understudy } = await setUp(ALL, (server) => fillStrings(server, 200))
  const startedAgain = async (): Promise<Job> => {
    const { id } = await startJob(understudy, 'backfill', 'all', { rate: 80 })
    await eventually(async () => expect((await jobOf(understudy, id)).progress.done).toBeGreaterThan(0))
    expect(await steer(understudy, id, 'pause')).toMatchObject({ state: 'paused' })
    await source.restart()
    await steer(understudy, id, 'resume')
    return over(understudy, id)
  }
  await source.client().save()
  expect((await startedAgain()).report?.notes.join()).toMatch(/'old' was started again.*it holds 200 keys since/)
  expect(await driftBetween(source, target)).toEqual([])
  rmSync(join(source.dir, 'dump.rdb'))
  expect((await startedAgain()).report?.notes.join()).toMatch(/it holds 0 keys since/)
}, 240_000)

test('under random writes, killed in the middle, it goes on after the restart, and both stores are the same', async () => {
  const { source, target, understudy } = await setUp(ALL, (server) => fillStrings(server, 12_000))
  let going = true
  const load = async (seed: number): Promise<void> => {
    const writer = await Writer.open(understudy.port, 2, { seed })
    // Ends with the process, too.
    while (going) await writer.round().catch(() => (going = false))
    writer.close()
  }
  const first = [1, 2].map(load)
  const { id } = await startJob(understudy, 'backfill', 'all', { rate: 3_000 })
  await eventually(async () => expect((await jobOf(understudy, id)).progress.done).toBeGreaterThan(2_000))
  await understudy.kill9()
  await Promise.all(first)
  await understudy.restart()
  const resumed = await jobOf(understudy, id)
  expect(['queued', 'running']).toContain(resumed.state)
  expect(resumed.progress.done).toBeGreaterThan(2_000)
  going = true
  const second = [3, 4].map(load)
  const done = await over(understudy, id)
  expect(going).toBe(true)
  going = false
  await Promise.all(second)
  expect(done).toMatchObject({ state: 'done', progress: { failed: 0 } })
  await mirrorSettled(understudy)
  expect(await driftBetween(source, target, { ttlSlackMs: 1_000 })).toEqual([])
}, 240_000)

test('a stop does not wait for a job whose store hangs, and the job goes on with the next start', async () => {
  const { source, understudy } = await setUp(ALL, (server) => fillStrings(server, 3000))
  const { id } = await startJob(understudy, 'backfill', 'all', { rate: 2_000 })
  await eventually(async () => expect((await jobOf(understudy, id)).progress.done).toBeGreaterThan(0))
  source.pause()
  understudy.signal('SIGTERM')
  expect((await understudy.exited).code).toBe(0)
  source.resume()
  await understudy.restart()
  expect(await over(understudy, id)).toMatchObject({ state: 'done', progress: { failed: 0 } })
}, 240_000)
