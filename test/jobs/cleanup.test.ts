import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { PhaseResult } from '../../src/admin/control.ts'
import type { Status } from '../../src/admin/status.ts'
import { findProgram } from '../../src/base/find-program.ts'
import { BackupReader } from '../../src/jobs/files/backup-reader.ts'
import { BackupWriter } from '../../src/jobs/files/backup-writer.ts'
import { eventually } from '../support/eventually.ts'
import { holdReplies } from '../support/held-replies.ts'
import { doJob, jobOf, keysOf, over, startJob, steer } from '../support/jobs.ts'
import { driftBetween } from '../support/keyspace.ts'
import { fillStrings, type Migration, mirroredRoute, mirrorSettled, startMigration } from '../support/migration.ts'
import { RawClient } from '../support/raw-client.ts'
import { startRedis } from '../support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../support/understudy.ts'

const running: Migration[] = []
let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'understudy-cleanup-'))
})
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop()
  rmSync(directory, { recursive: true, force: true })
})

async function to(understudy: UnderstudyProcess, phase: string, more: object = {}): Promise<PhaseResult> {
  const init = { method: 'PUT', body: JSON.stringify({ phase, ...more }) }
  const { status, body } = await understudy.admin<PhaseResult>('/api/v1/routes/all/phase', init)
  expect(status, JSON.stringify(body)).toBe(200)
  return body
}

test('cleanup deletes what is equal, keeps what is not, writes it down before, and waits for its phase', async () => {
  const migration = await startMigration([mirroredRoute()], async (server) => {
    const redis = server.client()
    await redis.mset('a', '1', 'b', '2', 'c', '3')
    await redis.sadd('set', ...Array.from({ length: 1000 }, (_, i) => `member ${i}`))
    await redis.set('expiring', 'x', 'EX', 10_000)
  })
  running.push(migration)
  const { source, target, understudy } = migration
  await doJob(understudy, 'backfill', 'all')
  await expect(startJob(understudy, 'cleanup', 'all')).rejects.toThrow(/in mirror.*switched or done/)
  await to(understudy, 'switched')
  await to(understudy, 'done')
  await target.client().set('b', 'another')
  await target.client().del('c')

  const dry = await doJob(understudy, 'cleanup', 'all')
  expect(dry).toMatchObject({
    progress: { deleted: 3, different: 2 },
    report: { notes: ['A dry run: --yes does it.'] },
  })
  expect(await source.client().dbsize()).toBe(5)
  const deleted = 'understudy_job_keys_total{route="all",job="cleanup",outcome="deleted"}'
  expect(await understudy.metrics()).not.toContain(deleted)

  const backup = join(directory, 'backup.jsonl')
  const job = await doJob(understudy, 'cleanup', 'all', { dryRun: false, backup })
  expect(job).toMatchObject({ progress: { deleted: 3, different: 2, failed: 0 }, report: { clean: false } })
  expect(await understudy.metrics()).toContain(`${deleted} 3`)
  expect((await keysOf(understudy, job.id)).map((key) => [key.key, key.class]).sort()).toEqual([
    ['b', 'value'],
    ['c', 'extra'],
  ])
  expect((await source.client().keys('*')).sort()).toEqual(['b', 'c'])
  expect(statSync(backup).mode & 0o777).toBe(0o600)
  const lines = readFileSync(backup, 'utf8').trim().split('\n')
  expect(lines.length).toBe(4)
  expect(JSON.parse(lines[0]!)).toMatchObject({ format: 'understudy-backup', route: 'all', store: 'old' })

  const again = await startJob(understudy, 'cleanup', 'all', { dryRun: false, backup })
  expect(await over(understudy, again.id)).toMatchObject({
    state: 'failed',
    error: expect.stringContaining('exists already'),
  })
}, 240_000)

