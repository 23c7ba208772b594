import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'

const HERE = fileURLToPath(new URL('../..', import.meta.url))
const made: string[] = []
afterEach(() => {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true })
})

/** A checkout with our sources and nothing of what has been compiled. */
function checkout(): string {
  const root = mkdtempSync(join(tmpdir(), 'understudy-checkout-'))
  made.push(root)
  cpSync(join(HERE, 'bin'), join(root, 'bin'), { recursive: true })
  symlinkSync(join(HERE, 'src'), join(root, 'src'))
  mkdirSync(join(root, 'node_modules'))
  return root
}

function version(root: string): { status: number | null; stdout: string; stderr: string } {
  const { NODE_COMPILE_CACHE: _, NODE_OPTIONS: __, ...env } = process.env
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'bin/understudy.mjs'), '--version'], {
    env,
    encoding: 'utf8',
  })
  return { status, stdout, stderr }
}

const ANSWER = { status: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/), stderr: '' }

test('what has been compiled is kept for the next start, beside the packages', () => {
  const root = checkout()
  const kept = join(root, 'node_modules/.cache/understudy')
  expect(existsSync(kept)).toBe(false)
  expect(version(root)).toEqual(ANSWER)
  expect(readdirSync(kept, { recursive: true }).length).toBeGreaterThan(20)
  expect(version(root)).toEqual(ANSWER)
})

test('where nothing can be kept it is compiled each time, and nobody is bothered with it', () => {
  const root = checkout()
  writeFileSync(join(root, 'node_modules/.cache'), 'in the way')
  expect(version(root)).toEqual(ANSWER)
})
