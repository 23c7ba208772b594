import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, expect, test } from 'vitest'
import type { PhaseResult } from '../../src/admin/control.ts'
import type { Status } from '../../src/admin/status.ts'
import { eventually } from '../support/eventually.ts'
import { doJob, jobOf, keysOf, over, startJob, steer } from '../support/jobs.ts'
import { fillStrings, type Migration, mirroredRoute, mirrorSettled, startMigration } from '../support/migration.ts'
import { startRedis } from '../support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../support/understudy.ts'

const running: Migration[] = []
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop()
})

type Answer = PhaseResult & { error?: { code: string; message: string } }

async function to(understudy: UnderstudyProcess, phase: string, more: object = {}): Promise<Answer> {
  const init = { method: 'PUT', body: JSON.stringify({ phase, ...more }) }
  return (await understudy.admin<Answer>('/api/v1/routes/all/phase', init)).body
}

const LACKS = /store 'new' may lack what 'old' held before mirroring began.*understudy backfill all/

test('what was there before mirroring began keeps reads and authority from moving, until it has been brought over', async () => {
  const migration = await startMigration([mirroredRoute()], (server) => server.client().mset('counter', '41', 'b', '2'))
  running.push(migration)
  const { understudy, target } = migration
  // A part of what the source has is all that the target gets.
  expect(await understudy.client().incr('counter')).toBe(42)
  expect((await to(understudy, 'shadow')).error).toBeUndefined()
  for (const phase of ['read-target', 'switched']) {
    expect((await to(understudy, phase, { dryRun: true })).closedGates).toEqual([expect.stringMatching(LACKS)])
    expect((await to(understudy, phase)).error).toMatchObject({
      code: 'GATE_CLOSED',
      message: expect.stringMatching(LACKS),
    })
  }
  await understudy.restart()
  expect((await to(understudy, 'read-target')).error).toMatchObject({ code: 'GATE_CLOSED' })
  // A sample proves nothing.
  await doJob(understudy, 'verify', 'all', { sample: 0.5 })
  expect((await to(understudy, 'read-target')).error).toMatchObject({ code: 'GATE_CLOSED' })

  await doJob(understudy, 'backfill', 'all')
  await understudy.restart()
  expect((await to(understudy, 'switched')).error).toBeUndefined()
  expect(await target.client().get('counter')).toBe('42')
  // The way back, and forth again.
  expect((await to(understudy, 'mirror')).error).toBeUndefined()
  expect((await to(understudy, 'switched')).error).toBeUndefined()
  expect((await to(understudy, 'mirror')).error).toBeUndefined()
  // Mirroring begins anew.
  expect((await to(understudy, 'passthrough')).error).toBeUndefined()
  expect((await to(understudy, 'mirror')).error).toBeUndefined()
  expect((await to(understudy, 'read-target')).error).toMatchObject({ code: 'GATE_CLOSED' })
  expect(await doJob(understudy, 'verify', 'all')).toMatchObject({ report: { clean: true } })
  expect((await to(understudy, 'read-target')).error).toBeUndefined()
})

test('jobs that come later count as later, also where the clock was set back meanwhile', async () => {
  const migration = await startMigration([mirroredRoute()], (server) => server.client().mset('a', '1', 'b', '2'))
  running.push(migration)
  const { understudy, target } = migration
  const day = 86_400_000
  /** What has happened so far was a day later, by the clock of then. */
  const setBack = async (): Promise<void> => {
    await understudy.kill9()
    const state = new DatabaseSync(join(understudy.stateDir, 'state.db'))
    state.exec(`UPDATE route_mirroring SET since = since + ${day}, backfilled_at = backfilled_at + ${day};
      UPDATE jobs SET created_at = created_at + ${day}, started_at = started_at + ${day}, finished_at = finished_at + ${day}`)
    state.close()
    await understudy.restart()
    await mirrorSettled(understudy)
  }
  await setBack()
  await doJob(understudy, 'backfill', 'all')
  expect((await to(understudy, 'switched', { dryRun: true })).closedGates).toEqual([])
  await setBack()
  await target.client().set('a', 'another')
  const { id } = await doJob(understudy, 'verify', 'all')
  const unsettled = async () =>
    (await understudy.admin<Status>('/api/v1/status')).body.routes['all']!.mirror.unsettledVerify
  expect(await unsettled()).toMatchObject({ job: id, keys: 1 })
  await doJob(understudy, 'repair', 'all')
  expect(await unsettled()).toBeNull()
})