test.each([false, true])(
  'a key that waits for its copy is cleaned up when that has come (with a backup: %s)',
  async (withBackup) => {
    const migration = await startMigration([mirroredRoute()], async (server) => {
      await server.client().mset('busy', '1', 'other', '2')
    })
    running.push(migration)
    const { source, understudy } = migration
    await doJob(understudy, 'backfill', 'all')
    await to(understudy, 'switched')
    const redis = source.client()
    // What is written to it is neither mirrored nor copied.
    await redis.call('ACL', 'SETUSER', 'default', 'resetkeys', '~other', '%R~busy')
    await understudy.client().set('busy', 'written')
    const dirty = async () => (await understudy.admin<Status>('/api/v1/status')).body.routes['all']!.mirror.dirtyKeys
    await eventually(async () => expect(await dirty()).toBe(1))
    const backup = withBackup ? { backup: join(directory, 'backup') } : {}
    const { id } = await startJob(understudy, 'cleanup', 'all', { dryRun: false, ...backup })
    // Longer than a key is tried that cannot be compared.
    await sleep(4_000)
    expect((await jobOf(understudy, id)).state).toBe('running')
    await redis.call('ACL', 'SETUSER', 'default', 'allkeys')
    const job = await over(understudy, id)
    expect(job).toMatchObject({ state: 'done', report: { clean: true }, progress: { deleted: 2, failed: 0 } })
    expect(await redis.dbsize()).toBe(0)
  },
)

test.each([false, true])(
  'a key that the user of the source may not delete is listed, and the others are deleted and counted (with a backup: %s)',
  async (withBackup) => {
    const migration = await startMigration([mirroredRoute({ phase: 'done' })])
    running.push(migration)
    const { source, target, understudy } = migration
    for (const server of [source, target]) await server.client().mset('a', '1', 'b', '2', 'protected', '3')
    await source.client().set('c', 'differs')
    await source.client().call('ACL', 'SETUSER', 'default', 'resetkeys', '%R~*', '~a', '~b', '~c')
    const backup = withBackup ? { backup: join(directory, 'backup') } : {}
    const job = await doJob(understudy, 'cleanup', 'all', { dryRun: false, ...backup })
    expect(job).toMatchObject({
      progress: { deleted: 2, different: 1, failed: 1 },
      report: {
        clean: false,
        summary: '2 keys deleted, 1 kept because the sides are not equal, 1 could not be compared or deleted.',
      },
    })
    expect(await keysOf(understudy, job.id)).toContainEqual(
      expect.objectContaining({ key: 'protected', class: 'failed', detail: expect.stringContaining('NOPERM') }),
    )
    expect((await source.client().keys('*')).sort()).toEqual(['c', 'protected'])
  },
)

test.each([
  ['switched', 'done'],
  ['done', 'switched'],
])(
  'a cleanup goes on when its route goes from %s to %s meanwhile',
  async (from, next) => {
    const migration = await startMigration([mirroredRoute({ phase: from })])
    running.push(migration)
    const { source, target, understudy } = migration
    // In another order: only an exact comparison shows that they are equal.
    for (const [server, members] of [
      [source, ['a', 'b']],
      [target, ['b', 'a']],
    ] as const) {
      const pipeline = server.client().pipeline()
      for (let i = 0; i < 1_500; i++) pipeline.sadd(`set:${i}`, ...members)
      await pipeline.exec()
    }
    const { id } = await startJob(understudy, 'cleanup', 'all', { dryRun: false, rate: 700 })
    await eventually(async () => expect((await jobOf(understudy, id)).progress.done).toBeGreaterThan(0))
    await to(understudy, next)
    expect((await jobOf(understudy, id)).state).toBe('running')
    const job = await over(understudy, id)
    expect(await keysOf(understudy, id)).toEqual([])
    expect(job).toMatchObject({ state: 'done', progress: { deleted: 1_500, failed: 0 }, report: { clean: true } })
    expect(job.report!.notes.some((note) => note.includes('in switched'))).toBe(next === 'switched')
    expect(await source.client().dbsize()).toBe(0)
  },
  120_000,
)

