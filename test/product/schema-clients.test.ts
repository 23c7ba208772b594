import type { Redis } from 'ioredis'
import { createClient } from 'redis'
import { afterEach, expect, test } from 'vitest'
import type { Phase } from '../../src/config/config.ts'
import { eventually } from '../support/eventually.ts'
import { doJob } from '../support/jobs.ts'
import { driftBetween } from '../support/keyspace.ts'
import { mirrorSettled } from '../support/migration.ts'
import { RawClient } from '../support/raw-client.ts'
import { startRedis } from '../support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../support/understudy.ts'

/** A client library as far as the workers below use it. */
interface Worker {
  readonly name: string
  call(...args: string[]): Promise<unknown>
  transaction(...commands: string[][]): Promise<unknown>
  close(): void
}

const running: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of running.splice(0).reverse()) await stop()
})

function withIoredis(understudy: UnderstudyProcess): Worker {
  const client = understudy.client({ maxRetriesPerRequest: null })
  return {
    name: 'ioredis',
    call: (name, ...args) => client.call(name!, ...args),
    transaction: (...commands) => client.multi(commands.map((command) => ['call', ...command])).exec(),
    close: () => client.disconnect(),
  }
}

async function withNodeRedis(understudy: UnderstudyProcess, protocol: 2 | 3): Promise<Worker> {
  const client = createClient({ url: understudy.proxyUrl, RESP: protocol })
  client.on('error', () => {})
  await client.connect()
  return {
    name: `node-redis-${protocol}`,
    call: (...args) => client.sendCommand(args),
    async transaction(...commands) {
      const multi = client.multi()
      for (const command of commands) multi.addCommand(command)
      return multi.exec()
    },
    close: () => client.destroy(),
  }
}

const JOBS = 4
const KEYS = {
  'job:{id}': 'step:{id}',
  'jobs:{state}': 'steps:{state}',
  'worker:{id}:jobs': 'worker:{id}:steps',
}
const FINISH = "redis.call('hincrby',KEYS[1],'done',1) return redis.call('hget',KEYS[1],'state')"

/** Puts jobs up, claims as many as it put up, and finishes them, while the others do the same. Gives the ids that it claimed. */
async function work(worker: Worker, round: string): Promise<string[]> {
  const own = `worker:${worker.name}:jobs`
  for (let i = 0; i < JOBS; i++) {
    const id = `${round}-${worker.name}-${i}`
    await worker.transaction(
      ['HSET', `job:${id}`, 'state', 'new', 'done', '0'],
      ['SADD', 'jobs:open', id],
      ['ZADD', 'jobs:scheduled', String(i), id],
      ['RPUSH', 'jobs:pending', id],
    )
  }
  const claimed: string[] = []
  for (let i = 0; i < JOBS; i++) {
    const id = String(await worker.call('BLMOVE', 'jobs:pending', own, 'LEFT', 'RIGHT', '30'))
    claimed.push(id)
    const key = `job:${id}`
    expect(await worker.call('SMOVE', 'jobs:open', 'jobs:done', id)).toBe(1)
    expect(await worker.call('ZREM', 'jobs:scheduled', id)).toBe(1)
    expect(await worker.call('EVAL', FINISH, '1', key)).toBe('new')
    expect(await worker.call('EXPIRE', key, '10000')).toBe(1)
    // What it has written itself, wherever it is read.
    expect(await worker.call('HGET', key, 'done')).toBe('1')
    expect(await worker.call('LREM', own, '1', id)).toBe(1)
    await worker.call('PUBLISH', 'job_events', id)
  }
  return claimed
}

test('ioredis and node-redis, in RESP2 and RESP3, work through all phases of a key schema, back and there again, and over a kill -9', async () => {
  const server = await startRedis({ args: ['--notify-keyspace-events', 'Ks'] })
  running.push(() => server.stop())
  await server.client().hset('job:old', { state: 'new', done: 0 })
  const understudy = await startUnderstudy({
    stores: { redis: { url: server.url } },
    routes: [
      {
        name: 'jobs',
        keys: Object.keys(KEYS),
        source: 'redis',
        target: { store: 'redis', keys: KEYS, channels: { job_events: 'step_events' } },
        phase: 'passthrough',
        compare: { sample: '100%' },
      },
      { name: 'rest', keys: ['*'], source: 'redis' },
    ],
  })
  running.push(() => understudy.stop())
  const workers = [withIoredis(understudy), await withNodeRedis(understudy, 2), await withNodeRedis(understudy, 3)]
  running.push(() => workers.map((worker) => worker.close()))
  const heard = await listen(understudy)
  const story = new Story(understudy, workers, heard)

  await story.round('passthrough')
  await story.goTo('mirror')
  await story.round('mirror')
  await doJob(understudy, 'backfill', 'jobs')
  expect((await doJob(understudy, 'verify', 'jobs')).progress).toMatchObject({ different: 0 })
  await story.goTo('shadow')
  await story.round('shadow')
  await story.goTo('read-target')
  await story.round('read-target')
  await understudy.kill9()
  await understudy.restart()
  await story.listening()
  await story.round('restarted')
  await story.goTo('switched')
  await story.round('switched')
  await story.goTo('shadow')
  await story.round('back')
  await story.goTo('switched')
  await story.round('again')
  await mirrorSettled(understudy)
  expect(await driftBetween(server, server, NAMES)).toEqual([])
  await story.goTo('done')
  await story.round('done')
}, 180_000)

