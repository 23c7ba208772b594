import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { UnderstudyError } from '../../src/base/errors.ts'
import { FakeControl, job } from '../admin/fake-control.ts'
import { startTestServer, type TestServer } from '../admin/test-server.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/ports.ts'
import { runCli, startCli } from './run-cli.ts'

let server: TestServer
const TOKEN = 'a-very-secret-token'

beforeAll(async () => {
  server = await startTestServer({ token: TOKEN })
})
afterAll(() => server.close())
beforeEach(() => {
  server.control.failure = null
})

const reach = () => ({ UNDERSTUDY_ADMIN_URL: server.url, UNDERSTUDY_ADMIN_TOKEN: TOKEN })

describe('understudy status', () => {
  test('says what is wrong with a file that is not in force, one problem a line', async () => {
    const failing = await startTestServer()
    const status = await failing.control.status()
    const lastReload = {
      successful: false,
      at: '2026-01-01T00:00:00.000Z',
      error: 'a.yaml has 1 problem:\na.yaml:3:5: b\u001b',
    }
    failing.control.status = async () => ({ ...status, lastReload })
    const { stdout } = await runCli(['status'], { UNDERSTUDY_ADMIN_URL: failing.url })
    await failing.close()
    expect(stdout).toContain('is in force: a.yaml has 1 problem:\n  a.yaml:3:5: b\\x1b\n')
  })

  test('says what of the file is not in force before the next start', async () => {
    const changed = await startTestServer()
    const status = await changed.control.status()
    changed.control.status = async () => ({ ...status, needsRestart: ['admin', 'log'] })
    const { stdout } = await runCli(['status'], { UNDERSTUDY_ADMIN_URL: changed.url })
    await changed.close()
    expect(stdout).toContain('\nChanged in the file, applies after a restart: admin, log\n')
  })

  test('names jobs that have failed, and does without where they cannot be told', async () => {
    const failing = await startTestServer()
    Object.assign(failing.control, { jobList: [job({ state: 'failed', error: 'the store is away' })] })
    const variables = { UNDERSTUDY_ADMIN_URL: failing.url }
    expect((await runCli(['status'], variables)).stdout).toMatch(
      /\nThe backfill of jobs \(job 1\) failed: the store is away\n$/,
    )
    failing.control.jobs.list = () => Promise.reject(new UnderstudyError('STATE_UNUSABLE', 'not yet'))
    expect(await runCli(['status'], variables)).toMatchObject({
      code: 0,
      stdout: expect.not.stringContaining('failed:'),
    })
    await failing.close()
  })

  test('says first whether the application suffers', async () => {
    const suffering = await startTestServer()
    const status = await suffering.control.status()
    const application = { served: false, reasons: ['the primary of jobs does not answer', 'rest is full'] }
    suffering.control.status = async () => ({ ...status, application })
    const { stdout } = await runCli(['status'], { UNDERSTUDY_ADMIN_URL: suffering.url })
    await suffering.close()
    expect(stdout).toMatch(
      /^Understudy .*\nThe application suffers: the primary of jobs does not answer\nThe application suffers: rest is full\n\n/,
    )
  })

  test('names a library of functions that the shadow refuses, and asks for no verify because of it', async () => {
    const refusing = await startTestServer()
    const status = await refusing.control.status()
    const rest = status.routes['rest']!
    const of = { needsVerify: true, verifyCauses: ['functions'], refusedLibraries: ['carts'] }
    const mirror = { ...rest.mirror, ...of, refusedBecause: 'ERR' }
    const forbidden = { ...rest.mirror, ...of, refusedBecause: 'NOPERM' }
    const routes = { a: { ...rest, shadow: 'new', mirror }, b: { ...rest, shadow: 'new', mirror: forbidden } }
    refusing.control.status = async () => ({ ...status, routes })
    const { stdout } = await runCli(['status'], { UNDERSTUDY_ADMIN_URL: refusing.url })
    await refusing.close()
    const refuses = "'new' refuses the primary's library of functions 'carts'"
    expect(stdout).toContain(`a: ${refuses} (FUNCTION LOAD): load one there that it takes, under the same name`)
    expect(stdout).toContain(`b: ${refuses} (NOPERM): its user there may not use FUNCTION LIST, LOAD and DELETE`)
    expect(stdout).not.toContain('needs a verify')
  })

  test('tells of scripts that make names where the sidecar says that names differ, and of what a verify has left', async () => {
    const telling = await startTestServer()
    const status = await telling.control.status()
    const { jobs, rest } = status.routes
    const plain = { ...jobs!, mirror: { ...jobs!.mirror, scriptsAstray: null } }
    const unsettled = {
      ...rest!,
      mirror: { ...rest!.mirror, unsettledVerify: { job: 6, keys: 1, extra: false, turned: false } },
    }
    telling.control.status = async () => ({ ...status, routes: { plain, unsettled } })
    const { stdout } = await runCli(['status'], { UNDERSTUDY_ADMIN_URL: telling.url })
    await telling.close()
    expect(stdout).not.toContain('names of keys themselves')
    expect(stdout).toContain("unsettled: verify 6 lists 1 key ('understudy jobs keys 6' says why)")
  })

  test('--watch looks again and again, also at a sidecar that is away for a while, until Ctrl-C', async () => {
    const port = await freePort()
    const cli = startCli(['status', '--watch', '0.1', '--admin', `http://127.0.0.1:${port}`])
    await eventually(() => expect(cli.output.stdout).toContain(`127.0.0.1:${port}`))
    const awaited = await startTestServer({ port })
    const looks = () => cli.output.stdout.split('Understudy 0.1.0, up ').length - 1
    await eventually(() => expect(looks()).toBeGreaterThan(2))
    await awaited.close()
    cli.child.kill('SIGINT')
    expect(await cli.finished).toMatchObject({ code: 0, stderr: '' })
  })

  test('--watch ends with Ctrl-C also while it waits for a sidecar that says nothing', async () => {
    let asked = 0
    const silent = createServer(() => asked++)
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
    const cli = startCli(['status', '--watch', '--admin', url])
    await eventually(() => expect(asked).toBe(1))
    const before = performance.now()
    cli.child.kill('SIGINT')
    expect(await cli.finished).toEqual({ code: 0, stdout: '', stderr: '' })
    // The request itself would be waited for ten seconds.
    expect(performance.now() - before).toBeLessThan(8_000)
    silent.closeAllConnections()
    silent.close()
  })

  test('--watch --json is a line for each look', async () => {
    const cli = startCli(['status', '--watch', '0.1', '--json'], reach())
    await eventually(() => expect(cli.output.stdout.split('\n').length).toBeGreaterThan(3))
    cli.child.kill('SIGINT')
    const { stdout, code } = await cli.finished
    expect(code).toBe(0)
    for (const line of stdout.trimEnd().split('\n')) expect(JSON.parse(line)).toMatchObject({ version: '0.1.0' })
  })

  test('--watch ends where asking again would be no use', async () => {
    const wrong = await runCli(['status', '--watch'], { ...reach(), UNDERSTUDY_ADMIN_TOKEN: 'wrong' })
    expect(wrong.code).toBe(3)
    expect((await runCli(['status', '--watch', 'soon'], reach())).code).toBe(2)
    expect((await runCli(['status', '--watch', '0'], reach())).code).toBe(2)
  })

  test('shows stores and routes as aligned tables', async () => {
    const { code, stdout, stderr } = await runCli(['status'], reach())
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toBe(`Understudy 0.1.0, up 1d 1h, 11 clients, configuration c0ffee (epoch 7)

STORE  STATE  LATENCY  VERSION  ROLE
old    up     0.21 ms  7.0.15   master
new    down         -  -        -       connect refused

new: 'mymaster' of its Sentinels is at 10.0.0.7:6379; 2 of 3 Sentinels answer; failed over once, last at 2026-11-21T10:00:00.000Z

ROUTE  PHASE        PRIMARY  SHADOW    LAG     BACKLOG  DIRTY  MIRRORED  COMPARED  MISMATCHES   RATE
jobs   shadow       old      new     12 ms  3 (2.0 kb)      4       100       200           5  2.50%
rest   passthrough  old      -        0 ms           0      0         0         0           0      -

jobs: dirty keys: 1 overlap, 3 shadow-down; 1 written all the time and copied again and again; the oldest for 1m 1s; copying waits for a store that is down
jobs: keys may differ that nobody can name (overflow): run 'understudy verify jobs'
jobs: scripts or functions that make names of keys themselves: 1 (SHA-1 c9de48fe8f60d116de68a05101deb9f683108802); under other names they reach the wrong keys
`)
  })

  test('says which slots are served while a master is away, and the version of a Valkey as its own', async () => {
    const sick = await startTestServer()
    const status = await sick.control.status()
    const node = { role: 'master', latencyMs: 1, version: '7.2.4', valkeyVersion: '8.1.1', error: null } as const
    const nodes = [
      { ...node, address: '10.0.0.1:6379', slots: 5461, up: true },
      { ...node, address: '10.0.0.2:6379', slots: 5462, up: false, error: 'no answer within 5000 ms' },
      { ...node, address: '10.0.0.3:6379', slots: 5461, up: true, valkeyVersion: null },
    ]
    Object.assign(status.stores['old']!, {
      version: '7.2.4',
      valkeyVersion: '8.1.1',
      cluster: { nodes, slotsCovered: 16_384, error: 'so' },
    })
    Object.assign(status.routes['jobs']!.mirror, { backlog: 9, backlogBytes: 0 })
    sick.control.status = async () => status
    const { stdout } = await runCli(['status'], { UNDERSTUDY_ADMIN_URL: sick.url })
    await sick.close()
    expect(stdout).toMatch(/^old +up +0\.21 ms +valkey 8\.1\.1 +master/m)
    expect(stdout).toContain(
      '\nold: 3 masters, 0 replicas, versions 7.2.4 and valkey 8.1.1; 10922 of 16384 slots are served\n  master 10.0.0.2:6379 does not answer: no answer within 5000 ms\n',
    )
    expect(stdout).toMatch(/^jobs .* 12 ms +9 +4 /m)
  })

  test('--json gives what the API gives', async () => {
    const { code, stdout } = await runCli(['status', '--json'], reach())
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toEqual(await new FakeControl().status())
  })

  test('--admin and --token come before the variables', async () => {
    const elsewhere = { UNDERSTUDY_ADMIN_URL: 'http://127.0.0.1:1', UNDERSTUDY_ADMIN_TOKEN: 'wrong' }
    expect((await runCli(['status', '--admin', `${server.url}/`, '--token', TOKEN], elsewhere)).code).toBe(0)
  })

  test('has colours only where they are wanted', async () => {
    expect((await runCli(['status'], { ...reach(), FORCE_COLOR: '1' })).stdout).toContain('\u001b[31m')
    expect((await runCli(['status'], { ...reach(), NO_COLOR: '1' })).stdout).not.toContain('\u001b')
  })
})

