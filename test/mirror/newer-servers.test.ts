import { afterEach, describe, expect, type TestContext, test } from 'vitest'
import { encodeCommand } from '../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { tellFacts } from '../support/facts.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'

/**
 * What only servers newer than the system's can show, as `model.test.ts` names them: `MODEL_SOURCE=.../redis-server-8 MODEL_TARGET=.../redis-server-8`. Others do not know the commands, and nothing is tested.
 */
const [SOURCE, TARGET] = [process.env['MODEL_SOURCE'], process.env['MODEL_TARGET']]

/** So that they can be told to leave alone what has expired. */
const DEBUG = ['--enable-debug-command', 'yes']

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

interface Setup {
  readonly old: RedisServer
  readonly fresh: RedisServer
  readonly path: DataPathUnderTest
}

/** Skips the test where one of both does not know the command. */
async function start(context: TestContext, command: string, shadowsLack = false): Promise<Setup> {
  const [old, fresh] = await Promise.all([
    startRedis({ program: SOURCE!, args: DEBUG }),
    startRedis({ program: TARGET!, args: DEBUG }),
  ])
  running.push(old, fresh)
  for (const server of [old, fresh]) {
    const [info] = (await server.client().call('COMMAND', 'INFO', command)) as [unknown]
    if (info === null) context.skip()
  }
  const path = await startDataPath({
    stores: { old, new: fresh },
    routes: [{ name: 'all', source: 'old', target: 'new', phase: 'shadow' }],
    shadowsLack,
  })
  running.push(path)
  await tellFacts(path, { old, new: fresh })
  return { old, fresh, path }
}

type Words = readonly [string, ...(string | number)[]]

/** Writes to a field `f` that has a time, after which the primary has it for long. */
const LASTING: Readonly<Record<string, Words>> = {
  expire: ['HEXPIRE', 'expire', 1_000, 'FIELDS', 1, 'f'],
  persist: ['HPERSIST', 'persist', 'FIELDS', 1, 'f'],
  getex: ['HGETEX', 'getex', 'EX', 1_000, 'FIELDS', 1, 'f'],
  'getex persist': ['HGETEX', 'getex persist', 'PERSIST', 'FIELDS', 1, 'f'],
}
/** Those after which its time is what it was. */
const KEEPING: Readonly<Record<string, Words>> = {
  keep: ['HSETEX', 'keep', 'KEEPTTL', 'FIELDS', 1, 'f', 7],
  float: ['HINCRBYFLOAT', 'float', 'f', '1.5'],
}

const SETS_TIME = `redis.call('HPEXPIREAT', KEYS[1], ARGV[1], 'FIELDS', 1, 'f') return 1`

