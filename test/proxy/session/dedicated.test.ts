import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { HoldingNetwork } from '../../support/holding-network.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

let source: RedisServer
let target: RedisServer
let path: DataPathUnderTest
let admin: RawClient

beforeAll(async () => {
  ;[source, target] = await Promise.all([startRedis(), startRedis()])
  path = await startDataPath({
    stores: { source, target },
    routes: [{ name: 'all', source: 'source', target: 'target', phase: 'shadow', compare: { sample: 1 } }],
    listen: { connections: 'dedicated' },
  })
  admin = await RawClient.open(source.port)
})
afterAll(async () => {
  admin.destroy()
  await path.stop()
  await Promise.all([source.stop(), target.stop()])
})

test('the store sees each client by its name, with what it does', async () => {
  const [one, other] = [await path.raw(), await path.raw()]
  await one.ask('CLIENT', 'SETNAME', 'one')
  await other.ask('CLIENT', 'SETNAME', 'other')
  await one.ask('SELECT', 5)
  await other.ask('MULTI')
  await other.ask('PING')
  const list = await admin.ask('CLIENT', 'LIST')
  expect(list).toMatch(/ name=one .* db=5 /)
  expect(list).toMatch(/ name=other .* flags=x .* multi=1 /)
  expect(await other.ask('EXEC')).toBe('*1\r\n+PONG\r\n')
  one.command('BLPOP', 'nothing', 0)
  await eventually(async () => expect(await admin.ask('CLIENT', 'LIST')).toMatch(/ name=one .* flags=b /))
  one.destroy()
  await eventually(async () => expect(await admin.ask('CLIENT', 'LIST')).not.toMatch(/ name=one /))
})

test('a client whose connection the store closes is disconnected, and nobody else', async () => {
  const [victim, other] = [await path.raw(), await path.raw()]
  await victim.ask('CLIENT', 'SETNAME', 'victim')
  await other.ask('PING')
  const id = /id=(\d+) .* name=victim /.exec(await admin.ask('CLIENT', 'LIST'))![1]!
  await admin.ask('CLIENT', 'KILL', 'ID', id)
  await victim.closed
  expect(await other.ask('PING')).toBe('+PONG\r\n')
})

test('what a client leaves behind that waits no longer is not counted as lost by the store', async () => {
  const client = await path.raw()
  await client.ask('GET', 'k')
  const { inFlight, counters } = path.runtime.stats().routes['all']!
  source.pause()
  for (let i = 0; i < 5; i++) client.command('GET', 'k')
  await eventually(() => expect(path.runtime.stats().routes['all']!.inFlight).toBe(inFlight + 5))
  // One that only says no more still gets its answers.
  client.socket.resetAndDestroy()
  await eventually(() => expect(path.runtime.stats().routes['all']!.inFlight).toBe(inFlight))
  source.resume()
  expect(path.runtime.stats().routes['all']!.counters.primaryLost).toBe(counters.primaryLost)
})

test('what many clients write to the same keys at once, in all ways, is on the target', async () => {
  const clients = await Promise.all(Array.from({ length: 12 }, async () => path.raw()))
  await Promise.all(
    clients.map(async (client, i) => {
      if (i % 2 === 0) await client.ask('HELLO', 3)
      for (let round = 0; round < 60; round++) {
        await client.ask('INCR', `n${round % 7}`)
        await client.ask('RPUSH', 'list', `${i}-${round}`)
        if (round % 3 === 0) await client.ask('BLPOP', 'list', 1)
        if (round % 5 === 0) {
          for (const command of [['WATCH', 'n1'], ['MULTI'], ['APPEND', 's', `${i}`], ['LPUSH', 'list', 'x'], ['EXEC']])
            await client.ask(...command)
        }
        await client.ask('GET', `n${round % 7}`)
      }
    }),
  )
  await settled(path)
  expect(await driftBetween(source, target)).toEqual([])
  expect(path.notices.filter(({ kind }) => kind === 'finding')).toEqual([])
})

test('RESET gives a client a fresh connection; SELECT, HELLO and WATCH hold on its own', async () => {
  const client = await path.raw()
  await client.ask('SELECT', 3)
  await client.ask('SET', 'k', 'three')
  await client.ask('HELLO', 3)
  expect(await client.ask('HGETALL', 'none')).toBe('%0\r\n')
  await client.ask('WATCH', 'k')
  const other = await path.raw()
  await other.ask('SELECT', 3)
  await other.ask('SET', 'k', 'changed')
  await client.ask('MULTI')
  await client.ask('SET', 'k', 'mine')
  expect(await client.ask('EXEC')).toBe('_\r\n')
  await client.ask('MULTI')
  expect(await client.ask('RESET')).toBe('+RESET\r\n')
  expect(await client.ask('GET', 'k')).toBe('$-1\r\n')
  expect(await client.ask('EXEC')).toMatch(/^-ERR EXEC without MULTI/)
})

test('SELECT while a key of another primary is watched holds on all connections of the client', async () => {
  const apart = await startDataPath({
    stores: { source, target },
    routes: [
      { name: 'jobs', keys: ['job:{id}'], source: 'target' },
      { name: 'rest', source: 'source' },
    ],
    listen: { connections: 'dedicated' },
  })
  const client = await apart.raw()
  for (const command of [
    ['WATCH', 'job:1'],
    ['SELECT', '4'],
    ['UNWATCH'],
    ['SET', 'total', '1'],
    ['SET', 'job:1', '1'],
  ])
    client.command(...command)
  expect(await client.take(5)).toEqual(Array(5).fill('+OK\r\n'))
  expect(await source.client({ db: 4 }).get('total')).toBe('1')
  expect(await source.client().get('total')).toBe(null)
  expect(await target.client({ db: 4 }).get('job:1')).toBe('1')
  await apart.stop()
})