test('what a backfill or verify has left is why the gate stays closed, and keys of a database that the target lacks are named', async () => {
  const source = await startRedis()
  const target = await startRedis({ args: ['--databases', '1'] })
  await source.client().set('a', '1')
  await source.client({ db: 3 }).set('b', '1')
  const stores = { old: { url: source.url }, new: { url: target.url } }
  const understudy = await startUnderstudy({ stores, routes: [mirroredRoute()] })
  running.push({
    source,
    target,
    understudy,
    async stop() {
      await understudy.stop()
      await Promise.all([source.stop(), target.stop()])
    },
  })
  const because = 'the shadow refuses database 3 (ERR DB index is out of range)'
  const backfill = await doJob(understudy, 'backfill', 'all')
  expect(backfill).toMatchObject({ progress: { copied: 1, failed: 1 } })
  expect((await keysOf(understudy, backfill.id)).map(({ detail }) => detail)).toEqual([
    `It could not be copied: ${because}.`,
  ])
  const { routes } = (await understudy.admin<Status>('/api/v1/status')).body
  expect(routes['all']!.mirror).toMatchObject({ strandedDatabases: [3], strandedBecause: because })
  const closed = async () => (await to(understudy, 'switched', { dryRun: true })).closedGates
  const has = (job: string) =>
    expect.stringMatching(`${job} has left 1 key \\('understudy jobs keys .' says why\\): mend that, then run`)
  expect(await closed()).toContainEqual(has('backfill 1'))
  expect(await closed()).toContainEqual(
    expect.stringContaining(`keys of database 3 cannot be copied to 'new': ${because}`),
  )
  await doJob(understudy, 'verify', 'all')
  expect(await closed()).toContainEqual(has('verify 2'))
  // What has looked only has settled nothing.
  await doJob(understudy, 'backfill', 'all', { dryRun: true })
  expect(await closed()).toContainEqual(has('verify 2'))
  await understudy.client({ db: 3 }).del('b')
  await doJob(understudy, 'backfill', 'all')
  expect((await to(understudy, 'switched')).error).toBeUndefined()
}, 90_000)

test('a source without keys of the route needs no backfill, whatever else it holds', async () => {
  const migration = await startMigration(
    [mirroredRoute({ keys: ['job:{id}'] }), { name: 'rest', keys: ['*'], source: { store: 'old' } }],
    (server) => server.client().mset('user:1', 'a', 'jobs', 'b'),
  )
  running.push(migration)
  const { understudy } = migration
  await understudy.client().set('job:1', 'a')
  expect((await to(understudy, 'read-target')).error).toBeUndefined()
  expect((await to(understudy, 'switched')).error).toBeUndefined()
})

test('keys that a route gets when a more specific one goes lack at the target until they have been brought over', async () => {
  const job = { name: 'job', keys: ['job:{id}'], source: { store: 'old' } }
  const user = { name: 'user', keys: ['user:{id}'], source: { store: 'old' } }
  const migration = await startMigration([mirroredRoute(), job, user])
  running.push(migration)
  const { understudy, source, target } = migration
  const status = async () => (await understudy.admin<Status>('/api/v1/status')).body
  const routesAre = async (routes: readonly object[]) => {
    const { epoch } = await status()
    understudy.edit((text) =>
      text.replace(/^routes:[\s\S]*?(?=^\S|$(?![\s\S]))/m, `routes: ${JSON.stringify(routes)}\n`),
    )
    await eventually(async () => expect((await status()).epoch).toBeGreaterThan(epoch))
  }
  // Just begun, functions may not have been compared yet.
  const gatesOpen = () =>
    eventually(async () => expect((await to(understudy, 'read-target', { dryRun: true })).closedGates).toEqual([]))
  await understudy.client().mset('other', 'a', 'user:1', 'b')
  await understudy.client().set('job:1', 'c')
  await gatesOpen()
  // Another route takes more from it: what is left to it is still known.
  await routesAre([mirroredRoute(), { ...job, keys: ['job:{id}', 'session:{id}'] }, user])
  await gatesOpen()

  await routesAre([mirroredRoute(), user])
  expect(await target.client().exists('job:1')).toBe(0)
  expect((await to(understudy, 'switched')).error).toMatchObject({
    code: 'GATE_CLOSED',
    message: expect.stringMatching(LACKS),
  })
  await understudy.restart()
  expect((await to(understudy, 'switched')).error).toMatchObject({ code: 'GATE_CLOSED' })
  await doJob(understudy, 'backfill', 'all')
  expect(await doJob(understudy, 'verify', 'all')).toMatchObject({ report: { clean: true } })
  expect((await to(understudy, 'switched')).error).toBeUndefined()
  expect(await understudy.client().get('job:1')).toBe(await source.client().get('job:1'))
})

