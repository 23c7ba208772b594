import { execFileSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type FileWatch, type WatchOptions, watchFile } from '../../../src/config/file/watch.ts'
import { eventually } from '../../support/eventually.ts'

let folder: string
let seen: string[]
let watching: FileWatch | null

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-watch-'))
  seen = []
  watching = null
})

afterEach(() => {
  watching?.close()
  rmSync(folder, { recursive: true })
})

/** Begins to watch; polling is off unless asked for, so that a test shows that the change was announced. */
function watchIt(path: string, options: WatchOptions = {}): void {
  const known = readFileSync(path, 'utf8')
  watching = watchFile(path, (text) => seen.push(text), { known, settleMs: 20, pollMs: 3_600_000, ...options })
}

/** Repeats a change until it is noticed: the first may come before the watch is set up. */
async function untilSeen(change: (text: string) => void): Promise<void> {
  let tries = 0
  await eventually(
    () => {
      change(`new ${tries++}`)
      return eventually(() => expect(seen.length).toBeGreaterThan(0), { timeoutMs: 500 })
    },
    { intervalMs: 1 },
  )
  expect(seen[0]).toMatch(/^new \d+$/)
}

describe('watching a file', () => {
  it('notices that it was written in place', async () => {
    const path = join(folder, 'u.yaml')
    writeFileSync(path, 'old')
    watchIt(path)
    await untilSeen((text) => writeFileSync(path, text))
  })

  it('notices that another file was moved into its place, again and again', async () => {
    const path = join(folder, 'u.yaml')
    writeFileSync(path, 'old')
    watchIt(path)
    const replace = (text: string): void => {
      writeFileSync(`${path}.new`, text)
      renameSync(`${path}.new`, path)
    }
    await untilSeen(replace)
    replace('newer')
    await eventually(() => expect(seen.at(-1)).toBe('newer'))
  })

  it('notices the swap of a folder, as Kubernetes mounts a configuration', async () => {
    const swap = (text: string): void => {
      const version = `..${text.replace(' ', '_')}`
      mkdirSync(join(folder, version))
      writeFileSync(join(folder, version, 'u.yaml'), text)
      symlinkSync(version, join(folder, '..data_tmp'))
      renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
    }
    swap('old')
    symlinkSync(join('..data', 'u.yaml'), join(folder, 'u.yaml'))
    watchIt(join(folder, 'u.yaml'))
    await untilSeen(swap)
    swap('newer')
    await eventually(() => expect(seen.at(-1)).toBe('newer'))
  })

  it('notices a change of the file that a link leads to', async () => {
    mkdirSync(join(folder, 'elsewhere'))
    const real = join(folder, 'elsewhere', 'real.yaml')
    writeFileSync(real, 'old')
    mkdirSync(join(folder, 'here'))
    symlinkSync(real, join(folder, 'here', 'u.yaml'))
    watchIt(join(folder, 'here', 'u.yaml'))
    await untilSeen((text) => writeFileSync(real, text))
  })

  it('notices by looking where nothing is announced', async () => {
    const path = join(folder, 'nested', 'u.yaml')
    mkdirSync(join(folder, 'nested'))
    writeFileSync(path, 'old')
    watchIt(path, { pollMs: 20 })
    // The folder itself is replaced: a watch on it sees nothing of the new one.
    renameSync(join(folder, 'nested'), join(folder, 'gone'))
    mkdirSync(join(folder, 'nested'))
    writeFileSync(path, 'new')
    await eventually(() => expect(seen).toEqual(['new']))
  })

  it('waits for a file that is missing for a while', async () => {
    const path = join(folder, 'u.yaml')
    writeFileSync(path, 'old')
    watchIt(path, { pollMs: 20 })
    unlinkSync(path)
    writeFileSync(join(folder, 'other'), 'x')
    writeFileSync(path, 'new')
    await eventually(() => expect(seen).toEqual(['new']))
  })

  it('waits for a file in whose place there is a pipe for a while', async () => {
    const path = join(folder, 'u.yaml')
    writeFileSync(path, 'old')
    watchIt(path, { pollMs: 10 })
    unlinkSync(path)
    execFileSync('mkfifo', [path])
    // Looked at more than once: as often as another file that is watched alike.
    const other = join(folder, 'other.yaml')
    writeFileSync(other, 'old')
    const news: string[] = []
    const watchingOther = watchFile(other, (text) => news.push(text), { known: 'old', settleMs: 20, pollMs: 10 })
    writeFileSync(other, 'new')
    await eventually(() => expect(news).toEqual(['new']))
    watchingOther.close()
    unlinkSync(path)
    writeFileSync(path, 'new')
    await eventually(() => expect(seen).toEqual(['new']))
  })

  it('tells that a file is far too large, and does not read it', async () => {
    const path = join(folder, 'u.yaml')
    writeFileSync(path, 'old')
    watchIt(path, { pollMs: 20 })
    writeFileSync(path, 'x'.repeat(5 * 2 ** 20))
    await eventually(() => expect(seen).toEqual([expect.not.stringContaining('x')]))
  })

  it('tells once of a file that stays away, and that it is there again', async () => {
    const path = join(folder, 'u.yaml')
    const folderOfIt = join(folder, 'nested')
    const inIt = join(folderOfIt, 'u.yaml')
    mkdirSync(folderOfIt)
    for (const file of [path, inIt]) writeFileSync(file, 'same')
    let told = 0
    const options = { known: 'same', settleMs: 20, pollMs: 10, goneMs: 50, onGone: () => told++ }
    watching = watchFile(path, (text) => seen.push(text), options)
    const other: string[] = []
    const watchingOther = watchFile(inIt, (text) => other.push(text), options)
    unlinkSync(path)
    mkdirSync(path)
    // To be the same from outside when it comes back.
    renameSync(folderOfIt, join(folder, 'away'))
    await eventually(() => expect(told).toBe(2))
    rmSync(path, { recursive: true })
    writeFileSync(path, 'same')
    renameSync(join(folder, 'away'), folderOfIt)
    await eventually(() => expect([seen, other]).toEqual([['same'], ['same']]))
    expect(told).toBe(2)
    watchingOther.close()
  })

  it('tells nobody of a file that is away for a moment', async () => {
    const path = join(folder, 'u.yaml')
    writeFileSync(path, 'old')
    let told = 0
    watchIt(path, { pollMs: 10, goneMs: 3_600_000, onGone: () => told++ })
    unlinkSync(path)
    await sleep(50)
    writeFileSync(path, 'new')
    await eventually(() => expect(seen).toEqual(['new']))
    expect(told).toBe(0)
  })

  it('says that a file is there again, though it is as it was', async () => {
    const path = join(folder, 'u.yaml')
    const away = join(folder, 'away')
    writeFileSync(path, 'same')
    watchIt(path, { pollMs: 20 })
    // Until it has been looked for while it was away.
    await eventually(
      async () => {
        renameSync(path, away)
        await sleep(50)
        renameSync(away, path)
        await eventually(() => expect(seen[0]).toBe('same'), { timeoutMs: 500 })
      },
      { intervalMs: 1 },
    )
  })

  it('says that a file is there again whose folder was away for a moment', async () => {
    const nested = join(folder, 'nested')
    const path = join(nested, 'u.yaml')
    const away = join(folder, 'away')
    mkdirSync(nested)
    writeFileSync(path, 'new')
    watching = watchFile(path, (text) => seen.push(text), { known: 'old', settleMs: 20, pollMs: 20 })
    await eventually(() => expect(seen).toEqual(['new']))
    // Until it has been looked for while it was away. It is the same from outside when it comes back.
    await eventually(
      async () => {
        renameSync(nested, away)
        await sleep(50)
        renameSync(away, nested)
        await eventually(() => expect(seen.length).toBeGreaterThan(1), { timeoutMs: 500 })
      },
      { intervalMs: 1 },
    )
  })

  it('says nothing when the file was written with the same content', async () => {
    const path = join(folder, 'u.yaml')
    writeFileSync(path, 'same')
    watchIt(path, { pollMs: 10 })
    writeFileSync(path, 'same')
    // Another watch, to whom the content is news and which takes longer to settle, tells when enough was looked at.
    const news: string[] = []
    const other = watchFile(path, (text) => news.push(text), { known: 'other', settleMs: 300, pollMs: 10 })
    await eventually(() => expect(news).toEqual(['same']))
    other.close()
    expect(seen).toEqual([])
  })

  it('waits until the file is still, and reports it as a whole', async () => {
    const path = join(folder, 'u.yaml')
    writeFileSync(path, '')
    const settleMs = 500
    watchIt(path, { settleMs, pollMs: 10_000 })
    let written = ''
    let writtenMs = performance.now()
    /** What stood there while nothing was written for so long: a machine that stalls writes late, too. */
    const stood: string[] = []
    for (let i = 0; i < 40; i++) {
      if (performance.now() - writtenMs > settleMs - 10) stood.push(written)
      writeFileSync(path, (written += `line ${i}\n`))
      writtenMs = performance.now()
      await sleep(10)
    }
    await eventually(() => expect(seen.at(-1)).toBe(written))
    expect([...stood, written]).toEqual(expect.arrayContaining(seen))
  })

  it('reports a change that came between reading the file and watching it', async () => {
    const path = join(folder, 'u.yaml')
    writeFileSync(path, 'new')
    watchIt(path, { known: 'old' })
    await eventually(() => expect(seen).toEqual(['new']))
  })

  it('ends when it is closed', async () => {
    const path = join(folder, 'u.yaml')
    writeFileSync(path, 'old')
    watchIt(path, { pollMs: 10 })
    watching!.close()
    const after: string[] = []
    const other = watchFile(path, (text) => after.push(text), { known: 'old', settleMs: 20, pollMs: 10 })
    writeFileSync(path, 'new')
    await eventually(() => expect(after).toEqual(['new']))
    other.close()
    expect(seen).toEqual([])
  })
})
