import type { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { errorAnswer } from '../../../src/admin/http-errors.ts'
import { JOB_KINDS, type Job, type JobKind, type JobOptions, type JobRequest } from '../../../src/jobs/runner/job.ts'
import { JobStore, type ListedKey } from '../../../src/jobs/runner/job-store.ts'
import { JobRunner, type JobWork, type WorkReport } from '../../../src/jobs/runner/runner.ts'
import { diskTrouble } from '../../../src/state/database.ts'
import { openStateDatabase } from '../../../src/state/state-database.ts'
import { eventually } from '../../support/eventually.ts'
import { LogLines } from '../../support/log-lines.ts'

const REPORT: WorkReport = { summary: 'All of it.', clean: true, notes: [] }
const UNWRITTEN = /stateDir cannot be written \(attempt to write a readonly database\)/

let database: DatabaseSync
let store: JobStore
const runners: JobRunner[] = []
beforeEach(() => {
  database = openStateDatabase('', () => {})
  store = new JobStore(database)
})
afterEach(async () => {
  for (const runner of runners.splice(0)) await runner.stop()
  database.close()
})

/** No write succeeds, as on a disk that is full: each throws. */
const disk = (takes: boolean): void => database.exec(`PRAGMA query_only = ${takes ? 'OFF' : 'ON'}`)

function runnerOf(work: JobWork): { runner: JobRunner; log: LogLines } {
  const log = new LogLines()
  const runner = new JobRunner({
    store,
    work: Object.fromEntries(JOB_KINDS.map((kind) => [kind, work])) as Record<JobKind, JobWork>,
    mayStart: () => {},
    isRoute: () => true,
    onChange: () => {},
    onDone: async () => {},
    log,
  })
  runners.push(runner)
  return { runner, log }
}

const JOB: JobRequest = { kind: 'verify', route: 'all', options: {} }

async function becomes(runner: JobRunner, id: number, like: Partial<Job> | { throttle: unknown }): Promise<Job> {
  return eventually(
    async () => {
      const job = await runner.get(id)
      expect(job).toMatchObject(like)
      return job
    },
    { timeoutMs: 10_000, intervalMs: 10 },
  )
}

test('a step that the state database does not take is waited for, and so is the end of a job', async () => {
  const { promise: go, resolve: goOn } = Promise.withResolvers<void>()
  const { runner } = runnerOf(async (task) => {
    await go
    task.list({ database: 0, key: Buffer.from('k'), class: 'failed', detail: 'It was not.' })
    task.count('failed')
    await task.save({ step: 1 })
    disk(false)
    return REPORT
  })
  const { id } = await runner.start(JOB)
  disk(false)
  goOn()
  await becomes(runner, id, { state: 'running', throttle: expect.stringMatching(UNWRITTEN) })
  expect(store.checkpoint(id)).toBeNull()
  disk(true)
  await eventually(async () => expect(store.checkpoint(id)).toEqual({ step: 1 }))
  // Its work is done, and its end is not written.
  await becomes(runner, id, {
    state: 'running',
    throttle: expect.stringMatching(UNWRITTEN),
    progress: expect.anything(),
  })
  expect((await runner.keys(id, { after: 0, limit: 10 })).map(({ key }) => key)).toEqual(['k'])
  disk(true)
  await becomes(runner, id, { state: 'done', throttle: null })
})

test('a job that fails while nothing can be written says why, and is failed as soon as it can be', async () => {
  const { runner, log } = runnerOf(async (task) => {
    disk(false)
    task.startOver()
    return REPORT
  })
  const { id } = await runner.start(JOB)
  await becomes(runner, id, { state: 'running', throttle: expect.stringMatching(UNWRITTEN) })
  expect(log.lines.filter((line) => line.startsWith('a job failed'))).toEqual([])
  expect(log.lines.filter((line) => line.startsWith('the state of a job cannot be written'))).toHaveLength(1)
  disk(true)
  await becomes(runner, id, { state: 'failed', error: expect.stringMatching(UNWRITTEN) })
})

test('what cannot be written down is refused in these words, and one that waits its turn begins when it can', async () => {
  let begun = 0
  const { promise: go, resolve: goOn } = Promise.withResolvers<void>()
  const { runner } = runnerOf(async () => {
    if (begun++ === 0) await go
    return REPORT
  })
  const first = await runner.start(JOB)
  const second = await runner.start(JOB)
  await eventually(() => expect(begun).toBe(1))
  disk(false)
  const refused = await runner.start(JOB).catch(errorAnswer)
  expect(refused).toMatchObject({ status: 503, body: { error: { code: 'STATE_UNUSABLE' } } })
  expect(JSON.stringify(refused)).toMatch(UNWRITTEN)
  goOn()
  await becomes(runner, first.id, { state: 'running', throttle: expect.stringMatching(UNWRITTEN) })
  disk(true)
  await becomes(runner, first.id, { state: 'done' })
  await becomes(runner, second.id, { state: 'done' })
})

test('one whose turn has come while its beginning cannot be written begins when it can', async () => {
  const { runner, log } = runnerOf(async () => REPORT)
  const enter = store.enter.bind(store)
  let isFull = true
  store.enter = (...[id, state, ...more]) => {
    if (state === 'running' && isFull) disk(false)
    try {
      return enter(id, state, ...more)
    } finally {
      disk(true)
    }
  }
  const { id, state } = await runner.start(JOB)
  expect(state).toBe('queued')
  expect(log.lines.filter((line) => line.startsWith('the state of a job cannot be written'))).toHaveLength(1)
  isFull = false
  await becomes(runner, id, { state: 'done' })
})

test('a job that was stopped says so when that cannot be written, and is what it was told last', async () => {
  const { runner } = runnerOf(async (task) => {
    for (;;) await task.wait(10)
  })
  const { id } = await runner.start(JOB)
  disk(false)
  await expect(runner.steer(id, 'pause')).rejects.toThrow(/job 1 has stopped, but that could not be written down yet/)
  await expect(runner.steer(id, 'cancel')).rejects.toThrow(UNWRITTEN)
  disk(true)
  await becomes(runner, id, { state: 'cancelled' })
})

test('a cancel right behind a pause wins', async () => {
  const { runner } = runnerOf(async (task) => {
    for (;;) await task.wait(10)
  })
  const { id } = await runner.start(JOB)
  const paused = runner.steer(id, 'pause')
  expect((await runner.steer(id, 'cancel')).state).toBe('cancelled')
  expect((await paused).state).toBe('cancelled')
})

test('of two who cancel one that waits, the second is told that it is cancelled', async () => {
  const { runner } = runnerOf(async (task) => {
    for (;;) await task.wait(10)
  })
  await runner.start(JOB)
  const { id } = await runner.start(JOB)
  const [one, other] = await Promise.allSettled([runner.steer(id, 'cancel'), runner.steer(id, 'cancel')])
  expect(one).toMatchObject({ value: { state: 'cancelled' } })
  expect(other).toMatchObject({ reason: { code: 'JOB_REFUSED' } })
})

test('a full database is told as one, any other error of it as what it is', () => {
  database.exec('PRAGMA max_page_count = 1')
  const thrown = (sql: string): unknown => {
    try {
      return database.exec(sql)
    } catch (error) {
      return error
    }
  }
  expect(diskTrouble(thrown('CREATE TABLE a (b BLOB); INSERT INTO a VALUES (randomblob(100000))'))).toMatchObject({
    code: 'STATE_UNUSABLE',
    message: expect.stringContaining('the disk of stateDir is full'),
  })
  expect(diskTrouble(thrown('SELECT * FROM nothing'))).toBeNull()
  expect(diskTrouble(new Error('another'))).toBeNull()
})

test('a job that is done has seen all there was, however much was expected', async () => {
  const { runner } = runnerOf(async (task) => {
    task.total = 136
    task.done = 127
    await task.save({ step: 1 })
    return REPORT
  })
  const { id } = await runner.start(JOB)
  await becomes(runner, id, { state: 'done', progress: expect.objectContaining({ done: 127, total: 127 }) })
})

test('the last job of a kind is known behind any number of others, and one that was paused has its place where it ends', async () => {
  let isPaused = false
  const { runner } = runnerOf(async (task) => {
    while (task.job.id === 1 && !isPaused) await task.wait(10)
    return REPORT
  })
  const paused = await runner.start(JOB)
  expect((await runner.steer(paused.id, 'pause')).state).toBe('paused')
  isPaused = true
  const other = await runner.start(JOB)
  await becomes(runner, other.id, { state: 'done' })
  await runner.steer(paused.id, 'resume')
  await becomes(runner, paused.id, { state: 'done' })
  // More than are kept of a kind.
  for (let i = 0; i < 250; i++) {
    const { id } = store.create('export', 'all', {}, Date.now())
    store.enter(id, 'cancelled', Date.now())
  }
  await becomes(runner, (await runner.start({ ...JOB, kind: 'repair' })).id, { state: 'done' })
  const kindsAndIds = (jobs: Iterable<Job>) => [...jobs].map(({ kind, id }) => [kind, id])
  expect(kindsAndIds(runner.done('all', ['verify', 'repair']))).toEqual([
    ['repair', 253],
    ['verify', paused.id],
    ['verify', other.id],
  ])
  expect(kindsAndIds(runner.newest('all'))).toEqual([
    ['verify', other.id],
    ['export', 252],
    ['repair', 253],
  ])
})

test('however many were under way when the process ended, all go on, and none before one of its route that was asked for earlier', async () => {
  const routes = Array.from({ length: 130 }, (_, i) => `route ${i}`)
  for (const route of routes) store.enter(store.create('export', route, {}, Date.now()).id, 'running', Date.now())
  store.create('verify', routes[0]!, {}, Date.now())
  const begun: number[] = []
  const { runner } = runnerOf(async ({ job }) => {
    begun.push(job.id)
    return REPORT
  })
  runner.goOn()
  await eventually(() => expect(store.list({ states: ['done'] })).toHaveLength(131))
  expect(begun.toSorted((one, other) => one - other)).toEqual(Array.from({ length: 131 }, (_, i) => i + 1))
  expect(begun.indexOf(1)).toBeLessThan(begun.indexOf(131))
})

test('what came in the way of a job stands in its report, also when it was interrupted since', async () => {
  const { runner } = runnerOf(async (task) => {
    task.remark('One came in its way.')
    await task.save({ step: 1 })
    await task.wait(60_000)
    return REPORT
  })
  const { id } = await runner.start(JOB)
  await eventually(() => expect(store.checkpoint(id)).toEqual({ step: 1 }))
  await runner.steer(id, 'pause')
  const { runner: next } = runnerOf(async (task) => {
    task.remark('Another did.')
    await task.save({ step: 2 })
    return { ...REPORT, notes: ['All were seen.'] }
  })
  await next.steer(id, 'resume')
  const { report } = await becomes(next, id, { state: 'done' })
  expect(report!.notes).toEqual(['All were seen.', 'One came in its way.', 'Another did.'])
})

test('what came in the way of work that does not count any more is forgotten', async () => {
  const { runner } = runnerOf(async (task) => {
    task.remark('One came in its way.')
    await task.save({ step: 1 })
    await task.wait(60_000)
    return REPORT
  })
  const { id } = await runner.start(JOB)
  await eventually(() => expect(store.checkpoint(id)).toEqual({ step: 1 }))
  await runner.steer(id, 'pause')
  const { runner: next } = runnerOf(async (task) => {
    task.startOver()
    return { ...REPORT, notes: ['All were seen.'] }
  })
  await next.steer(id, 'resume')
  const { report } = await becomes(next, id, { state: 'done' })
  expect(report!.notes).toEqual(['All were seen.'])
})

test('a job that counts as running, and that nobody does, can be ended', async () => {
  const { runner } = runnerOf(async () => REPORT)
  const { id } = store.create('export', 'all', {}, Date.now())
  store.enter(id, 'running', Date.now())
  expect(await runner.steer(id, 'pause')).toMatchObject({ state: 'paused' })
  expect(await runner.steer(id, 'cancel')).toMatchObject({ state: 'cancelled' })
})

test('what the last verify of every key of a route has listed is known behind any number of verifies of other routes, or of samples', async () => {
  let nowMs = 0
  const verify = (route: string, lists: number, options: JobOptions = {}): number => {
    const { id, progress } = store.create('verify', route, options, nowMs++)
    store.enter(id, 'running', nowMs++)
    const key = { database: 0, key: Buffer.from('k'), class: 'value', detail: 'It differs.' }
    store.save(id, { progress, checkpoint: null, remarks: [], keys: Array<ListedKey>(lists).fill(key), listed: 0 })
    store.enter(id, 'done', nowMs++, { report: { ...REPORT, clean: lists === 0, classes: {} } })
    return id
  }
  const idsOf = (route: string): number[] => [...store.done(route, ['verify'])].map(({ id }) => id)
  const sample = { sample: 0.1 }
  verify('all', 1, sample)
  const listed = [verify('all', 2), verify('all', 1, sample), verify('all', 1, sample)]
  for (let i = 0; i < 205; i++) verify('other', 1)
  for (let i = 0; i < 205; i++) verify('all', 0, sample)
  store.create('verify', 'all', {}, nowMs++)
  expect(idsOf('all').slice(200)).toEqual(listed.toReversed())
  expect(listed.map((id) => store.countKeys(id))).toEqual([2, 1, 1])
  // The last of every key is known also where it has found nothing. What was before it is settled.
  const clean = verify('all', 0)
  for (let i = 0; i < 205; i++) verify('all', 0, sample)
  store.create('verify', 'all', {}, nowMs++)
  expect(idsOf('all').slice(200)).toEqual([clean])
  expect(listed.map((id) => store.countKeys(id))).toEqual([0, 0, 0])
  expect(idsOf('other')).toHaveLength(200)
}, 120_000)
