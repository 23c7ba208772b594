import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { CoarseClock } from '../../src/base/clock.ts'
import { Turn } from '../../src/base/turn.ts'
import { CommandTable } from '../../src/command/table.ts'
import { encodeCommand } from '../../src/resp/encode.ts'
import type { Pipeline } from '../../src/upstream/pipeline/pipeline.ts'
import { Store } from '../../src/upstream/store.ts'
import { configOf } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { FakeStore } from '../support/fake-store.ts'
import { RawClient } from '../support/raw-client.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'

let server: RedisServer
let admin: RawClient
let store: Store
let clock: CoarseClock
let drains: number

beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())
beforeEach(async () => {
  admin = await RawClient.open(server.port)
  clock = new CoarseClock()
  drains = 0
  const config = configOf({ stores: { only: server } }).stores['only']!
  store = new Store({
    config,
    endpoint: () => config.endpoints[0]!,
    unserved: () => new Map(),
    commands: () => CommandTable.builtin(),
    turn: new Turn(),
    clock,
    onState: () => {},
    onDrain: () => drains++,
    run: () => ({ name: 'understudy', former: new Set() }),
    met: () => null,
    onUnendable: () => {},
  })
  clock.start(5, (nowMs) => store.tick(nowMs))
})
afterEach(async () => {
  store.close('the test is over')
  clock.stop()
  await eventually(async () => expect(await connections()).toHaveLength(0))
  admin.destroy()
})

/** The store's connections as the server sees them. */
async function connections(): Promise<string[]> {
  return (await admin.ask('CLIENT', 'LIST')).split('\n').filter((line) => line.includes(' name=understudy '))
}

function ask(pipeline: Pipeline, ...args: string[]): Promise<string> {
  const bytes = encodeCommand(args)
  return new Promise((resolve) => {
    const owner = {
      settle: (_slot: unknown, buf: Buffer, start: number, end: number) => resolve(buf.toString('latin1', start, end)),
      lost: (_slot: unknown, loss: { text: string }) => resolve(`lost: ${loss.text}`),
      timedOut: () => {},
    }
    pipeline.push(owner, bytes, 0, bytes.length)
  })
}
const up = (pipeline: Pipeline): Promise<void> => {
  pipeline.connect()
  return eventually(() => expect(pipeline.state).toBe('up'))
}

test('one shared connection for each database and protocol', async () => {
  for (const [database, protocol] of [
    [0, 2],
    [0, 3],
    [5, 2],
    [15, 3],
  ] as const) {
    expect(await ask(store.shared(database, protocol), 'PING')).toBe('+PONG\r\n')
    expect(store.shared(database, protocol)).toBe(store.shared(database, protocol))
  }
  expect([...store.sharedPipelines()]).toHaveLength(4)
  // Where an answer took long, one more has asked what keeps the server.
  const list = await connections()
  const kinds = list.map((line) => /db=(\d+) .*resp=(\d)/.exec(line)!.slice(1).join('/'))
  expect([...new Set(kinds)].sort()).toEqual(['0/2', '0/3', '15/3', '5/2'])
})

test('a database that the server does not have leaves nothing behind, however often it is asked for', async () => {
  for (const database of [16, 1_000, 999_999, 999_999]) {
    expect(await ask(store.shared(database, 2), 'PING')).toBe('lost: ERR DB index is out of range')
  }
  expect([...store.sharedPipelines()]).toEqual([])
  await eventually(async () => expect(await connections()).toHaveLength(0))
})

test('what is given back is lent again; what is not clean or not needed is closed', async () => {
  const one = store.dedicated.borrow(0, 2)
  await up(one)
  expect(one.clientId).toBeGreaterThan(0)
  store.dedicated.release(one, 0)
  expect(store.dedicated.borrow(0, 2)).toBe(one)
  expect(store.dedicated.borrow(0, 2)).not.toBe(one)
  store.dedicated.release(one, 0)
  expect(store.dedicated.borrow(3, 2)).not.toBe(one)
  expect(store.dedicated.borrow(0, 3)).not.toBe(one)

  const busy = store.dedicated.borrow(0, 2)
  const reply = ask(busy, 'BLPOP', 'never', '0')
  store.dedicated.release(busy, 0)
  expect(await reply).toMatch(/^lost/)

  const many = Array.from({ length: 30 }, () => store.dedicated.borrow(0, 2))
  for (const pipeline of many) await up(pipeline)
  for (const pipeline of many) store.dedicated.release(pipeline, 0)
  expect(many.filter((pipeline) => pipeline.state === 'up')).toHaveLength(30)
})

test('an idle connection that the server has closed is not lent', async () => {
  const one = store.dedicated.borrow(0, 2)
  await up(one)
  store.dedicated.release(one, 0)
  await admin.ask('CLIENT', 'KILL', 'ID', one.clientId)
  await eventually(() => expect(one.state).toBe('closed'))
  const next = store.dedicated.borrow(0, 2)
  expect(next).not.toBe(one)
  expect(await ask(next, 'PING')).toBe('+PONG\r\n')
})

test('is quiet when nothing is lent and nobody waits', async () => {
  expect(store.quiet).toBe(true)
  const lent = store.dedicated.borrow(0, 2)
  expect(store.quiet).toBe(false)
  await up(lent)
  await admin.ask('CLIENT', 'KILL', 'ID', lent.clientId)
  await eventually(() => expect(store.quiet).toBe(true))
  const reply = ask(store.shared(0, 2), 'PING')
  expect(store.quiet).toBe(false)
  await reply
  await eventually(() => expect(store.quiet).toBe(true))
})

test('after a loss every shared connection comes back', async () => {
  const pipelines = [store.shared(0, 2), store.shared(0, 3), store.shared(4, 2), store.shadows.to(0)]
  for (const pipeline of pipelines) await ask(pipeline, 'PING')
  await admin.ask('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  for (const pipeline of pipelines) {
    await eventually(async () => expect(await ask(pipeline, 'PING')).toBe('+PONG\r\n'))
  }
})

test('a store that takes connections and answers late, as one that runs something long, has its timeout for the greeting', async () => {
  const waiting: Socket[] = []
  let stalled = true
  const answerOf = (args: readonly string[]): string => (args[1] === 'ID' ? ':7\r\n' : '+OK\r\n')
  const late = await FakeStore.start((args, socket) => {
    if (!stalled) return answerOf(args)
    waiting.push(socket)
    return null
  }, false)
  const connectTimeoutMs = 300
  const config = configOf({ stores: { late: { port: late.port, connectTimeoutMs, timeoutMs: 60_000 } } }).stores.late!
  const slow = new Store({ ...store.options, config, endpoint: () => config.endpoints[0]! })
  const answered = ask(slow.dedicated.borrow(0, 2), 'PING')
  await eventually(() => expect(waiting.length).toBeGreaterThanOrEqual(4))
  await sleep(2 * connectTimeoutMs)
  stalled = false
  waiting[0]!.write(':0\r\n+OK\r\n:7\r\n+OK\r\n')
  expect(await answered).toBe('+OK\r\n')
  expect(late.accepted).toBe(1)
  slow.close('the test is over')
  await late.stop()
})

test('a store that is closed gives closed connections, and says of none that there is room: whoever asks may be in the middle of a command', () => {
  store.close('the test is over')
  drains = 0
  for (const pipeline of [store.shared(1, 2), store.shadows.to(1), store.dedicated.borrow(1, 2)])
    expect(pipeline.state).toBe('closed')
  expect(drains).toBe(0)
})
