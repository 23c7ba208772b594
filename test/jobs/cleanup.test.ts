import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { PhaseResult } from '../../src/admin/control.ts'
import { doJob, keysOf, over, startJob } from '../support/jobs.ts'
import { type Migration, mirroredRoute, startMigration } from '../support/migration.ts'
import type { UnderstudyProcess } from '../support/understudy.ts'

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

  const backup = join(directory, 'backup.jsonl')
  const job = await doJob(understudy, 'cleanup', 'all', { dryRun: false, backup })
  expect(job).toMatchObject({ progress: { deleted: 3, different: 2, failed: 0 }, report: { clean: false } })
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
}, 40_000)

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
}, 40_000)
