import type { Redis } from 'ioredis'
import { afterEach, describe, expect, test } from 'vitest'
import type { Mismatch } from '../../src/admin/control.ts'
import type { Status } from '../../src/admin/status.ts'
import { eventually } from '../support/eventually.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../support/understudy.ts'

/** Two servers, one renamed route and one plain one: what a newcomer sets up. */
const CONFIG = (source: RedisServer, target: RedisServer): string => `
stores:
  old: { url: "${source.url}" }
  new: { url: "${target.url}" }
routes:
  - name: jobs
    keys: ["job:{id}", "worker:{id}:jobs"]
    source: { store: old }
    target: { store: new, keys: { "job:{id}": "step:{id}", "worker:{id}:jobs": "worker:{id}:steps" } }
    phase: shadow # the one line
    compare: { sample: 100% }
  - name: everything-else
    keys: ["*"]
    source: { store: old }
    target: { store: new }
    phase: shadow
    compare: { sample: 100% }
`

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

async function setUp(): Promise<{ source: RedisServer; target: RedisServer; understudy: UnderstudyProcess }> {
  const source = await startRedis()
  const target = await startRedis()
  running.push(source, target)
  const understudy = await startUnderstudy(CONFIG(source, target))
  running.push(understudy)
  return { source, target, understudy }
}

async function statusOf(understudy: UnderstudyProcess): Promise<Status> {
  return (await understudy.admin<Status>('/api/v1/status')).body
}

/** Everything written has been acknowledged by the shadow, and no key is dirty. */
async function settled(understudy: UnderstudyProcess): Promise<void> {
  await eventually(async () => {
    const { routes } = await statusOf(understudy)
    for (const route of Object.values(routes)) expect(route.mirror).toMatchObject({ backlog: 0, dirtyKeys: 0 })
  })
}

async function phaseInForce(understudy: UnderstudyProcess, route: string, phase: string): Promise<void> {
  await eventually(async () => expect((await statusOf(understudy)).routes[route]?.phase).toBe(phase))
}

describe('a migration as a newcomer would try it', () => {
  test('writes reach the target under their new names, and the application sees nothing of it', async () => {
    const { source, target, understudy } = await setUp()
    const app = understudy.client()
    await app.set('job:1', 'a', 'EX', 100)
    await app.hset('user:1', { name: 'x', age: 3 })
    await app.rpush('worker:7:jobs', '1', '2')
    await app.multi().incr('job:2').lpush('list', 'a').exec()
    expect(await app.get('job:1')).toBe('a')
    await settled(understudy)
    const there = target.client()
    expect((await there.keys('*')).sort()).toEqual(['list', 'step:1', 'step:2', 'user:1', 'worker:7:steps'])
    expect(await there.get('step:1')).toBe('a')
    // A relative expiry becomes absolute when the reply arrives: later than the source's by the round trip.
    const expiry = async (redis: Redis, key: string): Promise<number> => Number(await redis.call('PEXPIRETIME', key))
    const late = (await expiry(there, 'step:1')) - (await expiry(source.client(), 'job:1'))
    expect(Math.abs(late)).toBeLessThan(1_000)
    expect(await there.lrange('worker:7:steps', 0, -1)).toEqual(['1', '2'])
    expect((await source.client().keys('*')).sort()).toEqual(['job:1', 'job:2', 'list', 'user:1', 'worker:7:jobs'])
  })

  test('three differences planted under load are found, and exactly these', async () => {
    const { target, understudy } = await setUp()
    const app = understudy.client()
    for (let i = 0; i < 50; i++) await app.set(`job:${i}`, `v${i}`)
    await app.rpush('queue', 'a', 'b', 'c')
    await app.sadd('tags', 'x', 'y')
    await settled(understudy)
    const there = target.client()
    await there.set('step:7', 'tampered')
    await there.rpop('queue')
    await there.del('step:8')
    const load = underLoad(understudy, 4)
    await eventually(async () => {
      for (let i = 0; i < 50; i++) await app.get(`job:${i}`)
      await app.lrange('queue', 0, -1)
      await app.smembers('tags')
      expect((await understudy.admin<Mismatch[]>('/api/v1/mismatches')).body).toHaveLength(3)
    })
    await eventually(() => expect(load.count()).toBeGreaterThan(500))
    await load.stop()
    const found = (await understudy.admin<Mismatch[]>('/api/v1/mismatches')).body
    expect(found.map(({ key, class: kind, command }) => `${command} ${key} ${kind}`).sort()).toEqual([
      'GET job:7 value',
      'GET job:8 missing',
      'LRANGE queue length',
    ])
    expect(JSON.stringify(found)).not.toContain('tampered')
  })

  test('switched and back five times under counters: nothing lost, nothing doubled, nobody disconnected', async () => {
    const { source, target, understudy } = await setUp()
    const load = underLoad(understudy, 6)
    for (let round = 0; round < 5; round++) {
      for (const phase of ['switched', 'shadow']) {
        understudy.edit((text) => text.replace(/phase: \w+ # the one line/, `phase: ${phase} # the one line`))
        await phaseInForce(understudy, 'jobs', phase)
        const seen = load.count()
        await eventually(() => expect(load.count()).toBeGreaterThan(seen + 200))
      }
    }
    const result = await load.stop()
    expect(result.errors).toEqual([])
    expect(result.reconnects).toBe(0)
    await settled(understudy)
    const old = source.client()
    const fresh = target.client()
    for (const [counter, increments] of result.counters) {
      const there = counter.startsWith('job:') ? counter.replace('job:', 'step:') : counter
      expect([counter, Number(await old.get(counter)), Number(await fresh.get(there))]).toEqual([
        counter,
        increments,
        increments,
      ])
    }
    const metrics = await understudy.metrics()
    expect(metrics).toContain('understudy_cutover_pause_seconds_count{route="jobs"} 10')
    expect(metrics).toMatch(/understudy_phase\{route="jobs",phase="shadow"\} 1/)
  })
})

/** Clients that count, each on some counters of both routes, pipelined and in transactions, and read back. */
function underLoad(understudy: UnderstudyProcess, clients: number) {
  const counters = new Map<string, number>()
  const errors: string[] = []
  let reconnects = 0
  let reads = 0
  let writes = 0
  let going = true
  const one = async (app: Redis, me: number): Promise<void> => {
    app.on('reconnecting', () => reconnects++)
    while (going) {
      const names = [`job:counter-${me % 3}`, `count:${me}`]
      const pipeline = app.pipeline()
      for (const name of names) pipeline.incr(name).get(name)
      // Of one route: while it is switched alone, the other one's primary is another store.
      const transaction = app.multi().incr(names[0]!).incr(names[0]!).exec()
      const results = [...((await pipeline.exec()) ?? []), ...((await transaction) ?? [])]
      for (const [error] of results) if (error) errors.push(error.message)
      for (const [i, name] of names.entries()) counters.set(name, (counters.get(name) ?? 0) + (i === 0 ? 3 : 1))
      reads += 2
      writes += 4
    }
  }
  const apps = Array.from({ length: clients }, () => understudy.client({ retryStrategy: () => 50 }))
  const done = Promise.all(apps.map((app, me) => one(app, me)))
  return {
    count: () => writes,
    async stop() {
      going = false
      await done
      return { counters, errors, reconnects, reads, writes }
    },
  }
}
