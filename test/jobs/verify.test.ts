import type { Redis } from 'ioredis'
import { afterEach, expect, test } from 'vitest'
import type { Status } from '../../src/admin/status.ts'
import { eventually } from '../support/eventually.ts'
import { HoldingNetwork } from '../support/holding-network.ts'
import { doJob, jobOf, keysOf, over, startJob, steer } from '../support/jobs.ts'
import { fillStrings, type Migration, mirroredRoute, mirrorSettled, startMigration } from '../support/migration.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../support/understudy.ts'
import { Writer } from '../support/write-load.ts'

const running: Migration[] = []
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop()
})

async function setUp(routes?: readonly object[], fill?: (source: RedisServer) => Promise<unknown>): Promise<Migration> {
  const migration = await startMigration(routes, fill)
  running.push(migration)
  return migration
}

/** Keys of every type, some too large to be looked at whole. */
async function fillTypes(server: RedisServer): Promise<void> {
  const redis = server.client()
  const some = (count: number, text: string): string[] => Array.from({ length: count }, (_, i) => `${text}${i}`)
  await redis.mset('string', 'a', 'other', 'b', 'gone', 'c', 'expiring', 'd', 'json', '{"a":1}')
  await redis.pexpireat('expiring', Date.now() + 1_000_000)
  await redis.set('long', Buffer.alloc(1_500_000, 'x'))
  await redis.hset('hash', { a: 1, b: 2 })
  await redis.zadd('zset', 1, 'a', 2.5, 'b')
  await redis.xadd('stream', '1-1', 'field', 'value')
  await redis.xgroup('CREATE', 'stream', 'group', '0')
  await redis.xadd('read stream', '1-1', 'field', 'value')
  await redis.xgroup('CREATE', 'read stream', 'group', '0')
  await redis.xreadgroup('GROUP', 'group', 'consumer', 'STREAMS', 'read stream', '>')
  for (let i = 0; i < 50; i++) {
    await redis.rpush('long list', ...some(1000, `element ${i} `))
    await redis.sadd('long set', ...some(1000, `member ${i} `))
    await redis.hset(
      'long hash',
      ...some(1000, `field ${i} `).flatMap((field) => [field, 'some value that takes room']),
    )
    await redis.zadd('long zset', ...some(1000, `member ${i} `).flatMap((member, n) => [i * 1000 + n, member]))
  }
  for (let i = 0; i < 3000; i++) void redis.xadd('long stream', `${i + 1}-1`, 'field', `value ${i}`)
  await redis.ping()
}

test('two equal sides show no difference, and every kind of planted difference is found, with its class', async () => {
  const { target, understudy } = await setUp([mirroredRoute()], fillTypes)
  await doJob(understudy, 'backfill', 'all')
  const clean = await doJob(understudy, 'verify', 'all')
  expect(await keysOf(understudy, clean.id)).toEqual([])
  expect(clean).toMatchObject({
    progress: { compared: 15, different: 0, failed: 0 },
    report: { clean: true, summary: '15 keys compared, no difference.' },
  })

  const there = target.client()
  await there.set('string', 'A')
  await there.del('gone')
  await there.set('new', 'e')
  await there.pexpire('expiring', 5_000)
  await there.del('hash')
  await there.set('hash', 'no hash')
  await there.lset('long list', 49_999, 'another')
  await there.setrange('long', 1_499_999, 'y')
  await there.srem('long set', 'member 7 7')
  await there.sadd('long set', 'stranger')
  await there.hset('long hash', 'field 7 7', 'another')
  await there.zincrby('long zset', 0.5, 'member 7 7')
  await there.zadd('zset', 3, 'c')
  await there.xgroup('SETID', 'stream', 'group', '1-1')
  await there.call('XGROUP', 'SETID', 'read stream', 'group', '1-1', 'ENTRIESREAD', '7')
  await there.xadd('long stream', '3000-2', 'field', 'one more')
  const job = await doJob(understudy, 'verify', 'all')
  const found = await keysOf(understudy, job.id)
  expect(Object.fromEntries(found.map((key) => [key.key, key.class]))).toEqual({
    string: 'value',
    gone: 'missing',
    new: 'extra',
    expiring: 'ttl',
    hash: 'type',
    'long list': 'value',
    long: 'value',
    'long set': 'value',
    'long hash': 'value',
    'long zset': 'value',
    zset: 'length',
    stream: 'value',
    'read stream': 'value',
    'long stream': 'length',
  })
  expect(found).toHaveLength(14)
  expect(job.report).toMatchObject({ clean: false, classes: { missing: 1, extra: 1, ttl: 1, type: 1, length: 2 } })
})

