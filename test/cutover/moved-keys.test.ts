import type { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Config } from '../../src/config/config.ts'
import type { ApplyResult } from '../../src/proxy/messages.ts'
import { changeBetween } from '../support/change.ts'
import { configOf, type DataPathUnderTest, type RouteOptions, startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { driftBetween } from '../support/keyspace.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'

let old: RedisServer
let fresh: RedisServer
const running: { stop(): Promise<unknown> }[] = []
beforeEach(async () => {
  old = await startRedis()
  fresh = await startRedis()
  running.push(old, fresh)
})
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

interface Setup {
  readonly path: DataPathUnderTest
  /** Puts these routes in force as the sidecar does it. */
  reroute(routes: readonly RouteOptions[]): Promise<ApplyResult>
}

async function setUp(routes: readonly RouteOptions[]): Promise<Setup> {
  const stores = { old, new: fresh }
  const path = await startDataPath({ stores, routes })
  running.push(path)
  let config: Config = path.config
  let generation = 0
  return {
    path,
    async reroute(next) {
      const { routes: wanted } = configOf({ stores, routes: next })
      const change = changeBetween(config, { ...config, routes: wanted }, ++generation)
      const result = await path.runtime.apply(change)
      if (result.ok) config = { ...config, routes: wanted }
      return result
    },
  }
}

const ends = { source: 'old', target: 'new' } as const
const rest: RouteOptions = { name: 'rest', phase: 'shadow', ...ends }
const jobs = (phase: NonNullable<RouteOptions['phase']>, keys = ['job:{id}']): RouteOptions => {
  return { name: 'jobs', keys, phase, ...ends }
}

/** Counts for ever: alone, in transactions, by scripts, with WATCH. A connection that is dropped, an error or a wrong answer ends it. */
class Counting {
  readonly counts = new Map<string, number>()
  readonly errors: string[] = []
  rounds = 0
  #going = true
  readonly #done: Promise<unknown>

  constructor(path: DataPathUnderTest, keys: readonly string[]) {
    this.#done = Promise.all(
      keys.flatMap((key) => [
        this.#loop(path.client(), async (app) => this.#is(key, await app.incr(key))),
        this.#loop(path.client(), async (app) => {
          const results = await app.multi().incr(`${key}:m`).incr(`${key}:m`).exec()
          this.#is(`${key}:m`, Number(results![1]![1]), 2)
        }),
        this.#loop(path.client({ protocol: 3 }), async (app) => {
          const script = "return redis.call('INCR', KEYS[1])"
          this.#is(`${key}:s`, Number(await app.eval(script, 1, `${key}:s`)))
        }),
        this.#loop(path.client(), async (app) => {
          await app.watch(`${key}:w`)
          const result = await app.multi().incr(`${key}:w`).exec()
          if (result !== null) this.#is(`${key}:w`, Number(result[0]![1]))
        }),
        this.#loop(path.client(), async (app) => {
          await app.call('MULTI')
          await app.call('INCR', `${key}:q`)
          const [value] = (await app.call('EXEC')) as [number]
          this.#is(`${key}:q`, value)
        }),
      ]),
    )
  }

  async stop(): Promise<void> {
    this.#going = false
    await this.#done
  }

  /** Each key has one counter: what it answers is what it was told before and one more, or an increment was lost or came twice. */
  #is(key: string, value: number, by = 1): void {
    const expected = (this.counts.get(key) ?? 0) + by
    this.counts.set(key, value)
    if (value !== expected) this.errors.push(`${key} is ${value}, not ${expected}`)
  }

  async #loop(app: Redis, round: (app: Redis) => Promise<void>): Promise<void> {
    app.on('reconnecting', () => this.errors.push('a connection was dropped'))
    while (this.#going && this.errors.length === 0) {
      await round(app).catch((error) => this.errors.push(String(error)))
      this.rounds++
    }
  }
}

