import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Status } from '../../src/admin/status.ts'
import { BackupWriter } from '../../src/jobs/files/backup-writer.ts'
import { eventually } from '../support/eventually.ts'
import { jobOf, over, startJob, steer } from '../support/jobs.ts'
import { driftBetween } from '../support/keyspace.ts'
import { type Migration, mirrorSettled, startMigration } from '../support/migration.ts'

const KEYS = 150
let directory = ''
let migration: Migration

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'understudy-own-writes-'))
  migration = await startMigration()
})
afterEach(async () => {
  await migration.stop()
  rmSync(directory, { recursive: true, force: true })
})

/** Lines of keys, of two databases. */
function fileOfKeys(): string {
  const file = join(directory, 'keys.jsonl')
  const lines = Array.from({ length: KEYS }, (_, i) => ({ key: `key:${i}`, value: `value ${i}`, database: i % 2 }))
  writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  return file
}

/** Begins an import that writes to the primary and cannot copy, for the shadow is away. Gives its number. */
async function importWithoutShadow(file: string): Promise<number> {
  const { source, target, understudy } = migration
  await target.kill9()
  const { id } = await startJob(understudy, 'import', 'all', { file })
  await eventually(async () => {
    expect(await source.client().dbsize()).toBe(KEYS / 2)
    expect(await source.client({ db: 1 }).dbsize()).toBe(KEYS / 2)
    expect((await jobOf(understudy, id)).throttle).toMatch(/^store 'new' does not answer( \(.+\))?$/)
  })
  return id
}

async function expectEqualSides(): Promise<void> {
  const { source, target, understudy } = migration
  await eventually(async () => expect(await target.client().dbsize()).toBe(KEYS / 2))
  await mirrorSettled(understudy)
  expect(await driftBetween(source, target, { databases: [0, 1] })).toEqual([])
}

test('what an import has written and not copied when it is cancelled is copied by itself', async () => {
  const { target, understudy } = migration
  const id = await importWithoutShadow(fileOfKeys())
  expect(await steer(understudy, id, 'cancel')).toMatchObject({ state: 'cancelled' })
  await target.restart()
  await expectEqualSides()
}, 120_000)

test.each([
  ['ends', 'done'],
  ['is cancelled', 'cancelled'],
])(
  'what the primary has lost that an import had written is left as it was on the shadow when the job %s',
  async (_, state) => {
    const { source, target, understudy } = migration
    const mirror = async () => (await understudy.admin<Status>('/api/v1/status')).body.routes['all']!.mirror!
    const names = Array.from({ length: KEYS }, (_, i) => `key:${i}`)
    const file = join(directory, 'keys.jsonl')
    writeFileSync(file, names.map((key) => `${JSON.stringify({ key, value: 'new' })}\n`).join(''))
    await target.client().mset(names.flatMap((name) => [name, 'before']))
    // The shadow is connected when it has this, with which the primary comes back.
    await understudy.client().set('saved', 'v')
    await mirrorSettled(understudy)
    await source.client().save()
    target.pause()
    const { id } = await startJob(understudy, 'import', 'all', { file })
    // As many copies as there may be at once wait for the shadow, and the other keys for these.
    await eventually(async () => expect((await mirror()).backlog).toBeGreaterThanOrEqual(32))
    await source.restart()
    await eventually(async () => expect((await mirror()).verifyCauses).toContain('primary-restarted'))
    if (state === 'cancelled') await steer(understudy, id, 'cancel')
    target.resume()
    expect(await over(understudy, id)).toMatchObject({ state })
    if (state === 'cancelled') await eventually(async () => expect((await mirror()).repair).toBe('resting'))
    expect(await target.client().exists(...names)).toBe(KEYS)
  },
  120_000,
)

test('what an import has written and not copied when the process is killed is copied by itself, though the job cannot go on', async () => {
  const { target, understudy } = migration
  const file = fileOfKeys()
  const id = await importWithoutShadow(file)
  // Longer than the segment of the intent log that they were noted in first.
  const segments = () => readdirSync(join(understudy.stateDir, 'intent')).filter((name) => name.endsWith('.log'))
  const [first] = segments().sort()
  await eventually(() => expect(segments()).not.toContain(first))
  await understudy.kill9()
  rmSync(file)
  await target.restart()
  await understudy.restart()
  expect((await over(understudy, id)).state).toBe('failed')
  await expectEqualSides()
}, 120_000)