test('a key that the store does not let be read in pieces is told, and the others are compared', async () => {
  const { understudy } = await setUp([mirroredRoute()], async (server) => {
    await fillTypes(server)
    await server.client().call('ACL', 'SETUSER', 'default', '-hscan')
  })
  await doJob(understudy, 'backfill', 'all')
  const job = await doJob(understudy, 'verify', 'all')
  expect(job).toMatchObject({ state: 'done', report: { clean: false } })
  const keys = await keysOf(understudy, job.id)
  expect(keys).toMatchObject([{ key: 'long hash', class: 'failed' }])
  expect(keys[0]!.detail).toContain('HSCAN')
})

test('a verify that is started while a store is down goes on when it is back', async () => {
  const { target, understudy } = await setUp(undefined, (source) => fillStrings(source, 10))
  await doJob(understudy, 'backfill', 'all')
  await target.kill9()
  const { id } = await startJob(understudy, 'verify', 'all')
  await eventually(async () =>
    expect((await jobOf(understudy, id)).throttle).toMatch(/^store 'new' does not answer \(.*nobody listens there\)$/),
  )
  await target.restart()
  expect(await over(understudy, id)).toMatchObject({ state: 'done', progress: { compared: 10 } })
}, 180_000)

test('renamed keys are found under the names of the application, also within one server', async () => {
  const keys = ['job:{id}']
  const renamed = { 'job:{id}': 'step:{id}' }
  const { source, understudy } = await setUp(
    [
      mirroredRoute({ name: 'jobs', keys, target: { store: 'old', keys: renamed } }),
      { name: 'rest', keys: ['*'], source: { store: 'old' } },
    ],
    (server) => server.client().mset('job:1', 'a', 'job:2', 'b', 'job:3', 'c', 'user:1', 'd'),
  )
  await doJob(understudy, 'backfill', 'jobs')
  expect(await doJob(understudy, 'verify', 'jobs')).toMatchObject({ progress: { compared: 3, different: 0 } })
  const redis = source.client()
  await redis.set('step:1', 'x')
  await redis.del('step:2')
  await redis.set('step:4', 'd')
  const job = await doJob(understudy, 'verify', 'jobs')
  expect((await keysOf(understudy, job.id)).map((key) => [key.key, key.class]).sort()).toEqual([
    ['job:1', 'value'],
    ['job:2', 'missing'],
    ['job:4', 'extra'],
  ])
})

test('under random writes to the very keys, no false difference, and the planted ones are found', async () => {
  const { target, understudy } = await setUp([mirroredRoute()], (server) => fillStrings(server, 2000))
  await doJob(understudy, 'backfill', 'all')
  let going = true
  const load = [1, 2, 3].map(async (seed) => {
    const writer = await Writer.open(understudy.port, seed === 3 ? 3 : 2, { seed })
    while (going) await writer.round()
    writer.close()
  })
  for (let round = 0; round < 3; round++) {
    const job = await doJob(understudy, 'verify', 'all')
    expect(await keysOf(understudy, job.id)).toEqual([])
    expect(job.report).toMatchObject({ clean: true })
  }
  const there = target.client()
  await there.set('key:77', 'planted')
  await there.set('key:new', 'planted')
  await there.del('key:99')
  const job = await doJob(understudy, 'verify', 'all')
  going = false
  await Promise.all(load)
  expect((await keysOf(understudy, job.id)).map((key) => [key.key, key.class]).sort()).toEqual([
    ['key:77', 'value'],
    ['key:99', 'missing'],
    ['key:new', 'extra'],
  ])
  await mirrorSettled(understudy)
})

