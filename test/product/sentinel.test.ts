import type { Redis } from 'ioredis'
import { afterEach, expect, test } from 'vitest'
import type { Readiness } from '../../src/admin/control.ts'
import type { Status } from '../../src/admin/status.ts'
import { eventually } from '../support/eventually.ts'
import { doJob, keysOf } from '../support/jobs.ts'
import { driftBetween } from '../support/keyspace.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { PRIMARY_NAME, type SentinelGroup, startSentinelGroup } from '../support/sentinels.ts'
import { startUnderstudy, type UnderstudyProcess } from '../support/understudy.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

function started<T extends { stop(): Promise<unknown> }>(one: T): T {
  running.push(one)
  return one
}

const config = (old: string, next: string, phase = 'mirror') => `
stores: { old: "${old}", new: "${next}" }
routes: [{ name: all, keys: ["*"], source: old, target: new, phase: ${phase} }]
`

const statusOf = async (understudy: UnderstudyProcess): Promise<Status> =>
  (await understudy.admin<Status>('/api/v1/status')).body

/** Everything written has been acknowledged by the shadow, and no key is dirty. */
async function settled(understudy: UnderstudyProcess): Promise<void> {
  await eventually(
    async () => expect((await statusOf(understudy)).routes['all']!.mirror).toMatchObject({ backlog: 0, dirtyKeys: 0 }),
    { timeoutMs: 30_000 },
  )
}

const NOT_EXECUTED = /^ERR Understudy: store '\w+' is down .*; the command was not executed$/s
const MAYBE_EXECUTED = /^ERR Understudy: .*; the command may have been executed$/s
/** Of the old primary, in the moment in which it has become a replica. */
const REFUSED = /^(READONLY|UNBLOCKED|LOADING|MASTERDOWN) /

/** Clients that count, each a counter of its own, and note what they are told. */
class Counters {
  readonly told = { ok: 0, notExecuted: 0, maybe: 0, refused: 0, other: [] as string[] }
  /** The last number that each was told. */
  readonly last: number[]
  readonly #clients: Redis[]
  readonly #working: Promise<void>[]
  #stop = false

  constructor(understudy: UnderstudyProcess, count: number) {
    this.#clients = Array.from({ length: count }, () => understudy.client({ retryStrategy: () => null }))
    this.last = this.#clients.map(() => 0)
    this.#working = this.#clients.map((client, i) => this.#count(client, i))
  }

  async #count(client: Redis, i: number): Promise<void> {
    while (!this.#stop) {
      try {
        this.last[i] = await client.incr(`counter:${i}`)
        this.told.ok++
      } catch (error) {
        const text = (error as Error).message
        if (NOT_EXECUTED.test(text)) this.told.notExecuted++
        else if (MAYBE_EXECUTED.test(text)) this.told.maybe++
        else if (REFUSED.test(text)) this.told.refused++
        else this.told.other.push(text)
        if (this.told.other.length > 10) return
      }
    }
  }

  async goOn(by: number): Promise<void> {
    const before = this.told.ok
    await eventually(() => expect(this.told.ok).toBeGreaterThan(before + by), { timeoutMs: 30_000 })
  }

  async stop(): Promise<void> {
    this.#stop = true
    await Promise.all(this.#working)
  }
}

async function startGroup(downAfterMs?: number): Promise<SentinelGroup> {
  return started(await startSentinelGroup(downAfterMs === undefined ? {} : { downAfterMs }))
}

async function followed(understudy: UnderstudyProcess, store: string, primary: RedisServer): Promise<void> {
  await eventually(
    async () =>
      expect((await statusOf(understudy)).stores[store]).toMatchObject({
        up: true,
        role: 'master',
        error: null,
        sentinel: { primary: `127.0.0.1:${primary.port}` },
      }),
    { timeoutMs: 60_000 },
  )
}

test('a failover of the primary under load: no client is disconnected, all write to the new one, and the route needs a verify', async () => {
  const [group, next] = await Promise.all([startGroup(), startRedis()])
  started(next)
  const understudy = started(await startUnderstudy(config(group.url, next.url)))
  const old = await group.primary()
  expect((await statusOf(understudy)).stores).toMatchObject({
    old: { sentinel: { name: PRIMARY_NAME, primary: `127.0.0.1:${old.port}`, sentinels: 3, failovers: 0 } },
    new: { sentinel: null },
  })
  const blocked = understudy.client()
  const popped = blocked.blpop('queue', 0).then(
    (reply) => reply,
    (error: Error) => error.message,
  )
  const subscriber = understudy.client()
  const heard: string[] = []
  subscriber.on('message', (_channel, message) => heard.push(message))
  await subscriber.subscribe('news')
  const counters = new Counters(understudy, 20)
  await counters.goOn(1_000)

  const now = await group.failover()
  await followed(understudy, 'old', now)
  await counters.goOn(1_000)
  await counters.stop()
  expect(counters.told.other).toEqual([])
  // What the clients were told last is what the new primary holds: it got every write since, and nobody's reply was another's.
  const values = await now.client().mget(counters.last.map((_, i) => `counter:${i}`))
  expect(values.map(Number)).toEqual(counters.last)

  // One that was blocked is told, or was moved; either way it can go on.
  const client = understudy.client()
  await client.rpush('queue', 'job')
  const answer = await Promise.race([popped, blocked.blpop('queue', 0)])
  expect(typeof answer === 'string' ? answer : answer?.[1]).toMatch(
    /job|the connection to store 'old' was lost|UNBLOCKED/,
  )
  await eventually(async () => {
    await client.publish('news', 'hello')
    expect(heard).toContain('hello')
  })

  const status = await statusOf(understudy)
  expect(status.stores['old']!.sentinel).toMatchObject({ failovers: 1, error: null })
  expect(status.routes['all']!.mirror).toMatchObject({ needsVerify: true })
  expect(status.routes['all']!.mirror.verifyCauses).toContain('failed-over')
  const metrics = await understudy.metrics()
  expect(metrics).toContain('understudy_store_failovers_total{store="old"} 1')
  expect(metrics).toContain('understudy_store_sentinels_answering{store="old"} 3')
  await eventually(() =>
    expect(understudy.stdout).toContain('the store has failed over: its Sentinels name another primary'),
  )
  // The way out that the runbook names. What may be the last copy of what the failover has lost rests until then.
  await doJob(understudy, 'verify', 'all')
  await doJob(understudy, 'repair', 'all')
  await doJob(understudy, 'verify', 'all')
  expect((await statusOf(understudy)).routes['all']!.mirror.needsVerify).toBe(false)
  await settled(understudy)
  expect(await driftBetween(now, next)).toEqual([])
}, 300_000)

