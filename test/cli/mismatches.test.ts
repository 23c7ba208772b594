import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { mismatch } from '../admin/fake-control.ts'
import { startTestServer, type TestServer } from '../admin/test-server.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningCli, runCli, startCli } from './run-cli.ts'

let server: TestServer
let running: RunningCli | null = null

beforeEach(async () => {
  server = await startTestServer({ statusIntervalMs: 50 })
})
afterEach(async () => {
  running?.child.kill()
  await running?.finished
  running = null
  await server.close()
})

const reach = () => ({ UNDERSTUDY_ADMIN_URL: server.url })

describe('understudy mismatches', () => {
  test('shows a table, and hands the filters on', async () => {
    server.control.found = [
      mismatch({ id: 2, class: 'ttl', command: 'PTTL', count: 12, keys: 3, cause: 'eviction' }),
      mismatch({ key: 'job:\u001b[2J\n', acknowledged: { until: null, reason: 'cache' } }),
    ]
    const { code, stdout, stderr } = await runCli(
      ['mismatches', '--route', 'jobs', '--class', 'ttl', '--limit', '7'],
      reach(),
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toBe(
      [
        'ID  LAST SEEN             ROUTE  CLASS  COMMAND  KEYS         COUNT  EXAMPLE          DETAIL             PRIMARY                SHADOW                 NOTE',
        ' 2  2026-01-01 12:00:00Z  jobs   ttl    PTTL     job:<n> (3)     12  job:1            the values differ  string, 3 bytes, a1b2  string, 4 bytes, c3d4  eviction',
        ' 1  2026-01-01 12:00:00Z  jobs   value  GET      job:<n>          1  job:\\x1b[2J\\x0a  the values differ  string, 3 bytes, a1b2  string, 4 bytes, c3d4  known: cache',
        '',
      ].join('\n'),
    )
    expect(server.control.asked).toEqual([{ route: 'jobs', class: 'ttl', limit: 7 }])
  })

  test('says so when there are none', async () => {
    server.control.found = []
    expect(await runCli(['mismatches'], reach())).toEqual({ code: 0, stdout: 'No mismatches.\n', stderr: '' })
    expect(JSON.parse((await runCli(['mismatches', '--json'], reach())).stdout)).toEqual([])
  })

  test.each([
    ['--limit', '0'],
    ['--limit', '1e9'],
    ['--limit', 'x'],
    ['--class', 'nonsense'],
  ])('%s %s is wrong usage', async (...args) => {
    expect((await runCli(['mismatches', ...args], reach())).code).toBe(2)
  })
})

describe('understudy mismatches --follow', () => {
  const lines = () =>
    running!.output.stdout
      .trimEnd()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line).id)

  test('prints what there is, oldest first, then each one as it is found', async () => {
    running = startCli(['mismatches', '--follow', '--json'], reach())
    await eventually(() => expect(lines()).toEqual([1, 2]))
    server.control.emit({ type: 'mismatch', data: mismatch({ id: 3 }) })
    server.control.emit({ type: 'reload', data: { successful: true, error: null } })
    server.control.emit({ type: 'mismatch', data: mismatch({ id: 3, count: 2 }) })
    await eventually(() => expect(lines()).toEqual([1, 2, 3, 3]))
  })

  test('without --json prints one line each, and only of the route and class asked for', async () => {
    server.control.found = []
    running = startCli(['mismatches', '--follow', '--route', 'jobs', '--class', 'ttl'], reach())
    await eventually(() => expect(server.control.asked).toHaveLength(1))
    server.control.emit({ type: 'mismatch', data: mismatch({ id: 3, class: 'ttl', route: 'rest' }) })
    server.control.emit({ type: 'mismatch', data: mismatch({ id: 4, class: 'value' }) })
    server.control.emit({ type: 'mismatch', data: mismatch({ id: 5, class: 'ttl', key: 'job:5' }) })
    await eventually(() =>
      expect(running!.output.stdout).toBe(
        '5  2026-01-01 12:00:00Z  jobs  ttl  GET  job:<n>  1  job:5  the values differ  string, 3 bytes, a1b2  string, 4 bytes, c3d4\n',
      ),
    )
  })

  test('connects again when the sidecar restarts, and prints what it missed, nothing twice', async () => {
    running = startCli(['mismatches', '--follow', '--json'], reach())
    await eventually(() => expect(lines()).toEqual([1, 2]))
    const port = Number(new URL(server.url).port)
    await server.close()
    await eventually(() => expect(running!.output.stderr).toBe('understudy: connection lost, trying again\n'))
    server = await startTestServer({ port, statusIntervalMs: 50 })
    server.control.found = [mismatch({ id: 3 }), mismatch({ id: 2 }), mismatch({ id: 1 })]
    await eventually(() => expect(lines()).toEqual([1, 2, 3]))
    server.control.emit({ type: 'mismatch', data: mismatch({ id: 4 }) })
    await eventually(() => expect(lines()).toEqual([1, 2, 3, 4]))
  })

  test('when nothing is there at the start: exit code 3', async () => {
    const url = server.url
    await server.close()
    expect((await runCli(['mismatches', '--follow', '--admin', url])).code).toBe(3)
  })

  test('ends quietly when its reader has gone', async () => {
    running = startCli(['mismatches', '--follow', '--json'], reach())
    await eventually(() => expect(lines()).toEqual([1, 2]))
    running.child.stdout.destroy()
    const timer = setInterval(() => server.control.emit({ type: 'mismatch', data: mismatch({ id: Date.now() }) }), 20)
    const { code, stderr } = await running.finished
    clearInterval(timer)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })
})