test('a client that is unblocked goes on on its connection', async () => {
  const idle = await startDataPath({ stores: { source }, listen: { connections: 'dedicated' } })
  const [blocked, other] = [await idle.raw(), await idle.raw()]
  // Where no shared connection has been needed yet.
  for (const client of [blocked, other]) expect(await client.ask('SELECT', 5)).toBe('+OK\r\n')
  const id = (await blocked.ask('CLIENT', 'ID')).slice(1).trim()
  for (const answer of ['*-1\r\n', '*-1\r\n']) {
    blocked.command('BLPOP', 'nothing-to-take', 0)
    await eventually(async () => expect(await admin.ask('INFO', 'clients')).toContain('blocked_clients:1\r\n'))
    expect(await other.ask('CLIENT', 'UNBLOCK', id)).toBe(':1\r\n')
    expect(await blocked.text()).toBe(answer)
  }
  expect(await blocked.ask('ECHO', 'still here')).toBe('$10\r\nstill here\r\n')
  await idle.stop()
})

test('what asks for all keys goes down the client’s own connection, behind what it has just written', async () => {
  const client = await path.raw()
  await client.ask('SELECT', 7)
  await client.ask('CLIENT', 'SETNAME', 'walker')
  for (let round = 0; round < 20; round++) {
    // The store has work to do before the key is there.
    client.command('EVAL', "for i = 1, 2e5 do local _ = i end redis.call('SET', KEYS[1], 1)", 1, `${round}`)
    client.command('SCAN', 0, 'COUNT', 1000)
    const [, page] = await client.take(2)
    expect(page).toContain(`\r\n${round}\r\n`)
  }
  const lines = await admin.ask('CLIENT', 'LIST')
  expect(lines).toMatch(/ name=walker .* cmd=scan /)
})

describe('where one route is switched and another stays', () => {
  let network: HoldingNetwork
  let apart: DataPathUnderTest
  const options = (phase: 'mirror' | 'switched'): DataPathOptions => ({
    stores: { source: { port: network.port, timeoutMs: 60_000 }, target },
    routes: [
      { name: 'jobs', keys: ['job:{id}'], source: 'source' },
      { name: 'rest', source: 'source', target: 'target', phase },
    ],
    listen: { connections: 'dedicated' },
  })

  beforeEach(async () => {
    await source.client().flushall()
    network = await new HoldingNetwork(source).start()
    apart = await startDataPath(options('mirror'))
  })
  afterEach(async () => {
    await apart.stop()
    await network.stop()
  })

  test('a client that has waited on the connection that it leaves leaves it to nobody', async () => {
    const [blocked, other] = [await apart.raw(), await apart.raw()]
    await blocked.ask('CLIENT', 'SETNAME', 'blocked')
    blocked.command('BLPOP', 'job:q', 0)
    await eventually(async () => expect(await admin.ask('INFO', 'clients')).toContain('blocked_clients:1\r\n'))
    await apart.apply(options('switched'))
    await admin.ask('RPUSH', 'job:q', 'x')
    expect(await blocked.text()).toBe('*2\r\n$5\r\njob:q\r\n$1\r\nx\r\n')
    expect(await other.ask('WATCH', 'job:w')).toBe('+OK\r\n')
    expect(await admin.ask('CLIENT', 'LIST')).not.toMatch(/ name=blocked .* cmd=watch /)
    await eventually(async () => expect(await admin.ask('CLIENT', 'LIST')).not.toContain(' name=blocked '))
    for (const command of [['MULTI'], ['INCR', 'job:w']]) await other.ask(...command)
    expect(await other.ask('EXEC')).toBe('*1\r\n:1\r\n')
    expect(await blocked.ask('INCR', 'job:w')).toBe(':2\r\n')
  })

  test('what is under way there on the connection that a client leaves is not overtaken', async () => {
    const [client, looker] = [await apart.raw(), await apart.raw()]
    await client.ask('CLIENT', 'SETNAME', 'moving')
    await client.ask('ECHO', 'THE CLIENT')
    network.hold('THE CLIENT')
    client.command('RPUSH', 'job:l', 'first')
    await eventually(() => expect(network.holds('first')).toBe(true))
    await apart.apply(options('switched'))
    client.command('RPUSH', 'job:l', 'second')
    await eventually(async () => expect(await looker.ask('CLIENT', 'LIST')).toMatch(/ name=moving .* qbuf=[1-9]/))
    network.pass()
    expect(await client.take(2)).toEqual([':1\r\n', ':2\r\n'])
    expect(await client.ask('LINDEX', 'job:l', 0)).toBe('$5\r\nfirst\r\n')
  })

  test.each(['QUIT', 'RESET'])('%s between WATCH and MULTI ends what was watched there', async (end) => {
    await apart.apply(options('switched'))
    const client = await apart.raw()
    expect(await client.ask('WATCH', 'job:w')).toBe('+OK\r\n')
    expect(await admin.ask('CLIENT', 'LIST')).toContain(' cmd=watch ')
    await client.ask(end)
    await eventually(async () => expect(await admin.ask('CLIENT', 'LIST')).not.toContain(' cmd=watch '))
  })
})
