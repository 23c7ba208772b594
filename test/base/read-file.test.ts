import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { MAX_FILE_BYTES, readPipe, readRegularFile } from '../../src/base/read-file.ts'

const dir = mkdtempSync(join(tmpdir(), 'understudy-files-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test('a file is read whole, also one that tells no size', () => {
  const path = join(dir, 'file')
  for (const length of [0, 1, 65_536, 200_000, MAX_FILE_BYTES]) {
    const bytes = Buffer.alloc(length, 'abc')
    writeFileSync(path, bytes)
    expect(readRegularFile(path).equals(bytes)).toBe(true)
  }
  expect(readRegularFile('/proc/self/status').toString()).toContain('Name:')
})

test('what is none, or far too large, is refused at once: nobody waits for a writer, or for the end of what has none', () => {
  const pipe = join(dir, 'pipe')
  execFileSync('mkfifo', [pipe])
  for (const path of [pipe, '/dev/zero', '/dev/null'])
    expect(() => readRegularFile(path)).toThrow(
      `${path} cannot be read: it is no regular file, but a pipe, a socket or a device`,
    )
  expect(() => readRegularFile(dir)).toThrow('it is a directory')
  expect(() => readRegularFile(join(dir, 'nowhere'))).toThrow(/ENOENT/)
  const large = join(dir, 'large')
  writeFileSync(large, Buffer.alloc(5 * 2 ** 20))
  expect(() => readRegularFile(large)).toThrow('it has 5 MB, and 4 are the most')
  expect(() => readPipe('/dev/zero')).toThrow('it has more than 4 MB')
})
