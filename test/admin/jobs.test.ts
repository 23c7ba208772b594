import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { UnderstudyError } from '../../src/base/errors.ts'
import { JOB_KINDS, type JobOptions, OPTIONS_OF } from '../../src/jobs/runner/job.ts'
import { startTestServer, type TestServer } from './test-server.ts'

let server: TestServer

beforeAll(async () => {
  server = await startTestServer()
})
afterAll(() => server.close())
beforeEach(() => {
  server.control.asked.length = 0
  server.control.failure = null
})

async function ask(method: string, path: string, body?: unknown) {
  const response = await fetch(server.url + path, {
    method,
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

test('a job is started with its options, listed, looked at and steered', async () => {
  const options = { rate: 1000, onConflict: 'skip' }
  expect(await ask('POST', '/api/v1/jobs', { kind: 'backfill', route: 'jobs', options })).toMatchObject({
    status: 201,
    body: { id: 1, kind: 'backfill', route: 'jobs', options, progress: { done: 250, total: 1000 } },
  })
  expect(await ask('GET', '/api/v1/jobs?route=jobs&state=running')).toMatchObject({ status: 200, body: [{ id: 1 }] })
  expect(await ask('GET', '/api/v1/jobs/1')).toMatchObject({ status: 200, body: { id: 1 } })
  expect(await ask('PATCH', '/api/v1/jobs/1', { action: 'pause' })).toMatchObject({ body: { state: 'paused' } })
  expect(await ask('GET', '/api/v1/jobs/1/keys?after=5&limit=10')).toMatchObject({ body: [{ key: 'job:1' }] })
  expect(server.control.asked).toEqual([
    { kind: 'backfill', route: 'jobs', options },
    { route: 'jobs', state: 'running', limit: 100 },
    { id: 1, action: 'pause' },
    { id: 1, after: 5, limit: 10 },
  ])
})

test('what is not a job, an option or a number is said', async () => {
  for (const body of [
    { kind: 'copy', route: 'jobs' },
    { kind: 'backfill' },
    { kind: 'backfill', route: 'jobs', options: { rate: 0 } },
    { kind: 'verify', route: 'jobs', options: { sample: 2 } },
    { kind: 'verify', route: 'jobs', options: { pace: 2 } },
  ]) {
    expect(await ask('POST', '/api/v1/jobs', body)).toMatchObject({ status: 400, body: { error: { code: 'USAGE' } } })
  }
  expect(await ask('GET', '/api/v1/jobs/7')).toMatchObject({ status: 404 })
  expect(await ask('GET', '/api/v1/jobs/first')).toMatchObject({ status: 404 })
  expect(await ask('PATCH', '/api/v1/jobs/1', { action: 'stop' })).toMatchObject({ status: 400 })
  expect(server.control.asked).toEqual([])
})

test.each([
  ['verify', { backup: '/tmp/x' }, 'body.options.backup: verify does not have this; its options are: rate, sample'],
  [
    'verify',
    { rate: 5, dryRun: true, deleteExtra: true },
    'body.options.dryRun, body.options.deleteExtra: verify does not have this; its options are: rate, sample',
  ],
  [
    'cleanup',
    { onConflict: 'skip' },
    'body.options.onConflict: cleanup does not have this; its options are: rate, dryRun, backup',
  ],
])('an option of other kinds is refused: %s with %j', async (kind, options, message) => {
  expect(await ask('POST', '/api/v1/jobs', { kind, route: 'jobs', options })).toEqual({
    status: 400,
    body: { error: { code: 'USAGE', message } },
  })
  expect(server.control.asked).toEqual([])
})

test('every kind takes the options that it knows', async () => {
  const values: Required<JobOptions> = {
    rate: 1,
    dryRun: true,
    onConflict: 'skip',
    sample: 0.5,
    from: ['dirty'],
    deleteExtra: true,
    backup: '/tmp/backup',
    file: '/tmp/file',
    format: 'jsonl',
    namespace: 'locks:',
  }
  for (const kind of JOB_KINDS) {
    const options = Object.fromEntries(OPTIONS_OF[kind].map((name) => [name, values[name]]))
    expect(await ask('POST', '/api/v1/jobs', { kind, route: 'jobs', options })).toMatchObject({ status: 201 })
    expect(server.control.asked.at(-1)).toEqual({ kind, route: 'jobs', options })
  }
})

test('a job that cannot be started is a conflict with its reason', async () => {
  server.control.failure = new UnderstudyError('JOB_REFUSED', 'the route is in passthrough')
  expect(await ask('POST', '/api/v1/jobs', { kind: 'backfill', route: 'jobs' })).toEqual({
    status: 409,
    body: { error: { code: 'JOB_REFUSED', message: 'the route is in passthrough' } },
  })
})