test('what the target lacks stays, however far times of expiry may be apart', async () => {
  const migration = await startMigration([mirroredRoute({ compare: { ttlTolerance: '30m' } })], (server) =>
    server.client().set('session:1', 'v', 'EX', 1_500),
  )
  running.push(migration)
  const { source, target, understudy } = migration
  await doJob(understudy, 'backfill', 'all')
  await to(understudy, 'switched')
  await target.client().del('session:1')
  const seen = await doJob(understudy, 'verify', 'all')
  expect(await keysOf(understudy, seen.id)).toMatchObject([{ key: 'session:1', class: 'extra' }])
  await to(understudy, 'done')
  const job = await doJob(understudy, 'cleanup', 'all', { dryRun: false })
  expect(job).toMatchObject({ progress: { deleted: 0, different: 1 } })
  expect(await source.client().keys('*')).toEqual(['session:1'])
}, 120_000)

test('after a cleanup in switched the way back is closed until the source has been filled again', async () => {
  const migration = await startMigration([mirroredRoute({ phase: 'switched' })])
  running.push(migration)
  const { source, understudy } = migration
  await understudy.client().set('a', '1')
  const job = await doJob(understudy, 'cleanup', 'all', { dryRun: false })
  expect(job.report?.notes.join()).toMatch(/still mirrored to the source/)
  expect(await source.client().dbsize()).toBe(0)
  expect((await to(understudy, 'shadow', { dryRun: true })).closedGates).toEqual([
    expect.stringMatching(/store 'old' may lack/),
  ])
  await doJob(understudy, 'backfill', 'all')
  expect((await to(understudy, 'shadow', { dryRun: true })).closedGates).toEqual([])
  await to(understudy, 'shadow')
  expect(await source.client().get('a')).toBe('1')
}, 240_000)

test('a backfill that waited in the queue for a cleanup opens the way back, as one does that was asked for behind it', async () => {
  const migration = await startMigration([mirroredRoute({ phase: 'switched' })])
  running.push(migration)
  const { source, understudy } = migration
  const client = understudy.client()
  for (let i = 0; i < 10; i++) await client.set(`key:${i}`, 'v')
  const first = await startJob(understudy, 'verify', 'all', { rate: 1 })
  const cleanup = await startJob(understudy, 'cleanup', 'all', { dryRun: false })
  const backfill = await startJob(understudy, 'backfill', 'all')
  await steer(understudy, first.id, 'cancel')
  expect(await over(understudy, cleanup.id)).toMatchObject({ progress: { deleted: 10 } })
  expect(await over(understudy, backfill.id)).toMatchObject({ report: { clean: true } })
  expect(await source.client().dbsize()).toBe(10)
  expect((await to(understudy, 'shadow', { dryRun: true })).closedGates).toEqual([])
}, 120_000)

test('after a cleanup in switched nothing is compared with the source, also after a restart, until it has been filled again', async () => {
  const compare = { sample: '100%', repair: true }
  const migration = await startMigration([mirroredRoute({ phase: 'switched', compare })])
  running.push(migration)
  const { source, understudy } = migration
  const count = async (result: string): Promise<number> =>
    Number(
      new RegExp(`^understudy_compare_total{route="all",result="${result}"} (\\d+)`, 'm').exec(
        await understudy.metrics(),
      )![1],
    )
  const readUntil = async (result: string, atLeast: number): Promise<void> =>
    eventually(async () => {
      await understudy.client().get('a')
      expect(await count(result)).toBeGreaterThanOrEqual(atLeast)
    })
  await understudy.client().set('a', '1')
  await mirrorSettled(understudy)
  await readUntil('match', 1)
  await doJob(understudy, 'cleanup', 'all', { dryRun: false })
  expect(await source.client().dbsize()).toBe(0)
  await readUntil('skipped', (await count('skipped')) + 3)
  await understudy.restart()
  await readUntil('skipped', 3)
  // One that finds differences makes nothing good.
  await doJob(understudy, 'verify', 'all')
  expect(await source.client().dbsize()).toBe(0)
  await doJob(understudy, 'backfill', 'all')
  const before = await count('match')
  await readUntil('match', before + 1)
  expect(await count('mismatch')).toBe(0)
}, 240_000)

