import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { explanationLines } from '../../src/cli/explain.ts'
import type { Explanation } from '../../src/routing/explain.ts'
import { startRedis } from '../support/redis.ts'
import { runCli } from './run-cli.ts'

const EXPLANATION: Explanation = {
  command: 'RENAME',
  known: true,
  handling: 'forward',
  keys: [
    { key: 'job:1', route: 'jobs', primary: { store: 'old', key: 'job:1' }, shadow: { store: 'new', key: 'step:1' } },
    { key: 'a\nb', route: 'rest', primary: { store: 'old', key: 'a\nb' }, shadow: null },
  ],
  mirrored: 'as sent',
  compared: 'never: it writes',
  refused: null,
  notes: ['the route jobs is in phase shadow'],
}

const CONFIG = `
stores:
  old: { url: redis://127.0.0.1:6379 }
routes:
  - name: jobs
    keys: ["job:{id}"]
    source: { store: old }
    target: { store: old, keys: { "job:{id}": "step:{id}" } }
    phase: shadow
  - name: rest
    keys: ["*"]
    source: { store: old }
    phase: passthrough
`

describe('understudy explain', () => {
  let folder: string
  const file = () => join(folder, 'understudy.yaml')
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'understudy-explain-'))
    writeFileSync(file(), CONFIG)
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  test('tells of a command on the command line, options of its own included', async () => {
    const { code, stdout, stderr } = await runCli(['explain', '--config', file(), '--', 'SET', 'job:1', '--json'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^command {4}SET\n/)
    expect(stdout).toContain('key        job:1 -> route jobs\n  primary  old: job:1\n  shadow   old: step:1\n')
  })

  test('--json gives the same as data', async () => {
    const { code, stdout } = await runCli(['explain', '--config', file(), '--json', '--', 'GET', 'job:1'])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      command: 'GET',
      known: true,
      keys: [
        {
          key: 'job:1',
          route: 'jobs',
          primary: { store: 'old', key: 'job:1' },
          shadow: { store: 'old', key: 'step:1' },
        },
      ],
      refused: null,
    })
  })

  test.each([
    ["return redis.call('incr', KEYS[1])", 'run again: the script does the same anywhere'],
    ["return redis.call('get', KEYS[1])", 'no: the script only reads'],
    ["redis.call('expire', KEYS[1], 10)", 'its keys are copied: it sets a relative time (EXPIRE)'],
    [
      "redis.call('set', 'x', 1)",
      'its keys are copied, and what the primary tells of others; where it does not tell, the route needs a verify',
    ],
  ])('what becomes of the script %s: %s', async (source, expected) => {
    const { stdout } = await runCli(['explain', '--config', file(), '--', 'EVAL', source, '1', 'job:1'])
    expect(stdout).toContain(expected)
  })

  test('what becomes of a function, its store is asked', async () => {
    const store = await startRedis()
    try {
      await store.client().call(
        'FUNCTION',
        'LOAD',
        `#!lua name=l
redis.register_function('add', function(k) return redis.call('incr', k[1]) end)
redis.register_function('make', function(k) return redis.call('incr', k[1] .. ':n') end)
redis.register_function{ function_name = 'look', flags = {'no-writes'}, callback = function(k) return redis.call('get', k[1]) end }`,
      )
      const config = CONFIG.replace('6379', String(store.port))
      writeFileSync(join(folder, 'functions.yaml'), config)
      writeFileSync(join(folder, 'switched.yaml'), config.replace('phase: shadow', 'phase: switched'))
      const said = async (name: string, configured = 'functions.yaml') => {
        const { code, stdout } = await runCli([
          'explain',
          '--config',
          join(folder, configured),
          '--',
          'FCALL',
          name,
          '1',
          'job:1',
        ])
        return `${code} ${stdout}`
      }
      expect(await said('add')).toMatch(/^0 [\s\S]*run again where its library was loaded through Understudy/)
      expect(await said('make')).toMatch(
        /^0 [\s\S]*the function uses keys that it does not declare\n[\s\S]*note +the function uses keys/,
      )
      expect(await said('look')).toMatch(/^0 [\s\S]*no: the function only reads\n/)
      expect(await said('gone')).toContain("store 'old' has no such function")
      expect(await said('add', 'switched.yaml')).toMatch(/^0 /)
      expect(await said('make', 'switched.yaml')).toMatch(/^1 [\s\S]*Understudy refuses this function/)
      await store.client().call('ACL', 'SETUSER', 'default', '-function|list')
      for (const name of ['make', 'gone']) {
        const unread = await said(name)
        expect(unread).toContain("store 'old' does not let its functions be read (FUNCTION LIST)")
        expect(unread).not.toMatch(/note +the function uses keys/)
      }
      expect(await said('make', 'switched.yaml')).toMatch(/refuses this function: store 'old' does not let it be read/)
      await store.client().call('ACL', 'SETUSER', 'default', '+function|list')
      await store.client().config('SET', 'requirepass', 'secret')
      expect(await said('make')).toContain("store 'old' could not be asked what the function does")
      await store.stop()
      expect(await said('make')).toContain("store 'old' could not be asked what the function does")
    } finally {
      await store.stop()
    }
  })

  test('a command with an argument too many says so', async () => {
    const { code, stdout } = await runCli(['explain', '--config', file(), 'GET', 'job:1', '--json'])
    expect(code).toBe(0)
    expect(stdout).toContain('note       has 2 arguments and takes 1: it is answered with an error\n')
    const fine = await runCli(['explain', '--config', file(), '--', 'MSET', 'job:1', '1', 'job:2', '2'])
    expect(fine.stdout).not.toContain('is answered with an error')
  })

  test('a command that is refused: exit code 1', async () => {
    const { code, stdout } = await runCli(['explain', '--config', file(), '--', 'SCRIPT', 'DEBUG', 'YES'])
    expect(code).toBe(1)
    expect(stdout).toMatch(/^refused {4}/m)
  })

  test('a file that is missing: exit code 3; one that is invalid: exit code 1', async () => {
    const missing = await runCli(['explain', '--config', join(folder, 'nothing.yaml'), '--', 'GET', 'a'])
    expect(missing).toMatchObject({ code: 3, stderr: expect.stringMatching(/^understudy: [^\n]+\n$/) })
    writeFileSync(join(folder, 'broken.yaml'), CONFIG.replace('phase: shadow', 'phase: shadwo'))
    const broken = await runCli(['explain', '--config', join(folder, 'broken.yaml'), '--', 'GET', 'a'])
    expect(broken).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('broken.yaml:9:') })
  })

  test('shows route, keys on each store, mirroring and comparison, one fact a line', () => {
    expect(explanationLines(EXPLANATION)).toEqual([
      'command    RENAME',
      'handling   forward',
      'key        job:1 -> route jobs',
      '  primary  old: job:1',
      '  shadow   new: step:1',
      'key        a\\x0ab -> route rest',
      '  primary  old: a\\x0ab',
      '  shadow   -',
      'mirrored   as sent',
      'compared   never: it writes',
      'note       the route jobs is in phase shadow',
    ])
  })

  test('of a command that is refused, shows why and nothing of mirroring', () => {
    const refused = {
      ...EXPLANATION,
      command: 'SYNC',
      known: false,
      keys: [],
      refused: 'replication does not pass',
      notes: [],
    }
    expect(explanationLines(refused)).toEqual([
      'command    SYNC (not in the command table)',
      'handling   forward',
      'keys       none',
      'refused    replication does not pass',
    ])
  })
})