describe('keys that a reload moves to another primary', () => {
  test('no increment is lost or doubled, nobody is disconnected: routes added, removed, with other patterns', async () => {
    const { path, reroute } = await setUp([rest])
    const counting = new Counting(path, ['job:1', 'job:urgent', 'other'])
    const steps: RouteOptions[][] = [
      [jobs('switched'), rest],
      [rest],
      [jobs('switched'), { ...rest, name: 'renamed' }],
      [jobs('switched', ['job:urgent{more}', 'other{more}']), rest],
      [jobs('shadow'), { ...rest, phase: 'switched' }],
      [{ ...jobs('switched', ['job:urgent{more}']), name: 'urgent' }, jobs('mirror'), rest],
      [rest],
      [{ ...rest, phase: 'switched' }],
      [jobs('read-target'), { ...rest, phase: 'switched' }],
      [rest],
    ]
    for (const routes of steps) {
      const seen = counting.rounds
      await eventually(() => expect(counting.errors.length > 0 || counting.rounds > seen + 150).toBe(true))
      expect(await reroute(routes)).toMatchObject({ ok: true })
      expect(counting.errors).toEqual([])
    }
    const seen = counting.rounds
    await eventually(() => expect(counting.errors.length > 0 || counting.rounds > seen + 150).toBe(true))
    await counting.stop()
    expect(counting.errors).toEqual([])
    await settled(path)
    for (const server of [old, fresh])
      for (const [key, count] of counting.counts)
        expect([key, Number(await server.client().get(key))]).toEqual([key, count])
    expect(await driftBetween(old, fresh)).toEqual([])
  }, 180_000)

  test('a route that only gets another name, or one of its own for keys that stay, holds nobody and breaks nothing off', async () => {
    const { path, reroute } = await setUp([rest])
    const counting = new Counting(path, ['job:1', 'other'])
    for (const routes of [[{ ...rest, name: 'all' }], [jobs('shadow'), { ...rest, name: 'all' }], [rest]]) {
      const seen = counting.rounds
      await eventually(() => expect(counting.errors.length > 0 || counting.rounds > seen + 100).toBe(true))
      expect(await reroute(routes)).toEqual({ ok: true, pauseMs: 0, left: [] })
    }
    const seen = counting.rounds
    await eventually(() => expect(counting.errors.length > 0 || counting.rounds > seen + 100).toBe(true))
    await counting.stop()
    expect(counting.errors).toEqual([])
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
  }, 180_000)

  test('what waits or is queued for keys goes with them, also after its route has got another name', async () => {
    const { path, reroute } = await setUp([rest])
    const [taker, queuing, watching, pusher] = [path.client(), path.client(), path.client(), path.client()]
    await pusher.set('job:w', '0')
    const taken = taker.blpop('job:q', 0)
    await queuing.call('MULTI')
    await queuing.call('INCR', 'job:n')
    await watching.watch('job:w')
    await eventually(async () => expect(await old.client().info('clients')).toContain('blocked_clients:1'))
    expect(await reroute([{ ...rest, name: 'all' }])).toMatchObject({ ok: true })
    expect(await reroute([jobs('switched'), { ...rest, name: 'all' }])).toMatchObject({ ok: true })
    await eventually(async () => expect(await fresh.client().info('clients')).toContain('blocked_clients:1'))
    await pusher.rpush('job:q', 'a')
    expect(await taken).toEqual(['job:q', 'a'])
    expect(await queuing.call('EXEC')).toEqual([1])
    expect(await fresh.client().get('job:n')).toBe('1')
    expect(await watching.multi().incr('job:w').exec()).toBeNull()
    expect(await watching.multi().incr('job:w').exec()).toEqual([[null, 1]])
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
  })

  test('what was queued together and belongs to two stores now is refused, and nothing of it is executed', async () => {
    const { path, reroute } = await setUp([rest])
    const app = path.client()
    await app.call('MULTI')
    await app.call('INCR', 'job:n')
    await app.call('INCR', 'other')
    expect(await reroute([jobs('switched'), rest])).toMatchObject({ ok: true })
    await expect(app.call('EXEC')).rejects.toThrow('EXECABORT')
    expect(await app.call('MGET', 'job:n', 'other')).toEqual([null, null])
  })
})

test('a reload that is called off leaves the stores where they are', async () => {
  const { path } = await setUp([rest])
  const app = path.client()
  await app.set('k', '1')
  await settled(path)
  fresh.pause()
  await app.incr('k')
  const { config } = path
  const elsewhere = await startRedis()
  running.push(elsewhere)
  const stores = configOf({ stores: { old, new: elsewhere }, routes: [{ ...rest, phase: 'switched' }] }).stores
  const next = { ...config, stores, routes: config.routes.map((route) => ({ ...route, phase: 'switched' as const })) }
  const endpoints = { old: stores['old']!.endpoints[0]!, new: stores['new']!.endpoints[0]! }
  const change = { ...changeBetween(config, next, 1), endpoints, needsEqual: ['rest'], holdTimeoutMs: 100 }
  expect(await path.runtime.apply(change)).toMatchObject({ ok: false })
  await fresh.kill9()
  await fresh.restart()
  await app.incr('k')
  await settled(path)
  expect(await fresh.client().get('k')).toBe('3')
  expect(await elsewhere.client().dbsize()).toBe(0)
})

test('dirty keys go with their keys also from a route that mirrors no longer', async () => {
  const { path, reroute } = await setUp([{ ...rest, phase: 'mirror' }])
  const app = path.client()
  await app.set('job:1', 'first')
  await settled(path)
  const atShadow = fresh.client()
  await atShadow.config('SET', 'maxmemory', '1')
  await app.set('job:1', 'last')
  await eventually(() => expect(path.runtime.stats().routes['rest']!.dirtyKeys).toBe(1))
  expect(await reroute([jobs('mirror'), { ...rest, phase: 'passthrough' }])).toMatchObject({ ok: true })
  await atShadow.config('SET', 'maxmemory', '0')
  await settled(path)
  expect(await fresh.client().get('job:1')).toBe('last')
})
