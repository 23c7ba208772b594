import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeStore } from '../../support/fake-store.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

/** Commands that came with 6.0 or later. */
const NEWER = [
  'HELLO',
  'ACL',
  'RESET',
  'PEXPIRETIME',
  'EXPIRETIME',
  'GETEX',
  'GETDEL',
  'COPY',
  'LMOVE',
  'BLMOVE',
  'SMISMEMBER',
]

let old: RedisServer
let shadow: RedisServer
let path: DataPathUnderTest
let fake: FakeStore | null = null

beforeAll(async () => {
  old = await startRedis({ args: NEWER.flatMap((name) => ['--rename-command', name, '']) })
  shadow = await startRedis({ args: NEWER.flatMap((name) => ['--rename-command', name, '']) })
})

afterAll(async () => {
  await old?.stop()
  await shadow?.stop()
})

afterEach(async () => {
  await path?.stop()
  await fake?.stop()
  fake = null
})

describe('a store without the commands of Redis 6 and later', () => {
  test('serves RESP2 clients, transactions, blocking commands and subscribers, and is mirrored', async () => {
    path = await startDataPath({
      stores: { old, shadow },
      routes: [{ source: 'old', target: 'shadow', phase: 'shadow', compare: { sample: 1 } }],
    })
    path.runtime.setFacts('old', 0, '5.0.14')
    path.runtime.setFacts('shadow', 0, '5.0.14')
    const client = path.client()
    await client.set('k', 'v', 'PX', 100_000)
    await client.lpush('list', 'a', 'b')
    expect(await client.multi().incr('n').rpop('list').exec()).toEqual([
      [null, 1],
      [null, 'a'],
    ])
    const blocked = path.client().blpop('queue', 0)
    await eventually(async () => expect(await client.rpush('queue', 'x')).toBe(1))
    expect(await blocked).toEqual(['queue', 'x'])
    const subscriber = path.client()
    await subscriber.subscribe('c')
    const message = new Promise((resolve) => subscriber.once('message', (_, text) => resolve(text)))
    expect(await client.publish('c', 'hello')).toBe(1)
    expect(await message).toBe('hello')
    // What cannot be replayed is copied, with PTTL where there is no PEXPIRETIME.
    await client.set('copied', 'x', 'PX', 200_000)
    await client.eval("return redis.call('append', KEYS[1], 'y')", 1, 'copied')
    expect(await client.get('copied')).toBe('xy')
    await settled(path)
    const [here, there] = [old.client(), shadow.client()]
    const keys = (await here.keys('*')).sort()
    expect((await there.keys('*')).sort()).toEqual(keys)
    for (const key of keys) {
      expect([key, await there.dumpBuffer(key)]).toEqual([key, await here.dumpBuffer(key)])
      expect(Math.abs((await there.pttl(key)) - (await here.pttl(key)))).toBeLessThan(2_000)
    }
    expect(path.runtime.stats().routes['all']!.counters.mismatched).toBe(0)
  })

  test('is given whole seconds for what blocks, also when it goes on after a change', async () => {
    const options = (phase: 'passthrough' | 'mirror') => ({
      stores: { old, shadow },
      routes: [{ source: 'old', target: 'shadow', phase } as const],
    })
    path = await startDataPath(options('passthrough'))
    path.runtime.setFacts('old', 0, '5.0.14')
    const seen: string[][] = []
    const monitor = await old.client().monitor()
    monitor.on('monitor', (_time, args: string[]) => seen.push(args))
    const timeouts = () => seen.filter(([name]) => /^blpop$/i.test(name!)).map((args) => args.at(-1))
    try {
      const taken = path.client().blpop('late', 100)
      await eventually(() => expect(timeouts()).toEqual(['100']))
      await path.apply(options('mirror'))
      await eventually(() => expect(timeouts()).toHaveLength(2))
      expect(timeouts()[1]).toMatch(/^(100|\d\d)$/)
      await path.client().rpush('late', 'x')
      expect(await taken).toEqual(['late', 'x'])
    } finally {
      monitor.disconnect()
    }
  })

  test('refuses RESP3 in its own words, and the client goes on with RESP2', async () => {
    path = await startDataPath({ stores: { old } })
    const raw = await path.raw()
    expect(await raw.ask('HELLO', '3')).toMatch(/^-ERR unknown command/)
    expect(await raw.ask('SET', 'k', 'v')).toBe('+OK\r\n')
    expect(await raw.ask('GET', 'nothing')).toBe('$-1\r\n')
    expect(await raw.ask('HELLO', '3')).toMatch(/^-ERR unknown command/)
    expect(await raw.ask('GET', 'k')).toBe('$1\r\nv\r\n')
  })

  test('is asked in vain for what it does not have, like any other store', async () => {
    path = await startDataPath({ stores: { old } })
    const raw = await path.raw()
    expect(await raw.ask('GETDEL', 'k')).toMatch(/^-ERR unknown command/)
    expect(await raw.ask('ACL', 'WHOAMI')).toMatch(/^-ERR unknown command/)
  })
})

test('a store that knows neither names nor ids of connections, nor key specs, serves', async () => {
  const command = (name: string, arity: number, flags: string[], first: number, last: number): string =>
    `*6\r\n$${name.length}\r\n${name}\r\n:${arity}\r\n*${flags.length}\r\n${flags.map((f) => `+${f}\r\n`).join('')}:${first}\r\n:${last}\r\n:1\r\n`
  const data = new Map<string, string>()
  fake = await FakeStore.start((args) => {
    switch (args[0]) {
      case 'AUTH':
        return args.length === 2 && args[1] === 'secret'
          ? '+OK\r\n'
          : "-ERR wrong number of arguments for 'auth' command\r\n"
      case 'COMMAND':
        return `*2\r\n${command('get', 2, ['readonly', 'fast'], 1, 1)}${command('set', -3, ['write'], 1, 1)}`
      case 'SET':
        data.set(args[1]!, args[2]!)
        return '+OK\r\n'
      case 'GET': {
        const value = data.get(args[1]!)
        return value === undefined ? '$-1\r\n' : `$${value.length}\r\n${value}\r\n`
      }
      default:
        return `-ERR unknown command '${args[0]}'\r\n`
    }
  }, false)
  path = await startDataPath({ stores: { fake: { port: fake.port, password: 'secret' } } })
  const client = path.client({ password: 'secret', enableReadyCheck: false })
  expect(await client.set('k', 'v')).toBe('OK')
  expect(await client.get('k')).toBe('v')
})