test('the way back says that a cleanup has deleted keys there, and is open again behind a backfill', async () => {
  const migration = await startMigration([mirroredRoute()], (server) => fillStrings(server, 10))
  running.push(migration)
  const { understudy } = migration
  await doJob(understudy, 'backfill', 'all')
  expect((await to(understudy, 'switched')).error).toBeUndefined()
  await doJob(understudy, 'cleanup', 'all', { dryRun: false })
  expect((await to(understudy, 'mirror')).error).toMatchObject({
    code: 'GATE_CLOSED',
    message: expect.stringMatching(/store 'old' may lack what 'new' holds \(what a cleanup has deleted.*backfill all/),
  })
  await doJob(understudy, 'backfill', 'all')
  expect((await to(understudy, 'mirror')).error).toBeUndefined()
})

test('reads are not moved to a target that does not answer', async () => {
  const migration = await startMigration([mirroredRoute({ phase: 'shadow' })])
  running.push(migration)
  const { understudy, target } = migration
  await target.kill9()
  await eventually(async () => {
    const { closedGates } = await to(understudy, 'read-target', { dryRun: true })
    expect(closedGates).toContainEqual(expect.stringContaining("store 'new' does not answer"))
  })
  await target.restart()
  await eventually(async () => {
    const { gates } = await to(understudy, 'read-target', { dryRun: true })
    expect(gates).toContainEqual({ route: 'all', open: true, reason: "store 'new' answers" })
  })
})

test('a forced switch is written down with its reason and with what was in its way', async () => {
  const migration = await startMigration([mirroredRoute()], (server) => server.client().set('a', '1'))
  const { understudy } = migration
  try {
    // Until the functions of both have been compared, a forced switch would leave a doubt behind.
    await eventually(async () => {
      const { routes } = (await understudy.admin<Status>('/api/v1/status')).body
      expect(routes['all']!.mirror.needsVerify).toBe(false)
    })
    expect((await to(understudy, 'switched', { force: true, reason: 'a cache' })).error).toBeUndefined()
    // It lacks what it lacked.
    expect((await to(understudy, 'mirror')).error).toBeUndefined()
    expect((await to(understudy, 'switched')).error).toMatchObject({ code: 'GATE_CLOSED' })
    await understudy.kill9()
    const state = new DatabaseSync(join(understudy.stateDir, 'state.db'))
    const [entry] = state.prepare('SELECT kind, route, detail FROM journal').all()
    state.close()
    expect(entry).toMatchObject({ kind: 'forced', route: 'all' })
    expect(JSON.parse(String(entry!['detail']))).toEqual({
      from: 'mirror',
      to: 'switched',
      reason: 'a cache',
      closedGates: [expect.stringMatching(LACKS)],
    })
  } finally {
    await migration.stop()
  }
})

test('what the target held before mirroring began keeps reads and authority from moving, until a verify has found nothing', async () => {
  const migration = await startMigration([mirroredRoute()], (server) => server.client().mset('counter', '41', 'b', '2'))
  running.push(migration)
  const { understudy, source, target } = migration
  expect((await to(understudy, 'shadow')).error).toBeUndefined()
  await understudy.client().set('expires', 'soon')
  await eventually(async () => expect(await target.client().get('expires')).toBe('soon'))
  // Mirroring is broken off, and what happens meanwhile does not reach the target.
  expect((await to(understudy, 'passthrough')).error).toBeUndefined()
  await source.client().del('expires')
  expect((await to(understudy, 'shadow')).error).toBeUndefined()
  expect(await doJob(understudy, 'backfill', 'all')).toMatchObject({ report: { clean: true } })
  for (const phase of ['read-target', 'switched']) {
    expect((await to(understudy, phase)).error).toMatchObject({
      code: 'GATE_CLOSED',
      message: expect.stringMatching(/store 'new' held keys of this route before mirroring began.*--delete-extra/),
    })
  }
  await understudy.restart()
  expect(await doJob(understudy, 'verify', 'all')).toMatchObject({ report: { clean: false } })
  expect((await to(understudy, 'switched')).error).toMatchObject({ code: 'GATE_CLOSED' })
  await doJob(understudy, 'repair', 'all', { deleteExtra: true })
  expect(await doJob(understudy, 'verify', 'all')).toMatchObject({ report: { clean: true } })
  expect((await to(understudy, 'switched')).error).toBeUndefined()
  expect(await understudy.client().get('expires')).toBeNull()
})

test('a target that does not answer when mirroring begins again may hold what has been deleted since', async () => {
  const migration = await startMigration([mirroredRoute()])
  running.push(migration)
  const { understudy, source, target } = migration
  await understudy.client().set('k', 'v')
  await eventually(async () => expect(await target.client().get('k')).toBe('v'))
  expect((await to(understudy, 'passthrough')).error).toBeUndefined()
  await source.client().del('k')
  target.pause()
  expect((await to(understudy, 'mirror')).error).toBeUndefined()
  target.resume()
  expect(await doJob(understudy, 'backfill', 'all')).toMatchObject({ report: { clean: true } })
  expect((await to(understudy, 'switched')).error).toMatchObject({
    code: 'GATE_CLOSED',
    message: expect.stringMatching(/store 'new' held keys .* or did not answer then .*understudy verify all/),
  })
  expect(await doJob(understudy, 'verify', 'all')).toMatchObject({ report: { clean: false } })
  await doJob(understudy, 'repair', 'all', { deleteExtra: true })
  expect(await doJob(understudy, 'verify', 'all')).toMatchObject({ report: { clean: true } })
  expect((await to(understudy, 'switched')).error).toBeUndefined()
  expect(await understudy.client().get('k')).toBeNull()
})

test('a switch that waited for a gate to open says nothing of gates', async () => {
  const migration = await startMigration()
  running.push(migration)
  const { understudy, target } = migration
  target.pause()
  await eventually(async () =>
    expect((await to(understudy, 'switched', { dryRun: true })).closedGates).toEqual([
      expect.stringContaining('does not answer'),
    ]),
  )
  const switching = to(understudy, 'switched')
  target.resume()
  const { error, closedGates, gates } = await switching
  expect({ error, closedGates }).toEqual({ error: undefined, closedGates: [] })
  expect(gates.every(({ open }) => open)).toBe(true)
})

test.each(['backfill', 'verify'] as const)(
  'a %s that was paused before a cleanup and resumed after it opens no way back: what it had done is undone',
  async (kind) => {
    const migration = await startMigration([mirroredRoute()], (server) => fillStrings(server, 2_000))
    running.push(migration)
    const { understudy, source } = migration
    await doJob(understudy, 'backfill', 'all')
    expect((await to(understudy, 'switched')).error).toBeUndefined()
    const { id } = await startJob(understudy, kind, 'all', { rate: 2_000 })
    // A verify looks at the keys of the end that answers first.
    const enough = kind === 'verify' ? 2_400 : 500
    await eventually(async () => expect((await jobOf(understudy, id)).progress.done).toBeGreaterThan(enough))
    expect(await steer(understudy, id, 'pause')).toMatchObject({ state: 'paused' })
    await doJob(understudy, 'cleanup', 'all', { dryRun: false })
    expect(await source.client().dbsize()).toBe(0)
    await steer(understudy, id, 'resume')
    expect(await over(understudy, id)).toMatchObject({ state: 'done' })
    expect((await to(understudy, 'shadow')).error).toMatchObject({
      code: 'GATE_CLOSED',
      message: expect.stringMatching(/store 'old' may lack what 'new' holds \(what a cleanup/),
    })
    // One that begins now looks at every key.
    await doJob(understudy, 'backfill', 'all')
    expect((await to(understudy, 'shadow')).error).toBeUndefined()
    expect(await source.client().dbsize()).toBe(2_000)
  },
)

test('what a restore brings back into the end that does not answer keeps the way back closed until a verify has found nothing', async () => {
  const migration = await startMigration([mirroredRoute({ phase: 'switched' })])
  running.push(migration)
  const { understudy } = migration
  const client = understudy.client()
  await client.mset('session:1', 'valid', 'session:2', 'valid')
  await mirrorSettled(understudy)
  const file = join(understudy.stateDir, 'backup')
  await doJob(understudy, 'cleanup', 'all', { dryRun: false, backup: file })
  await client.del('session:1')
  await mirrorSettled(understudy)
  await doJob(understudy, 'restore', 'all', { file })
  await doJob(understudy, 'backfill', 'all')
  await understudy.restart()
  expect((await to(understudy, 'shadow')).error).toMatchObject({
    code: 'GATE_CLOSED',
    message: expect.stringMatching(
      /store 'old' holds keys of this route that mirroring has not brought.*--delete-extra/,
    ),
  })
  expect(await doJob(understudy, 'verify', 'all')).toMatchObject({ report: { clean: false } })
  await doJob(understudy, 'repair', 'all', { deleteExtra: true })
  expect(await doJob(understudy, 'verify', 'all')).toMatchObject({ report: { clean: true } })
  expect((await to(understudy, 'shadow')).error).toBeUndefined()
  expect(await client.get('session:1')).toBeNull()
})
