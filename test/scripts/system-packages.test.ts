import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

const MODULE = new URL('../../scripts/system-packages.mjs', import.meta.url).href

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'understudy-scripts-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

/** What apt-get was asked for, where its installations fail so many times, and whether the package is there in the end. */
function install(failures: number, ci: string): { status: number | null; asked: string[] } {
  const log = join(dir, 'asked')
  writeFileSync(log, '')
  const program = (name: string, script: string): void => {
    writeFileSync(join(dir, name), `#!/bin/sh\n${script}\n`)
    chmodSync(join(dir, name), 0o755)
  }
  const count = `[ "$(grep -cw install '${log}')" -gt ${failures} ]`
  program('apt-get', `echo "$*" >>'${log}'; case "$*" in *' install '*) ${count};; esac`)
  program('sleep', `echo "sleep $1" >>'${log}'`)
  const print = `import('${MODULE}').then(({ aptInstall }) => console.log(aptInstall('some-package')))`
  const script = execFileSync(process.execPath, ['-e', print], { env: { ...process.env, CI: ci }, encoding: 'utf8' })
  const env = { PATH: `${dir}${delimiter}${process.env['PATH']}` }
  const { status } = spawnSync('sh', ['-c', `${script}\nexit 0`], { env })
  const asked = readFileSync(log, 'utf8').trim().split('\n')
  return { status, asked: asked.map((line) => /install|update|sleep \d+/.exec(line)![0]) }
}

test('a package is installed with the lists that there are, or with fresh ones', () => {
  expect(install(0, '')).toEqual({ status: 0, asked: ['sleep 0', 'install'] })
  expect(install(1, '')).toEqual({ status: 0, asked: ['sleep 0', 'install', 'update', 'install'] })
  expect(install(2, '').status).toBe(1)
})

test('what fails is tried again where nobody is there to do it', () => {
  expect(install(2, 'true')).toEqual({
    status: 0,
    asked: ['sleep 0', 'install', 'update', 'install', 'sleep 5', 'install'],
  })
  expect(install(6, 'true').status).toBe(1)
})