test('what a restore has put back and not copied when it is cancelled is copied by itself', async () => {
  const { source, target, understudy } = migration
  const redis = source.client()
  const file = join(directory, 'backup')
  await redis.set('key', 'value')
  const payload = (await redis.dumpBuffer('key'))!
  await redis.del('key')
  await mirrorSettled(understudy)
  const backup = await BackupWriter.open(file, 'all', 'old', 'a test', null)
  const names = Array.from({ length: KEYS }, (_, i) => Buffer.from(`key:${i}`))
  await backup.append(names.map((name) => ({ database: 0, name, expiresAtMs: null, payload, again: 0 })))
  await backup.close()

  await target.kill9()
  const { id } = await startJob(understudy, 'restore', 'all', { file })
  await eventually(async () => {
    expect(await redis.dbsize()).toBe(KEYS)
    expect((await jobOf(understudy, id)).throttle).toMatch(/^store 'new' does not answer( \(.+\))?$/)
  })
  await steer(understudy, id, 'cancel')
  await target.restart()
  await eventually(async () => expect(await target.client().dbsize()).toBe(KEYS))
}, 120_000)

test('a key that its application writes to all the time is imported, and the sides are equal', async () => {
  const { source, target, understudy } = migration
  const file = join(directory, 'hash.jsonl')
  const fields = Object.fromEntries(Array.from({ length: 3_000 }, (_, i) => [`field:${i}`, 'imported']))
  writeFileSync(file, `${JSON.stringify({ key: 'h', type: 'hash', value: { ...fields, counter: '0' } })}\n`)
  const client = understudy.client()
  let isOver = false
  const writer = (async () => {
    for (let i = 1; !isOver; i++) await client.hset('h', 'counter', i)
  })()
  await eventually(async () => expect(await source.client().hlen('h')).toBe(1))
  const { id } = await startJob(understudy, 'import', 'all', { file, onConflict: 'overwrite' })
  const job = await over(understudy, id)
  isOver = true
  await writer
  expect(job).toMatchObject({ state: 'done', progress: { copied: 1, failed: 0 } })
  await mirrorSettled(understudy)
  expect(await source.client().hlen('h')).toBe(3_001)
  expect(await driftBetween(source, target)).toEqual([])
}, 60_000)

test('a switch waits for the page that an import writes; a forced one ends it, and nothing of it is copied before a verify', async () => {
  const { source, target, understudy } = migration
  const toSwitched = (options: object) =>
    understudy.admin<{ error?: { message: string } }>('/api/v1/routes/all/phase', {
      method: 'PUT',
      body: JSON.stringify({ phase: 'switched', ...options }),
    })
  const [atSource, atTarget] = [source.client(), target.client()]
  await over(understudy, (await startJob(understudy, 'backfill', 'all')).id)
  // Nothing is copied any more.
  await atTarget.call('CLIENT', 'PAUSE', '600000', 'WRITE')
  const { id } = await startJob(understudy, 'import', 'all', { file: fileOfKeys() })
  await eventually(async () => expect(await atSource.dbsize()).toBe(KEYS / 2))
  const { body } = await toSwitched({})
  expect(body.error?.message).toContain('an import or restore writes keys of route')
  expect((await jobOf(understudy, id)).state).toBe('running')
  expect((await toSwitched({ force: true, reason: 'a test' })).body.error).toBeUndefined()
  await atTarget.call('CLIENT', 'UNPAUSE')
  expect(await over(understudy, id)).toMatchObject({
    state: 'failed',
    error: expect.stringContaining('start it again'),
  })
  await mirrorSettled(understudy)
  expect(await atSource.dbsize()).toBe(KEYS / 2)
  const { routes } = (await understudy.admin<Status>('/api/v1/status')).body
  expect(routes['all']!.mirror).toMatchObject({ needsVerify: true, verifyCauses: ['turned'] })
}, 60_000)
