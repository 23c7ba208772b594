import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { type Case, KEYSPACE } from './cases.ts'

export interface LoadResult {
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Runs one case against a port with redis-benchmark and waits for its end. */
export async function runLoad(port: number, load: Case): Promise<LoadResult> {
  const { clients, pipeline, valueBytes, command, requests } = load
  const numbers = { '-p': port, '-c': clients, '-P': pipeline, '-d': valueBytes, '-n': requests, '-r': KEYSPACE }
  const args = Object.entries(numbers).flatMap(([flag, value]) => [flag, `${value}`])
  const { stdout, stderr } = await promisify(execFile)('redis-benchmark', [
    ...args,
    '-t',
    command.toLowerCase(),
    '--csv',
  ])
  return parseCsv(stdout, command) ?? fail(`redis-benchmark gave no result for ${command}: ${stdout}${stderr}`)
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
