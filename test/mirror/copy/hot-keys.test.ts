import { afterEach, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { farStore } from '../../support/far-store.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

const SLOW = { timeoutMs: 25_000 }

type Command = readonly (string | number)[]
const COUNT: Command = ['INCR', 'hot']
/** Asks for the time: its key is copied. */
const COUNT_BY_COPY: Command = ['EVAL', "redis.call('time') return redis.call('incr', KEYS[1])", 1, 'hot']

interface Setup {
  readonly old: RedisServer
  readonly fresh: RedisServer
  readonly path: DataPathUnderTest
  stats(): ReturnType<DataPathUnderTest['runtime']['stats']>['routes'][string]
  /** Some of the commands are under way at any moment until `stop`, on the shared connection; `pinned`: each in a transaction with a connection of its own. */
  always(command: Command, pinned: boolean): Promise<void>
  stop(): Promise<void>
}

/** The primary is far enough away that several writes are always on their way, whatever this process does. */
async function setUp(): Promise<Setup> {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  const way = await farStore(old.port, 10)
  const path = await startDataPath({
    stores: { old: { port: way.port }, new: fresh },
    routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
    // A busy machine is slow, and is not what this is about.
    copyLimits: { patienceMs: 100, holdMs: 10_000 },
  })
  let going = true
  const done: Promise<void>[] = []
  running.push(old, fresh, way, path, {
    stop: () => {
      going = false
      return Promise.allSettled(done)
    },
  })
  const again = async (ask: () => Promise<string>): Promise<void> => {
    while (going) expect(await ask()).not.toMatch(/^-/)
  }
  return {
    old,
    fresh,
    path,
    stats: () => path.runtime.stats().routes['all']!,
    always: async (command, pinned) => {
      for (let i = 0; i < 8; i++) {
        const client = await path.raw()
        if (!pinned) done.push(again(() => client.ask(...command)))
        else {
          await client.ask('WATCH', `own:${i}`)
          const transaction = Buffer.concat([['MULTI'], command, ['EXEC'], ['WATCH', `own:${i}`]].map(encodeCommand))
          done.push(
            again(async () => {
              client.send(transaction)
              return (await client.take(4))[2]!
            }),
          )
        }
        // So that they do not all wait for the same moment.
        await new Promise((resolve) => setTimeout(resolve, 3))
      }
    },
    stop: async () => {
      going = false
      await Promise.all(done)
    },
  }
}

/** The shadow comes to have what the primary has now, while it is written on. */
async function catchesUp({ old, fresh }: Setup): Promise<void> {
  const now = Number(await old.client().get('hot'))
  expect(now).toBeGreaterThan(0)
  await eventually(async () => expect(Number(await fresh.client().get('hot'))).toBeGreaterThanOrEqual(now), SLOW)
}

describe('a key that is written all the time', () => {
  test('on two connections, is copied while its writes are held for a moment', async () => {
    const setup = await setUp()
    await setup.always(COUNT, false)
    await setup.always(COUNT, true)
    await eventually(() => {
      const { keyHolds, keyHoldsInVain } = setup.stats().counters
      expect(keyHolds - keyHoldsInVain).toBeGreaterThan(0)
    }, SLOW)
    await catchesUp(setup)
    await setup.stop()
    await settled(setup.path)
    expect(await driftBetween(setup.old, setup.fresh)).toEqual([])
  })

  test('by writes that are settled by copies, is never older on the shadow than a copy takes, and holds nobody', async () => {
    const setup = await setUp()
    await setup.always(COUNT_BY_COPY, false)
    await eventually(() => expect(setup.stats()).toMatchObject({ dirtyKeys: 1, hotKeys: 1 }), SLOW)
    for (let i = 0; i < 5; i++) await catchesUp(setup)
    expect(setup.stats().counters.keyHolds).toBe(0)
    await setup.stop()
    await settled(setup.path)
    expect(setup.stats().hotKeys).toBe(0)
    expect(await driftBetween(setup.old, setup.fresh)).toEqual([])
  })

  test('waits for a switch no longer than for a copy', async () => {
    const setup = await setUp()
    await setup.always(COUNT, false)
    await setup.always(COUNT, true)
    await eventually(() => expect(setup.stats().dirtyKeys).toBe(1), SLOW)
    const { config, runtime } = setup.path
    const result = await runtime.apply({
      config: { ...config, routes: config.routes.map((route) => ({ ...route, phase: 'switched' })) },
      endpoints: {},
      generation: 1,
      hold: ['all'],
      needsEqual: ['all'],
      forget: [],
      holdTimeoutMs: 10_000,
    })
    expect(result).toMatchObject({ ok: true })
    await setup.stop()
    await settled(setup.path)
    expect(await driftBetween(setup.old, setup.fresh)).toEqual([])
  })
})