describe('reaching the sidecar', () => {
  test('when nothing is there: one line that says what to do, exit code 3', async () => {
    const url = `http://127.0.0.1:${await freePort()}`
    expect(await runCli(['status', '--admin', url])).toEqual({
      code: 3,
      stdout: '',
      stderr: `understudy: cannot reach Understudy at ${url} (ECONNREFUSED): is it running there? --admin or UNDERSTUDY_ADMIN_URL says where\n`,
    })
  })

  test('with a wrong token: one line, exit code 3, and the token is not shown', async () => {
    const { code, stderr } = await runCli(['status', '--token', 'wrong-token'], { UNDERSTUDY_ADMIN_URL: server.url })
    expect(code).toBe(3)
    expect(stderr).toBe(`understudy: ${server.url} wants another token: give --token or set UNDERSTUDY_ADMIN_TOKEN\n`)
  })

  test('a token with a line end is refused without being shown', async () => {
    const { code, stderr } = await runCli(['status'], { ...reach(), UNDERSTUDY_ADMIN_TOKEN: `${TOKEN}\n` })
    expect(code).toBe(2)
    expect(stderr).not.toContain(TOKEN)
  })

  test('an address with credentials is refused without showing them', async () => {
    const { code, stderr } = await runCli(['status', '--admin', 'http://me:hunter2@127.0.0.1:9380'])
    expect(code).toBe(2)
    expect(stderr).not.toContain('hunter2')
  })

  test('when something else answers there: one line, exit code 3', async () => {
    const stranger = createServer((_, response) => response.end('<html>hello</html>'))
    await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(stranger.address() as AddressInfo).port}`
    const { code, stderr } = await runCli(['status', '--admin', url])
    stranger.close()
    expect(code).toBe(3)
    expect(stderr).toBe(
      `understudy: what answers at ${url} is not Understudy's admin server (status 200): check --admin\n`,
    )
  })

  test.each([
    ['that ends the connection', ''],
    ['that answers in another protocol', '-ERR unknown command\r\n'],
  ])('something %s is said to be no admin address, exit code 3', async (_, answer) => {
    const stranger = createTcpServer((socket) => socket.once('data', () => socket.end(answer)))
    await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(stranger.address() as AddressInfo).port}`
    const { code, stderr } = await runCli(['status', '--admin', url])
    stranger.close()
    expect(code).toBe(3)
    expect(stderr).toMatch(
      /^understudy: http:\/\/127\.0\.0\.1:\d+ gives no HTTP answer \(.+\): is it a Redis port, or one with TLS\? --admin or UNDERSTUDY_ADMIN_URL says where the admin server is\n$/,
    )
  })

  test('a failure of the sidecar is told, exit code 3', async () => {
    server.control.failure = new UnderstudyError('STATE_UNUSABLE', 'the disk is full\u001b[2J')
    expect(await runCli(['status'], reach())).toEqual({
      code: 3,
      stdout: '',
      stderr: 'understudy: the disk is full\\x1b[2J\n',
    })
  })
})

describe('wrong usage', () => {
  test.each([
    [[], /^Usage: understudy/],
    [['sttaus'], /^understudy: unknown command 'sttaus' \(Did you mean status\?\)\n$/],
    [['status', '--jsno'], /^understudy: unknown option '--jsno'/],
    [['status', 'jobs'], /^understudy: too many arguments/],
    [['status', '--admin', '127.0.0.1:9380'], /^understudy: the admin address must look like http:/],
    [['serve', '--target', 'redis://h'], /^understudy: --target and --phase need --source\n$/],
    [['serve', '--config', 'x', '--source', 'redis://h'], /^understudy: --config and --source exclude each other/],
    [['serve', '--source', 'redis://h', '--phase', 'shadow'], /^understudy: --phase shadow needs --target\n$/],
    [['check'], /^understudy: missing required argument 'file'/],
    [['explain'], /^understudy: missing required argument 'command'/],
  ])('%j: exit code 2 and what is wrong', async (args, message) => {
    const { code, stdout, stderr } = await runCli(args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(message)
  })

  test('--help and --version are no errors', async () => {
    const help = await runCli(['--help'])
    expect(help).toMatchObject({ code: 0, stderr: '' })
    expect(help.stdout).toContain('Exit codes: 0 done')
    expect(await runCli(['--version'])).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
      stderr: '',
    })
  })
})
