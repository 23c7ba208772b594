import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { openFilesLimit } from '../../src/base/open-files.ts'

test('the limit of open files is the one that the process has', () => {
  const script = `import('${new URL('../../src/base/open-files.ts', import.meta.url)}').then((m) => process.stdout.write(String(m.openFilesLimit())))`
  const told = execFileSync('sh', ['-c', 'ulimit -n 512; exec "$0" -e "$1"', process.execPath, script], {
    encoding: 'utf8',
  })
  expect(told).toBe(process.platform === 'linux' ? '512' : 'null')
})

test('none, where there is none or nobody says so', () => {
  expect(openFilesLimit(() => 'Max open files            unlimited            unlimited            files\n')).toBeNull()
  expect(
    openFilesLimit(() => {
      throw new Error('no such file')
    }),
  ).toBeNull()
})
