import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'

/** Mounts a file over itself, for this command alone, as a container is given one. */
const MOUNTED = ['--map-root-user', '--mount', 'sh', '-c', 'mount --bind "$0" "$0" && exec "$@"']
const canMount = spawnSync('unshare', [...MOUNTED, import.meta.filename, 'true']).status === 0

test.skipIf(!canMount)('a file that is mounted by itself, and cannot be replaced, is written where it is', () => {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-mounted-'))
  try {
    const file = join(folder, 'understudy.yaml')
    writeFileSync(file, 'phase: mirror\n')
    const source = new URL('../../src/config/replace-file.ts', import.meta.url).href
    const replace = `import(${JSON.stringify(source)}).then(({ replaceFile }) => replaceFile(${JSON.stringify(file)}, 'phase: shadow\\n'))`
    execFileSync('unshare', [...MOUNTED, file, process.execPath, '--eval', replace])
    expect(readFileSync(file, 'utf8')).toBe('phase: shadow\n')
    expect(readdirSync(folder)).toEqual(['understudy.yaml'])
  } finally {
    rmSync(folder, { recursive: true })
  }
})
