import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const SOURCE = new URL('../../../src/config/file/replace-file.ts', import.meta.url).href

/** Mounts a file over itself, for this command alone, as a container is given one. */
const MOUNTED = ['--map-root-user', '--mount', 'sh', '-c', 'mount --bind "$0" "$0" && exec "$@"']
const canMount = spawnSync('unshare', [...MOUNTED, import.meta.filename, 'true']).status === 0

test.skipIf(!canMount)('a file that is mounted by itself, and cannot be replaced, is written where it is', () => {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-mounted-'))
  try {
    const file = join(folder, 'understudy.yaml')
    writeFileSync(file, 'phase: mirror\n')
    const replace = `import(${JSON.stringify(SOURCE)}).then(({ replaceFile }) => replaceFile(${JSON.stringify(file)}, 'phase: shadow\\n'))`
    execFileSync('unshare', [...MOUNTED, file, process.execPath, '--eval', replace])
    expect(readFileSync(file, 'utf8')).toBe('phase: shadow\n')
    expect(readdirSync(folder)).toEqual(['understudy.yaml'])
  } finally {
    rmSync(folder, { recursive: true })
  }
})

/** The directory of the second file takes no others, as in a container whose root is read-only. */
const IN_A_READ_ONLY_DIRECTORY = `mount --bind "$0/there" "$0/there" && mount --bind "$0/understudy.yaml" "$0/there/understudy.yaml" &&
  mount -o remount,bind,ro "$0/there" && "$@"`

test.skipIf(!canMount)('a file in a directory that takes no others is written where it is', () => {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-read-only-'))
  try {
    mkdirSync(join(folder, 'there'))
    const [file, mounted] = [join(folder, 'understudy.yaml'), join(folder, 'there', 'understudy.yaml')]
    for (const path of [file, mounted]) writeFileSync(path, 'phase: read-target\n')
    const replace = `import(${JSON.stringify(SOURCE)}).then(async ({ mustBeWritable, replaceFile }) => {
      await mustBeWritable(${JSON.stringify(mounted)})
      await replaceFile(${JSON.stringify(mounted)}, 'phase: shadow\\n')
    })`
    const inside = ['--map-root-user', '--mount', 'sh', '-c', IN_A_READ_ONLY_DIRECTORY, folder, process.execPath]
    execFileSync('unshare', [...inside, '--eval', replace])
    expect(readFileSync(file, 'utf8')).toBe('phase: shadow\n')
  } finally {
    rmSync(folder, { recursive: true })
  }
})

/** On a disk of two blocks the file has one, and the other is taken. */
const ON_A_FULL_DISK = `mount -t tmpfs -o size=8k none "$0" && cp "$0.yaml" "$0/file" && head -c 4096 /dev/zero > "$0/other" &&
  mount --bind "$0/file" "$0.yaml" && "$@"; cat "$0/file"`

test.skipIf(!canMount)(
  'a file that is mounted by itself is whole afterwards where the disk has no room for more',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'understudy-full-'))
    try {
      const disk = join(folder, 'disk')
      mkdirSync(disk)
      const before = `phase: mirror\n${'#'.repeat(4080)}\n`
      const written = (after: string): string => {
        writeFileSync(`${disk}.yaml`, before)
        const replace = `import(${JSON.stringify(SOURCE)}).then(({ replaceFile }) => replaceFile(${JSON.stringify(`${disk}.yaml`)}, ${JSON.stringify(after)})).catch(({ code }) => console.log(code))`
        const inside = [
          '--map-root-user',
          '--mount',
          'sh',
          '-c',
          ON_A_FULL_DISK,
          disk,
          process.execPath,
          '--eval',
          replace,
        ]
        return execFileSync('unshare', inside, { encoding: 'utf8' })
      }
      const [longer, shorter] = ['read-target', 'shadow'].map((phase) => before.replace('mirror', phase)) as [
        string,
        string,
      ]
      expect(written(longer)).toBe(`ENOSPC\n${before}`)
      expect(written(shorter)).toBe(shorter)
      expect(written('phase: off\n')).toBe('phase: off\n')
    } finally {
      rmSync(folder, { recursive: true })
    }
  },
)
