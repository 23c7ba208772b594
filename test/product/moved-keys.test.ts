import { afterEach, expect, test } from 'vitest'
import type { ReloadResult } from '../../src/admin/control.ts'
import type { Status } from '../../src/admin/status.ts'
import { eventually } from '../support/eventually.ts'
import { doJob } from '../support/jobs.ts'
import { type Migration, mirroredRoute, startMigration } from '../support/migration.ts'
import { startRedis } from '../support/redis.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

const jobs = (more: object = {}) => mirroredRoute({ name: 'jobs', keys: ['job:{id}'], phase: 'switched', ...more })

type Answer = ReloadResult & { error?: { code: string; message: string } }

async function started(...args: Parameters<typeof startMigration>): Promise<Migration> {
  const migration = await startMigration(...args)
  running.push(migration)
  return migration
}

/** Writes the routes into the file, which is reloaded when it is seen, or now. */
async function reroute({ understudy }: Migration, routes: readonly object[], more: object = {}): Promise<Answer> {
  understudy.edit((text) => text.replace(/^routes:[\s\S]*?(?=^\S|$(?![\s\S]))/m, `routes: ${JSON.stringify(routes)}\n`))
  const init = { method: 'POST', body: JSON.stringify(more) }
  return (await understudy.admin<Answer>('/api/v1/config/reload', init)).body
}

test('a reload that moves keys meets the gates of a switch, says so before, and moves them when the new primary is complete', async () => {
  const migration = await started([mirroredRoute({ phase: 'shadow' })], (server) => server.client().set('job:1', '41'))
  const { understudy, source, target } = migration
  const app = understudy.client()
  const id = await app.client('ID')
  const lacks = /keys "job:\{id\}" of route 'all': store 'new' may lack what 'old' held before mirroring began/
  const refused = await reroute(migration, [jobs(), mirroredRoute({ phase: 'shadow' })])
  expect(refused.error).toMatchObject({ code: 'GATE_CLOSED', message: expect.stringMatching(lacks) })
  const dry = (await understudy.admin<Answer>('/api/v1/config/changes')).body
  expect(dry.closedGates).toEqual([expect.stringMatching(lacks)])
  expect(dry.moves).toEqual([
    expect.stringContaining(`keys "job:{id}" go from route 'all' to 'jobs': their primary moves from store 'old'`),
  ])
  expect(await app.incr('job:1')).toBe(42)
  expect(await source.client().get('job:1')).toBe('42')
  const { lastReload, routes } = (await understudy.admin<Status>('/api/v1/status')).body
  expect([lastReload.successful, Object.keys(routes)]).toEqual([false, ['all']])

  await reroute(migration, [mirroredRoute({ phase: 'shadow' })])
  await doJob(understudy, 'backfill', 'all')
  const done = await reroute(migration, [jobs(), mirroredRoute({ phase: 'shadow' })])
  expect(done.error).toBeUndefined()
  await eventually(async () =>
    expect(Object.keys((await understudy.admin<Status>('/api/v1/status')).body.routes)).toEqual(['jobs', 'all']),
  )
  expect(await app.incr('job:1')).toBe(43)
  expect(await target.client().get('job:1')).toBe('43')
  await eventually(async () => expect(await source.client().get('job:1')).toBe('43'))
  // And back: what was complete has been kept up, so nothing is in the way; not even after a restart.
  expect((await reroute(migration, [mirroredRoute({ phase: 'shadow' })])).error).toBeUndefined()
  expect(await app.incr('job:1')).toBe(44)
  expect(await source.client().get('job:1')).toBe('44')
  expect(await app.client('ID')).toBe(id)
  await understudy.restart()
  expect((await reroute(migration, [jobs(), mirroredRoute({ phase: 'shadow' })])).error).toBeUndefined()
  expect(await understudy.client().incr('job:1')).toBe(45)
  await eventually(() => expect(understudy.stderr + understudy.stdout).toContain('keys have another primary'))
}, 180_000)

test('a store that becomes another server under its name is refused as primary, unless it is forced; as shadow it is incomplete', async () => {
  const migration = await started([mirroredRoute({ phase: 'shadow' })])
  const { understudy, source, target } = migration
  const other = await startRedis()
  running.push(other)
  const app = understudy.client()
  await app.set('k', '1')
  await eventually(async () => expect(await target.client().get('k')).toBe('1'))
  const edit = (from: string, to: string) => understudy.edit((text) => text.replace(from, to))
  const reload = async (more: object = {}) =>
    (
      await understudy.admin<Answer>('/api/v1/config/reload', {
        method: 'POST',
        body: JSON.stringify(more),
      })
    ).body
  edit(source.url, other.url)
  expect((await reload()).error).toMatchObject({
    code: 'GATE_CLOSED',
    message: expect.stringMatching(/store 'old', would be another server/),
  })
  expect(await app.incr('k')).toBe(2)
  edit(other.url, source.url)

  edit(target.url, other.url)
  expect((await reload()).error).toBeUndefined()
  await app.set('l', '1')
  await eventually(async () => expect(await other.client().get('l')).toBe('1'))
  const phase = async (to: string) =>
    (
      await understudy.admin<Answer>('/api/v1/routes/all/phase', {
        method: 'PUT',
        body: JSON.stringify({ phase: to }),
      })
    ).body.error
  expect(await phase('switched')).toMatchObject({
    code: 'GATE_CLOSED',
    message: expect.stringContaining("store 'new' may lack what 'old' held before mirroring began"),
  })
  await doJob(understudy, 'backfill', 'all')
  expect(await doJob(understudy, 'verify', 'all')).toMatchObject({ report: { clean: true } })
  expect(await phase('switched')).toBeUndefined()
  expect(await app.incr('k')).toBe(3)

  edit(other.url, target.url)
  expect((await reload({ force: true, reason: 'it was the copy of the day before' })).error).toBeUndefined()
  await eventually(async () => expect(await app.get('k')).toBe(await target.client().get('k')))
}, 180_000)
