import { execFile, spawn } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../src/resp/encode.ts'
import { PHASES, type Setting, startSetting } from './setting.ts'

const run = promisify(execFile)

describe.each(PHASES)('in %s', (phase) => {
  let setting: Setting
  beforeAll(async () => {
    setting = await startSetting(phase)
  })
  afterAll(async () => {
    await setting.stop()
  })

  const cli = async (...args: string[]): Promise<string> => {
    const { stdout } = await run('redis-cli', ['-p', `${setting.port}`, ...args])
    return stdout.trim()
  }

  test('redis-cli: commands, RESP3, other databases, scripts from files', async () => {
    expect(await cli('SET', 'k', 'v')).toBe('OK')
    expect(await cli('GET', 'k')).toBe('v')
    expect(await cli('-3', 'HSET', 'h', 'f', 'v')).toBe('1')
    expect(await cli('-3', '--json', 'HGETALL', 'h')).toBe('{"f":"v"}')
    expect(await cli('-n', '3', 'SET', 'three', 'v')).toBe('OK')
    expect(await cli('-n', '3', 'DBSIZE')).toBe('1')
    expect(await cli('-r', '5', 'INCR', 'n')).toBe('1\n2\n3\n4\n5')
    expect(await cli('EVAL', 'return ARGV[1]', '0', 'x')).toBe('x')
    expect(await cli('--latency', '-i', '1', '--raw')).toMatch(/^\d/)
    await setting.verify({ databases: [0, 3] })
  })

  test('redis-cli --pipe loads, --scan lists, --bigkeys and --memkeys look at every key', async () => {
    const lines = Buffer.concat([
      ...Array.from({ length: 5_000 }, (_, i) => encodeCommand(['SET', `pipe:${i}`, `value ${i}`])),
      ...Array.from({ length: 500 }, (_, i) => encodeCommand(['RPUSH', 'pipe:list', i])),
    ])
    const pipe = spawn('redis-cli', ['-p', `${setting.port}`, '--pipe'])
    let said = ''
    pipe.stdout.on('data', (chunk) => {
      said += chunk
    })
    pipe.stdin.end(lines)
    await new Promise((resolve) => pipe.once('close', resolve))
    expect(said).toContain('errors: 0, replies: 5500')
    const keys = (await cli('--scan', '--pattern', 'pipe:*')).split('\n')
    expect(new Set(keys).size).toBe(5_001)
    expect(await cli('--bigkeys')).toContain('Biggest   list found \'"pipe:list"\' has 500 items')
    expect(await cli('--memkeys')).toContain('pipe:list')
    await setting.verify({ databases: [0, 3], comparedAtLeast: 0 })
  })

  test('redis-benchmark: every test of its own', async () => {
    const { stdout, stderr } = await run(
      'redis-benchmark',
      ['-p', `${setting.port}`, '-n', '400', '-c', '20', '-P', '4', '-r', '50', '--csv'],
      { maxBuffer: 10_000_000 },
    )
    expect(stderr).not.toMatch(/error/i)
    const names = stdout
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.split(',')[0])
    expect(names.length).toBeGreaterThanOrEqual(19)
    await setting.verify({ databases: [0, 3] })
  })
})
