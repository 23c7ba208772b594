import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Phase } from '../../../src/config/config.ts'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

/** Tracking where some routes have switched and others have not: several primaries, and names that are not the application's. */
let one: RedisServer
let two: RedisServer
let path: DataPathUnderTest

beforeAll(async () => {
  ;[one, two] = await Promise.all([startRedis({ args: ['--enable-debug-command', 'yes'] }), startRedis()])
})
afterAll(async () => {
  await Promise.all([one.stop(), two.stop()])
})
beforeEach(async () => {
  for (const server of [one, two]) await server.client().flushall()
})

const bulk = (text: string) => `$${text.length}\r\n${text}\r\n`
const invalidation = (...keys: string[]) => `>2\r\n${bulk('invalidate')}*${keys.length}\r\n${keys.map(bulk).join('')}`
const EVERYTHING = `>2\r\n${bulk('invalidate')}_\r\n`
const OK = '+OK\r\n'

type Target = 'one' | 'two'

const options = (phase: Phase, target: Target, listen: DataPathOptions['listen'] = {}): DataPathOptions => ({
  stores: { one, two },
  routes: [
    {
      name: 'jobs',
      keys: ['job:{id}', 'worker:{id}:jobs'],
      source: 'one',
      target: { store: target, keys: { 'job:{id}': 'step:{id}', 'worker:{id}:jobs': 'worker:{id}:steps' } },
      phase,
    },
    { name: 'rest', source: 'one' },
  ],
  listen,
})

async function start(phase: Phase, target: Target, listen: DataPathOptions['listen'] = {}): Promise<void> {
  path = await startDataPath(options(phase, target, listen))
}

async function apply(phase: Phase, target: Target): Promise<void> {
  await path.apply(options(phase, target))
}

async function tracking(...how: (string | number)[]): Promise<RawClient> {
  const client = await path.raw()
  await client.ask('HELLO', 3)
  expect(await client.ask('CLIENT', 'TRACKING', 'ON', ...how)).toBe(OK)
  return client
}

afterEach(() => path?.stop())

/** Nothing more has come: each primary has answered since. */
async function quiet(client: RawClient): Promise<void> {
  expect(await client.ask('TYPE', 'job:nobody')).toBe('+none\r\n')
  expect(await client.ask('TYPE', 'nobody')).toBe('+none\r\n')
}

describe.each(['one', 'two'] as const)('some routes switch (target on store %s)', (target) => {
  test('what is read is invalidated on both sides of the switch, there and back', async () => {
    await start('mirror', target)
    const [reader, writer] = [await tracking(), await path.raw()]
    for (const phase of [null, 'switched', 'mirror'] as const) {
      if (phase !== null) {
        await apply(phase, target)
        expect(await reader.text()).toBe(EVERYTHING)
      }
      await writer.ask('SET', 'job:1', 'before')
      await writer.ask('SET', 'other', 'before')
      expect(await reader.ask('GET', 'job:1')).toBe(bulk('before'))
      expect(await reader.ask('GET', 'other')).toBe(bulk('before'))
      await writer.ask('SET', 'job:1', 'after')
      expect(await reader.text()).toBe(invalidation('job:1'))
      await writer.ask('SET', 'other', 'after')
      expect(await reader.text()).toBe(invalidation('other'))
      await quiet(reader)
    }
  })

  test('by prefix, too: told of under the application’s names, and of no copy', async () => {
    await start('mirror', target)
    const [reader, writer] = [await tracking('BCAST', 'PREFIX', 'job:', 'PREFIX', 'oth'), await path.raw()]
    for (const phase of [null, 'switched', 'mirror'] as const) {
      if (phase !== null) {
        await apply(phase, target)
        expect(await reader.text()).toBe(EVERYTHING)
      }
      for (const key of ['job:1', 'other', 'user:1']) {
        await writer.ask('SET', key, 'x')
        if (key === 'job:1' || key === 'other') expect(await reader.text()).toBe(invalidation(key))
        await settled(path)
      }
      await writer.ask('RPUSH', 'worker:7:jobs', 1)
      await quiet(reader)
    }
  })
})

