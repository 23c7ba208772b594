import { readFileSync } from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import type { PhaseResult, ReloadResult } from '../../src/admin/control.ts'
import type { Status } from '../../src/admin/status.ts'
import { eventually } from '../support/eventually.ts'
import { doJob } from '../support/jobs.ts'
import { fillStrings, type Migration, mirroredRoute, mirrorSettled, startMigration } from '../support/migration.ts'
import { startRedis } from '../support/redis.ts'
import type { UnderstudyProcess } from '../support/understudy.ts'

const running: Migration[] = []
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop()
})

async function started(phase: string, readOnce = false): Promise<Migration> {
  const migration = await startMigration([mirroredRoute({ phase })], (source) => fillStrings(source, 100), { readOnce })
  running.push(migration)
  return migration
}

type Refused = { error?: { code: string; message: string } }

async function statusOf(understudy: UnderstudyProcess): Promise<Status> {
  return (await understudy.admin<Status>('/api/v1/status')).body
}

async function reload(understudy: UnderstudyProcess, request: object = {}): Promise<ReloadResult & Refused> {
  const init = { method: 'POST', body: JSON.stringify(request) }
  return (await understudy.admin<ReloadResult & Refused>('/api/v1/config/reload', init)).body
}

async function toPhase(understudy: UnderstudyProcess, phase: string): Promise<PhaseResult & Refused> {
  const init = { method: 'PUT', body: JSON.stringify({ phase }) }
  return (await understudy.admin<PhaseResult & Refused>('/api/v1/routes/all/phase', init)).body
}

/** As somebody does it who writes the file and no more. */
function write(understudy: UnderstudyProcess, from: string, to: string): void {
  understudy.edit((text) => text.replace(`phase: ${from}`, `phase: ${to}`))
}

const stop = async (understudy: UnderstudyProcess): Promise<void> => {
  understudy.signal('SIGTERM')
  expect(await understudy.exited).toMatchObject({ code: 0 })
}
const kill = (understudy: UnderstudyProcess): Promise<void> => understudy.kill9()

const GOES_ON = 'this start goes on with the routes of the last run'
const LACKS = /store 'new' may lack what 'old' held before mirroring began/

test.each([
  ['SIGTERM', 'switched', stop],
  ['kill -9', 'switched', kill],
  ['SIGTERM', 'read-target', stop],
])('after %s a start does not put %s in force, which a gate has refused, and says so', async (_, phase, end) => {
  const { understudy } = await started('mirror')
  await understudy.client().set('fresh', 'x')
  await mirrorSettled(understudy)
  write(understudy, 'mirror', phase)
  expect((await reload(understudy)).error).toMatchObject({ code: 'GATE_CLOSED', message: expect.stringMatching(LACKS) })
  await end(understudy)
  await understudy.restart()

  expect(understudy.stdout).toContain(GOES_ON)
  expect(understudy.stdout).toContain("if one is closed then, 'understudy reload' puts them in force once all are open")
  expect(await understudy.client().get('key:7')).toBe('value 7')
  const { routes, lastReload } = await statusOf(understudy)
  expect(routes['all']).toMatchObject({ phase: 'mirror', primary: 'old' })
  expect(lastReload).toMatchObject({ successful: false, error: expect.stringMatching(LACKS) })
  expect(await understudy.metrics()).toContain('understudy_config_last_reload_successful 0')
  // What was in its way is done: it is taken like any other step.
  await doJob(understudy, 'backfill', 'all')
  expect((await reload(understudy)).error).toBeUndefined()
  expect((await statusOf(understudy)).routes['all']!.phase).toBe(phase)
})

