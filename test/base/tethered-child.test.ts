import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { findProgram } from '../../src/base/find-program.ts'
import { spawnTethered } from '../../src/base/tethered-child.ts'
import { eventually } from '../support/eventually.ts'

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

  test('leaves no watch behind when it has ended, while its parent lives on', async () => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const child = spawnTethered('sleep', ['60'])
      await eventually(() => expect(livingInSession(child.pid!)).toBe(2))
      child.kill(signal)
      await eventually(() => expect(livingInSession(child.pid!)).toBe(0))
    }
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

/** Processes of a session that are not dead and merely waiting to be collected. The child leads a session of its own. */
function livingInSession(session: number): number {
  const stats = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(statOf)
  return stats.filter((stat) => stat.session === session && stat.state !== 'Z').length
}

/** Of a process that has ended meanwhile: nothing. */
function statOf(pid: string): { state?: string | undefined; session?: number } {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [state, , , session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return { state, session: Number(session) }
  } catch {
    return {}
  }
}
