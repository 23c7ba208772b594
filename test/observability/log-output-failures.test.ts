import type fs from 'node:fs'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { LogOutput } from '../../src/observability/log-output.ts'
import { eventually } from '../support/eventually.ts'

const disk = vi.hoisted(() => ({ isFull: true }))
vi.mock('node:fs', async (original) => {
  const real = await original<typeof fs>()
  const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
  const write = (...args: [number, Buffer, (error: Error | null) => void]) =>
    disk.isFull ? setImmediate(() => args[2](full)) : real.write(...args)
  return { ...real, write }
})

test('what a full disk does not take is given up in whole lines, also where they are long', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'understudy-log-'))
  const fd = openSync(join(directory, 'file'), 'a')
  const output = new LogOutput(fd)
  const all = Array.from({ length: 50 }, (_, i) => `${i} ${'.'.repeat(i === 30 ? 40_000 : 700 + i)}\n`)
  for (const line of all) output.write(line)
  // The first has been refused, and the first of those that came behind it.
  await new Promise((resolve) => setImmediate(resolve))
  await new Promise((resolve) => setImmediate(resolve))
  disk.isFull = false
  await eventually(() => expect(readFileSync(join(directory, 'file'), 'utf8')).toMatch(/^49 /m))
  const written = readFileSync(join(directory, 'file'), 'utf8')
  expect(written.length).toBeGreaterThan(0)
  expect(all.join('').endsWith(written)).toBe(true)
  for (const line of written.split('\n').slice(0, -1)) expect(all).toContain(`${line}\n`)
  closeSync(fd)
  rmSync(directory, { recursive: true })
})