test('the step is taken back by asking for the phase that is in force: the file says it, and nothing is wrong any more', async () => {
  const { understudy } = await started('mirror')
  write(understudy, 'mirror', 'switched')
  await stop(understudy)
  await understudy.restart()
  await eventually(async () => expect((await statusOf(understudy)).lastReload.error).toMatch(LACKS))
  expect((await toPhase(understudy, 'mirror')).error).toBeUndefined()
  expect(readFileSync(understudy.configPath, 'utf8')).toContain('phase: mirror')
  expect((await statusOf(understudy)).lastReload).toMatchObject({ successful: true, error: null })
  await stop(understudy)
  const said = understudy.stdout.split(GOES_ON).length
  await understudy.restart()
  expect(understudy.stdout.split(GOES_ON)).toHaveLength(said)
  expect((await statusOf(understudy)).lastReload.successful).toBe(true)
})

test('or it is forced, and stays in force over the next start', async () => {
  const { understudy } = await started('mirror')
  write(understudy, 'mirror', 'switched')
  await stop(understudy)
  await understudy.restart()
  expect((await statusOf(understudy)).routes['all']!.phase).toBe('mirror')
  expect((await reload(understudy, { force: true, reason: 'a cache' })).error).toBeUndefined()
  expect(await understudy.client().get('key:7')).toBeNull()
  await kill(understudy)
  await understudy.restart()
  const { routes, lastReload } = await statusOf(understudy)
  expect([routes['all']!.phase, lastReload.successful]).toEqual(['switched', true])
})

test('a step that was made while nothing ran, and that nothing speaks against, is in force before the first client', async () => {
  const { understudy, target } = await started('mirror')
  await doJob(understudy, 'backfill', 'all')
  await understudy.client().set('fresh', 'x')
  await stop(understudy)
  write(understudy, 'mirror', 'switched')
  await understudy.restart()
  expect(understudy.stdout).not.toContain(GOES_ON)
  const { routes, epoch, lastReload } = await statusOf(understudy)
  // The first generation: there was no other before it.
  expect([routes['all']!.phase, epoch, lastReload.successful]).toEqual(['switched', 0, true])
  await understudy.client().set('fresh', 'y')
  expect(await target.client().get('fresh')).toBe('y')
})

test('keys that were dirty when the process was killed are copied first; then the step is taken by itself', async () => {
  const { understudy, source, target } = await started('mirror')
  await doJob(understudy, 'backfill', 'all')
  const app = understudy.client()
  await app.set('counter', '1')
  await mirrorSettled(understudy)
  target.pause()
  for (let i = 2; i <= 50; i++) expect(await app.incr('counter')).toBe(i)
  await kill(understudy)
  write(understudy, 'mirror', 'switched')
  target.resume()
  await understudy.restart()
  expect(understudy.stdout).toContain(GOES_ON)
  await eventually(async () => expect((await statusOf(understudy)).routes['all']!.phase).toBe('switched'))
  expect(await understudy.client().incr('counter')).toBe(51)
  expect(await target.client().get('counter')).toBe('51')
  await eventually(async () => expect(await source.client().get('counter')).toBe('51'))
  expect((await statusOf(understudy)).lastReload.successful).toBe(true)
})

test('a crash before the file could be written: what the new primary acknowledged is brought to the one that the file names, before that answers', async () => {
  const { understudy, source } = await started('mirror')
  await doJob(understudy, 'backfill', 'all')
  expect((await toPhase(understudy, 'switched')).error).toBeUndefined()
  const app = understudy.client()
  await app.set('counter', '1')
  await mirrorSettled(understudy)
  source.pause()
  for (let i = 2; i <= 50; i++) expect(await app.incr('counter')).toBe(i)
  await kill(understudy)
  write(understudy, 'switched', 'mirror')
  source.resume()
  await understudy.restart()
  expect(await understudy.client().incr('counter')).toBe(51)
  await eventually(async () => expect((await statusOf(understudy)).routes['all']!.phase).toBe('mirror'))
  expect(await understudy.client().incr('counter')).toBe(52)
  expect(await source.client().get('counter')).toBe('52')
})

