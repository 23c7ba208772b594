import type { Redis } from 'ioredis'
import { afterEach, describe, expect, test } from 'vitest'
import type { Config, Phase } from '../../src/config/config.ts'
import type { ApplyResult } from '../../src/proxy/messages.ts'
import { changeBetween } from '../support/change.ts'
import { type DataPathUnderTest, type RouteOptions, startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { driftBetween } from '../support/keyspace.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'
import { Consumer, Writer } from '../support/write-load.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

interface Setup {
  readonly old: RedisServer
  readonly fresh: RedisServer
  readonly path: DataPathUnderTest
  /** Puts the phase of these routes (default: all that have a target) in force, as the sidecar does it. */
  to(phase: Phase, options?: { routes?: readonly string[]; holdTimeoutMs?: number }): Promise<ApplyResult>
}

async function setUp(routes: (old: string, fresh: string) => RouteOptions[], oneServer = false): Promise<Setup> {
  const old = await startRedis()
  const fresh = oneServer ? old : await startRedis()
  running.push(old)
  if (!oneServer) running.push(fresh)
  const stores = oneServer ? { old } : { old, new: fresh }
  const path = await startDataPath({ stores, routes: routes('old', oneServer ? 'old' : 'new') })
  running.push(path)
  let config: Config = path.config
  let generation = 0
  return {
    old,
    fresh,
    path,
    async to(phase, { routes: named, holdTimeoutMs = 30_000 } = {}) {
      const next = {
        ...config,
        routes: config.routes.map((route) =>
          route.target !== null && (named === undefined || named.includes(route.name)) ? { ...route, phase } : route,
        ),
      }
      const result = await path.runtime.apply({ ...changeBetween(config, next, ++generation), holdTimeoutMs })
      if (result.ok) config = next
      return result
    },
  }
}

const SHADOW = { phase: 'shadow', compare: { sample: 1 } as NonNullable<RouteOptions['compare']> } as const

function twoRoutes(old: string, fresh: string): RouteOptions[] {
  const keys = { 'job:{id}': 'step:{id}' }
  return [
    { ...SHADOW, name: 'jobs', keys: ['job:{id}'], source: old, target: { store: fresh, keys } },
    { ...SHADOW, name: 'rest', source: old, target: fresh },
  ]
}

function schemaOnly(old: string): RouteOptions[] {
  const keys = { 'job:{id}': 'step:{id}' }
  return [
    { ...SHADOW, name: 'jobs', keys: ['job:{id}'], source: old, target: { store: old, keys } },
    { name: 'rest', source: old },
  ]
}

/** Clients of every kind that never see an error, each with what it has been told. */
class Application {
  readonly counters = new Map<string, number>()
  readonly errors: string[] = []
  reconnects = 0
  rounds = 0
  readonly taken: string[] = []
  pushed = 0
  readonly received: string[] = []
  published = 0
  nilTransactions = 0
  #going = true
  readonly #done: Promise<unknown>[] = []
  readonly #path: DataPathUnderTest
  readonly #names: readonly string[]

  constructor(path: DataPathUnderTest, names: readonly string[]) {
    this.#path = path
    this.#names = names
  }

  start(): void {
    for (let i = 0; i < 3; i++) this.#loop(i % 2 === 0 ? 2 : 3, (app) => this.#count(app))
    this.#loop(2, (app) => this.#countWatched(app))
    this.#loop(3, (app) => this.#push(app))
    for (let i = 0; i < 3; i++) this.#loop(i % 2 === 0 ? 2 : 3, (app) => this.#take(app))
    this.#loop(2, async (app) => {
      await app.publish('news', String(this.published))
      this.published++
    })
  }

  async subscribe(): Promise<void> {
    const subscriber = this.#client(2)
    await subscriber.subscribe('news')
    subscriber.on('message', (_channel, message) => this.received.push(message))
  }

  async stop(): Promise<void> {
    this.#going = false
    await Promise.all(this.#done)
  }

  #client(protocol: 2 | 3): Redis {
    const app = this.#path.client({ protocol })
    app.on('reconnecting', () => this.reconnects++)
    return app
  }

  #loop(protocol: 2 | 3, round: (app: Redis) => Promise<void>): void {
    const app = this.#client(protocol)
    this.#done.push(
      (async () => {
        while (this.#going && app.status !== 'end') {
          try {
            await round(app)
            this.rounds++
          } catch (error) {
            this.errors.push(String(error))
            return
          }
        }
      })(),
    )
  }

  #add(name: string, by: number): void {
    this.counters.set(name, (this.counters.get(name) ?? 0) + by)
  }

  /** Pipelined, in MULTI, by a script. */
  async #count(app: Redis): Promise<void> {
    const pipeline = app.pipeline()
    for (const name of this.#names) pipeline.incr(name).get(name).incrby(name, 2)
    pipeline.call('MULTI')
    for (const name of this.#names) pipeline.incr(name)
    pipeline.call('EXEC')
    for (const name of this.#names) pipeline.eval("return redis.call('incr', KEYS[1])", 1, name)
    for (const [error, value] of (await pipeline.exec()) ?? []) {
      if (error) this.errors.push(error.message)
      for (const item of Array.isArray(value) ? value : []) if (item instanceof Error) this.errors.push(item.message)
    }
    for (const name of this.#names) this.#add(name, 5)
  }

  /** In a transaction of its own connection, step by step. EXEC answers nil when a switch came between: it counts for nothing. */
  async #countWatched(app: Redis): Promise<void> {
    const [name] = this.#names as [string]
    await app.watch(name)
    const current = Number(await app.get(`${name}:watched`))
    const result = await app
      .multi()
      .set(`${name}:watched`, current + 1)
      .exec()
    if (result === null) this.nilTransactions++
    else this.#add(`${name}:watched`, 1)
  }

  async #push(app: Redis): Promise<void> {
    await app.rpush(`${this.#names[0]}:queue`, String(this.pushed))
    this.pushed++
  }

  async #take(app: Redis): Promise<void> {
    const taken = await app.blpop(`${this.#names[0]}:queue`, 0.2)
    if (taken !== null) this.taken.push(taken[1])
  }
}

