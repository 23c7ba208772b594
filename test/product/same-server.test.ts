import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import type { PhaseResult } from '../../src/admin/control.ts'
import type { Status } from '../../src/admin/status.ts'
import type { JobKind } from '../../src/jobs/runner/job.ts'
import { eventually } from '../support/eventually.ts'
import { doJob, over, startJob } from '../support/jobs.ts'
import { mirroredRoute, mirrorSettled, startMigration } from '../support/migration.ts'
import { startRedis } from '../support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../support/understudy.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

type Answer = PhaseResult & { error?: { code: string; message: string } }

async function to(understudy: UnderstudyProcess, phase: string, more: object = {}): Promise<Answer> {
  const init = { method: 'PUT', body: JSON.stringify({ phase, ...more }) }
  return (await understudy.admin<Answer>('/api/v1/routes/all/phase', init)).body
}

/** Resolves with why it was refused. */
async function refusal(understudy: UnderstudyProcess, kind: JobKind, options: object = {}): Promise<string | null> {
  const job = await over(understudy, (await startJob(understudy, kind, 'all', options)).id)
  expect(job.state).toBe('failed')
  return job.error
}

const ONE = /stores 'old' and 'new' are one server under two addresses/

test('one server under two addresses: nothing is written twice, no gate opens, and no job takes it for two', async () => {
  const both = await startRedis({ args: ['--unixsocket', 'sock'] })
  running.push(both)
  const direct = both.client()
  await direct.set('a', '1')
  const understudy = await startUnderstudy({
    stores: { old: { url: both.url }, new: { url: `unix://${join(both.dir, 'sock')}` } },
    routes: [mirroredRoute({ phase: 'passthrough' })],
  })
  running.push(understudy)
  expect((await to(understudy, 'mirror')).error).toMatchObject({
    code: 'GATE_CLOSED',
    message: expect.stringMatching(ONE),
  })
  expect((await to(understudy, 'mirror', { force: true, reason: 'a test' })).error).toBeUndefined()
  const client = understudy.client()
  expect(await client.incr('a')).toBe(2)
  await eventually(async () => {
    const { stores, routes } = (await understudy.admin<Status>('/api/v1/status')).body
    expect(stores['new']).toMatchObject({
      up: false,
      error: expect.stringContaining("the very server that store 'old'"),
    })
    expect(routes['all']!.mirror.mirrored).toBe(0)
  })
  expect(await client.incr('a')).toBe(3)
  for (const phase of ['read-target', 'switched'])
    expect((await to(understudy, phase, { dryRun: true })).closedGates).toContainEqual(expect.stringMatching(ONE))
  for (const kind of ['backfill', 'verify', 'repair'] as const) expect(await refusal(understudy, kind)).toMatch(ONE)
  // Whatever somebody forces.
  expect((await to(understudy, 'done', { force: true, reason: 'a test' })).error).toBeUndefined()
  expect(await refusal(understudy, 'cleanup', { dryRun: false, backup: join(understudy.stateDir, 'b') })).toMatch(ONE)
  expect(await direct.get('a')).toBe('3')
})

test('a target that is still a replica of the source answers nothing, and nothing is cleaned up behind it, until it has been promoted', async () => {
  const migration = await startMigration([mirroredRoute({ phase: 'passthrough' })], (source) =>
    source.client().set('a', '1'),
  )
  running.push(migration)
  const { understudy, source, target } = migration
  const replica = target.client()
  await replica.replicaof(source.host, source.port)
  await eventually(async () => expect(await replica.get('a')).toBe('1'))
  expect((await to(understudy, 'mirror')).error).toBeUndefined()
  await doJob(understudy, 'verify', 'all')
  const REPLICA = /store 'new' is a replica.*REPLICAOF NO ONE/
  for (const phase of ['read-target', 'switched'])
    await eventually(
      async () => {
        const { closedGates } = await to(understudy, phase, { dryRun: true })
        expect(closedGates).toContainEqual(expect.stringMatching(REPLICA))
      },
      { timeoutMs: 30_000 },
    )
  expect((await to(understudy, 'done', { force: true, reason: 'a test' })).error).toBeUndefined()
  expect(await refusal(understudy, 'cleanup', { dryRun: false })).toMatch(/store 'new' is a replica/)
  expect(await source.client().get('a')).toBe('1')
  expect((await to(understudy, 'mirror', { force: true, reason: 'a test' })).error).toBeUndefined()
  await replica.replicaof('NO', 'ONE')
  await doJob(understudy, 'verify', 'all')
  await mirrorSettled(understudy)
  await eventually(async () => expect((await to(understudy, 'switched', { dryRun: true })).closedGates).toEqual([]), {
    timeoutMs: 30_000,
  })
  await doJob(understudy, 'verify', 'all')
  expect((await to(understudy, 'switched')).error).toBeUndefined()
  expect(await understudy.client().incr('a')).toBe(2)
})
