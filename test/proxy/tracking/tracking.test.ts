import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { configOf, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let store: RedisServer
let other: RedisServer
let path: DataPathUnderTest
let admin: RawClient

beforeAll(async () => {
  ;[store, other] = await Promise.all([startRedis(), startRedis()])
  path = await startDataPath({ stores: { only: store } })
  admin = await RawClient.open(store.port)
})
afterAll(async () => {
  admin.destroy()
  await path.stop()
  await Promise.all([store.stop(), other.stop()])
})
beforeEach(async () => {
  await admin.ask('FLUSHALL')
  await admin.ask('MSET', 'a', 1, 'b', 2, 'user:1', 3)
})

const invalidation = (key: string) => `>2\r\n$10\r\ninvalidate\r\n*1\r\n$${key.length}\r\n${key}\r\n`
const bulk = (text: string) => `$${text.length}\r\n${text}\r\n`
const OK = '+OK\r\n'

async function tracking(...options: string[]): Promise<RawClient> {
  const client = await path.raw()
  await client.ask('HELLO', 3)
  expect(await client.ask('CLIENT', 'TRACKING', 'ON', ...options)).toBe(OK)
  return client
}

describe('over RESP3', () => {
  test('what was read is invalidated once, whoever writes it', async () => {
    const [reader, writer] = [await tracking(), await path.raw()]
    expect(await reader.ask('GET', 'a')).toBe(bulk('1'))
    await writer.ask('SET', 'b', 'not read')
    await writer.ask('SET', 'a', 'x')
    expect(await reader.text()).toBe(invalidation('a'))
    await writer.ask('SET', 'a', 'y')
    await reader.ask('GET', 'b')
    await admin.ask('SET', 'b', 'written beside Understudy')
    expect(await reader.text()).toBe(invalidation('b'))
    expect(await reader.ask('CLIENT', 'TRACKING', 'OFF')).toBe(OK)
    await reader.ask('GET', 'a')
    await writer.ask('SET', 'a', 'z')
    expect(await reader.ask('PING')).toBe('+PONG\r\n')
  })

  test.each([[[]], [['BCAST']], [['OPTOUT']]])(
    'who has the answer to a write knows that the reader is told first (%j)',
    async (options) => {
      const reader = await tracking(...options)
      const writer = await path.raw()
      for (let i = 0; i < 50; i++) {
        await reader.ask('GET', 'a')
        expect(await writer.ask('SET', 'a', i)).toBe(OK)
        expect(await reader.ask('GET', 'other')).toBe(invalidation('a'))
        expect(await reader.text()).toBe('_\r\n')
      }
    },
  )

  test('a write of its own comes between the replies where the server puts it; with NOLOOP it does not come', async () => {
    const direct = await RawClient.open(store.port)
    await direct.ask('HELLO', 3)
    await direct.ask('CLIENT', 'TRACKING', 'ON')
    for (const client of [direct, await tracking()]) {
      await client.ask('GET', 'a')
      client.command('SET', 'a', 'mine')
      client.command('GET', 'a')
      expect(await client.take(3)).toEqual([OK, invalidation('a'), bulk('mine')])
    }
    const quiet = await tracking('NOLOOP')
    await quiet.ask('GET', 'a')
    await quiet.ask('SET', 'a', 'mine')
    expect(await quiet.ask('PING')).toBe('+PONG\r\n')
    direct.destroy()
  })

  test('OPTIN and OPTOUT hold for the next command', async () => {
    const [optIn, optOut, writer] = [await tracking('OPTIN'), await tracking('OPTOUT'), await path.raw()]
    await optIn.ask('GET', 'a')
    expect(await optIn.ask('CLIENT', 'CACHING', 'YES')).toBe(OK)
    await optIn.ask('GET', 'b')
    await optOut.ask('GET', 'a')
    expect(await optOut.ask('CLIENT', 'CACHING', 'NO')).toBe(OK)
    await optOut.ask('GET', 'b')
    await writer.ask('MSET', 'a', 'x', 'b', 'y')
    expect(await optIn.text()).toBe(invalidation('b'))
    expect(await optOut.text()).toBe(invalidation('a'))
    expect(await optIn.ask('PING')).toBe('+PONG\r\n')
    expect(await optOut.ask('PING')).toBe('+PONG\r\n')
  })

  test.each(['SELECT 0', 'HELLO 3', 'UNWATCH', 'DISCARD', 'UNSUBSCRIBE', 'ECHO x', 'WATCH w'])(
    'CLIENT CACHING holds for %s, and not for what comes behind it',
    async (command) => {
      const [optOut, writer] = [await tracking('OPTOUT'), await path.raw()]
      expect(await optOut.ask('CLIENT', 'CACHING', 'NO')).toBe(OK)
      await optOut.ask(...command.split(' '))
      await optOut.ask('GET', 'a')
      await writer.ask('SET', 'a', 'x')
      expect(await optOut.text()).toBe(invalidation('a'))
    },
  )

  test('BCAST tells of every key with the prefix, read or not; FLUSHALL of all', async () => {
    const [listener, writer] = [await tracking('BCAST', 'PREFIX', 'user:'), await path.raw()]
    await writer.ask('MSET', 'a', 'x', 'user:9', 'y')
    expect(await listener.text()).toBe(invalidation('user:9'))
    await writer.ask('FLUSHALL')
    expect(await listener.text()).toBe('>2\r\n$10\r\ninvalidate\r\n_\r\n')
  })

  test('reads in transactions, in other databases and after a protocol change are tracked, too', async () => {
    const [reader, writer] = [await tracking(), await path.raw()]
    for (const command of [['MULTI'], ['GET', 'a'], ['EXEC']]) await reader.ask(...command)
    await writer.ask('SET', 'a', 'x')
    expect(await reader.text()).toBe(invalidation('a'))
    await reader.ask('SELECT', 3)
    await reader.ask('SET', 'three', 'x')
    await reader.ask('GET', 'three')
    await writer.ask('SELECT', 3)
    await writer.ask('SET', 'three', 'y')
    expect(await reader.text()).toBe(invalidation('three'))
    expect(await reader.ask('CLIENT', 'TRACKINGINFO')).toContain('$2\r\non\r\n')
    expect(await reader.ask('CLIENT', 'GETREDIR')).toBe(':0\r\n')
    expect(await reader.ask('CLIENT', 'INFO')).toMatch(/flags=t .* redir=0 /)
    await reader.ask('RESET')
    expect(await reader.ask('CLIENT', 'GETREDIR')).toBe(':-1\r\n')
    expect(await reader.ask('CLIENT', 'INFO')).toMatch(/flags=N .* redir=-1 /)
  })
})

describe('with REDIRECT', () => {
  const message = (key: string) => `*3\r\n${bulk('message')}${bulk('__redis__:invalidate')}*1\r\n${bulk(key)}`

  test.each([2, 3] as const)(
    'a client that speaks RESP2 and is subscribed gets messages (RESP%i reader)',
    async (protocol) => {
      const [listener, reader, writer] = [await path.raw(), await path.raw(), await path.raw()]
      const id = (await listener.ask('CLIENT', 'ID')).slice(1).trim()
      expect(await listener.ask('SUBSCRIBE', '__redis__:invalidate')).toContain('subscribe')
      await reader.ask('HELLO', protocol)
      expect(await reader.ask('CLIENT', 'TRACKING', 'ON', 'REDIRECT', id)).toBe(OK)
      expect(await reader.ask('CLIENT', 'GETREDIR')).toBe(`:${id}\r\n`)
      expect(await reader.ask('CLIENT', 'TRACKINGINFO')).toContain(`redirect\r\n:${id}\r\n`)
      await reader.ask('GET', 'a')
      await writer.ask('SET', 'a', 'x')
      expect(await listener.text()).toBe(message('a'))
    },
  )

  test.each([
    [2, 2, '$-1\r\n'],
    [2, 3, '$-1\r\n'],
    [3, 2, '_\r\n'],
    [3, 3, '_\r\n'],
  ] as const)(
    'FLUSHALL is told as the server tells it (RESP%i reader, RESP%i listener)',
    async (tracks, listens, everything) => {
      const [listener, reader, writer] = [await path.raw(), await path.raw(), await path.raw()]
      await listener.ask('HELLO', listens)
      const id = (await listener.ask('CLIENT', 'ID')).slice(1).trim()
      await listener.ask('SUBSCRIBE', '__redis__:invalidate')
      await reader.ask('HELLO', tracks)
      await reader.ask('CLIENT', 'TRACKING', 'ON', 'REDIRECT', id)
      await reader.ask('GET', 'a')
      await writer.ask('FLUSHALL')
      const told =
        listens === 3 ? `>2\r\n${bulk('invalidate')}` : `*3\r\n${bulk('message')}${bulk('__redis__:invalidate')}`
      expect(await listener.text()).toBe(told + everything)
    },
  )

  test('a client that has said QUIT breaks it at once, though its connection is not closed yet', async () => {
    const [listener, reader, writer] = [await path.raw(), await path.raw(), await path.raw()]
    await reader.ask('HELLO', 3)
    const id = (await listener.ask('CLIENT', 'ID')).slice(1).trim()
    expect(await reader.ask('CLIENT', 'TRACKING', 'ON', 'REDIRECT', id)).toBe(OK)
    await reader.ask('GET', 'a')
    expect(await listener.ask('QUIT')).toBe(OK)
    await writer.ask('SET', 'a', 'x')
    expect(await reader.text()).toBe(`>2\r\n${bulk('tracking-redir-broken')}:${id}\r\n`)
    expect(await reader.ask('CLIENT', 'TRACKINGINFO')).toContain(bulk('broken_redirect'))
  })

  test('a client that speaks RESP3 gets pushes; one that is gone breaks it, and a RESP3 reader is told', async () => {
    const [listener, reader, writer] = [await path.raw(), await path.raw(), await path.raw()]
    await listener.ask('HELLO', 3)
    await reader.ask('HELLO', 3)
    const id = (await listener.ask('CLIENT', 'ID')).slice(1).trim()
    expect(await reader.ask('CLIENT', 'TRACKING', 'ON', 'REDIRECT', id)).toBe(OK)
    await reader.ask('GET', 'a')
    await writer.ask('SET', 'a', 'x')
    expect(await listener.text()).toBe(invalidation('a'))
    expect(await listener.ask('QUIT')).toBe(OK)
    await reader.ask('GET', 'b')
    await writer.ask('SET', 'b', 'x')
    expect(await reader.text()).toBe(`>2\r\n${bulk('tracking-redir-broken')}:${id}\r\n`)
  })

  test('OFF looks at the client, too: its own and others are known, tracking or not', async () => {
    const [reader, other] = [await path.raw(), await path.raw()]
    const own = (await reader.ask('CLIENT', 'ID')).slice(1).trim()
    const its = (await other.ask('CLIENT', 'ID')).slice(1).trim()
    for (const id of [own, its]) {
      expect(await reader.ask('CLIENT', 'TRACKING', 'ON', 'REDIRECT', id)).toBe(OK)
      expect(await reader.ask('CLIENT', 'TRACKING', 'OFF', 'REDIRECT', id)).toBe(OK)
      expect(await reader.ask('CLIENT', 'GETREDIR')).toBe(':-1\r\n')
      expect(await reader.ask('CLIENT', 'TRACKING', 'OFF', 'REDIRECT', id, 'NOLOOP')).toBe(OK)
    }
    const nobody = '-ERR The client ID you want redirect to does not exist\r\n'
    expect(await reader.ask('CLIENT', 'TRACKING', 'OFF', 'REDIRECT', 99_999_999)).toBe(nobody)
    expect(await reader.ask('CLIENT', 'TRACKING', 'OFF', 'REDIRECT', own, 'ODD')).toBe('-ERR syntax error\r\n')
    expect(await reader.ask('CLIENT', 'TRACKING', 'ON')).toBe(OK)
    expect(await reader.ask('CLIENT', 'TRACKING', 'OFF', 'REDIRECT', 99_999_999)).toBe(nobody)
    expect(await reader.ask('CLIENT', 'GETREDIR')).toBe(':0\r\n')
  })

  test('one that goes before the store has answered leaves no connection behind', async () => {
    const [listener, witness] = [await path.raw(), await path.raw()]
    const id = (await listener.ask('CLIENT', 'ID')).slice(1).trim()
    const others = path.runtime.stats().clients
    const connections = async () => (await admin.ask('CLIENT', 'LIST')).split('\n').length
    const before = await connections()
    const readers = await Promise.all(Array.from({ length: 20 }, () => path.raw()))
    store.pause()
    try {
      for (const reader of readers) reader.command('CLIENT', 'TRACKING', 'ON', 'REDIRECT', id)
      for (let i = 0; i < 3; i++) await witness.ask('CLIENT', 'ID')
      for (const reader of readers) reader.socket.resetAndDestroy()
      await eventually(() => expect(path.runtime.stats().clients).toBe(others))
    } finally {
      store.resume()
    }
    // Some are kept ready for the next.
    await eventually(async () => expect(await connections()).toBeLessThan(before + 10))
  })

  test('to a client that there is not is refused in the server’s words', async () => {
    const reader = await path.raw()
    expect(await reader.ask('CLIENT', 'TRACKING', 'ON', 'REDIRECT', 99_999_999)).toBe(
      '-ERR The client ID you want redirect to does not exist\r\n',
    )
    expect(await reader.ask('GET', 'a')).toBe(bulk('1'))
  })
})

test('renamed keys are invalidated under the names that the application knows', async () => {
  const renaming = await startDataPath({
    stores: { only: store },
    routes: [
      {
        name: 'users',
        keys: ['user:{id}'],
        source: { store: 'only', keys: { 'user:{id}': 'person:{id}' } },
        phase: 'passthrough',
      },
      { name: 'all', source: 'only' },
    ],
  })
  try {
    const [reader, writer] = [await renaming.raw(), await renaming.raw()]
    await reader.ask('HELLO', 3)
    await reader.ask('CLIENT', 'TRACKING', 'ON')
    await writer.ask('SET', 'user:7', 'x')
    expect(await reader.ask('GET', 'user:7')).toBe(bulk('x'))
    await admin.ask('SET', 'person:7', 'y')
    expect(await reader.text()).toBe(invalidation('user:7'))
  } finally {
    await renaming.stop()
  }
})

test('writes of a tracking client are mirrored, and a switch makes it forget everything and track at the new primary', async () => {
  const routes = (phase: 'shadow' | 'switched') => [
    { name: 'all', source: 'source', target: 'target', phase, compare: { sample: 1 } },
  ]
  const own = await startDataPath({ stores: { source: store, target: other }, routes: routes('shadow') })
  try {
    const [reader, writer] = [await own.raw(), await own.raw()]
    await reader.ask('HELLO', 3)
    await reader.ask('CLIENT', 'TRACKING', 'ON')
    await reader.ask('SET', 'mine', 1)
    for (const command of [['MULTI'], ['INCR', 'mine'], ['EXEC']]) await reader.ask(...command)
    await reader.ask('GET', 'mine')
    const config = configOf({ stores: { source: store, target: other }, routes: routes('switched') })
    const result = await own.runtime.apply({
      config: { ...own.config, routes: config.routes },
      endpoints: {},
      generation: 1,
      hold: ['all'],
      needsEqual: ['all'],
      forget: [],
      holdTimeoutMs: 30_000,
    })
    expect(result.ok).toBe(true)
    expect(await reader.text()).toBe('>2\r\n$10\r\ninvalidate\r\n_\r\n')
    expect(await reader.ask('GET', 'mine')).toBe(bulk('2'))
    await writer.ask('SET', 'mine', 'x')
    expect(await reader.text()).toBe(invalidation('mine'))
  } finally {
    await own.stop()
  }
})

test('a switch to other names on the same server makes it forget everything, too, and what is read from then on is tracked', async () => {
  const routes = (phase: 'shadow' | 'switched') => [
    {
      name: 'jobs',
      keys: ['job:{id}'],
      source: 'only',
      target: { store: 'only', keys: { 'job:{id}': 'step:{id}' } },
      phase,
    },
    { name: 'rest', source: 'only' },
  ]
  const own = await startDataPath({ stores: { only: store }, routes: routes('shadow') })
  try {
    const [reader, writer] = [await own.raw(), await own.raw()]
    await reader.ask('HELLO', 3)
    await reader.ask('CLIENT', 'TRACKING', 'ON')
    await writer.ask('SET', 'job:1', 'x')
    expect(await reader.ask('GET', 'job:1')).toBe(bulk('x'))
    const config = configOf({ stores: { only: store }, routes: routes('switched') })
    const result = await own.runtime.apply({
      config: { ...own.config, routes: config.routes },
      endpoints: {},
      generation: 1,
      hold: ['jobs'],
      needsEqual: ['jobs'],
      forget: [],
      holdTimeoutMs: 30_000,
    })
    expect(result.ok).toBe(true)
    expect(await reader.text()).toBe('>2\r\n$10\r\ninvalidate\r\n_\r\n')
    expect(await reader.ask('GET', 'job:1')).toBe(bulk('x'))
    await writer.ask('SET', 'job:1', 'y')
    expect(await reader.text()).toBe(invalidation('job:1'))
  } finally {
    await own.stop()
  }
})
