import { execFile, execFileSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { LogOutput } from '../../src/observability/log-output.ts'
import { eventually } from '../support/eventually.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'understudy-log-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

const lines = (count: number): string[] => Array.from({ length: count }, (_, i) => `${String(i).padStart(999, '.')}\n`)

test('lines come in their order, those that are flushed as well', async () => {
  const path = join(directory, 'file')
  const fd = openSync(path, 'a')
  const output = new LogOutput(fd)
  for (const line of lines(100)) output.write(line)
  await eventually(() => expect(readFileSync(path, 'utf8')).toBe(lines(100).join('')))
  output.flush()
  expect(readFileSync(path, 'utf8')).toBe(lines(100).join(''))
  closeSync(fd)
})

test('what waits is written when the process exits', () => {
  const log = new URL('../../src/observability/log.ts', import.meta.url).href
  const code = `import { ProcessLog } from '${log}'
    const log = new ProcessLog({ level: 'info', format: 'json' })
    for (let i = 0; i <= 1_000; i++) log.info('line', { count: i })
    process.exit(0)`
  expect(execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' })).toContain(
    '"count":1000,',
  )
})

describe('a process that ends', () => {
  const output = new URL('../../src/observability/log-output.ts', import.meta.url).href
  /** Says how many lines it has been told to, and on standard error what has become of them. `isOwn`: by a description of the pipe that keeps nobody who writes. */
  const ending = (count: number, isOwn: boolean): string => `
    import { constants, openSync } from 'node:fs'
    import { LogOutput } from '${output}'
    const output = new LogOutput(${isOwn ? "openSync('/dev/stdout', constants.O_WRONLY | constants.O_NONBLOCK)" : '1'})
    for (let i = 0; i < ${count}; i++) output.write(String(i).padStart(999, '.') + '\\n')
    process.on('exit', () => output.flush())
    // By then the reader is behind.
    await new Promise((resolve) => setTimeout(resolve, 100))
    const isWritten = await output.drain()
    console.error(isWritten ? 'written' : 'given up')
    process.exit(0)`
  const bits = `
    import { readSync, writeSync } from 'node:fs'
    const [bytes, never] = [Buffer.alloc(3_000), new Int32Array(new SharedArrayBuffer(4))]
    for (let n = -1; n !== 0; Atomics.wait(never, 0, 0, 2)) writeSync(1, bytes, 0, (n = readSync(0, bytes)))`
  const node = (code: string): string =>
    `'${process.execPath}' --input-type=module -e '${code.replaceAll("'", "'\\''")}'`

  /** In a shell, behind a pipe: what its reader has given, and what the process has said itself. */
  async function piped(code: string, reader: string): Promise<{ text: string; said: string }> {
    const [out, said] = [join(directory, 'out'), join(directory, 'said')]
    await promisify(execFile)('sh', ['-c', `${node(code)} 2>'${said}' | ${reader} >'${out}'`])
    return { text: readFileSync(out, 'latin1'), said: readFileSync(said, 'utf8').trim() }
  }

  test.each([
    ['bits with a rest after each', node(bits), false],
    ['bits with a rest after each', node(bits), true],
    ['bits', 'dd bs=16 status=none', false],
    ['bits', 'dd bs=16 status=none', true],
  ])('has written every line whole and in order when its reader takes %s (%#)', async (_how, reader, isOwn) => {
    const { text, said } = await piped(ending(600, isOwn), reader)
    const all = lines(600).join('')
    expect(all.startsWith(text)).toBe(true)
    // On a machine that stands still for half a second every reader is one that takes nothing.
    if (said !== 'given up') expect(text).toBe(all)
  })

  test.each([false, true])('is not kept by a reader that is gone (%#)', async (isOwn) => {
    const { text, said } = await piped(ending(600, isOwn), 'head -c 100')
    expect(text).toBe(lines(1).join('').slice(0, 100))
    expect(said).toBe('written')
  })

  test('is not kept by a reader that takes nothing', async () => {
    const { said } = await piped(
      ending(600, true),
      `{ while [ ! -s '${join(directory, 'said')}' ]; do sleep 0.1; done; }`,
    )
    expect(said).toBe('given up')
  })
})

describe('a pipe', () => {
  let reader: number
  let writer: number
  beforeEach(() => {
    const path = join(directory, 'pipe')
    execFileSync('mkfifo', [path])
    reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    writer = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
  })
  afterEach(() => closeSync(writer))

  /** What there is to be read. */
  function read(): string {
    const buffer = Buffer.alloc(1024 * 1024)
    try {
      return buffer.toString('latin1', 0, readSync(reader, buffer))
    } catch {
      return ''
    }
  }

  test('whose reader takes its time gets everything in the end, up to a limit', async () => {
    const output = new LogOutput(writer)
    const all = lines(3_000)
    for (const line of all) output.write(line)
    let text = ''
    await eventually(() => {
      text += read()
      output.write('last\n')
      expect(text).toContain('last\n')
    })
    const [whole] = text.split('last\n')
    // The first is under way by itself, and the others wait, as many as may.
    expect(whole!.length).toBeGreaterThan(1_000_000)
    expect(whole!.length).toBeLessThan(1_100_000)
    expect(all.join('').startsWith(whole!)).toBe(true)
    closeSync(reader)
  })

  test('whose reader does not read, or is gone, keeps nobody who wants to end', async () => {
    const output = new LogOutput(writer)
    for (const line of lines(1_000)) output.write(line)
    // As much as there is room for has been written.
    await eventually(() => {
      output.write('more\n')
      output.flush()
      expect(read().length).toBeGreaterThan(0)
    })
    for (const line of lines(1_000)) output.write(line)
    closeSync(reader)
    output.flush()
    output.write('nobody reads this\n')
    output.flush()
  })
})