test('a scan of a key that goes on at the source begins again where a cleanup deletes that there', async () => {
  const migration = await startMigration([mirroredRoute({ phase: 'shadow' })])
  running.push(migration)
  const { source, understudy } = migration
  const client = understudy.client()
  const fields = Array.from({ length: 600 }, (_, i) => `f${i}`)
  await client.hset('h', Object.fromEntries(fields.map((field) => [field, 'v'])))
  await mirrorSettled(understudy)
  const found = new Set<string>()
  const page = async (from: string): Promise<string> => {
    const [next, list] = await client.hscan('h', from, 'COUNT', 20)
    for (let i = 0; i < list.length; i += 2) found.add(list[i]!)
    return next
  }
  let cursor = await page('0')
  await to(understudy, 'switched')
  await doJob(understudy, 'cleanup', 'all', { dryRun: false })
  expect(await source.client().exists('h')).toBe(0)
  while (cursor !== '0') cursor = await page(cursor)
  expect([...found].sort()).toEqual(fields.toSorted())
}, 120_000)

test('a cleanup that comes while the authority moves back to its source deletes nothing', async () => {
  const [source, target] = await Promise.all([startRedis(), startRedis()])
  const network = await holdReplies(target.port)
  const stores = { old: { url: source.url }, new: { url: `redis://127.0.0.1:${network.port}` } }
  const routes = [mirroredRoute({ phase: 'switched' })]
  const understudy = await startUnderstudy({ stores, routes, cutover: { holdTimeout: '60s' } })
  running.push({
    source,
    target,
    understudy,
    async stop() {
      await understudy.stop()
      await network.stop()
      await Promise.all([source.stop(), target.stop()])
    },
  })
  await understudy.client().set('a', '1')
  await mirrorSettled(understudy)
  // The reply to this one is what the switch waits for; what goes down another connection is answered.
  network.hold((sent) => sent.includes('the last one'))
  const last = understudy.client().set('b', 'the last one')
  await eventually(async () => expect(await target.client().get('b')).toBe('the last one'))
  const back = to(understudy, 'shadow')
  const other = await RawClient.open(understudy.port)
  await other.ask('HELLO', '3')
  const isHeld = async (): Promise<boolean> => {
    other.command('GET', 'a')
    return Promise.race([other.next().then(() => false), sleep(1_000).then(() => true)])
  }
  await eventually(async () => expect(await isHeld()).toBe(true))
  const job = await startJob(understudy, 'cleanup', 'all', { dryRun: false })
  expect(await over(understudy, job.id)).toMatchObject({
    state: 'failed',
    error: expect.stringContaining('is about to move'),
  })
  network.release()
  expect(await last).toBe('OK')
  await back
  other.destroy()
  expect(await understudy.client().mget('a', 'b')).toEqual(['1', 'the last one'])
  expect(await source.client().mget('a', 'b')).toEqual(['1', 'the last one'])
}, 120_000)

test.each([false, true])(
  'a cleanup that waits for a target which hangs deletes nothing any more when the source has been made the primary again (with a backup: %s)',
  async (withBackup) => {
    const [source, target] = await Promise.all([startRedis(), startRedis()])
    await fillStrings(source, 20_000)
    const understudy = await startUnderstudy({
      stores: { old: { url: source.url }, new: { url: target.url } },
      routes: [mirroredRoute({ phase: 'switched' })],
      cutover: { holdTimeout: '300ms' },
    })
    running.push({
      source,
      target,
      understudy,
      async stop() {
        await understudy.stop()
        await Promise.all([source.stop(), target.stop()])
      },
    })
    await fillStrings(target, 20_000)
    const backup = withBackup ? { backup: join(directory, 'backup') } : {}
    const { id } = await startJob(understudy, 'cleanup', 'all', { dryRun: false, ...backup })
    const count = () => source.client().dbsize()
    await eventually(async () => expect(await count()).toBeLessThan(19_000), { intervalMs: 2 })
    target.pause()
    let left = 0
    try {
      await to(understudy, 'mirror', { force: true, reason: 'the target hangs' })
      left = await count()
    } finally {
      target.resume()
    }
    expect(left).toBeGreaterThan(400)
    expect(await over(understudy, id)).toMatchObject({ state: 'failed' })
    expect(await count()).toBe(left)
  },
  120_000,
)