describe.skipIf(SOURCE === undefined || TARGET === undefined)('between servers of today', () => {
  test('a field whose time is of before mirroring has it on a shadow that lacked the hash', async (context) => {
    const { old, fresh, path } = await start(context, 'HSETEX', true)
    const [app, store] = [path.client(), old.client()]
    await store.hset('h', 'f', 0, 'g', 1)
    await store.call('HPEXPIRE', 'h', 600_000, 'FIELDS', 2, 'f', 'g')
    await app.hset('h', 'other', 1)
    await app.hincrby('h', 'f', 1)
    const times = (at: RedisServer) => at.client().call('HPEXPIRETIME', 'h', 'FIELDS', 2, 'f', 'g')
    await settled(path)
    await eventually(async () => expect(await times(fresh)).toEqual(await times(old)))
  })

  test('a field that a script adds to, and that only the primary had, has its time on the shadow as well', async (context) => {
    const { old, fresh, path } = await start(context, 'HPEXPIRE', true)
    const store = old.client()
    await store.hset('h', 'f', 0)
    await store.call('HPEXPIRE', 'h', 600_000, 'FIELDS', 1, 'f')
    await path.client().eval('redis.call("HINCRBY", KEYS[1], "f", 1) return 1', 1, 'h')
    await settled(path)
    const time = (at: RedisServer) => at.client().call('HPEXPIRETIME', 'h', 'FIELDS', 1, 'f')
    await eventually(async () => expect(await time(fresh)).toEqual(await time(old)))
  })

  for (const how of ['one by one', 'in a transaction'] as const) {
    test(`a field that expired on the shadow before its life was made longer there is there again, ${how}`, async (context) => {
      const { old, fresh, path } = await start(context, 'HSETEX')
      const app = path.client()
      const writes = { ...LASTING, ...KEEPING }
      for (const key of Object.keys(writes)) {
        const others = Array.from({ length: 1_500 }, (_, i) => [`x${i}`, 1]).flat()
        await app.hset(key, 'f', 5, ...others)
        await app.call('HPEXPIRE', key, 1_500, 'FIELDS', 1, 'f')
      }
      await settled(path)
      fresh.pause()
      try {
        const batch = how === 'in a transaction' ? app.multi() : app.pipeline()
        for (const words of Object.values(writes)) batch.call(...(words as [string]))
        const replies = await batch.exec()
        // They came in time.
        expect(replies!.map(([, reply]) => JSON.stringify(reply))).toEqual([
          '[1]',
          '[1]',
          '["5"]',
          '["5"]',
          '1',
          '"6.5"',
        ])
        await eventually(async () => expect(await old.client().hexists('keep', 'f')).toBe(0))
      } finally {
        fresh.resume()
      }
      await settled(path)
      for (const key of Object.keys(writes)) {
        const of = async (server: RedisServer) =>
          JSON.stringify([
            await server.client().hget(key, 'f'),
            await server.client().call('HPEXPIRETIME', key, 'FIELDS', 1, 'f'),
          ])
        await eventually(async () => expect([key, await of(fresh)]).toEqual([key, await of(old)]))
      }
    })
  }

  for (const late of ['primary', 'shadow'] as const) {
    test(`a field that has expired, and that the ${late} has not yet taken away, is on the shadow what the primary makes of it`, async (context) => {
      const { old, fresh, path } = await start(context, 'HSETEX')
      const [lazy, prompt] = late === 'primary' ? [old, fresh] : [fresh, old]
      await lazy.client().call('DEBUG', 'SET-ACTIVE-EXPIRE', '0')
      const app = path.client()
      const writes: Readonly<Record<string, Words>> = {
        ...KEEPING,
        'keep if there': ['HSETEX', 'keep if there', 'FXX', 'KEEPTTL', 'FIELDS', 2, 'f', 7, 'g', 7],
        'keep if new': ['HSETEX', 'keep if new', 'FNX', 'KEEPTTL', 'FIELDS', 1, 'f', 7],
        zero: ['HINCRBYFLOAT', 'zero', 'f', '0.5'],
        script: ['EVAL', SETS_TIME, 1, 'script', Date.now() + 600_000],
      }
      for (const key of Object.keys(writes)) {
        await app.hset(key, 'f', key === 'zero' ? 0 : 5, 'g', 1)
        await app.call('HPEXPIRE', key, 300, 'FIELDS', 1, 'f')
      }
      await settled(path)
      for (const key of Object.keys(writes))
        await eventually(async () => expect(await prompt.client().hlen(key)).toBe(1))
      for (const words of Object.values(writes)) await app.call(...(words as [string]))
      await settled(path)
      for (const key of Object.keys(writes)) {
        const of = async (server: RedisServer) => [
          await server.client().hmget(key, 'f', 'g'),
          await server.client().call('HPEXPIRETIME', key, 'FIELDS', 2, 'f', 'g'),
        ]
        expect([key, ...(await of(fresh))]).toEqual([key, ...(await of(old))])
      }
    })
  }

  test('HINCRBYFLOAT leaves a field its time on a shadow that knows such times, and not HSETEX', async (context) => {
    const { old, fresh, path } = await start(context, 'HSETEX')
    // Redis 7.4.
    path.runtime.setFacts('new', 0, '7.4.2')
    const app = path.client()
    await app.hset('h', 'f', '1.5')
    await app.call('HEXPIRE', 'h', 1_000, 'FIELDS', 1, 'f')
    await settled(path)
    expect(await app.hincrbyfloat('h', 'f', 1)).toBe('2.5')
    await settled(path)
    const until = (server: RedisServer) => server.client().call('HPEXPIRETIME', 'h', 'FIELDS', 1, 'f')
    expect(await fresh.client().hget('h', 'f')).toBe('2.5')
    expect(await until(fresh)).toEqual(await until(old))
  })

  test('a vector set that expired before a late VADD came to the shadow does not live on there', async (context) => {
    const { old, fresh, path } = await start(context, 'VADD')
    const app = path.client()
    await app.call('VADD', 'v', 'VALUES', 2, 1, 2, 'a')
    await app.pexpire('v', 1_000)
    await settled(path)
    fresh.pause()
    try {
      expect(await app.call('VADD', 'v', 'VALUES', 2, 1, 3, 'b')).toBe(1)
      await eventually(async () => expect(await old.client().exists('v')).toBe(0))
    } finally {
      fresh.resume()
    }
    await settled(path)
    await eventually(async () => expect(await fresh.client().exists('v')).toBe(0))
  })

  test('what a client of RESP3 is told by a boolean is compared with what the shadow says', async (context) => {
    const { fresh, path } = await start(context, 'VADD')
    const app = await path.raw()
    await app.ask('HELLO', '3')
    for (const name of ['m', 'n']) expect(`${await app.ask('VADD', 'v', 'VALUES', '2', '1', '2', name)}`).toBe('#t\r\n')
    await settled(path)
    await fresh.client().call('VREM', 'v', 'm')
    // Several at once, which go to the shadow together.
    app.send(Buffer.concat([1, 2].map(() => encodeCommand(['VSETATTR', 'v', 'm', '{"a":1}']))))
    for (let i = 0; i < 2; i++) expect(`${await app.next()}`).toBe('#t\r\n')
    await eventually(async () => expect(await fresh.client().call('VGETATTR', 'v', 'm')).toBe('{"a":1}'))
  })
})
