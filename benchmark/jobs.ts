import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Redis } from 'ioredis'
import type { Job } from '../src/jobs/runner/job.ts'
import { encodeCommand } from '../src/resp/encode.ts'
import { over, startJob } from '../test/support/jobs.ts'
import { type RedisServer, startRedis } from '../test/support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../test/support/understudy.ts'
import { cpuMicroseconds, residentBytes } from './process-usage.ts'

const VALUE_BYTES = 80
const PAGE = 1000
/** A little more than what is promised beside clients (`--rate`); verify looks at each key from both sides. */
const PACED_KEYS_PER_SECOND = { backfill: 62_000, verify: 165_000 } as const
const REQUESTS_PER_SECOND = 5_000
const CLIENTS = 10
const TIMEOUT_MS = 600_000

interface Row {
  readonly what: string
  readonly seconds: number
  readonly keysPerSecond: number
  /** CPU of the process that moves the keys, all threads; null: not of interest. */
  readonly microsecondsPerKey: number | null
  readonly peakMb: number | null
  /** Round trips of the clients meanwhile, ms. */
  readonly clients: { readonly rate: number; readonly p50: number; readonly p99: number } | null
}

/**
 * Backfill and verify of many small keys, alone and beside 5,000 requests/s, and what people use instead: a loop of DUMP and RESTORE by ioredis, and RESTOREs that are there
 * already, loaded by `redis-cli --pipe`. Gives a table in Markdown.
 */
export async function measureJobs(keys: number): Promise<string> {
  const rows: Row[] = []
  rows.push(await withServers(keys, (source, target) => ioredisLoop(keys, source, target)))
  rows.push(await withServers(keys, (source, target) => pipeLoad(keys, source, target)))
  for (const loaded of [false, true]) {
    await withServers(keys, async (source, target) => {
      const understudy = await startUnderstudy({
        stores: { old: { url: source.url }, new: { url: target.url } },
        routes: [{ name: 'all', keys: ['*'], source: 'old', target: 'new', phase: 'mirror' }],
      })
      try {
        if (loaded) rows.push(await nothing(understudy))
        for (const kind of ['backfill', 'verify'] as const) {
          rows.push(await job(kind, keys, understudy, loaded, null))
          if (loaded) rows.push(await job(kind, keys, understudy, loaded, PACED_KEYS_PER_SECOND[kind]))
        }
      } finally {
        await understudy.stop()
      }
    })
  }
  return table(rows)
}

async function withServers<T>(
  keys: number,
  work: (source: RedisServer, target: RedisServer) => Promise<T>,
): Promise<T> {
  const [source, target] = await Promise.all([startRedis(), startRedis()])
  try {
    const redis = source.client()
    for (let from = 0; from < keys; from += PAGE) {
      const pipeline = redis.pipeline()
      for (let i = from; i < from + PAGE; i++) pipeline.set(`some:key:${i}`, String(i).padEnd(VALUE_BYTES, '.'))
      await pipeline.exec()
    }
    redis.disconnect()
    return await work(source, target)
  } finally {
    await Promise.all([source.stop(), target.stop()])
  }
}

/** What the clients see without a job. */
async function nothing(understudy: UnderstudyProcess): Promise<Row> {
  const load = paced(understudy)
  await new Promise((resolve) => setTimeout(resolve, 5_000))
  const peakMb = residentBytes(understudy.pid) / 1024 / 1024
  return { what: 'no job', seconds: 5, keysPerSecond: 0, microsecondsPerKey: null, peakMb, clients: await load() }
}

/** `rate`: keys per second at most; null: as fast as it goes. */
async function job(
  kind: 'backfill' | 'verify',
  keys: number,
  understudy: UnderstudyProcess,
  loaded: boolean,
  rate: number | null,
): Promise<Row> {
  const load = loaded ? paced(understudy) : null
  const cpu = cpuMicroseconds(understudy.pid)
  let peak = 0
  const watch = setInterval(() => {
    peak = Math.max(peak, residentBytes(understudy.pid))
  }, 50)
  const startedMs = performance.now()
  const done: Job = await over(
    understudy,
    (await startJob(understudy, kind, 'all', rate === null ? {} : { rate })).id,
    TIMEOUT_MS,
  )
  const seconds = (performance.now() - startedMs) / 1000
  clearInterval(watch)
  if (done.state !== 'done' || done.progress.failed > 0) throw new Error(`${kind}: ${JSON.stringify(done)}`)
  return {
    what: `${kind}${rate === null ? '' : ` --rate ${rate}`}${loaded ? `, beside ${REQUESTS_PER_SECOND} requests/s` : ''}`,
    seconds,
    keysPerSecond: keys / seconds,
    microsecondsPerKey: (cpuMicroseconds(understudy.pid) - cpu) / keys,
    peakMb: peak / 1024 / 1024,
    clients: load === null ? null : await load(),
  }
}