test('killed twice in the middle, a cleanup has every key in its backup before it deletes the first, and restore puts all of them back', async () => {
  const migration = await startMigration([mirroredRoute({ phase: 'done' })], (server) => fillStrings(server, 1500))
  running.push(migration)
  const { source, target, understudy } = migration
  await fillStrings(target, 1500)
  for (const server of [source, target]) {
    await server.client().set('key:7', 'x'.repeat(2_000_000))
    await server.client({ db: 3 }).hset('other database', { field: 'value' })
  }
  await source.client().set('key:8', 'another')
  const backup = join(directory, 'backup')
  const { id } = await startJob(understudy, 'cleanup', 'all', { dryRun: false, backup, rate: 700 })
  for (const done of [0, 1_600]) {
    await eventually(async () => expect((await jobOf(understudy, id)).progress.done).toBeGreaterThan(done))
    if (done === 0) expect(await source.client().dbsize()).toBe(1500)
    else expect(readFileSync(backup, 'utf8').split('\n').length).toBeGreaterThan(1500)
    await understudy.kill9()
    // What it was just writing.
    appendFileSync(backup, '{"database":0,"key":"a2V5')
    await understudy.restart()
  }
  expect(await over(understudy, id)).toMatchObject({ state: 'done', error: null, progress: { failed: 0 } })
  expect((await keysOf(understudy, id)).map((key) => [key.key, key.class])).toEqual([['key:8', 'value']])
  expect(await source.client().keys('*')).toEqual(['key:8'])
  expect(await source.client({ db: 3 }).dbsize()).toBe(0)

  const restored = await doJob(understudy, 'restore', 'all', { file: backup, rate: 1_000_000 })
  expect(restored).toMatchObject({ progress: { copied: 1500, skipped: 0, failed: 0 } })
  expect(await driftBetween(source, target, { databases: [0, 3] })).toMatchObject([{ key: 'key:8' }])
}, 240_000)

test.each([
  ['keys are written down', 'away'],
  ['keys are written down', 'cut off'],
  ['keys are deleted', 'away'],
  ['keys are deleted', 'cut off'],
])(
  'a cleanup that is paused while %s, and whose backup is %s then, goes on only with the whole of it',
  async (when, how) => {
    const migration = await startMigration([mirroredRoute({ phase: 'done' })], (server) => fillStrings(server, 1_500))
    running.push(migration)
    const { source, target, understudy } = migration
    await fillStrings(target, 1_500)
    const backup = join(directory, 'backup')
    const { id } = await startJob(understudy, 'cleanup', 'all', { dryRun: false, backup, rate: 1_000 })
    await eventually(async () => {
      const { done, deleted } = (await jobOf(understudy, id)).progress
      expect(when === 'keys are deleted' ? deleted : done).toBeGreaterThan(0)
    })
    await steer(understudy, id, 'pause')
    const left = await source.client().dbsize()
    const whole = readFileSync(backup)
    if (how === 'away') rmSync(backup)
    else writeFileSync(backup, whole.subarray(0, whole.length / 4))
    await steer(understudy, id, 'resume')
    expect(await over(understudy, id)).toMatchObject({
      state: 'failed',
      error: expect.stringMatching(
        /the backup file .* cannot be written: it lacks keys that this job has written to it/,
      ),
    })
    expect(await source.client().dbsize()).toBe(left)
    writeFileSync(backup, whole)
    await steer(understudy, id, 'resume')
    expect(await over(understudy, id)).toMatchObject({ state: 'done', progress: { deleted: 1_500, failed: 0 } })
    expect(await doJob(understudy, 'restore', 'all', { file: backup, rate: 1_000_000 })).toMatchObject({
      progress: { copied: 1_500, failed: 0 },
      report: { clean: true },
    })
  },
  120_000,
)