class Story {
  readonly #understudy: UnderstudyProcess
  readonly #workers: readonly Worker[]
  readonly #heard: Heard
  #finished = 0

  constructor(understudy: UnderstudyProcess, workers: readonly Worker[], heard: Heard) {
    this.#understudy = understudy
    this.#workers = workers
    this.#heard = heard
  }

  async goTo(phase: Phase): Promise<void> {
    // A gate may be closed for as long as something is dirty.
    await mirrorSettled(this.#understudy)
    const init = { method: 'PUT', body: JSON.stringify({ phase }) }
    const { status, body } = await this.#understudy.admin(`/api/v1/routes/jobs/phase`, init)
    expect({ phase, status, body: status === 200 ? null : body }).toEqual({ phase, status: 200, body: null })
  }

  /** All workers at once; then what is counted has to be exact. */
  async round(name: string): Promise<void> {
    const heard = this.#heard
    heard.messages.clear()
    heard.moved = 0
    const claimed = (await Promise.all(this.#workers.map((worker) => work(worker, name)))).flat()
    const jobs = this.#workers.length * JOBS
    expect(new Set(claimed).size).toBe(jobs)
    this.#finished += jobs
    await eventually(
      () => {
        for (const id of claimed) expect([id, heard.messages.get(id)]).toEqual([id, 2])
        expect(heard.moved).toBe(jobs)
      },
      { timeoutMs: 30_000 },
    )
    const worker = this.#workers[0]!
    expect(await worker.call('SCARD', 'jobs:done')).toBe(this.#finished)
    expect(await worker.call('EXISTS', 'jobs:open', 'jobs:pending', 'jobs:scheduled')).toBe(0)
    // Of each job one, the one that was there before, and the set of those that are done.
    expect(await worker.call('DBSIZE')).toBe(this.#finished + 2)
    await this.#invalidated()
  }

  /** A tracking client is told of its keys under their own names. */
  async #invalidated(): Promise<void> {
    const tracker = await RawClient.open(this.#understudy.port)
    await tracker.ask('HELLO', 3)
    await tracker.ask('CLIENT', 'TRACKING', 'ON')
    await tracker.ask('HGET', 'job:old', 'state')
    await this.#workers[1]!.call('HSET', 'job:old', 'state', 'newer')
    expect(await tracker.text()).toBe('>2\r\n$10\r\ninvalidate\r\n*1\r\n$7\r\njob:old\r\n')
    tracker.destroy()
  }

  /** After a restart: both listeners hear again, channels and notifications. */
  async listening(): Promise<void> {
    const heard = this.#heard
    const worker = this.#workers[0]!
    heard.messages.clear()
    heard.drafts = 0
    let probes = 0
    await eventually(
      async () => {
        await worker.call('PUBLISH', 'job_events', `probe ${probes++}`)
        await worker.call('SADD', 'jobs:draft', 'probe')
        await worker.call('DEL', 'jobs:draft')
        expect([...heard.messages.values()]).toContain(2)
        expect(heard.drafts).toBeGreaterThan(0)
      },
      { timeoutMs: 30_000 },
    )
  }
}

interface Heard {
  /** How often each was heard, by both listeners together. */
  readonly messages: Map<string, number>
  /** Notifications of additions to the set of finished jobs, and to that of drafts. */
  moved: number
  drafts: number
}

async function listen(understudy: UnderstudyProcess): Promise<Heard> {
  const heard: Heard = { messages: new Map(), moved: 0, drafts: 0 }
  const note = (id: string): void => {
    heard.messages.set(id, (heard.messages.get(id) ?? 0) + 1)
  }
  const one: Redis = understudy.client({ maxRetriesPerRequest: null })
  await one.subscribe('job_events')
  await one.psubscribe('__keyspace@0__:jobs:d*')
  one.on('message', (_channel, id: string) => note(id))
  one.on('pmessage', (_pattern, channel: string, event: string) => {
    if (event !== 'sadd') return
    if (channel === '__keyspace@0__:jobs:done') heard.moved++
    else if (channel === '__keyspace@0__:jobs:draft') heard.drafts++
  })
  const other = createClient({ url: understudy.proxyUrl, RESP: 3 })
  other.on('error', () => {})
  await other.connect()
  await other.subscribe('job_events', note)
  running.push(() => other.destroy())
  return heard
}

/** In `switched`. */
const NAMES = {
  onPrimary: (key: string) => /^(step:|steps:|worker:.*:steps$)/.test(key),
  onShadow: (key: string) => /^(job:|jobs:|worker:.*:jobs$)/.test(key),
  toShadow: (key: string) => key.replace(/^step/, 'job').replace(/:steps$/, ':jobs'),
  ttlSlackMs: 5_000,
}