/** So many requests per second, half of them writes, until the returned function is called. */
function paced(understudy: UnderstudyProcess): () => Promise<NonNullable<Row['clients']>> {
  const clients = Array.from({ length: CLIENTS }, () => understudy.client())
  const times: number[] = []
  const startedMs = performance.now()
  let sent = 0
  const send = (client: Redis, n: number): void => {
    const sentMs = performance.now()
    const reply = n % 2 === 0 ? client.set(`load:${n % 1000}`, 'x'.repeat(VALUE_BYTES)) : client.get(`load:${n % 1000}`)
    reply.then(
      () => times.push(performance.now() - sentMs),
      () => times.push(Number.POSITIVE_INFINITY),
    )
  }
  const timer = setInterval(() => {
    const due = ((performance.now() - startedMs) * REQUESTS_PER_SECOND) / 1000
    for (; sent < due; sent++) send(clients[sent % CLIENTS]!, sent)
  }, 1)
  return async () => {
    clearInterval(timer)
    const seconds = (performance.now() - startedMs) / 1000
    await Promise.all(clients.map((client) => client.ping()))
    for (const client of clients) client.disconnect()
    times.sort((one, other) => one - other)
    const at = (share: number): number => times[Math.floor(times.length * share)]!
    return { rate: times.length / seconds, p50: at(0.5), p99: at(0.99) }
  }
}

async function ioredisLoop(keys: number, source: RedisServer, target: RedisServer): Promise<Row> {
  const [from, to] = [source.client(), target.client()]
  const cpu = process.cpuUsage()
  const startedMs = performance.now()
  let cursor = '0'
  do {
    const [next, names] = await from.scanBuffer(cursor, 'COUNT', PAGE)
    cursor = next.toString()
    const reads = from.pipeline()
    for (const name of names) reads.dumpBuffer(name).pttl(name)
    const replies = await reads.exec()
    const writes = to.pipeline()
    for (const [i, name] of names.entries()) {
      const ttl = Number(replies![2 * i + 1]![1])
      writes.restore(name, Math.max(ttl, 0), replies![2 * i]![1] as Buffer, 'REPLACE')
    }
    await writes.exec()
  } while (cursor !== '0')
  const seconds = (performance.now() - startedMs) / 1000
  const { user, system } = process.cpuUsage(cpu)
  return {
    what: 'ioredis: SCAN, DUMP and PTTL, RESTORE, page by page',
    seconds,
    keysPerSecond: keys / seconds,
    microsecondsPerKey: (user + system) / keys,
    peakMb: null,
    clients: null,
  }
}

async function pipeLoad(keys: number, source: RedisServer, target: RedisServer): Promise<Row> {
  const from = source.client()
  const chunks: Buffer[] = []
  let cursor = '0'
  do {
    const [next, names] = await from.scanBuffer(cursor, 'COUNT', PAGE)
    cursor = next.toString()
    const reads = from.pipeline()
    for (const name of names) reads.dumpBuffer(name)
    const replies = await reads.exec()
    for (const [i, name] of names.entries())
      chunks.push(encodeCommand(['RESTORE', name, '0', replies![i]![1] as Buffer]))
  } while (cursor !== '0')
  const input = Buffer.concat(chunks)
  const startedMs = performance.now()
  const child = spawn('redis-cli', ['-p', String(target.port), '--pipe'], { stdio: ['pipe', 'ignore', 'inherit'] })
  child.stdin.end(input)
  await once(child, 'close')
  const seconds = (performance.now() - startedMs) / 1000
  return {
    what: 'redis-cli --pipe of RESTOREs, the dump not counted',
    seconds,
    keysPerSecond: keys / seconds,
    microsecondsPerKey: null,
    peakMb: null,
    clients: null,
  }
}

function table(rows: readonly Row[]): string {
  const number = (value: number | null, digits = 0): string => (value === null ? '-' : value.toFixed(digits))
  return [
    '| | s | keys/s | CPU us/key | peak MB | clients: requests/s, p50 / p99 ms |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows.map(({ what, seconds, keysPerSecond, microsecondsPerKey, peakMb, clients }) => {
      const seen =
        clients === null ? '-' : `${number(clients.rate)}, ${number(clients.p50, 2)} / ${number(clients.p99, 2)}`
      return `| ${what} | ${number(seconds, 1)} | ${number(keysPerSecond)} | ${number(microsecondsPerKey, 1)} | ${number(peakMb)} | ${seen} |`
    }),
  ].join('\n')
}