test('a backup that was cut, or has lines that are no keys, is not restored as if it were whole', async () => {
  const migration = await startMigration()
  running.push(migration)
  const { source, understudy } = migration
  const redis = source.client()
  await redis.set('big', randomBytes(2_000_000))
  const big = (await redis.dumpBuffer('big'))!
  await redis.set('small', 'value')
  const small = (await redis.dumpBuffer('small'))!
  const path = join(directory, 'backup')
  const key = (name: string, payload: Buffer) => ({
    ...{ database: 0, expiresAtMs: null, again: 0 },
    name: Buffer.from(name),
    payload,
  })
  const writer = await BackupWriter.open(path, 'all', 'old', '1 x', null)
  await writer.append([key('a', small), key('big', big), key('z', small)])
  await writer.close()
  const whole = readFileSync(path, 'utf8')
  const lines = whole.trimEnd().split('\n')
  const restored = async (text: string): Promise<unknown[]> => {
    await redis.flushall()
    writeFileSync(path, text)
    const { id } = await startJob(understudy, 'restore', 'all', { file: path })
    const { state, error, report, progress } = await over(understudy, id)
    if (state === 'failed') return [error]
    expect(report!.clean).toBe(progress.failed === 0)
    return [progress.copied, ...(await keysOf(understudy, id)).map((one) => `${one.key}: ${one.detail}`)]
  }
  expect(lines.map((line) => line.includes('"more":true'))).toEqual([false, false, true, true, false, false])
  expect(await restored(whole)).toEqual([3])
  const torn = expect.stringMatching(/^: .*the file ends in the middle of a line, so it was cut/)
  const cut = expect.stringMatching(/^big: .*the file lacks lines of it, or ends before it does/)
  expect(await restored(whole.slice(0, -20))).toEqual([2, torn])
  expect(await restored(`${lines.slice(0, 4).join('\n')}\n`)).toEqual([1, cut])
  expect(await restored(`${lines.slice(0, 4).join('\n')}\n${lines[4]!.slice(0, 99)}`)).toEqual([1, cut, torn])
  // The process was killed in the middle of the key, and what it wrote when it went on is whole.
  const again = lines.slice(2, 5).map((line) => line.replace(/\}$/, ',"again":1}'))
  expect(await restored(`${[...lines.slice(0, 4), lines[5], ...again].join('\n')}\n`)).toEqual([3])
  expect(await redis.strlen('big')).toBe(2_000_000)
  for (const wrong of [
    { database: 'x' },
    { database: 99999999999 },
    { expiresAtMs: 'soon' },
    { payload: '!' },
    { key: 7 },
  ]) {
    const line = JSON.stringify({ ...(JSON.parse(lines[1]!) as object), ...wrong })
    expect(await restored(`${lines[0]}\n${line}\n`), line).toEqual([
      expect.stringMatching(/is damaged: the line that ends/),
    ])
  }

  // Of a key that was not whole when the process ended, nothing is left when it goes on.
  writeFileSync(path, `${lines.slice(0, 4).join('\n')}\n`)
  await (await BackupWriter.open(path, 'all', 'old', '1 x', null)).close()
  expect(readFileSync(path, 'utf8')).toBe(`${lines.slice(0, 2).join('\n')}\n`)
}, 240_000)

