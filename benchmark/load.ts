import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { RedisServer } from '../test/support/redis.ts'
import type { Case } from './cases.ts'

/** Well within the time after which Redis says that a script is slow. */
const KEYS_PER_SCRIPT = 10_000

export interface LoadResult {
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Runs one case against a port with redis-benchmark and waits for its end. */
export async function runLoad(port: number, load: Case): Promise<LoadResult> {
  const { clients, pipeline, valueBytes, command, requests, keys } = load
  const numbers = { '-p': port, '-c': clients, '-P': pipeline, '-d': valueBytes, '-n': requests, '-r': keys }
  const args = Object.entries(numbers).flatMap(([flag, value]) => [flag, `${value}`])
  const { stdout, stderr } = await promisify(execFile)('redis-benchmark', [
    ...args,
    '-t',
    command.toLowerCase(),
    '--csv',
  ])
  return parseCsv(stdout, command) ?? fail(`redis-benchmark gave no result for ${command}: ${stdout}${stderr}`)
}

/** Gives all keys that redis-benchmark uses the value that it gave the first one: every read finds something, and two servers hold the same. */
export async function fillKeys(store: RedisServer, keys: number): Promise<void> {
  const client = store.client()
  const set = `local value = redis.call('GET', string.format('key:%012d', 0))
    for n = ARGV[1], ARGV[2] do redis.call('SET', string.format('key:%012d', n), value) end`
  for (let first = 1; first < keys; first += KEYS_PER_SCRIPT) {
    await client.eval(set, 0, first, Math.min(first + KEYS_PER_SCRIPT, keys) - 1)
  }
  const held = await client.dbsize()
  client.disconnect()
  if (held < keys) throw new Error(`the server holds ${held} keys of ${keys} after it has been filled`)
}

/** Columns by name: their number differs between versions. */
function parseCsv(text: string, command: string): LoadResult | null {
  const rows = text.split('\n').map((line) => line.split(',').map((cell) => cell.replaceAll('"', '')))
  const names = rows.find((row) => row[0] === 'test')
  const values = rows.find((row) => row[0] === command)
  if (names === undefined || values === undefined) return null
  const column = (name: string) => Number(values[names.indexOf(name)])
  return { requestsPerSecond: column('rps'), p50Ms: column('p50_latency_ms'), p99Ms: column('p99_latency_ms') }
}

function fail(message: string): never {
  throw new Error(message)
}
