import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { acknowledgement, mismatch } from '../admin/fake-control.ts'
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
        'ID  LAST SEEN             ROUTE  CLASS  COMMAND  KEYS         COUNT  NOTE',
        ' 2  2026-01-01 12:00:00Z  jobs   ttl    PTTL     job:<n> (3)     12  eviction',
        '    job:1: the values differ',
        '    primary  string, 3 bytes, a1b2',
        '    shadow   string, 4 bytes, c3d4',
        ' 1  2026-01-01 12:00:00Z  jobs   value  GET      job:<n>          1  known: cache',
        '    job:\\x1b[2J\\x0a: the values differ',
        '    primary  string, 3 bytes, a1b2',
        '    shadow   string, 4 bytes, c3d4',
        '',
      ].join('\n'),
    )
    expect(server.control.asked).toEqual([{ route: 'jobs', class: 'ttl', limit: 7 }])
  })

  test('says so when there are none', async () => {
    server.control.found = []
    expect(await runCli(['mismatches'], reach())).toEqual({ code: 0, stdout: 'No mismatches.\n', stderr: '' })
    expect((await runCli(['mismatches', '--new'], reach())).stdout).toBe('No mismatch fits.\n')
    expect(JSON.parse((await runCli(['mismatches', '--json'], reach())).stdout)).toEqual([])
  })

  test.each([
    ['--limit', '0'],
    ['--limit', '1e9'],
    ['--limit', 'x'],
    ['--class', 'nonsense'],
    ['--export', '--rates'],
    ['--export', '--limit', '1'],
    ['--export', '--follow'],
    ['--rates', '--limit', '1'],
    ['--rates', '--follow'],
    ['--rates', '--class', 'ttl'],
    ['--rates', '--command', 'get'],
    ['--rates', '--new'],
  ])('%s %s is wrong usage', async (...args) => {
    expect((await runCli(['mismatches', ...args], reach())).code).toBe(2)
    expect(server.control.asked).toEqual([])
  })

  test('of two options of which one would be passed over, both are named', async () => {
    expect(await runCli(['mismatches', '--export', '--limit', '1'], reach())).toEqual({
      code: 2,
      stdout: '',
      stderr: "understudy: option '--export' cannot be used with option '--limit <count>'\n",
    })
  })
})

describe('understudy mismatches --rates and --export', () => {
  const rates = (compared: number, mismatched: number) => {
    const rate = { compared, mismatched, rate: mismatched / compared }
    return { '1m': rate, '10m': rate, '1h': rate }
  }
  const counts = { compared: 200, matched: 190, transient: 2, mismatched: 1, acknowledged: 7, ignored: 3 }

  test('show numerator and denominator, by route and command, and what was not compared', async () => {
    server.control.compared = {
      routes: {
        jobs: {
          phase: 'shadow',
          sample: 0.01,
          rates: rates(200, 1),
          commands: { GET: { ...counts, rates: rates(200, 1) } },
          skipped: {
            disturbed: 4,
            dirty: 0,
            shadow: 0,
            busy: 2,
            large: 0,
            split: 0,
            arbitrary: 0,
            altered: 0,
            moved: 0,
            script: 0,
          },
          repaired: 5,
          baseline: { compared: 100, differed: 1 },
          latency: {
            primary: { bounds: [], counts: [], sum: 0 },
            shadow: { bounds: [], counts: [], sum: 0 },
          },
        },
      },
    }
    const { code, stdout } = await runCli(['mismatches', '--rates', '--route', 'jobs'], reach())
    expect(code).toBe(0)
    expect(stdout).toBe(
      [
        'ROUTE  COMMAND    1 M          10 M           1 H         TRANSIENT  KNOWN  IGNORED',
        'jobs            1/200  0.50%  1/200  0.50%  1/200  0.50%          2      7        3',
        '       GET      1/200  0.50%  1/200  0.50%  1/200  0.50%          2      7        3',
        'jobs: not compared: 4 disturbed, 2 busy',
        'jobs: baseline: 1 of 100 reads (1.00%) differ from themselves',
        'jobs: 5 keys repaired',
        '',
      ].join('\n'),
    )
    expect(JSON.parse((await runCli(['mismatches', '--rates', '--json'], reach())).stdout)).toEqual(
      server.control.compared,
    )
  })

  test('give every key, one object a line', async () => {
    const { stdout } = await runCli(['mismatches', '--export', '--route', 'jobs', '--command', 'get'], reach())
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).mismatch),
    ).toEqual([2, 1])
    expect(server.control.asked).toEqual([{ route: 'jobs', command: 'GET' }])
    await runCli(['mismatches', '--export', '--new'], reach())
    expect(server.control.asked).toContainEqual({ acknowledged: false })
  })

  test('rates of a route that is not there are refused: nothing found would look like nothing wrong', async () => {
    server.control.compared = { routes: {} }
    const { code, stderr } = await runCli(['mismatches', '--rates', '--route', 'jbos'], reach())
    expect({ code, stderr }).toEqual({ code: 2, stderr: "understudy: no route is called 'jbos'\n" })
  })
})

