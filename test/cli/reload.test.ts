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

const reload = (...args: string[]) => runCli(['reload', ...args], { UNDERSTUDY_ADMIN_URL: server.url })

test('reloads, and says what became of which keys', async () => {
  const { code, stdout } = await reload()
  expect(code).toBe(0)
  expect(stdout).toMatch(/^Reloaded \(epoch 8\), commands held for 1 ms\n {2}route 'all': their primary stays/)
  expect(server.control.asked).toEqual(['reload'])
})

test('--dry-run asks what would happen', async () => {
  expect((await reload('--dry-run')).stdout).toMatch(/^The file differs from what is in force \(dry run/)
  expect(server.control.asked).toEqual([{ reload: { dryRun: true } }])
})

test('what applies after a restart is no part of what is in force', async () => {
  server.control.needsRestart = ['admin', 'log']
  const { stdout } = await reload()
  server.control.needsRestart = []
  expect(stdout).toMatch(/^Reloaded .*\n {2}but for what applies after a restart: admin, log\n/)
})

test('--force needs a reason, and hands it on', async () => {
  expect((await reload('--force')).code).toBe(2)
  expect((await reload('--force', '--reason', 'a cache')).code).toBe(0)
  expect(server.control.asked).toEqual([{ reload: { force: true, reason: 'a cache' } }])
})
