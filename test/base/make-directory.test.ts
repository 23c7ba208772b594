import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeDirectory } from '../../src/base/make-directory.ts'

let dir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'make-directory-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

test('is made with what is above it, for the owner only; one that is there stays as it is', () => {
  makeDirectory(join(dir, 'a', 'b'))
  expect(statSync(join(dir, 'a')).mode & 0o777).toBe(0o700)
  mkdirSync(join(dir, 'open'), { mode: 0o755 })
  symlinkSync(join(dir, 'open'), join(dir, 'link'))
  makeDirectory(join(dir, 'link'))
  expect(statSync(join(dir, 'open')).mode & 0o777).toBe(0o755)
})

test('below a file it cannot be', () => {
  writeFileSync(join(dir, 'file'), '')
  expect(() => makeDirectory(join(dir, 'file'))).toThrow(/EEXIST/)
  expect(() => makeDirectory(join(dir, 'file', 'a', 'b'))).toThrow(join(dir, 'file'))
})

test.runIf(process.platform === 'linux')('where nothing can be made there is an error, and no endless attempt', () => {
  expect(() => makeDirectory('/proc/understudy/state')).toThrow(/\/proc\/understudy/)
})
