import type { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { dump } from '../../../src/jobs/files/dumps.ts'
import { sameStream, streamWrites } from '../../../src/jobs/files/stream-value.ts'
import { readValue } from '../../../src/jobs/files/values.ts'
import { type StoreConnection, StoreConnections } from '../../../src/jobs/stores/store-connection.ts'
import { configOf } from '../../support/data-path.ts'
import { FakeStore } from '../../support/fake-store.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let server: RedisServer
let redis: Redis
let fake: FakeStore | null = null
const opened: StoreConnections[] = []
beforeAll(async () => {
  server = await startRedis()
  redis = server.client()
})
afterEach(async () => {
  for (const connections of opened.splice(0)) connections.close()
  await fake?.stop()
  fake = null
})
afterAll(() => server.stop())

function connectionTo(port: number): StoreConnection {
  const config = configOf({ stores: { old: { port } } })
  const connections = new StoreConnections(
    () => config,
    () => config.stores['old']!.endpoints[0]!,
  )
  opened.push(connections)
  return connections.to('old', 0)
}

/** One by one, and before each command something else is done. */
function amid(connection: StoreConnection, before: (command: string) => Promise<unknown>): StoreConnection {
  let last: Promise<unknown> = Promise.resolve()
  const ask: StoreConnection['ask'] = (args) => {
    const reply = last.then(() => before(String(args[0]))).then(() => connection.ask(args))
    last = reply
    return reply
  }
  return { ask } as StoreConnection
}

const name = Buffer.from('k')

test.each<[type: string, write: (value: string) => (string | number)[]]>([
  ['string', (value) => ['SET', 'k', value]],
  ['list', (value) => ['RPUSH', 'k', value]],
  ['set', (value) => ['SADD', 'k', value]],
  ['hash', (value) => ['HSET', 'k', 'field', value]],
  ['zset', (value) => ['ZADD', 'k', 1, value]],
  ['stream', (value) => ['XADD', 'k', '1-1', 'field', value]],
])(
  'a %s that is replaced all the time has the time of expiry of the value that was read, or none as that had',
  async (type, write) => {
    let n = 0
    const replace = async (): Promise<void> => {
      const expires = n++ % 3 === 0
      const transaction = redis.multi().del('k')
      const [command, ...args] = write(expires ? 'expiring' : 'staying')
      transaction.call(String(command), ...args)
      if (expires) transaction.pexpire('k', 60_000)
      await transaction.exec()
    }
    const connection = connectionTo(server.port)
    for (let i = 0; i < 6; i++) {
      const found = await readValue(amid(connection, replace), name)
      if (found === null || typeof found === 'string') throw new Error(`it reads as ${found}`)
      expect(found.of.type).toBe(type)
      const isExpiring = JSON.stringify(found.of, asText).includes('expiring')
      expect(found.expiresAtMs !== null).toBe(isExpiring)
      // However many commands a read takes, each of the three comes first in some turn.
      if (i === 2 || i === 4) await replace()
    }
  },
)

/** What `toJSON` has made of bytes. */
function asText(_: string, value: unknown): unknown {
  const { type, data } = (value ?? {}) as { type?: unknown; data?: readonly number[] }
  return type === 'Buffer' ? Buffer.from(data!).toString() : value
}

test('a key of another type is read as that, and one that has gone meanwhile is not there', async () => {
  await redis.set('k', 'a')
  const connection = connectionTo(server.port)
  const becomes = (...command: [string, ...string[]]) => {
    let isDone = false
    return amid(connection, async (asked) => {
      if (isDone || asked !== 'MULTI') return
      isDone = true
      await redis
        .multi()
        .del('k')
        .call(...command)
        .exec()
    })
  }
  expect(await readValue(becomes('RPUSH', 'k', 'b'), name)).toEqual({
    of: { type: 'list', value: [Buffer.from('b')] },
    expiresAtMs: null,
  })
  expect(await readValue(becomes('DEL', 'other'), name)).toBeNull()
})

test('one that is read in pieces is read again when its time of expiry has become another', async () => {
  const value = Buffer.alloc(9 * 1024 * 1024, 'x')
  await redis.set('k', value)
  let isDone = false
  const connection = amid(connectionTo(server.port), async (asked) => {
    if (isDone || asked !== 'GETRANGE') return
    isDone = true
    await redis.pexpire('k', 60_000)
  })
  const found = await readValue(connection, name)
  if (found === null || typeof found === 'string') throw new Error(`it reads as ${found}`)
  expect(found.expiresAtMs).not.toBeNull()
  expect(value.equals(found.of.value as Buffer)).toBe(true)
})

test('what has expired between the payload and the time of expiry is gone, and not for ever', async () => {
  fake = await FakeStore.start(([command, key]) =>
    command === 'DUMP' ? '$1\r\nx\r\n' : key === 'gone' ? ':-2\r\n' : key === 'stays' ? ':-1\r\n' : ':1000\r\n',
  )
  const names = ['stays', 'gone', 'expires'].map((text) => Buffer.from(text))
  const payload = Buffer.from('x')
  expect(await dump('old', connectionTo(fake.port), names)).toEqual([
    { payload, expiresAtMs: null },
    null,
    { payload, expiresAtMs: expect.any(Number) },
  ])
})

test('a stream is read to its end also where that is the greatest ID there can be', async () => {
  await redis.del('k')
  const greatest = '18446744073709551615-18446744073709551615'
  // As many as one read asks for: there could be more.
  const ids = [...Array.from({ length: 1_999 }, (_, i) => `1-${i + 1}`), greatest]
  const pipeline = redis.pipeline()
  for (const id of ids) pipeline.xadd('k', id, 'field', 'value')
  await pipeline.exec()
  const found = await readValue(connectionTo(server.port), name)
  expect(found).toMatchObject({ of: { value: { lastId: greatest, entries: ids.map((id) => ({ id })) } } })
})

test('a stream whose entries were deleted before their store counted that is written with the others', async () => {
  await redis.del('k')
  for (let i = 1; i <= 5; i++) await redis.xadd('k', `${i}-1`, 'f', 'v')
  await redis.xgroup('CREATE', 'k', 'g', '0')
  await redis.xreadgroup('GROUP', 'g', 'c', 'COUNT', 4, 'STREAMS', 'k', '>')
  await redis.xdel('k', '1-1', '3-1')
  const found = await readValue(connectionTo(server.port), name)
  if (found === null || typeof found === 'string' || found.of.type !== 'stream') throw new Error('it is no stream')
  const { value } = found.of
  // As a stream says that was loaded from before 7.0.
  const loaded = { ...value, maxDeletedId: '0-0' }
  const transaction = redis.multi().del('k')
  for (const [command, ...args] of streamWrites(name, loaded, true)) transaction.call(String(command), ...args)
  await transaction.exec()
  const again = await readValue(connectionTo(server.port), name)
  if (again === null || typeof again === 'string' || again.of.type !== 'stream') throw new Error('it is no stream')
  expect(again.of.value.entries).toEqual(value.entries)
  expect(sameStream(again.of.value, loaded)).toBe(true)
})

test('consumers are written to a store from before 6.2, which makes one only of who reads', async () => {
  await redis.del('k')
  await redis.xadd('k', '1-1', 'f', 'v')
  await redis.xgroup('CREATE', 'k', 'g', '0')
  await redis.xreadgroup('GROUP', 'g', 'c', 'STREAMS', 'k', '>')
  await redis.xgroup('CREATECONSUMER', 'k', 'g', 'idle')
  const stream = async () => {
    const found = await readValue(connectionTo(server.port), name)
    if (found === null || typeof found === 'string' || found.of.type !== 'stream') throw new Error('it is no stream')
    return found.of.value
  }
  const value = await stream()
  const commands = streamWrites(name, value, false).map((words) => words.map(String))
  expect(commands.filter((words) => words.includes('CREATECONSUMER'))).toEqual([])
  const transaction = redis.multi().del('k')
  for (const [command, ...args] of commands) transaction.call(command!, ...args)
  await transaction.exec()
  expect(await stream()).toMatchObject({ groups: value.groups.map((group) => ({ ...group, entriesRead: null })) })
})
