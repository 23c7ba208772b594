import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { startTestServer, type TestServer } from '../admin/test-server.ts'
import { runCli } from './run-cli.ts'

let server: TestServer

beforeAll(async () => {
  server = await startTestServer()
})
afterAll(() => server.close())
beforeEach(() => {
  server.control.asked.length = 0
})

const run = (...args: string[]) => runCli(args, { UNDERSTUDY_ADMIN_URL: server.url })

test('every kind of job that is made of keys takes --dry-run; a cleanup is one unless told otherwise', async () => {
  for (const kind of ['backfill', 'verify', 'repair', 'cleanup'])
    expect(await run(kind, 'jobs', '--dry-run', '--detach')).toMatchObject({ code: 0, stderr: '' })
  await run('cleanup', 'jobs', '--detach')
  await run('cleanup', 'jobs', '--yes', '--detach')
  expect(server.control.asked).toMatchObject([
    { kind: 'backfill', options: { dryRun: true } },
    { kind: 'verify', options: {} },
    { kind: 'repair', options: { dryRun: true } },
    { kind: 'cleanup', options: { dryRun: true } },
    { kind: 'cleanup', options: { dryRun: true } },
    { kind: 'cleanup', options: { dryRun: false } },
  ])
  expect((await run('cleanup', 'jobs', '--dry-run', '--yes')).code).toBe(2)
})

test('a job that lists no keys says so', async () => {
  server.control.listedKeys = []
  expect((await run('jobs', 'keys', '1')).stdout).toBe('No keys are listed.\n')
  expect((await run('jobs', 'keys', '1', '--jsonl')).stdout).toBe('')
})
