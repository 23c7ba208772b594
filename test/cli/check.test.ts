import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startRedis } from '../support/redis.ts'
import { runCli } from './run-cli.ts'

const GOOD = `stores:
  old: { url: redis://127.0.0.1:6379 }
  new: { url: redis://127.0.0.1:6378 }
routes:
  - name: everything
    keys: ["*"]
    source: { store: old }
    target: { store: new }
    phase: mirror
`

let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-check-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function written(name: string, text: string): string {
  const file = join(folder, name)
  writeFileSync(file, text)
  return file
}

describe('understudy check', () => {
  test('is silent when the file is fine', async () => {
    expect(await runCli(['check', written('good.yaml', GOOD)])).toEqual({ code: 0, stdout: '', stderr: '' })
  })

  test('prints every problem with file, line and column, and exits 1', async () => {
    const file = written('bad.yaml', GOOD.replace('store: new', 'store: nwe').replace('phase: mirror', 'phase: mirorr'))
    const { code, stdout, stderr } = await runCli(['check', file])
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' })
    const lines = stdout.trimEnd().split('\n')
    expect(lines).toHaveLength(2)
    expect(lines[0]!.startsWith(`${file}:8:22: `)).toBe(true)
    expect(lines[1]!.startsWith(`${file}:9:12: `)).toBe(true)
  })

  test('--json gives the problems as data', async () => {
    const file = written('bad.yaml', GOOD.replace('phase: mirror', 'phase: mirorr'))
    const { code, stdout } = await runCli(['check', file, '--json'])
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toEqual([
      { file, line: 9, column: 12, path: 'routes[0].phase', message: expect.any(String) },
    ])
    expect(JSON.parse((await runCli(['check', written('good.yaml', GOOD), '--json'])).stdout)).toEqual([])
  })

  test('a warning goes to standard error, and the file is still fine', async () => {
    const file = written('spare.yaml', GOOD.replace('routes:', '  spare: { url: redis://127.0.0.1:6377 }\nroutes:'))
    const { code, stdout, stderr } = await runCli(['check', file])
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' })
    expect(stderr.startsWith(`warning: ${file}:4:`)).toBe(true)
  })

  test('a file that is not there is one line, exit code 3', async () => {
    const { code, stdout, stderr } = await runCli(['check', join(folder, 'nothing.yaml')])
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' })
    expect(stderr).toMatch(/^understudy: [^\n]+\n$/)
  })

  test('--connect asks the stores: a table, what was found, exit code 1 when something speaks against them', async () => {
    const [old, fresh] = await Promise.all([startRedis(), startRedis()])
    try {
      const text = GOOD.replace('redis://127.0.0.1:6379', old.url).replace('redis://127.0.0.1:6378', fresh.url)
      const fine = await runCli(['check', written('fine.yaml', `stateDir: ${folder}\n${text}`), '--connect'])
      expect(fine).toMatchObject({ code: 0, stderr: '' })
      expect(fine.stdout.trimEnd().split('\n')).toEqual([
        expect.stringMatching(/^STORE +SERVER +STATE +LATENCY +VERSION +ROLE +KEYS +MEMORY$/),
        expect.stringMatching(new RegExp(`^old +127.0.0.1:${old.port} +up .* master +0 +\\d.*b, no limit$`)),
        expect.stringMatching(new RegExp(`^new +127.0.0.1:${fresh.port} +up `)),
      ])
      await fresh.stop()
      const file = written('down.yaml', `stateDir: ${folder}\n${text}`)
      const down = await runCli(['check', file, '--connect'])
      expect(down.code).toBe(1)
      expect(down.stdout).toContain("\nerror: store 'new' cannot be used: ")
      const { code, stdout } = await runCli(['check', file, '--connect', '--json'])
      expect(code).toBe(1)
      expect(JSON.parse(stdout)).toMatchObject({
        problems: [],
        stores: { old: { error: null, servers: [{ up: true, keys: {} }] }, new: { servers: [{ up: false }] } },
        findings: [{ level: 'error' }],
      })
    } finally {
      await Promise.all([old.stop(), fresh.stop()])
    }
  })

  test('--connect asks nobody while the file itself is wrong', async () => {
    const file = written('bad.yaml', GOOD.replace('phase: mirror', 'phase: mirorr'))
    const { code, stdout } = await runCli(['check', file, '--connect'])
    expect(code).toBe(1)
    expect(stdout).toMatch(/^[^\n]*bad.yaml:9:12: [^\n]*\n$/)
  })

  test('--since says which keys a reload would move, and refuses what nothing has prepared', async () => {
    const before = written('before.yaml', GOOD)
    const job = (source: string, phase: string) =>
      `routes:\n  - { name: jobs, keys: ["job:{id}"], source: { store: ${source} }, target: { store: new }, phase: ${phase} }\n`
    const switched = written('switched.yaml', GOOD.replace('routes:\n', job('old', 'switched')))
    const moved = await runCli(['check', switched, '--since', before])
    expect({ code: moved.code, stdout: moved.stdout }).toEqual({ code: 0, stdout: '' })
    expect(moved.stderr).toContain(
      `reload: keys "job:{id}" go from route 'everything' to 'jobs': their primary moves from store 'old' to 'new', their shadow until now; writes are mirrored to 'old'`,
    )
    const third = GOOD.replace('routes:\n', job('third', 'passthrough')).replace(
      'stores:\n',
      'stores:\n  third: { url: redis://127.0.0.1:6377 }\n',
    )
    const unsafe = await runCli(['check', written('third.yaml', third), '--since', before])
    expect(unsafe.code).toBe(1)
    expect(unsafe.stdout).toContain("route 'jobs': keys \"job:{id}\" of route 'everything' would move")
    expect((await runCli(['check', before, '--since', before])).stderr).toBe('')
  })

  test('a file that can be read once is read once, whatever is asked of it', async () => {
    const [before, pipe] = [written('old.yaml', GOOD), join(folder, 'pipe')]
    execFileSync('mkfifo', [pipe])
    for (const options of [['--since', before], ['--json'], ['--since', before, '--connect', '--json']]) {
      const writing = writeFile(pipe, GOOD.replaceAll('127.0.0.1', '127.0.0.9'))
      const { stdout, stderr } = await runCli(['check', pipe, ...options])
      await writing
      expect(`${stdout}${stderr}`).not.toContain('the file is empty')
    }
  })
})