describe('understudy acknowledge', () => {
  test('marks a mismatch as known', async () => {
    const { code, stdout } = await runCli(['acknowledge', '7', '--reason', 'a cache', '--until', '2097-01-31'], reach())
    expect(code).toBe(0)
    expect(stdout).toContain('a cache')
    expect(server.control.asked).toEqual([
      { mismatch: 7, reason: 'a cache', until: Date.parse('2097-01-31T23:59:59.999Z') },
    ])
  })

  test('lists what is marked, and takes it back', async () => {
    expect((await runCli(['acknowledge'], reach())).stdout).toBe('Nothing is acknowledged.\n')
    server.control.known = [acknowledgement(), acknowledgement({ id: null, class: 'ttl', pattern: null })]
    expect((await runCli(['acknowledge'], reach())).stdout).toBe(
      [
        'ID    ROUTE  PATTERN  COMMAND  CLASS  UNTIL  REASON',
        '1     jobs   job:<n>  *        *      -      known',
        'file  jobs   *        *        ttl    -      known',
        '',
      ].join('\n'),
    )
    expect((await runCli(['acknowledge', '--revoke', '1'], reach())).stdout).toBe('1 revoked\n')
    expect(server.control.asked).toEqual([{ revoke: 1 }])
  })

  test.each([
    [['acknowledge', '7']],
    [['acknowledge', 'x', '--reason', 'y']],
    [['acknowledge', '7', '--reason', 'y', '--until', 'soon']],
    [['acknowledge', '--reason', 'y']],
    [['acknowledge', '--until', '2097-01-31']],
    [['acknowledge', '--revoke', '1', '--until', '2097-01-31']],
    [['acknowledge', '1', '--revoke', '1', '--reason', 'y']],
  ])('%j is wrong usage', async (args) => {
    expect((await runCli(args, reach())).code).toBe(2)
    expect(server.control.asked).toEqual([])
  })

  test('a mismatch to acknowledge and one to revoke are not given together', async () => {
    expect((await runCli(['acknowledge', '1', '--revoke', '1'], reach())).stderr).toBe(
      'understudy: give the number of a mismatch to acknowledge, or --revoke ID, not both\n',
    )
    expect((await runCli(['acknowledge', '1', '--revoke', '1', '--reason', 'y'], reach())).stderr).toBe(
      "understudy: option '--revoke <id>' cannot be used with option '--reason <text>'\n",
    )
    expect(server.control.asked).toEqual([])
  })
})

test('a day that does not exist is refused, not taken for one of the next month', async () => {
  const { code, stderr } = await runCli(['acknowledge', '7', '--reason', 'y', '--until', '2036-02-31'], reach())
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr:
      "understudy: option '--until <time>' argument '2036-02-31' is invalid. It must be a day that exists: there is no 2036-02-31.\n",
  })
  expect(server.control.asked).toEqual([])
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