test('what is added to a key that only the other side has is looked at, wherever the verify is', async () => {
  const { target, understudy } = await setUp(undefined, (server) => fillStrings(server, 400))
  await doJob(understudy, 'backfill', 'all')
  const extra = Array.from({ length: 40 }, (_, i) => `extra:${i}`)
  for (const key of extra) await target.client().hset(key, 'old', 1)
  const { id } = await startJob(understudy, 'verify', 'all', { rate: 200 })
  // All that the source has is listed, and little of what the target has.
  await eventually(async () => expect((await jobOf(understudy, id)).progress.done).toBeGreaterThanOrEqual(400), {
    timeoutMs: 30_000,
    intervalMs: 5,
  })
  const app = understudy.client()
  await Promise.all(extra.map((key) => app.hset(key, 'new', 1)))
  expect(await over(understudy, id)).toMatchObject({ report: { clean: false }, progress: { different: extra.length } })
})

test('a sample looks at its share of the keys, says so, and proves nothing', async () => {
  const { target, understudy } = await setUp([mirroredRoute()], (server) => fillStrings(server, 2000))
  await doJob(understudy, 'backfill', 'all')
  await target.client().flushall()
  const job = await doJob(understudy, 'verify', 'all', { sample: 0.1 })
  expect(job.report).toMatchObject({
    clean: false,
    notes: expect.arrayContaining(['Only 10 % of the keys were looked at.']),
  })
  expect(job.progress.different).toBe(job.progress.compared)
  expect(job.progress.compared).toBeGreaterThan(140)
  expect(job.progress.compared).toBeLessThan(260)
})

test('a script that keeps the primary from answering hides no key that only the other side has', async () => {
  const { source, target, understudy } = await setUp(undefined, (server) => fillStrings(server, 400))
  await doJob(understudy, 'backfill', 'all')
  await target.client().mset('extra:1', 'x', 'extra:2', 'x')
  // Others could not connect any more while the script runs.
  const [runs, kills] = [source.client(), source.client()]
  await runs.config('SET', 'lua-time-limit', '10')
  await kills.ping()
  const { id } = await startJob(understudy, 'verify', 'all', { rate: 200 })
  // The second pass, over the other side's keys, has begun.
  await eventually(async () => expect((await jobOf(understudy, id)).progress.done).toBeGreaterThan(400))
  const script = runs.eval('while true do end', 0).catch(() => {})
  await eventually(async () => expect((await jobOf(understudy, id)).throttle).toBe("store 'old' runs a script (BUSY)"))
  await kills.script('KILL')
  await script
  expect((await over(understudy, id)).report).toMatchObject({ clean: false })
  expect((await keysOf(understudy, id)).map(({ key, class: of }) => [key, of]).sort()).toEqual([
    ['extra:1', 'extra'],
    ['extra:2', 'extra'],
  ])
})

test('a primary that does not say whether it has a key counts for nothing: the job fails where it says so of none, and such a key is listed', async () => {
  const { source, target, understudy } = await setUp(undefined, (server) => fillStrings(server, 10))
  await doJob(understudy, 'backfill', 'all')
  await target.client().set('extra', 'x')
  const rights = (...rules: string[]) => source.client().call('ACL', 'SETUSER', 'default', ...rules)
  await rights('-exists')
  const refused = await over(understudy, (await startJob(understudy, 'verify', 'all')).id)
  expect(refused).toMatchObject({ state: 'failed', error: expect.stringMatching(/'old' refuses .*NOPERM.*exists/) })
  await rights('+exists', 'resetkeys', '~key:*')
  const job = await doJob(understudy, 'verify', 'all')
  expect(job.report).toMatchObject({ clean: false })
  expect(await keysOf(understudy, job.id)).toMatchObject([{ key: 'extra', class: 'failed' }])
})

