import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { findProgram } from '../../src/base/find-program.ts'
import { spawnTethered } from '../../src/base/tethered-child.ts'

describe('a tethered child', () => {
  test('is the program itself: its pid, its arguments, its output, its exit code', async () => {
    const child = spawnTethered('sh', ['-c', 'echo $$ "$1" "$2"; echo why >&2; exit 3', 'sh', 'a b', '*'])
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
    expect(stdout).toBe(`${child.pid} a b *\n`)
    expect(stderr).toBe('why\n')
    expect(code).toBe(3)
  })

  test('does not hold the tether itself', async () => {
    const child = spawnTethered('sh', ['-c', 'true <&3 && echo open || echo closed'])
    expect(await text(child.stdout)).toBe('closed\n')
  })

  test('takes signals', async () => {
    const child = spawnTethered('sleep', ['60'])
    await once(child, 'spawn')
    child.kill('SIGTERM')
    expect(await once(child, 'exit')).toEqual([null, 'SIGTERM'])
  })
})

describe('findProgram', () => {
  test('finds what a shell would run', () => {
    expect(findProgram('sh')).toMatch(/\/sh$/)
    expect(findProgram('/bin/sh')).toBe('/bin/sh')
    expect(findProgram('no-such-program')).toBeNull()
    expect(findProgram('sh', '/nowhere')).toBeNull()
    expect(findProgram('/etc/passwd')).toBeNull()
    expect(findProgram('/tmp')).toBeNull()
  })
})
