import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { spawnTethered, type TetheredChild } from '../../src/base/tethered-child.ts'
import { end } from '../support/child.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/ports.ts'
import { ROOT } from './markdown.ts'

/**
 * Runs the migration of the README as it stands there, in its order, with these substitutions:
 *
 *     6380, 9380, 6401, 6402    free ports, so that it runs beside anything
 *     /tmp/migration            a directory of the test
 *     npx understudy            node bin/understudy.mjs, what npx finds; it saves npx's own start
 *
 * Blocks are marked: `<!-- runs -->` one command after the other, `<!-- serves -->` in the background until the end, `<!-- runs last -->` to tidy
 * up. A comment behind a command is a part of what it prints. Commands that only look are tried until they show it, as a reader would.
 */
const TEXT = readFileSync(join(ROOT, 'README.md'), 'utf8')
const BLOCKS = [...TEXT.matchAll(/<!-- (runs|serves|runs last) -->\n```sh\n([\s\S]*?)```/g)].map((match) => ({
  mark: match[1]!,
  text: match[2]!,
}))
const LOOKS = /redis-cli -p \d+ get |understudy\.mjs (?:status|mismatches)/

let directory = ''
let ports: Record<string, number> = {}
let background: TetheredChild | null = null
let said = ''

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'understudy-readme-'))
  for (const port of ['6380', '9380', '6401', '6402']) ports = { ...ports, [port]: await freePort() }
})

afterAll(async () => {
  if (background !== null) await end(background)
  for (const command of commandsIn(BLOCKS.find(({ mark }) => mark === 'runs last')!.text))
    await run(command.text).catch(() => {})
  rmSync(directory, { recursive: true, force: true })
})

test('every shell block of the README is marked', () => {
  expect(BLOCKS.length).toBeGreaterThan(8)
  expect(BLOCKS).toHaveLength(TEXT.match(/^```sh$/gm)!.length)
})

test('the five-minute migration does what the README says', { timeout: 240_000 }, async () => {
  for (const { mark, text } of BLOCKS) {
    if (mark === 'serves') await serve(substituted(text).trim())
    if (mark !== 'runs') continue
    for (const command of commandsIn(text)) {
      const check = async (): Promise<void> => {
        const { output, code } = await run(command.text)
        expect({ command: command.text, code, output }).toEqual({
          command: command.text,
          code: 0,
          output: expect.stringContaining(command.prints),
        })
      }
      if (LOOKS.test(command.text)) await eventually(check, { intervalMs: 100 })
      else await check()
    }
  }
})

interface Command {
  readonly text: string
  /** A part of its output; empty: nothing is promised. */
  readonly prints: string
}

/** One a line; a here-document belongs to the line that begins it. */
function commandsIn(block: string): Command[] {
  const commands: Command[] = []
  const lines = substituted(block).split('\n')
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!
    if (line === '') continue
    const until = /<<'(\w+)'$/.exec(line)?.[1]
    if (until !== undefined) {
      const last = lines.indexOf(until, i)
      commands.push({ text: lines.slice(i, last + 1).join('\n'), prints: '' })
      i = last
      continue
    }
    const [text, prints = ''] = line.split(/\s+# /) as [string, string?]
    commands.push({ text, prints })
  }
  return commands
}

function substituted(text: string): string {
  return text
    .replaceAll(/\b(?:6380|9380|6401|6402)\b/g, (port) => `${ports[port]}`)
    .replaceAll('/tmp/migration', join(directory, 'migration'))
    .replaceAll('npx understudy', 'node bin/understudy.mjs')
}

async function run(command: string): Promise<{ code: number; output: string }> {
  try {
    const { stdout, stderr } = await promisify(execFile)('/bin/sh', ['-c', command], { cwd: ROOT, env: environment() })
    return { code: 0, output: stdout + stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, output: stdout + stderr }
  }
}

/** Starts it and waits for the line that says where to connect. */
async function serve(command: string): Promise<void> {
  const child = spawnTethered('/bin/sh', ['-c', `exec ${command}`], { cwd: ROOT, env: environment() })
  background = child
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      said += chunk
    })
  }
  await eventually(() => expect(said).toContain(`set REDIS_URL=redis://127.0.0.1:${ports['6380']}`), {
    timeoutMs: 60_000,
  })
}

function environment(): NodeJS.ProcessEnv {
  return { ...process.env, NODE_OPTIONS: '', UNDERSTUDY_ADMIN_URL: `http://127.0.0.1:${ports['9380']}` }
}