test('keys of a database that the other side does not have are listed as failed, and nothing waits for them', async () => {
  const source = await startRedis()
  const target = await startRedis({ args: ['--databases', '4'] })
  await fillStrings(source, 10)
  await source.client({ db: 7 }).mset('there:1', 'x', 'there:2', 'x')
  const stores = { old: { url: source.url }, new: { url: target.url } }
  const understudy = await startUnderstudy({ stores, routes: [mirroredRoute()] })
  try {
    const job = await doJob(understudy, 'verify', 'all')
    expect(job.progress).toMatchObject({ compared: 12, different: 10, failed: 2 })
    const failed = (await keysOf(understudy, job.id)).filter((key) => key.class === 'failed')
    expect(failed.map(({ database, key }) => [database, key]).sort()).toEqual([
      [7, 'there:1'],
      [7, 'there:2'],
    ])
    expect(failed[0]!.detail).toMatch(/store 'new' refuses database 7 \(ERR DB index is out of range\)/)
  } finally {
    await understudy.stop()
    await Promise.all([source.stop(), target.stop()])
  }
})
test('what differs in a long list is not passed over while it is written, and a cleanup keeps the list', async ({
  skip,
}) => {
  const { target, understudy } = await setUp([mirroredRoute()], async (server) => {
    const pipeline = server.client().pipeline()
    for (let i = 0; i < 30; i++)
      pipeline.rpush('queue', ...Array.from({ length: 1_000 }, (_, n) => `${i} ${n} ${'x'.repeat(100)}`))
    await pipeline.exec()
  })
  await doJob(understudy, 'backfill', 'all')
  expect((await doJob(understudy, 'verify', 'all')).report).toMatchObject({ clean: true })
  await target.client().lset('queue', 20_000, 'other')
  const copied = await copies(understudy)
  const writer = rotating(understudy, 'queue')
  try {
    const found = await doJob(understudy, 'verify', 'all')
    skip((await copies(understudy)) > copied, MENDED)
    expect(found.report).toMatchObject({ clean: false })
    const { body } = await understudy.admin('/api/v1/routes/all/phase', {
      method: 'PUT',
      body: JSON.stringify({ phase: 'switched', force: true, reason: 'a test' }),
    })
    expect(body).toMatchObject({ to: 'switched' })
    for (let i = 0; i < 3; i++) {
      const cleanup = await doJob(understudy, 'cleanup', 'all', { dryRun: false })
      skip((await copies(understudy)) > copied, MENDED)
      expect(cleanup).toMatchObject({ progress: { deleted: 0 } })
    }
  } finally {
    await writer.stop()
  }
  await mirrorSettled(understudy)
  expect(await doJob(understudy, 'verify', 'all')).toMatchObject({ progress: { different: 1, failed: 0 } })
  await doJob(understudy, 'repair', 'all')
  expect((await doJob(understudy, 'verify', 'all')).report).toMatchObject({ clean: true })
}, 180_000)

test('a long list that is written all the time is compared at one place of history', async ({ skip }) => {
  const { target, understudy } = await setUp([mirroredRoute()], async (server) => {
    const pipeline = server.client().pipeline()
    for (let i = 0; i < 40; i++)
      pipeline.rpush('queue', ...Array.from({ length: 1_000 }, (_, n) => `${i} ${n} ${'x'.repeat(100)}`))
    await pipeline.exec()
  })
  await doJob(understudy, 'backfill', 'all')
  const writer = rotating(understudy, 'queue')
  try {
    expect(await keysOf(understudy, (await doJob(understudy, 'verify', 'all')).id)).toEqual([])
    const copied = await copies(understudy)
    await target.client().lset('queue', 20_000, 'other')
    const found = await doJob(understudy, 'verify', 'all')
    skip((await copies(understudy)) > copied, MENDED)
    expect(await keysOf(understudy, found.id)).toMatchObject([{ key: 'queue', class: 'value' }])
  } finally {
    await writer.stop()
  }
}, 180_000)

