import { afterEach, describe, expect, test } from 'vitest'
import { type DataPathUnderTest, type RouteOptions, startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { countKeys, driftBetween } from '../support/keyspace.ts'
import { type RedisServer, type RedisServerOptions, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'
import { Consumer, Writer } from '../support/write-load.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

const DURABLE: RedisServerOptions = { args: ['--appendonly', 'yes', '--appendfsync', 'always'] }
const SLACK = { ttlSlackMs: 3_000 }
const toShadow = (key: string): string => key.replace(/^job:/, 'step:')

interface Setup {
  readonly old: RedisServer
  readonly fresh: RedisServer
  readonly path: DataPathUnderTest
}

async function start(
  mirror: Partial<RouteOptions['mirror']> = {},
  durable = false,
  timeoutMs = 20_000,
): Promise<Setup> {
  const options = durable ? DURABLE : {}
  const [old, fresh] = await Promise.all([startRedis(options), startRedis(options)])
  const shared = { phase: 'shadow', mirror } as RouteOptions
  const routes: RouteOptions[] = [
    {
      ...shared,
      name: 'jobs',
      keys: ['job:{id}'],
      source: 'old',
      target: { store: 'new', keys: { 'job:{id}': 'step:{id}' } },
    },
    { ...shared, name: 'rest', source: 'old', target: 'new' },
  ]
  // A primary that is slow on a busy machine is not what is tried here.
  const path = await startDataPath({ stores: { old, new: { port: fresh.port, timeoutMs } }, routes })
  running.push(old, fresh, path)
  return { old, fresh, path }
}

/** Writers and a consumer go on until `during` is over. */
async function underLoad(
  path: DataPathUnderTest,
  seed: number,
  during: (slowest: () => number) => Promise<void>,
): Promise<{ commands: number; ownErrors: string[] }> {
  const writers = await Promise.all(
    [2, 3, 2].map((protocol, i) => Writer.open(path.port, protocol as 2 | 3, { seed: seed + i })),
  )
  const consumer = await Consumer.start(path.port, 2, seed)
  let going = true
  let slowestMs = 0
  const done = Promise.all(
    writers.map(async (writer) => {
      while (going) {
        const startedMs = performance.now()
        await writer.round()
        slowestMs = Math.max(slowestMs, performance.now() - startedMs)
      }
    }),
  )
  try {
    // The longest that a round took since this was asked last, ms.
    await during(() => {
      const was = slowestMs
      slowestMs = 0
      return was
    })
  } finally {
    going = false
    await done
    await consumer.stop()
    for (const writer of writers) writer.close()
  }
  return {
    commands: writers.reduce((sum, writer) => sum + writer.commands, 0),
    ownErrors: [...writers, consumer].flatMap((one) => one.ownErrors),
  }
}

function counters(path: DataPathUnderTest) {
  const { jobs, rest } = path.runtime.stats().routes
  return { dirty: jobs!.dirtyKeys + rest!.dirtyKeys, applied: jobs!.counters.applied + rest!.counters.applied }
}

/** As many writes again as there have been. */
async function more(path: DataPathUnderTest, commands = 300): Promise<void> {
  const primaryOk = (): number =>
    Object.values(path.runtime.stats().routes).reduce((sum, r) => sum + r.counters.primaryOk, 0)
  const before = primaryOk()
  await eventually(() => expect(primaryOk()).toBeGreaterThan(before + commands))
}

describe('the shadow', () => {
  test('dies and comes back, three times, with what it had and with nothing: no client notices, no key differs in the end', async () => {
    const { old, fresh, path } = await start({}, true)
    const { commands, ownErrors } = await underLoad(path, 100, async () => {
      for (let i = 0; i < 3; i++) {
        await more(path)
        await fresh.kill9()
        await more(path)
        await fresh.restart()
        await eventually(() => expect(path.runtime.stats().stores['new']!.state).toBe('up'))
      }
      await more(path)
    })
    expect(ownErrors).toEqual([])
    await settled(path)
    console.info(`shadow killed three times: ${commands} commands, ${await countKeys(old)} keys`)
    expect(await driftBetween(old, fresh, { toShadow, ...SLACK })).toEqual([])
  })

  test('hangs: clients are as fast as ever; what it was sent is dirty when its connection is given up, and is copied', async () => {
    const { old, fresh, path } = await start({}, false, 500)
    let [hungMs, slowestMs] = [0, 0]
    const { ownErrors } = await underLoad(path, 200, async (slowest) => {
      await more(path)
      slowest()
      const pausedMs = performance.now()
      fresh.pause()
      await eventually(() => expect(path.runtime.stats().stores['new']!.state).not.toBe('up'))
      slowestMs = slowest()
      hungMs = performance.now() - pausedMs
      await more(path)
      expect(counters(path).dirty).toBeGreaterThan(0)
      fresh.resume()
      await more(path)
    })
    expect(ownErrors).toEqual([])
    // Nobody has waited for the shadow, which was silent for three timeouts of 500 ms, or longer as this process came to count them.
    expect(slowestMs).toBeLessThan(hungMs - 100)
    await settled(path)
    expect(await driftBetween(old, fresh, { toShadow, ...SLACK })).toEqual([])
  })

  test('is away for longer than the backlog can hold: what does not fit is remembered, and copied when it is back', async () => {
    const { old, fresh, path } = await start({ backlogBytes: 4_000 } as RouteOptions['mirror'])
    const { ownErrors } = await underLoad(path, 300, async () => {
      await more(path)
      fresh.pause()
      await more(path, 1_000)
      for (const route of Object.values(path.runtime.stats().routes))
        expect(route.backlogBytes).toBeLessThanOrEqual(4_000)
      expect(Object.values(path.runtime.stats().routes).map((r) => r.counters.dropped > 0)).toEqual([true, true])
      fresh.resume()
    })
    expect(ownErrors).toEqual([])
    await settled(path)
    expect(await driftBetween(old, fresh, { toShadow, ...SLACK })).toEqual([])
  })

  test('is out of memory: its errors reach no client, and it is made equal when there is room', async () => {
    const { old, fresh, path } = await start()
    const { ownErrors } = await underLoad(path, 400, async () => {
      await more(path)
      await fresh.client().config('SET', 'maxmemory', '1')
      await more(path)
      expect(counters(path).dirty).toBeGreaterThan(0)
      await fresh.client().config('SET', 'maxmemory', '0')
      await more(path)
    })
    expect(ownErrors).toEqual([])
    await settled(path, 20_000)
    expect(await driftBetween(old, fresh, { toShadow, ...SLACK })).toEqual([])
  })

  test('that gives no answer has refused nothing: its keys are dirty, and only what it says no to counts as refused', async () => {
    const { fresh, path } = await start({}, false, 100)
    const failed = (): number => path.runtime.stats().routes['rest']!.counters.failed
    const client = await path.raw()
    await client.ask('SET', 'answered', '1')
    await settled(path)
    fresh.pause()
    expect(await client.ask('SET', 'silent', '1')).toBe('+OK\r\n')
    await eventually(() => expect(counters(path).dirty).toBe(1))
    expect(failed()).toBe(0)
    fresh.resume()
    await settled(path)
    await fresh.client().config('SET', 'maxmemory', '1')
    await client.ask('SET', 'refused', '1')
    await eventually(() => expect(failed()).toBeGreaterThan(0))
  })

  test('holds something of another type: found by the first write, and replaced', async () => {
    const { old, fresh, path } = await start()
    const there = fresh.client()
    await there.set('list', 'planted')
    await there.lpush('step:hash', 'planted')
    const app = path.client()
    await app.rpush('list', 'a')
    await app.hset('job:hash', 'f', 'v')
    await app.multi().sadd('set', 'a').rpush('list', 'b').exec()
    await settled(path)
    expect(await driftBetween(old, fresh, { toShadow })).toEqual([])
  })

  test('was never there: clients work, and it is filled by copies when it comes', async () => {
    const { old, fresh, path } = await start()
    await fresh.kill9()
    const app = path.client()
    await Promise.all(Array.from({ length: 100 }, (_, i) => app.set(`key:${i}`, i)))
    await app.eval("redis.call('set', KEYS[1], 1)", 1, 'scripted')
    await fresh.restart()
    await settled(path)
    expect(await driftBetween(old, fresh, { toShadow })).toEqual([])
    expect(await countKeys(fresh)).toBe(101)
  })
})

test('a shadow that was restarted may have lost what it had: its routes need a verify', async () => {
  const { fresh, path } = await start()
  await path.client().mset('a', 1, 'job:a', 1)
  await settled(path)
  // A connection that was lost alone says nothing.
  await fresh.client().call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  await path.client().mset('b', 1, 'job:b', 1)
  await settled(path)
  const needs = (): boolean[] => Object.values(path.runtime.stats().routes).map(({ needsVerify }) => needsVerify)
  expect(needs()).toEqual([false, false])
  await fresh.restart()
  await expect.poll(needs).toEqual([true, true])
  expect(JSON.stringify(path.notices)).toContain('restarted or replaced')
})

describe('the primary', () => {
  test('is killed under load and comes back with its data: what was in flight is copied, or waits for the verify that is asked for, and no key differs in the end', async () => {
    const { old, fresh, path } = await start({}, true)
    const lost = await underLoad(path, 500, async () => {
      for (let i = 0; i < 3; i++) {
        await more(path)
        await old.kill9()
        await eventually(() => expect(path.runtime.stats().stores['old']!.state).not.toBe('up'))
        await old.restart()
        await eventually(() => expect(path.runtime.stats().stores['old']!.state).toBe('up'))
      }
      await more(path)
    })
    // Clients learn of it, in words.
    expect(lost.ownErrors.length).toBeGreaterThan(0)
    for (const error of lost.ownErrors) expect(error).toMatch(/executed/)
    const { jobs } = path.runtime
    for (const name of ['jobs', 'rest']) await jobs.verified(name, await jobs.verifyTicket(name))
    await settled(path)
    console.info(
      `primary killed three times: ${lost.commands} commands, ${lost.ownErrors.length} lost, ${await countKeys(old)} keys`,
    )
    expect(await driftBetween(old, fresh, { toShadow, ...SLACK, forgetsDeliveries: true })).toEqual([])
  })

  test('a write of which nobody knows whether it was executed makes its key dirty', async () => {
    const { old, fresh, path } = await start({}, true)
    const app = path.client()
    await app.set('counter', 1)
    await settled(path)
    old.pause()
    const answer = app.incr('counter').catch((error: Error) => error.message)
    const whole = app
      .multi()
      .incr('counter')
      .incr('job:counter')
      .exec()
      .catch((error: Error) => error.message)
    await eventually(() => expect(path.runtime.stats().routes['rest']!.inFlight).toBeGreaterThan(3))
    await old.kill9()
    expect(await answer).toContain('may have been executed')
    expect(await whole).toContain('may have been executed')
    expect(counters(path).dirty).toBe(2)
    await old.restart()
    await settled(path)
    expect(await driftBetween(old, fresh, { toShadow })).toEqual([])
  })
})