test('a script that a client has sent before a failover is there for its transactions after it', async () => {
  const group = await startGroup()
  const understudy = started(
    await startUnderstudy(config(group.url, group.url, 'passthrough').replace(/, target: new/, '')),
  )
  const client = understudy.client()
  const sha = (await client.script('LOAD', "return redis.call('INCR', KEYS[1])")) as string
  const bump = () => client.multi([['evalsha', sha, 1, 'k']]).exec()
  expect(await bump()).toEqual([[null, 1]])
  const now = await group.failover()
  await followed(understudy, 'old', now)
  await now.client().script('FLUSH')
  expect(await bump()).toEqual([[null, 2]])
}, 300_000)

test('a shadow that is killed: its replica takes over, what was on the way is copied, and the old one gets nothing when it comes back', async () => {
  const [group, old] = await Promise.all([startGroup(2_000), startRedis()])
  started(old)
  const understudy = started(await startUnderstudy(config(old.url, group.url)))
  const counters = new Counters(understudy, 5)
  await counters.goOn(500)
  const dead = await group.primary()
  await dead.kill9()
  const now = group.other(dead)
  await followed(understudy, 'new', now)
  await counters.goOn(500)
  // It begins as a primary of its own, with nothing in it, until a Sentinel makes it a replica.
  await dead.restart()
  await counters.goOn(500)
  expect(await dead.client().client('LIST')).not.toMatch(/ name=understudy-[0-9a-f]{12} /)
  await counters.stop()
  expect(counters.told).toMatchObject({ notExecuted: 0, maybe: 0, refused: 0, other: [] })
  await settled(understudy)
  const { mirror } = (await statusOf(understudy)).routes['all']!
  expect(mirror.verifyCauses).toContain('shadow-failed-over')
  const job = await doJob(understudy, 'verify', 'all')
  if ((await keysOf(understudy, job.id)).length > 0) {
    await doJob(understudy, 'repair', 'all')
    await doJob(understudy, 'verify', 'all')
  }
  expect((await statusOf(understudy)).routes['all']!.mirror.needsVerify).toBe(false)
  expect(await driftBetween(old, now)).toEqual([])
  await eventually(async () => expect((await dead.client().role())[0]).toBe('slave'), { timeoutMs: 30_000 })
}, 300_000)

test('a shadow that has failed over and back while nothing ran is the same server, and its route needs a verify', async () => {
  const [group, old] = await Promise.all([startGroup(), startRedis()])
  started(old)
  const understudy = started(await startUnderstudy(config(old.url, group.url)))
  const before = await group.primary()
  await understudy.client().set('a', 1)
  await settled(understudy)
  await understudy.kill9()
  await group.failover()
  expect(await group.failover()).toBe(before)
  await eventually(async () => expect((await before.client().role())[0]).toBe('master'))
  await understudy.restart()
  await eventually(async () =>
    expect((await statusOf(understudy)).routes['all']!.mirror.verifyCauses).toContain('shadow-failed-over'),
  )
}, 300_000)

test('without a Sentinel at the start it says so, and serves as soon as one answers', async () => {
  const group = await startGroup()
  await Promise.all(group.sentinels.map((sentinel) => sentinel.kill9()))
  const understudy = started(
    await startUnderstudy(config(group.url, group.url, 'passthrough').replace(/, target: new/, ''), { until: 'live' }),
  )
  const { status, body } = await understudy.admin<Readiness>('/readyz')
  expect(status).toBe(503)
  expect(body.reasons.join()).toMatch(/store 'old', is not connected: no Sentinel names the primary .*ECONNREFUSED/)
  const client = understudy.client()
  await expect(client.set('k', 'v')).rejects.toThrow(
    /^ERR Understudy: store 'old' is down \(no Sentinel names the primary .*\); the command was not executed$/,
  )
  await group.sentinels[1]!.start()
  await eventually(async () => expect(await client.set('k', 'v')).toBe('OK'))
  expect((await statusOf(understudy)).stores['old']).toMatchObject({ sentinel: { answering: 1, failovers: 0 } })
}, 180_000)