test('what has changed since it was written down is written down again; restored into another store, the last one holds, and conflicts go as it is told', async () => {
  const migration = await startMigration()
  running.push(migration)
  const { source, target, understudy } = migration
  const redis = source.client()
  const path = join(directory, 'backup')
  const payloadOf = async (value: string | Buffer): Promise<Buffer> => {
    await redis.set('made', value)
    return (await redis.dumpBuffer('made')) as Buffer
  }
  const key = (name: string, payload: Buffer, again = 0, expiresAtMs: number | null = null) => ({
    database: 0,
    name: Buffer.from(name),
    payload,
    expiresAtMs,
    again,
  })
  const big = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * i) % 251))
  const writer = await BackupWriter.open(path, 'all', 'old', '1 x', null)
  await writer.append([key('a', await payloadOf('first')), key('big', await payloadOf(big))])
  await Promise.all([
    writer.append([key('there', await payloadOf('from the file')), key('expired', await payloadOf('x'), 0, 1)]),
    writer.append([key('a', await payloadOf('last'), 1), key('bad', Buffer.from('no payload'))]),
  ])
  await writer.close()
  await expect(BackupWriter.open(path, 'all', 'old', '2 x', null)).rejects.toThrow(/exists already/)
  const reader = await BackupReader.open(path, new AbortController().signal)
  expect((await reader.survey()).count).toBe(6)
  await reader.close()

  await redis.flushall()
  await understudy.client().set('there', 'before')
  const job = await doJob(understudy, 'restore', 'all', { file: path })
  expect(job.progress).toMatchObject({ done: 6, total: 6, copied: 2, skipped: 2, failed: 1 })
  expect(await keysOf(understudy, job.id)).toMatchObject([
    { key: 'bad', detail: expect.stringContaining('not put back') },
  ])
  for (const server of [source, target]) {
    expect(await server.client().mget('a', 'there', 'expired')).toEqual(['last', 'before', null])
    expect(big.equals((await server.client().getBuffer('big'))!)).toBe(true)
  }
  const refused = await over(
    understudy,
    (await startJob(understudy, 'restore', 'all', { file: path, onConflict: 'fail' })).id,
  )
  expect(refused).toMatchObject({ state: 'failed', error: expect.stringContaining('already') })
  await doJob(understudy, 'restore', 'all', { file: path, onConflict: 'overwrite' })
  expect(await target.client().get('there')).toBe('from the file')
}, 240_000)

test('a restore that has met a conflict goes on when that is gone, and what it has put back itself is none', async () => {
  const migration = await startMigration([mirroredRoute({ phase: 'done' })])
  running.push(migration)
  const { source, target, understudy } = migration
  const members = Array.from({ length: 3_000 }, (_, i) => `member ${(i * 7919) % 10_007}`)
  const expiresAtMs = Date.now() + 600_000
  for (const server of [source, target]) {
    const redis = server.client()
    await redis.set('text', 'a', 'PXAT', expiresAtMs)
    await redis.rpush('list', ...members)
    await redis.sadd('set', ...members)
    await redis.hset('hash', Object.fromEntries(members.map((member, i) => [member, i])))
    await redis.zadd('zset', ...members.flatMap((member, i) => [i % 100, member]))
    await redis.xadd('stream', '1-1', 'field', 'value')
    await redis.xgroup('CREATE', 'stream', 'group', '0')
    await redis.xreadgroup('GROUP', 'group', 'consumer', 'STREAMS', 'stream', '>')
    await redis.set('last', 'a')
  }
  const file = join(directory, 'backup')
  await doJob(understudy, 'cleanup', 'all', { dryRun: false, backup: file })
  const redis = source.client()
  await redis.set('last', 'another')
  const { id } = await startJob(understudy, 'restore', 'all', { file, onConflict: 'fail' })
  expect(await over(understudy, id)).toMatchObject({ state: 'failed', error: expect.stringContaining('already') })
  expect(await redis.dbsize()).toBe(7)

  // So is one that somebody has changed since.
  await steer(understudy, id, 'resume')
  expect(await over(understudy, id)).toMatchObject({ state: 'failed' })
  await redis.del('last')
  await redis.srem('set', members[0]!)
  await steer(understudy, id, 'resume')
  expect(await over(understudy, id)).toMatchObject({ state: 'failed' })
  await redis.sadd('set', members[0]!)
  await redis.del('last')
  await steer(understudy, id, 'resume')
  expect(await over(understudy, id)).toMatchObject({ state: 'done', progress: { copied: 1, skipped: 6, failed: 0 } })
  expect(await driftBetween(source, target, { ttlSlackMs: 1_000 })).toEqual([])
  expect(await redis.keys('understudy:*')).toEqual([])
}, 60_000)

