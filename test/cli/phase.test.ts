import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { UnderstudyError } from '../../src/base/errors.ts'
import { startTestServer, type TestServer } from '../admin/test-server.ts'
import { runCli } from './run-cli.ts'

let server: TestServer

beforeAll(async () => {
  server = await startTestServer()
})
afterAll(() => server.close())
beforeEach(() => {
  server.control.asked.length = 0
  server.control.closedGates = []
  server.control.openGates = []
  server.control.failure = null
})

const phase = (...args: string[]) => runCli(['phase', ...args], { UNDERSTUDY_ADMIN_URL: server.url })

describe('understudy phase', () => {
  test('switches, and tells the pause and what it means', async () => {
    expect(await phase('jobs', 'switched')).toEqual({
      code: 0,
      stdout:
        'jobs: shadow -> switched, commands held for 4.2 ms\n  Reads are answered by new.\n  Writes go to new, then to old.\n',
      stderr: '',
    })
    expect(server.control.asked).toEqual([{ route: 'jobs', phase: 'switched' }])
  })

  test('several routes change together, and each is told', async () => {
    server.control.openGates = ["store 'new' answers"]
    const dry = await phase('jobs,rest', 'switched', '--dry-run')
    expect(dry.code).toBe(0)
    const told = (route: string): string =>
      `${route}: shadow -> switched (dry run, nothing changed)\n  Reads are answered by new.\n  Writes go to new, then to old.\n`
    expect(dry.stdout).toBe(`${told('jobs')}${told('rest')}Open gates:\n  jobs: store 'new' answers\n`)
    expect((await phase('jobs,rest', 'switched', '--force', '--reason', 'at night')).code).toBe(0)
    expect(server.control.asked).toEqual([
      { routes: ['jobs', 'rest'], phase: 'switched', dryRun: true },
      { routes: ['jobs', 'rest'], phase: 'switched', force: true, reason: 'at night' },
    ])
    expect((await phase('jobs,', 'switched')).code).toBe(2)
  })

  test('--dry-run changes nothing and exits 1 when a gate is closed', async () => {
    const free = await phase('jobs', 'switched', '--dry-run')
    expect(free.code).toBe(0)
    expect(free.stdout).toMatch(/^jobs: shadow -> switched \(dry run, nothing changed\)\n/)
    server.control.closedGates = ['4 dirty keys', 'lag above 1 s']
    const closed = await phase('jobs', 'switched', '--dry-run')
    expect(closed.code).toBe(1)
    expect(closed.stdout).toMatch(/Closed gates:\n {2}4 dirty keys\n {2}lag above 1 s\n$/)
    expect(server.control.asked).toEqual([
      { route: 'jobs', phase: 'switched', dryRun: true },
      { route: 'jobs', phase: 'switched', dryRun: true },
    ])
  })

  test('--dry-run shows what is open too, and a step that is made does not', async () => {
    server.control.openGates = ["store 'new' answers"]
    server.control.closedGates = ['4 dirty keys']
    expect((await phase('jobs', 'switched', '--dry-run')).stdout).toMatch(
      /Open gates:\n {2}store 'new' answers\nClosed gates:\n {2}4 dirty keys\n$/,
    )
    server.control.closedGates = []
    expect((await phase('jobs', 'switched')).stdout).not.toContain('gates')
  })

  test('a closed gate: exit code 1 and the reasons', async () => {
    server.control.closedGates = ['4 dirty keys']
    expect(await phase('jobs', 'switched')).toEqual({
      code: 1,
      stdout: '',
      stderr: 'understudy: route jobs stays in shadow: 4 dirty keys\n',
    })
  })

  test('--force with a reason goes through a closed gate', async () => {
    server.control.closedGates = ['4 dirty keys']
    const forced = await phase('jobs', 'switched', '--force', '--reason', 'at night')
    expect(forced.code).toBe(0)
    expect(forced.stdout).toMatch(/\nClosed gates that were forced:\n {2}4 dirty keys\n$/)
    expect(server.control.asked).toEqual([{ route: 'jobs', phase: 'switched', force: true, reason: 'at night' }])
  })

  test('--force on a dry run says which closed gates it would go through', async () => {
    server.control.closedGates = ['4 dirty keys']
    const dry = await phase('jobs', 'switched', '--force', '--reason', 'at night', '--dry-run')
    expect(dry.code).toBe(0)
    expect(dry.stdout).toMatch(/\nClosed gates that would be forced:\n {2}4 dirty keys\n$/)
  })

  test('--force without a reason is wrong usage, and nothing is asked', async () => {
    expect(await phase('jobs', 'switched', '--force')).toEqual({
      code: 2,
      stdout: '',
      stderr: 'understudy: --force needs --reason TEXT\n',
    })
    expect((await phase('jobs', 'switched', '--force', '--reason', ' ')).code).toBe(2)
    expect(server.control.asked).toEqual([])
  })

  test('a phase that does not exist is wrong usage, and the phases are listed', async () => {
    const { code, stderr } = await phase('jobs', 'swtiched')
    expect(code).toBe(2)
    expect(stderr).toContain('passthrough, mirror, shadow, read-target, switched, done')
  })

  test('a route that does not exist is wrong usage; its name may have any characters', async () => {
    expect(await phase('a/b c', 'mirror')).toEqual({
      code: 2,
      stdout: '',
      stderr: 'understudy: no route named a/b c; there are: jobs\n',
    })
  })

  test('a switch that was called off: exit code 1', async () => {
    server.control.failure = new UnderstudyError('SWITCH_CALLED_OFF', 'the backlog did not empty in 2 s')
    expect(await phase('jobs', 'switched')).toMatchObject({
      code: 1,
      stderr: 'understudy: the backlog did not empty in 2 s\n',
    })
  })

  test('--json gives what the API gives', async () => {
    const { code, stdout } = await phase('jobs', 'mirror', '--json')
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ route: 'jobs', from: 'shadow', to: 'mirror', pauseMs: 4.2 })
  })
})