test('keys that are always about to be copied are left to the mirror: a verify under their load clears what asks for one', async () => {
  const { target, understudy } = await setUp([mirroredRoute()], (server) => fillStrings(server, 100))
  await doJob(understudy, 'backfill', 'all')
  const clock = "return redis.call('SET', KEYS[1], redis.call('TIME')[2])"
  const writer = repeating(understudy, (app) => app.eval(clock, 1, 'clock'))
  const mirrorOf = async () =>
    ((await understudy.admin('/api/v1/status')).body as unknown as Status).routes['all']!.mirror
  try {
    await target.client().config('SET', 'save', '')
    await target.client().save()
    await target.restart()
    await eventually(async () => expect((await mirrorOf()).verifyCauses).toEqual(['shadow-restarted']))
    await eventually(async () => expect((await mirrorOf()).lagMs).toBeLessThan(1_000))
    const { progress, report } = await doJob(understudy, 'verify', 'all')
    expect(report).toMatchObject({ clean: true })
    expect(progress).toMatchObject({ different: 0, failed: 0 })
    expect((await mirrorOf()).needsVerify).toBe(false)
  } finally {
    await writer.stop()
  }
}, 180_000)

/** Where this process or the machine stood still for a moment, the mirror may copy a key by itself, and nothing that was planted in it is left. */
const MENDED = 'the mirror has copied the list meanwhile'

/** Keys that the mirror has copied, of any route. */
async function copies(understudy: UnderstudyProcess): Promise<number> {
  const lines = (await understudy.metrics()).matchAll(/^understudy_mirror_writes_total\{.*outcome="copied"\} (\d+)$/gm)
  return [...lines].reduce((sum, [, count]) => sum + Number(count), 0)
}

/** Turns a list without a pause, one element at a time. */
function rotating(understudy: UnderstudyProcess, key: string): { stop(): Promise<void> } {
  return repeating(understudy, (app) => app.lmove(key, key, 'LEFT', 'RIGHT'))
}

function repeating(understudy: UnderstudyProcess, write: (app: Redis) => Promise<unknown>): { stop(): Promise<void> } {
  const app = understudy.client()
  let going = true
  const writing = (async () => {
    while (going) await Promise.all(Array.from({ length: 50 }, () => write(app)))
  })()
  return {
    async stop() {
      going = false
      await writing
    },
  }
}

test('one that has found no difference, and waits for what is on its way to a store, can be paused and goes on', async () => {
  const [source, target] = await Promise.all([startRedis(), startRedis()])
  const network = await new HoldingNetwork(target).start()
  const stores = {
    old: { url: source.url },
    // What is held is waited for as long as the test goes on.
    new: { url: `redis://127.0.0.1:${network.port}`, timeout: '2m' },
  }
  const understudy = await startUnderstudy({ stores, routes: [mirroredRoute()] })
  try {
    const app = understudy.client()
    await app.set('k', 'v')
    await eventually(async () => expect(await target.client().get('k')).toBe('v'))
    network.holdFrom('FLEETING')
    await app.set('fleeting', 'v')
    await app.del('fleeting')
    await eventually(() => expect(network.holds('fleeting')).toBe(true))
    const { id } = await startJob(understudy, 'verify', 'all')
    // All that is listed of either side has been looked at.
    await eventually(async () => expect(await jobOf(understudy, id)).toMatchObject({ progress: { done: 2, total: 2 } }))
    await steer(understudy, id, 'pause')
    await eventually(async () => expect(await jobOf(understudy, id)).toMatchObject({ state: 'paused', report: null }))
    network.pass()
    await steer(understudy, id, 'resume')
    expect(await over(understudy, id)).toMatchObject({ state: 'done', report: { clean: true } })
  } finally {
    await understudy.stop()
    await network.stop()
    await Promise.all([source.stop(), target.stop()])
  }
})