async function switchUnderLoad(
  { old, fresh, path, to }: Setup,
  names: string[],
  toTarget: (key: string) => string,
): Promise<void> {
  const app = new Application(path, names)
  await app.subscribe()
  app.start()
  for (let round = 0; round < 5; round++) {
    for (const phase of ['switched', 'shadow'] as const) {
      const seen = app.rounds
      await eventually(() => expect(app.rounds).toBeGreaterThan(seen + 60))
      expect(await to(phase)).toMatchObject({ ok: true })
    }
  }
  const seen = app.rounds
  await eventually(() => expect(app.rounds).toBeGreaterThan(seen + 60))
  await app.stop()
  expect(app.errors).toEqual([])
  expect(app.reconnects).toBe(0)
  await settled(path)

  const [source, target] = [old.client(), fresh.client()]
  for (const [name, count] of app.counters) {
    expect([name, Number(await source.get(name)), Number(await target.get(toTarget(name)))]).toEqual([
      name,
      count,
      count,
    ])
  }
  // What nobody took is left, on both sides.
  const left = await source.lrange(`${names[0]}:queue`, 0, -1)
  expect(await target.lrange(toTarget(`${names[0]}:queue`), 0, -1)).toEqual(left)
  expect([...app.taken, ...left].map(Number).sort((a, b) => a - b)).toEqual(
    Array.from({ length: app.pushed }, (_, i) => i),
  )
  await eventually(() => expect(app.received.length).toBeGreaterThanOrEqual(app.published))
  expect(app.received.map(Number)).toEqual(Array.from({ length: app.published }, (_, i) => i))
  expect(path.notices.filter((notice) => notice.kind === 'finding')).toEqual([])
}

describe('switched and back five times under load: nothing lost, nothing doubled, no error, nobody disconnected', () => {
  test('two stores, some keys renamed', async () => {
    const setup = await setUp(twoRoutes)
    await switchUnderLoad(setup, ['job:counter', 'counter'], (key) => key.replace('job:', 'step:'))
  })

  test('one store, a new key schema', async () => {
    const setup = await setUp(schemaOnly, true)
    await switchUnderLoad(setup, ['job:counter'], (key) => key.replace('job:', 'step:'))
  })

  test('one route of two at a time', async () => {
    const { old, fresh, path, to } = await setUp(twoRoutes)
    const app = new Application(path, ['job:counter'])
    const other = new Application(path, ['counter'])
    app.start()
    other.start()
    for (const [route, phase] of [
      ['jobs', 'switched'],
      ['rest', 'switched'],
      ['jobs', 'shadow'],
      ['jobs', 'read-target'],
      ['rest', 'mirror'],
      ['jobs', 'shadow'],
    ] as const) {
      const seen = app.rounds + other.rounds
      await eventually(() => expect(app.rounds + other.rounds).toBeGreaterThan(seen + 100))
      expect(await to(phase, { routes: [route] })).toMatchObject({ ok: true })
    }
    await Promise.all([app.stop(), other.stop()])
    expect([...app.errors, ...other.errors]).toEqual([])
    await settled(path)
    expect(await driftBetween(old, fresh, { toShadow: (key) => key.replace('job:', 'step:') })).toEqual([])
    for (const [name, count] of [...app.counters, ...other.counters]) {
      expect([name, Number(await old.client().get(name))]).toEqual([name, count])
    }
  })

  test('random writes of every kind, with consumers', async () => {
    const { old, fresh, path, to } = await setUp(twoRoutes)
    const writers = await Promise.all(
      [2, 3, 2].map((protocol, i) => Writer.open(path.port, protocol as 2 | 3, { seed: i + 1 })),
    )
    const consumer = await Consumer.start(path.port, 3, 9)
    let going = true
    const load = Promise.all(
      writers.map(async (writer) => {
        while (going) await writer.round()
      }),
    )
    for (const phase of ['switched', 'shadow', 'switched', 'read-target', 'switched'] as const) {
      const before = writers[0]!.commands
      await eventually(() => expect(writers[0]!.commands).toBeGreaterThan(before + 300))
      expect(await to(phase)).toMatchObject({ ok: true })
    }
    const before = writers[0]!.commands
    await eventually(() => expect(writers[0]!.commands).toBeGreaterThan(before + 300))
    going = false
    await load
    await consumer.stop()
    expect([...writers, consumer].flatMap((one) => one.ownErrors)).toEqual([])
    await settled(path)
    const toShadow = (key: string): string => key.replace('step:', 'job:')
    expect(await driftBetween(fresh, old, { toShadow, ttlSlackMs: 1_000 })).toEqual([])
  })
})

