import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runCommandLine } from '../../src/cli/program.ts'
import { Terminal } from '../../src/cli/terminal.ts'

/** What the sidecar of an earlier version answered, by path. */
const recorded = JSON.parse(readFileSync(new URL('./older-answers.json', import.meta.url), 'utf8')) as Record<
  string,
  unknown
>

let answers: Record<string, unknown> = recorded
let server: Server
let url: string

beforeAll(async () => {
  server = createServer((request, response) => {
    const path = (request.url ?? '').split('?')[0]!
    const body = answers[path] ?? { error: { code: 'NOT_FOUND', message: `no ${path}` } }
    response.writeHead(answers[path] === undefined ? 404 : 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => server.close())

/** In this very process: hundreds of them. */
async function cli(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const written = { stdout: '', stderr: '' }
  const stream = (name: keyof typeof written) =>
    Object.assign(new PassThrough(), {
      write: (text: string) => (written[name] += text),
    }) as unknown as NodeJS.WriteStream
  const terminal = new Terminal(stream('stdout'), stream('stderr'))
  const code = await runCommandLine([...args, '--admin', url], terminal)
  return { code, ...written }
}

const COMMANDS = [
  ['/api/v1/status', ['status']],
  ['/api/v1/jobs', ['jobs']],
  ['/api/v1/jobs/1', ['jobs', 'show', '1']],
  ['/api/v1/jobs/1/keys', ['jobs', 'show', '1']],
  ['/api/v1/mismatches', ['mismatches']],
  ['/api/v1/compare', ['mismatches', '--rates']],
  ['/api/v1/acknowledgements', ['acknowledge']],
  ['/api/v1/routes/all/phase', ['phase', 'all', 'switched', '--dry-run']],
] as const

/** Every field somewhere inside, by its path. */
function fieldsIn(value: unknown, at: readonly string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, inner]) => [
    ...(Array.isArray(value) ? [] : [[...at, name]]),
    ...fieldsIn(inner, [...at, name]),
  ])
}

function without(value: unknown, path: readonly string[]): unknown {
  const copy = structuredClone(value)
  let at = copy as Record<string, unknown>
  for (const name of path.slice(0, -1)) at = at[name] as Record<string, unknown>
  delete at[path.at(-1)!]
  return copy
}

describe('a sidecar of another version', () => {
  test('is shown by status, with what it does not know left out', async () => {
    answers = recorded
    const { code, stdout, stderr } = await cli('status')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^Understudy 0\.1\.0, up /)
    expect(stdout).toMatch(/all +shadow +old +new/)
  })

  test.each(COMMANDS)(
    '%s: whatever it leaves out or says as well, `understudy %j` does not break',
    async (path, args) => {
      // All but the number that was asked for.
      for (const missing of fieldsIn(recorded[path]).filter((field) => field.join('.') !== 'id')) {
        answers = { ...recorded, [path]: without(recorded[path], missing) }
        const { code, stderr } = await cli(...args)
        expect([missing.join('.'), code === 0 || code === 1, stderr]).toEqual([missing.join('.'), true, ''])
      }
      const more = (value: unknown): unknown =>
        Array.isArray(value)
          ? value.map(more)
          : typeof value === 'object' && value !== null
            ? { ...value, later: { than: 'this' } }
            : value
      answers = { ...recorded, [path]: more(recorded[path]) }
      expect((await cli(...args)).stderr).toBe('')
    },
  )

  test('one that knows no dry run of a reload is told so, and reloads nothing', async () => {
    answers = recorded
    const { code, stderr } = await cli('reload', '--dry-run')
    expect(code).not.toBe(0)
    expect(stderr).toContain('/api/v1/config/changes')
  })
})