test('a source that takes no writes is waited for by cleanup and restore, and said to be: no key fails', async () => {
  const migration = await startMigration([mirroredRoute({ phase: 'done' })], (server) => fillStrings(server, 300))
  running.push(migration)
  const { source, target, understudy } = migration
  await fillStrings(target, 300)
  const redis = source.client()
  const backup = join(directory, 'backup')
  for (const [kind, options, kept] of [
    ['cleanup', { dryRun: false, backup }, 0],
    ['restore', { file: backup }, 300],
  ] as const) {
    await redis.config('SET', 'min-replicas-to-write', '1')
    const { id } = await startJob(understudy, kind, 'all', options)
    await eventually(async () =>
      expect((await jobOf(understudy, id)).throttle).toMatch(/'old' takes no writes .*NOREPLICAS/),
    )
    await redis.config('SET', 'min-replicas-to-write', '0')
    expect(await over(understudy, id)).toMatchObject({ state: 'done', throttle: null, progress: { failed: 0 } })
    expect(await redis.dbsize()).toBe(kept)
  }
}, 240_000)

test('a source that is a read-only replica is refused by cleanup and restore, with what to do; one that takes writes is not', async () => {
  const migration = await startMigration([mirroredRoute({ phase: 'done' })], (server) => fillStrings(server, 10))
  running.push(migration)
  const { source, target, understudy } = migration
  const backup = join(directory, 'backup')
  await fillStrings(target, 10)
  const redis = source.client()
  await redis.replicaof('127.0.0.1', 1)
  const refusal =
    /store 'old' is a replica of 127\.0\.0\.1:1 and takes no writes.*the address of its primary.*REPLICAOF NO ONE/
  for (const [kind, options] of [
    ['cleanup', {}],
    ['cleanup', { dryRun: false }],
  ] as const) {
    const job = await over(understudy, (await startJob(understudy, kind, 'all', options)).id)
    expect(job).toMatchObject({ state: 'failed', error: expect.stringMatching(refusal) })
  }
  expect(await redis.dbsize()).toBe(10)
  await redis.config('SET', 'replica-read-only', 'no')
  expect(await doJob(understudy, 'cleanup', 'all', { dryRun: false, backup })).toMatchObject({
    progress: { deleted: 10 },
  })
  await redis.config('SET', 'replica-read-only', 'yes')
  const { id } = await startJob(understudy, 'restore', 'all', { file: backup })
  expect(await over(understudy, id)).toMatchObject({ state: 'failed', error: expect.stringMatching(refusal) })
  await redis.replicaof('NO', 'ONE')
  await steer(understudy, id, 'resume')
  expect(await over(understudy, id)).toMatchObject({ state: 'done', progress: { copied: 10 } })
}, 240_000)

test.skipIf(findProgram('prlimit') === null)(
  'a disk without room for the file of an export, or a backup, is told as that, and no key is deleted',
  async () => {
    const migration = await startMigration([mirroredRoute({ phase: 'done' })])
    running.push(migration)
    const { source, target, understudy } = migration
    const value = randomBytes(500_000)
    for (const server of [source, target]) for (let i = 0; i < 20; i++) await server.client().set(`key:${i}`, value)
    // As a full disk does: no file grows beyond that. What Understudy writes of its own is far smaller.
    execFileSync('prlimit', ['--pid', `${understudy.pid}`, '--fsize=4000000:'])
    for (const [kind, options] of [
      ['cleanup', { dryRun: false, backup: join(directory, 'backup') }],
      ['export', { file: join(directory, 'keys.jsonl') }],
    ] as const) {
      const job = await over(understudy, (await startJob(understudy, kind, 'all', options)).id)
      expect(job).toMatchObject({ state: 'failed', error: expect.stringMatching(/ cannot be (used|written): E\w+/) })
    }
    expect(await source.client().dbsize()).toBe(20)
  },
  240_000,
)