describe('a switch that cannot be made is called off, and everything goes on as before', () => {
  test('the shadow hangs', async () => {
    const { old, fresh, path, to } = await setUp(twoRoutes)
    const app = new Application(path, ['job:counter', 'counter'])
    app.start()
    await eventually(() => expect(app.rounds).toBeGreaterThan(100))
    fresh.pause()
    const seen = app.rounds
    await eventually(() => expect(app.rounds).toBeGreaterThan(seen + 20))
    const result = await to('switched', { holdTimeoutMs: 200 })
    expect(result).toMatchObject({ ok: false })
    expect(result.ok ? '' : result.reason).toMatch(/'(jobs|rest)'/)
    const after = app.rounds
    await eventually(() => expect(app.rounds).toBeGreaterThan(after + 100))
    fresh.resume()
    await eventually(() => expect(app.rounds).toBeGreaterThan(after + 200))
    expect(await to('switched')).toMatchObject({ ok: true })
    await app.stop()
    expect(app.errors).toEqual([])
    expect(app.reconnects).toBe(0)
    await settled(path)
    for (const [name, count] of app.counters) {
      expect([name, Number(await old.client().get(name))]).toEqual([name, count])
      expect([name, Number(await fresh.client().get(name.replace('job:', 'step:')))]).toEqual([name, count])
    }
  })

  test('the primary hangs: its commands cannot come back', async () => {
    const { old, path, to } = await setUp(twoRoutes)
    const app = path.client()
    await app.set('k', 1)
    await settled(path)
    old.pause()
    const slow = app.incr('k')
    await eventually(() => expect(path.runtime.stats().routes['rest']!.inFlight).toBe(1))
    const result = await to('switched', { holdTimeoutMs: 100 })
    expect(result).toMatchObject({ ok: false, reason: expect.stringContaining('in flight') })
    old.resume()
    expect(await slow).toBe(2)
    expect(await app.incr('k')).toBe(3)
    expect(await to('switched')).toMatchObject({ ok: true })
    expect(await app.incr('k')).toBe(4)
  })
})

describe('what is bound to the old primary', () => {
  test('a watched transaction answers nil, one that is only queued is executed on the new primary', async () => {
    const { fresh, path, to } = await setUp(twoRoutes)
    const [watching, queued] = [path.client(), path.client()]
    await watching.set('k', 0)
    await watching.watch('k')
    await queued.call('MULTI')
    await queued.call('INCR', 'job:k')
    expect(await to('switched')).toMatchObject({ ok: true })
    expect(await watching.multi().incr('k').exec()).toBeNull()
    expect(await queued.call('EXEC')).toEqual([1])
    expect(await watching.multi().incr('k').exec()).toEqual([[null, 1]])
    expect(await fresh.client().mget('k', 'step:k')).toEqual(['1', '1'])
    await settled(path)
  })

  test('a blocked take gets the element that is pushed after the switch, from the new primary', async () => {
    const { old, fresh, path, to } = await setUp(twoRoutes)
    const takers = [
      path.client({ protocol: 2 }).blpop('job:q', 0),
      path.client({ protocol: 3 }).blmove('q', 'r', 'LEFT', 'RIGHT', 0),
    ]
    await eventually(async () => expect(await old.client().info('clients')).toContain('blocked_clients:2'))
    expect(await to('switched')).toMatchObject({ ok: true })
    await eventually(async () => expect(await fresh.client().info('clients')).toContain('blocked_clients:2'))
    await eventually(async () => expect(await old.client().info('clients')).toContain('blocked_clients:0'))
    const pusher = path.client()
    await pusher.rpush('job:q', 'a')
    await pusher.rpush('q', 'b')
    expect(await Promise.all(takers)).toEqual([['job:q', 'a'], 'b'])
    await settled(path)
    expect(await driftBetween(fresh, old)).toEqual([])
    expect(await fresh.client().lrange('r', 0, -1)).toEqual(['b'])
  })

  test('a take of keys of two routes, of which one is switched to another store, is told that it cannot wait for both', async () => {
    const { old, path, to } = await setUp(twoRoutes)
    const taken = path.client().blpop('q', 'job:q', 0)
    await eventually(async () => expect(await old.client().info('clients')).toContain('blocked_clients:1'))
    const refused = expect(taken).rejects.toThrow(/^CROSSROUTE/)
    expect(await to('switched', { routes: ['jobs'] })).toMatchObject({ ok: true })
    await refused
    await eventually(async () => expect(await old.client().info('clients')).toContain('blocked_clients:0'))
  })
})