describe('several primaries from the start', () => {
  test('reads alone, split over stores, in transactions, by scripts and blocking, in other databases', async () => {
    await start('switched', 'two')
    const [reader, writer] = [await tracking(), await path.raw()]
    const changed = async (...keys: string[]): Promise<void> => {
      for (const key of keys) {
        await writer.ask('SET', key, 'x')
        expect(await reader.text()).toBe(invalidation(key))
      }
    }
    expect(await reader.ask('MGET', 'job:1', 'other', 'job:2')).toBe('*3\r\n_\r\n_\r\n_\r\n')
    await changed('other', 'job:2', 'job:1')
    for (const key of ['job:1', 'other']) {
      for (const command of [['MULTI'], ['GET', key], ['EXEC']]) await reader.ask(...command)
      await changed(key)
      reader.send(Buffer.concat([['MULTI'], ['GET', key], ['EXEC']].map((command) => encodeCommand(command))))
      await reader.take(3)
      await changed(key)
      await reader.ask('WATCH', key)
      for (const command of [['MULTI'], ['GET', key], ['EXEC']]) await reader.ask(...command)
      await changed(key)
      await reader.ask('EVAL', "return redis.call('GET', KEYS[1])", 1, key)
      await changed(key)
    }
    await writer.ask('RPUSH', 'worker:7:jobs', 'a')
    await reader.ask('LRANGE', 'worker:7:jobs', 0, -1)
    expect(await reader.ask('BLPOP', 'worker:7:jobs', 0)).toContain('worker:7:jobs')
    expect(await reader.text()).toBe(invalidation('worker:7:jobs'))
    expect(await reader.ask('SELECT', 3)).toBe(OK)
    await writer.ask('SELECT', 3)
    await reader.ask('GET', 'job:1')
    await reader.ask('GET', 'other')
    await changed('job:1', 'other')
    for (const command of [['MULTI'], ['GET', 'job:1'], ['SELECT', 4], ['GET', 'job:1'], ['EXEC']])
      await reader.ask(...command)
    await writer.ask('SELECT', 4)
    await changed('job:1')
    await reader.ask('GET', 'other')
    await changed('other')
    expect(await reader.ask('SELECT', 99)).toMatch(/^-ERR/)
    expect(await reader.ask('GET', 'job:1')).toBe(bulk('x'))
    expect(await reader.ask('GET', 'other')).toBe(bulk('x'))
    expect(await reader.ask('CLIENT', 'TRACKING', 'OFF')).toBe(OK)
    await writer.ask('MSET', 'job:1', 'y', 'other', 'y')
    await quiet(reader)
    expect(path.runtime.stats().stores['two']).toBeDefined()
  })

  test('CLIENT CACHING holds for the next command and for no other, wherever it goes', async () => {
    await start('switched', 'two')
    const writer = await path.raw()
    for (const [how, word, tracked] of [
      ['OPTIN', 'YES', true],
      ['OPTOUT', 'NO', false],
    ] as const) {
      for (const [first, second] of [
        ['job:1', 'other'],
        ['other', 'job:1'],
        ['job:1', 'job:2'],
      ] as const) {
        const reader = await tracking(how)
        expect(await reader.ask('CLIENT', 'CACHING', word)).toBe(OK)
        await reader.ask('GET', first)
        await reader.ask('GET', second)
        for (const key of [first, second]) await writer.ask('SET', key, how)
        expect(await reader.text()).toBe(invalidation(tracked ? first : second))
        await reader.ask('CLIENT', 'CACHING', word)
        for (const command of [['MULTI'], ['GET', first], ['EXEC']]) await reader.ask(...command)
        await reader.ask('GET', second)
        for (const key of [first, second]) await writer.ask('SET', key, how)
        expect(await reader.text()).toBe(invalidation(tracked ? first : second))
        await reader.ask('CLIENT', 'CACHING', word)
        await reader.ask('KEYS', 'nobody')
        await reader.ask('GET', first)
        await reader.ask('CLIENT', 'CACHING', word)
        await reader.ask('MGET', first, second)
        for (const key of [first, second]) await writer.ask('SET', key, how)
        if (tracked) {
          expect([await reader.text(), await reader.text()].sort()).toEqual(
            [first, second].map((key) => invalidation(key)).sort(),
          )
        } else expect(await reader.text()).toBe(invalidation(first))
        reader.destroy()
      }
    }
  })

  test.each([2, 3] as const)('REDIRECT to a client that speaks RESP%i', async (protocol) => {
    await start('switched', 'two')
    const [listener, reader, writer] = [await path.raw(), await path.raw(), await path.raw()]
    const id = (await listener.ask('CLIENT', 'ID')).slice(1).trim()
    await listener.ask('HELLO', protocol)
    if (protocol === 2) await listener.ask('SUBSCRIBE', '__redis__:invalidate')
    expect(await reader.ask('CLIENT', 'TRACKING', 'ON', 'REDIRECT', id)).toBe(OK)
    for (const key of ['job:1', 'other']) {
      await reader.ask('GET', key)
      await writer.ask('SET', key, 'x')
      expect(await listener.text()).toContain(`*1\r\n${bulk(key)}`)
    }
    await apply('mirror', 'two')
    expect(await listener.text()).toContain('invalidate\r\n$-1\r\n')
    await reader.ask('GET', 'job:1')
    await writer.ask('SET', 'job:1', 'y')
    expect(await listener.text()).toContain(`*1\r\n${bulk('job:1')}`)
    expect(await reader.ask('CLIENT', 'GETREDIR')).toBe(`:${id}\r\n`)
  })

  test('NOLOOP: its own writes are not told of, at neither store', async () => {
    await start('switched', 'two')
    const [reader, writer] = [await tracking('NOLOOP'), await path.raw()]
    for (const key of ['job:1', 'other']) {
      await reader.ask('GET', key)
      await reader.ask('SET', key, 'mine')
      await reader.ask('GET', key)
    }
    await quiet(reader)
    await writer.ask('SET', 'job:1', 'x')
    expect(await reader.text()).toBe(invalidation('job:1'))
  })

  test('a client of a listener with dedicated connections tracks as any other', async () => {
    await start('switched', 'two', { connections: 'dedicated' })
    const [reader, writer] = [await tracking(), await path.raw()]
    for (const key of ['job:1', 'other']) {
      await reader.ask('GET', key)
      await writer.ask('SET', key, 'x')
      expect(await reader.text()).toBe(invalidation(key))
    }
    expect(await reader.ask('CLIENT', 'TRACKING', 'OFF')).toBe(OK)
    expect(await reader.ask('GET', 'job:1')).toBe(bulk('x'))
  })

  test.each([
    ['ON', 'REDIRECT', 99_999_999],
    ['ON', 'NONSENSE'],
  ])('a second CLIENT TRACKING that is refused leaves it as it was: %s %s', async (...words) => {
    await start('switched', 'two')
    const [reader, writer] = [await tracking(), await path.raw()]
    expect(await reader.ask('CLIENT', 'TRACKING', ...words)).toMatch(/^-ERR/)
    // For a moment nothing was tracked.
    expect(await reader.text()).toBe(EVERYTHING)
    for (const key of ['job:1', 'other']) {
      await reader.ask('GET', key)
      await writer.ask('SET', key, 'x')
      expect(await reader.text()).toBe(invalidation(key))
    }
  })

  test('a store that does not let it track refuses it for all; one that goes away takes the client with it', async () => {
    await start('switched', 'two')
    await two.client().call('ACL', 'SETUSER', 'default', '-client|tracking')
    const reader = await path.raw()
    await reader.ask('HELLO', 3)
    expect(await reader.ask('CLIENT', 'TRACKING', 'ON')).toMatch(/^-NOPERM/)
    expect(await reader.ask('CLIENT', 'GETREDIR')).toBe(':-1\r\n')
    expect(await reader.ask('GET', 'job:1')).toBe('_\r\n')
    await two.client().call('ACL', 'SETUSER', 'default', '+client|tracking')
    expect(await reader.ask('CLIENT', 'TRACKING', 'ON')).toBe(OK)
    await two.client().call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await reader.closed
  })
})

