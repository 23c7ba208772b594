import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { type RedisCluster, startCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { doJob, jobOf, keysOf, over, startJob } from '../support/jobs.ts'
import { mirroredRoute, mirrorSettled } from '../support/migration.ts'
import { startRedis } from '../support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../support/understudy.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

const KEYS = 2_000

async function fill(cluster: RedisCluster): Promise<void> {
  const client = cluster.client()
  await Promise.all(Array.from({ length: KEYS }, (_, i) => client.set(`key:${i}`, `value ${i}`)))
  // Too long to be compared at once: it is watched meanwhile.
  await client.rpush('list', ...Array.from({ length: 25_000 }, (_, i) => `${i} ${'x'.repeat(60)}`))
  await client.hset('hash', { a: 1, b: 2 })
  await client.set('expires', 'soon', 'EX', 5_000)
}

async function setPhase(understudy: UnderstudyProcess, route: string, phase: string): Promise<void> {
  const { status, body } = await understudy.admin(`/api/v1/routes/${route}/phase`, {
    method: 'PUT',
    body: JSON.stringify({ phase }),
  })
  expect(status, JSON.stringify(body)).toBe(200)
}

test('from cluster to cluster: copied across a kill, compared, mended, exported, cleaned up with a backup, put back', {
  timeout: 300_000,
}, async () => {
  const [from, to] = await Promise.all([startCluster({ masters: 2 }), startCluster({ masters: 2 })])
  running.push(from, to)
  await fill(from)
  const understudy = await startUnderstudy({
    stores: { old: { url: from.url }, new: { url: to.url } },
    routes: [mirroredRoute()],
  })
  running.push(understudy)
  const all = KEYS + 3
  const { id } = await startJob(understudy, 'backfill', 'all', { rate: 1_000 })
  await eventually(async () => expect((await jobOf(understudy, id)).progress.done).toBeGreaterThan(0))
  await understudy.kill9()
  await understudy.restart()
  expect(await over(understudy, id)).toMatchObject({ state: 'done', progress: { failed: 0 } })
  expect(await to.countKeys()).toBe(all)
  expect((await doJob(understudy, 'verify', 'all')).report).toMatchObject({ clean: true })

  const there = to.client()
  await there.set('key:1', 'planted')
  await there.del('key:2')
  await there.set('extra', 'x')
  const found = await doJob(understudy, 'verify', 'all')
  expect((await keysOf(understudy, found.id)).map((key) => `${key.key} ${key.class}`).sort()).toEqual([
    'extra extra',
    'key:1 value',
    'key:2 missing',
  ])
  await doJob(understudy, 'repair', 'all', { deleteExtra: true })
  expect((await doJob(understudy, 'verify', 'all')).report).toMatchObject({ clean: true })

  const file = join(understudy.stateDir, 'all.jsonl')
  expect(await doJob(understudy, 'export', 'all', { file })).toMatchObject({ progress: { copied: all, failed: 0 } })
  await setPhase(understudy, 'all', 'switched')
  const backup = join(understudy.stateDir, 'all.backup')
  expect(await doJob(understudy, 'cleanup', 'all', { dryRun: false, backup })).toMatchObject({
    progress: { deleted: all, failed: 0 },
  })
  expect(await from.countKeys()).toBe(0)
  await doJob(understudy, 'restore', 'all', { file: backup })
  expect(await from.countKeys()).toBe(all)
  expect(await from.client().pttl('expires')).toBeGreaterThan(0)

  await to.flushAll()
  await doJob(understudy, 'import', 'all', { file })
  await mirrorSettled(understudy)
  expect(await to.countKeys()).toBe(all)
  expect((await doJob(understudy, 'verify', 'all')).report).toMatchObject({ clean: true })
})

test('other names on the same cluster, in other slots: copied, mirrored, verified, switched', {
  timeout: 240_000,
}, async () => {
  const cluster = await startCluster({ masters: 2 })
  running.push(cluster)
  const direct = cluster.client()
  await direct.set('job:old', 'before')
  await direct.rpush('job:list', ...Array.from({ length: 3_000 }, (_, i) => String(i)))
  const understudy = await startUnderstudy({
    stores: { old: { url: cluster.url } },
    routes: [
      mirroredRoute({ name: 'jobs', keys: ['job:{id}'], target: { store: 'old', keys: { 'job:{id}': 'step:{id}' } } }),
      { name: 'rest', keys: ['*'], source: { store: 'old' } },
    ],
  })
  running.push(understudy)
  const client = understudy.client()
  await doJob(understudy, 'backfill', 'jobs')
  for (let i = 0; i < 20; i++) await client.set(`job:${i}`, String(i))
  // What is copied, not sent: no effect of a script is known that asks for the time.
  for (let i = 0; i < 20; i++)
    await client.eval("return redis.call('SET', KEYS[1], redis.call('TIME')[1])", 1, `job:${i}`)
  await client.lpush('job:list', 'new')
  await mirrorSettled(understudy)
  expect((await doJob(understudy, 'verify', 'jobs')).report).toMatchObject({ clean: true })
  await setPhase(understudy, 'jobs', 'switched')
  expect(await client.get('job:old')).toBe('before')
  expect(await client.llen('job:list')).toBe(3_001)
  await client.set('job:late', '1')
  expect(await direct.get('step:late')).toBe('1')
  await mirrorSettled(understudy)
  expect(await direct.get('job:late')).toBe('1')
})

test.each([
  ['begins when that is known', true],
  ['has keys under way there', false],
])(
  'while a master of the target is gone a backfill that %s waits, says so, and copies every key when it is back',
  {
    timeout: 240_000,
  },
  async (_, noticed) => {
    const [source, to] = await Promise.all([startRedis(), startCluster({ masters: 2, args: ['--appendonly', 'yes'] })])
    running.push(source, to)
    const direct = source.client()
    await Promise.all(Array.from({ length: KEYS }, (_, i) => direct.set(`key:${i}`, i)))
    const understudy = await startUnderstudy({
      stores: { old: { url: source.url }, new: { url: to.url } },
      routes: [mirroredRoute()],
    })
    running.push(understudy)
    const [first] = to.servers
    if (noticed) await first!.kill9()
    else first!.pause()
    const status = async () => await (await fetch(`${understudy.adminUrl}/api/v1/status`)).text()
    if (noticed) await eventually(async () => expect(await status()).toContain('1 of 2 masters does not answer'))
    const { id } = await startJob(understudy, 'backfill', 'all')
    if (!noticed) {
      await eventually(async () => expect((await jobOf(understudy, id)).state).toBe('running'))
      await first!.kill9()
    }
    await eventually(async () =>
      expect((await jobOf(understudy, id)).throttle).toMatch(/1 of 2 masters does not answer/),
    )
    await first!.start()
    expect(await over(understudy, id)).toMatchObject({ state: 'done', progress: { failed: 0 } })
    expect(await to.countKeys()).toBe(KEYS)
  },
)
