import type { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Config } from '../../../src/config/config.ts'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { changeBetween } from '../../support/change.ts'
import { configOf, type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

const LONG = 600_000
/** As many as a client may be owed at first, and more than a server reads at once. */
const WRITES = 120
const VALUE_BYTES = 25_000

let one: RedisServer
let two: RedisServer
let path: DataPathUnderTest
/** Of `one`, past Understudy. */
let admin: Redis
const direct = new Set<RawClient>()

beforeAll(async () => {
  one = await startRedis()
  two = await startRedis()
  admin = one.client()
})

afterAll(async () => {
  await Promise.all([one, two].map((server) => server.stop()))
})

beforeEach(async () => {
  await admin.flushall()
})

afterEach(async () => {
  await path.stop(5_000)
  for (const client of direct) client.destroy()
  direct.clear()
})

/** A write at the server, past Understudy. */
async function writeAt(server: RedisServer): Promise<RawClient> {
  const client = await RawClient.open(server.port)
  direct.add(client)
  client.command('SET', 'direct', 'x')
  return client
}

/** Such a write, once the server holds it. */
async function heldAt(server: RedisServer): Promise<RawClient> {
  const observer = server.client()
  const held = await eventually(async () => {
    const client = await writeAt(server)
    const info = await observer.info('clients')
    if (!/blocked_clients:[1-9]/.test(info)) client.destroy()
    expect(info).toMatch(/blocked_clients:[1-9]/)
    return client
  })
  observer.disconnect()
  return held
}

async function start(options: Partial<DataPathOptions> = {}): Promise<RawClient> {
  path = await startDataPath({ stores: { one }, ...options })
  return path.raw()
}

test('a store is told to pause as well, and to go on', async () => {
  const client = await start()
  const reader = await path.raw()
  expect(await client.ask('CLIENT', 'PAUSE', LONG, 'WRITE')).toBe('+OK\r\n')
  const writer = await heldAt(one)
  expect(await reader.ask('GET', 'direct')).toBe('$-1\r\n')
  expect(await client.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
  expect(await writer.text()).toBe('+OK\r\n')
})

test('ALL is WRITE for the store, so that it ends with its time and what waited here goes on', async () => {
  const client = await start()
  const other = await path.raw()
  expect(await client.ask('CLIENT', 'PAUSE', 300)).toBe('+OK\r\n')
  expect(await other.ask('SET', 'k', 'v')).toBe('+OK\r\n')
})

for (const connections of ['shared', 'dedicated'] as const) {
  test(`keys that run out during a pause stay at the store, also when it began inside MULTI (${connections} connections)`, async () => {
    const client = await start({ listen: { connections } })
    const other = await path.raw()
    // Once more, should this process have been kept from telling the store again for two seconds.
    await eventually(async () => {
      expect(await client.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
      await client.ask('FLUSHALL')
      await client.ask('MULTI')
      await client.ask('SET', 'in-multi', 'v', 'PX', 20)
      expect(await client.ask('CLIENT', 'PAUSE', LONG, 'WRITE')).toBe('+QUEUED\r\n')
      await client.ask('SET', 'behind', 'v', 'PX', 20)
      expect(await client.ask('EXEC')).toBe('*3\r\n+OK\r\n+OK\r\n+OK\r\n')
      await eventually(async () => expect(await other.ask('GET', 'in-multi')).toBe('$-1\r\n'))
      await eventually(async () => expect(await other.ask('GET', 'behind')).toBe('$-1\r\n'))
      expect(await admin.dbsize()).toBe(2)
    })
    other.command('SET', 'held', 'v')
    await eventually(async () => expect(await client.ask('INFO', 'clients')).toContain('blocked_clients:1\r\n'))
    expect(await client.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
    expect(await other.text()).toBe('+OK\r\n')
    expect(await client.ask('GET', 'in-multi')).toBe('$-1\r\n')
    expect(await client.ask('GET', 'behind')).toBe('$-1\r\n')
    expect(await admin.dbsize()).toBe(1)
  })
}

test('a pause that begins and ends inside one transaction is over', async () => {
  const client = await start()
  const other = await path.raw()
  for (const command of [['MULTI'], ['CLIENT', 'PAUSE', LONG], ['SET', 'k', 'v'], ['CLIENT', 'UNPAUSE']])
    await client.ask(...command)
  expect(await client.ask('EXEC')).toBe('*3\r\n+OK\r\n+OK\r\n+OK\r\n')
  expect(await other.ask('SET', 'k', 'w')).toBe('+OK\r\n')
  expect(await (await writeAt(one)).text()).toBe('+OK\r\n')
})

test('an EXEC that does nothing leaves no pause behind', async () => {
  const client = await start()
  const other = await path.raw()
  await client.ask('WATCH', 'k')
  for (const command of [['MULTI'], ['SET', 'k', 'v'], ['CLIENT', 'PAUSE', LONG]]) await client.ask(...command)
  expect(await other.ask('SET', 'k', 'other')).toBe('+OK\r\n')
  expect(await client.ask('EXEC')).toBe('*-1\r\n')
  expect(await other.ask('SET', 'k', 'again')).toBe('+OK\r\n')
})

test('a pause waits for the writes that are under way, and for no command that blocks', async () => {
  const client = await start()
  const [blocked, script] = [await path.raw(), await path.raw()]
  blocked.command('BLPOP', 'list', 0)
  await eventually(async () => expect(await admin.info('clients')).toContain('blocked_clients:1\r\n'))
  script.command(
    'EVAL',
    "local t = redis.call('TIME'); repeat local n = redis.call('TIME'); local us = (n[1] - t[1]) * 1000000 + n[2] - t[2] until us > 100000; return redis.call('SET', KEYS[1], 'done')",
    1,
    'script',
  )
  expect(await client.ask('CLIENT', 'PAUSE', LONG, 'WRITE')).toBe('+OK\r\n')
  expect(await script.text()).toBe('+OK\r\n')
  expect(await client.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
  expect(await client.ask('LPUSH', 'list', 'x')).toBe(':1\r\n')
  expect(await blocked.text()).toContain('list')
})

test('no write that is under way is held by the store, in the way of all others', async () => {
  const client = await start()
  const [writer, reader] = [await path.raw(), await path.raw()]
  // So that a connection is there to tell it by.
  for (const words of [['PAUSE', LONG, 'WRITE'], ['UNPAUSE']])
    expect(await client.ask('CLIENT', ...words)).toBe('+OK\r\n')
  one.pause()
  const set = encodeCommand(['SET', 'k', 'x'.repeat(VALUE_BYTES)])
  writer.send(Buffer.concat(Array.from({ length: WRITES }, () => set)))
  await eventually(() => expect(path.runtime.stats().routes['all']!.inFlight).toBe(WRITES))
  client.command('CLIENT', 'PAUSE', LONG, 'WRITE')
  one.resume()
  expect(new Set(await writer.take(WRITES))).toEqual(new Set(['+OK\r\n']))
  expect(await client.text()).toBe('+OK\r\n')
  expect(await reader.ask('STRLEN', 'k')).toBe(`:${VALUE_BYTES}\r\n`)
  expect(path.notices.filter(({ kind }) => kind === 'log').map((notice) => JSON.stringify(notice))).not.toContainEqual(
    expect.stringContaining('CLIENT PAUSE'),
  )
})

test('several primaries are told', async () => {
  const client = await start({
    stores: { one, two },
    routes: [
      { name: 'all', source: 'one' },
      { name: 'a', source: 'two', keys: ['a:*'] },
    ],
  })
  expect(await client.ask('CLIENT', 'PAUSE', LONG, 'WRITE')).toBe('+OK\r\n')
  const writers = [await heldAt(one), await heldAt(two)]
  expect(await client.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
  for (const writer of writers) expect(await writer.text()).toBe('+OK\r\n')
})

const pair = (phase: 'passthrough' | 'shadow' | 'switched'): DataPathOptions => ({
  stores: { one, two },
  routes: [{ name: 'all', source: 'one', target: 'two', phase }],
})

test('the shadow is not told: what is mirrored gets there', async () => {
  const client = await start(pair('shadow'))
  await client.ask('SET', 'k', 'v')
  expect(await client.ask('CLIENT', 'PAUSE', LONG, 'WRITE')).toBe('+OK\r\n')
  await heldAt(one)
  expect(await (await writeAt(two)).text()).toBe('+OK\r\n')
})

test('on one server, where the mirror writes, the pause stays here', async () => {
  const client = await start({
    stores: { one },
    routes: [{ name: 'all', source: 'one', target: { store: 'one', keys: { '*': 'new:*' } }, phase: 'shadow' }],
  })
  const other = await path.raw()
  expect(await client.ask('CLIENT', 'PAUSE', LONG, 'WRITE')).toBe('+OK\r\n')
  other.command('SET', 'k', 'v')
  await eventually(async () => expect(await client.ask('INFO', 'clients')).toContain('blocked_clients:1\r\n'))
  expect(await (await writeAt(one)).text()).toBe('+OK\r\n')
  expect(await client.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
  expect(await other.text()).toBe('+OK\r\n')
  await eventually(async () => expect(await admin.get('new:k')).toBe('v'))
})

test('a switch during a pause lets the former primary go, and the pause goes on here and at the new one', async () => {
  const client = await start(pair('shadow'))
  const other = await path.raw()
  expect(await client.ask('CLIENT', 'PAUSE', LONG, 'WRITE')).toBe('+OK\r\n')
  const writer = await heldAt(one)
  other.command('SET', 'k', 'v')
  const next: Config = configOf(pair('switched'))
  expect(await path.runtime.apply(changeBetween(path.config, next, 1))).toMatchObject({ ok: true })
  expect(await writer.text()).toBe('+OK\r\n')
  await heldAt(two)
  expect(await client.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
  expect(await other.text()).toBe('+OK\r\n')
  await eventually(async () => expect(await admin.get('k')).toBe('v'))
})

test('a user without the right to it is told so in the store’s words, and nothing is held', async () => {
  await admin.call('ACL', 'SETUSER', 'plain', 'on', '>p', '~*', '+@all', '-client|pause', '-client|unpause')
  const client = await start()
  const [plain, other] = [await path.raw(), await path.raw()]
  await plain.ask('AUTH', 'plain', 'p')
  expect(await plain.ask('CLIENT', 'PAUSE', LONG, 'WRITE')).toMatch(/^-NOPERM .*client\|pause/)
  expect(await other.ask('SET', 'k', 'v')).toBe('+OK\r\n')
  expect(await client.ask('CLIENT', 'PAUSE', LONG, 'WRITE')).toBe('+OK\r\n')
  expect(await plain.ask('CLIENT', 'UNPAUSE')).toMatch(/^-NOPERM .*client\|unpause/)
  other.command('SET', 'k', 'w')
  await eventually(async () => expect(await client.ask('INFO', 'clients')).toContain('blocked_clients:1\r\n'))
  expect(await client.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
  expect(await other.text()).toBe('+OK\r\n')
})

test('a store that comes back during a pause is told again', async () => {
  const own = await startRedis()
  const client = await start({ stores: { own } })
  expect(await client.ask('CLIENT', 'PAUSE', LONG, 'WRITE')).toBe('+OK\r\n')
  await own.restart()
  await heldAt(own)
  await path.stop(5_000)
  await own.stop()
})

test('the store does not stay paused when Understudy ends', async () => {
  const client = await start()
  expect(await client.ask('CLIENT', 'PAUSE', LONG, 'WRITE')).toBe('+OK\r\n')
  const writer = await heldAt(one)
  await path.stop(5_000)
  expect(await writer.text()).toBe('+OK\r\n')
})

test('a write that comes to the paused store in the way of the others ends the pause there, not here', async () => {
  const client = await start()
  const [caller, writer] = [await path.raw(), await path.raw()]
  const library = (flags: string): string =>
    `#!lua name=turns\nredis.register_function{function_name='turns', callback=function() return 1 end${flags}}`
  await client.ask('FUNCTION', 'LOAD', library(", flags={'no-writes'}"))
  // So it is read, and known to write nothing.
  await client.ask('CLIENT', 'PAUSE', LONG, 'WRITE')
  expect(await caller.ask('FCALL', 'turns', 0)).toBe(':1\r\n')
  await client.ask('CLIENT', 'UNPAUSE')
  // Nobody here can know.
  await admin.call('FUNCTION', 'LOAD', 'REPLACE', library(''))
  expect(await client.ask('CLIENT', 'PAUSE', LONG, 'WRITE')).toBe('+OK\r\n')
  writer.command('SET', 'k', 'v')
  expect(await caller.ask('FCALL', 'turns', 0)).toBe(':1\r\n')
  expect(await client.ask('GET', 'k')).toBe('$-1\r\n')
  expect(await (await writeAt(one)).text()).toBe('+OK\r\n')
  expect(await client.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
  expect(await writer.text()).toBe('+OK\r\n')
})

test('a value that comes in pieces waits here like any write', async () => {
  const client = await start()
  const writer = await path.raw()
  const value = Buffer.alloc(3_000_000, 'x')
  expect(await client.ask('CLIENT', 'PAUSE', LONG, 'WRITE')).toBe('+OK\r\n')
  writer.command('SET', 'large', value)
  await eventually(async () => expect(await client.ask('INFO', 'clients')).toContain('blocked_clients:1\r\n'))
  expect(await client.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
  expect(await writer.text()).toBe('+OK\r\n')
  expect(await client.ask('STRLEN', 'large')).toBe(`:${value.length}\r\n`)
})

test('WAIT waits for the end of a pause: what it publishes the store would hold', async () => {
  const client = await start()
  const waiter = await path.raw()
  await waiter.ask('SET', 'k', 'v')
  expect(await client.ask('CLIENT', 'PAUSE', LONG, 'WRITE')).toBe('+OK\r\n')
  waiter.command('WAIT', 1, 20)
  await eventually(async () => expect(await client.ask('INFO', 'clients')).toContain('blocked_clients:1\r\n'))
  expect(await client.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
  expect(await waiter.text()).toBe(':0\r\n')
})