describe('PREFIX while keys have other names', () => {
  test('the server’s words about prefixes that overlap, and its list of them', async () => {
    await start('switched', 'one')
    const [direct, client] = [await RawClient.open(one.port), await path.raw()]
    for (const each of [direct, client]) await each.ask('HELLO', 3)
    for (const command of [
      ['ON', 'BCAST', 'PREFIX', 'job:', 'PREFIX', 'job:1'],
      ['ON', 'PREFIX', 'job:'],
      ['ON', 'BCAST', 'PREFIX', 'job:', 'PREFIX'],
      ['ON', 'BCAST', 'PREFIX', 'job:', 'PREFIX', 'w'],
      ['ON', 'BCAST', 'PREFIX', 'job:'],
      ['ON', 'BCAST', 'PREFIX', 'worker:'],
      ['ON', 'BCAST', 'PREFIX', 'x', 'PREFIX', 'a'],
      ['ON'],
    ]) {
      const frames = [
        await direct.ask('CLIENT', 'TRACKING', ...command),
        await client.ask('CLIENT', 'TRACKING', ...command),
      ]
      // More prefixes: for a moment nothing was tracked at the store, so what is cached is given up.
      if (command.includes('x')) frames.push(await client.text())
      expect([command, frames[1]]).toEqual([command, command.includes('x') ? EVERYTHING : frames[0]])
      if (command.includes('x')) expect(frames[2]).toBe(OK)
    }
    expect(await client.ask('CLIENT', 'TRACKINGINFO')).toBe(await direct.ask('CLIENT', 'TRACKINGINFO'))
    const writer = await path.raw()
    for (const key of ['job:1', 'worker:7:jobs', 'b', 'a1']) await writer.ask('SET', key, 1)
    for (const key of ['job:1', 'worker:7:jobs', 'a1']) expect(await client.text()).toBe(invalidation(key))
    await quiet(client)
    expect(await client.ask('CLIENT', 'TRACKING', 'OFF')).toBe(OK)
    expect(await client.ask('CLIENT', 'TRACKING', 'ON', 'BCAST')).toBe(OK)
    await writer.ask('SET', 'job:1', 2)
    expect(await client.text()).toBe(invalidation('job:1'))
    direct.destroy()
  })

  test('what the server tells together with its answer has the application’s names, too', async () => {
    path = await startDataPath({
      stores: { one },
      routes: [{ name: 'app', source: { store: 'one', keys: { '*': 'app1:*' } } }],
      listen: { connections: 'dedicated' },
    })
    const [client, writer, admin] = [await path.raw(), await path.raw(), one.client()]
    await client.ask('HELLO', 3)
    await writer.ask('PING')
    await admin.ping()
    for (let i = 0; i < 5; i++) {
      // Both wait at the server, which then answers and tells in one go.
      const slept = admin.call('DEBUG', 'SLEEP', '0.05')
      client.command('CLIENT', 'TRACKING', 'ON', 'BCAST')
      for (let j = 0; j < 10; j++) writer.command('SET', `key:${j}`, i)
      await slept
      await writer.take(10)
      await writer.ask('SET', 'last', i)
      for (let text = ''; !text.includes('last'); ) {
        text = await client.text()
        expect(text).not.toContain('app1:')
      }
      expect(await client.ask('CLIENT', 'TRACKING', 'OFF')).toBe(OK)
    }
  })

  test('in a namespace only what is the application’s own', async () => {
    path = await startDataPath({
      stores: { one },
      routes: [{ name: 'app', source: { store: 'one', keys: { '*': 'app1:*' } } }],
    })
    const [all, some, writer] = [await tracking('BCAST'), await tracking('BCAST', 'PREFIX', 'user:'), await path.raw()]
    await one.client().mset('user:1', 'a neighbour’s', 'app2:user:1', 'another’s')
    for (const key of ['user:1', 'cart:1']) {
      await writer.ask('SET', key, 'x')
      expect(await all.text()).toBe(invalidation(key))
    }
    expect(await some.text()).toBe(invalidation('user:1'))
    await quiet(some)
  })
})