test('what was refused for something that only a running process knows is not taken either', async () => {
  const { understudy } = await started('shadow')
  await doJob(understudy, 'backfill', 'all')
  understudy.edit((text) => `${text}\ncutover: { minCompared: 1000 }\n`)
  expect((await reload(understudy)).error).toBeUndefined()
  write(understudy, 'shadow', 'switched')
  const refused = /0 reads were compared in ten minutes/
  expect((await reload(understudy)).error).toMatchObject({ message: expect.stringMatching(refused) })
  await stop(understudy)
  await understudy.restart()
  expect(understudy.stdout).toContain(GOES_ON)
  const { routes, lastReload } = await statusOf(understudy)
  expect([routes['all']!.phase, lastReload.error]).toEqual(['shadow', expect.stringMatching(refused)])
})

test('a configuration that is read once goes through its gates as well, and `reload` puts in force what was read', async () => {
  const { understudy, target } = await started('mirror', true)
  await understudy.client().set('fresh', 'x')
  await mirrorSettled(understudy)
  await stop(understudy)
  write(understudy, 'mirror', 'switched')
  await understudy.restart()
  const { routes } = await statusOf(understudy)
  expect(routes['all']).toMatchObject({ phase: 'mirror', primary: 'old' })
  await eventually(async () =>
    expect((await statusOf(understudy)).lastReload.error).toMatch(/^route 'all': store 'new' may/),
  )
  const { body: changes } = await understudy.admin<ReloadResult>('/api/v1/config/changes')
  expect(changes.closedGates).toEqual([expect.stringMatching(LACKS)])
  expect((await toPhase(understudy, 'switched')).error?.message).toMatch(/was read once.*change it where it comes from/)

  await doJob(understudy, 'backfill', 'all')
  expect((await reload(understudy)).error).toBeUndefined()
  await understudy.client().set('fresh', 'y')
  expect(await target.client().get('fresh')).toBe('y')
  // What it comes from may say something else by now: only a start reads it.
  expect((await reload(understudy)).error?.message).toMatch(/was read once.*start again/)
})

test('what was refused once is not held against it when another configuration has come in force since', async () => {
  const { understudy } = await started('mirror')
  write(understudy, 'mirror', 'switched')
  expect((await reload(understudy)).error).toMatchObject({ code: 'GATE_CLOSED' })
  await doJob(understudy, 'backfill', 'all')
  expect((await reload(understudy)).error).toBeUndefined()
  write(understudy, 'switched', 'mirror')
  expect((await reload(understudy)).error).toBeUndefined()
  await mirrorSettled(understudy)
  await stop(understudy)
  write(understudy, 'mirror', 'switched')
  await understudy.restart()
  expect(understudy.stdout).not.toContain(GOES_ON)
  const { routes, epoch } = await statusOf(understudy)
  expect([routes['all']!.phase, epoch]).toEqual(['switched', 0])
})

test('another server under the name of the primary is taken where nothing ran, with a word; not where it was refused', async () => {
  const { understudy, source } = await started('passthrough')
  const move = (from: string, to: string): void =>
    understudy.edit((text) => text.replace(`old:\n    url: ${from}`, `old:\n    url: ${to}`))
  const other = await startRedis()
  try {
    move(source.url, other.url)
    expect((await reload(understudy)).error).toMatchObject({ code: 'GATE_CLOSED' })
    await stop(understudy)
    await understudy.restart()
    expect(await understudy.client().get('key:7')).toBe('value 7')
    expect((await statusOf(understudy)).lastReload).toMatchObject({ successful: false })
    // As somebody writes it who has looked: it is another file than the one that was refused.
    await stop(understudy)
    understudy.edit((text) => `${text}\ncutover: { minCompared: 1 }\n`)
    await understudy.restart()
    expect(understudy.stdout).toContain('keys have another primary than in the last run')
    expect(await understudy.client().get('key:7')).toBeNull()
  } finally {
    await other.stop()
  }
})
