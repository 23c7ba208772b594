import { afterAll, beforeAll, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let one: RedisServer
let two: RedisServer
let plain: DataPathUnderTest

beforeAll(async () => {
  one = await startRedis()
  two = await startRedis()
  plain = await startDataPath({ stores: { one } })
})
afterAll(async () => {
  await plain.stop()
  await Promise.all([one.stop(), two.stop()])
})

/** Sends all of it at once; the replies in short. */
async function asked(client: RawClient, replies: number, ...commands: string[]): Promise<string> {
  client.send(Buffer.concat(commands.map((command) => encodeCommand(command.split(' ')))))
  const list: string[] = []
  for (let i = 0; i < replies; i++) list.push(`${await client.next()}`.replace(/^\$\d+\r\n/, '').trim())
  return list.join(' ')
}

test('what comes between repetitions counts for those behind it', async () => {
  const client = await plain.raw()
  expect(await asked(client, 4, 'SET a 1', 'SET b 2', 'SET b 3', 'MGET a b')).toBe(
    '+OK +OK +OK *2\r\n$1\r\n1\r\n$1\r\n3',
  )
  expect(await asked(client, 5, 'GET a', 'GET b', 'SELECT 3', 'GET a', 'GET b')).toBe('1 3 +OK $-1 $-1')
  expect(await asked(client, 6, 'SELECT 0', 'GET a', 'GET b', 'MULTI', 'GET a', 'GET b')).toBe(
    '+OK 1 3 +OK +QUEUED +QUEUED',
  )
  expect(await asked(client, 3, 'EXEC', 'GET a', 'GET b')).toBe('*2\r\n$1\r\n1\r\n$1\r\n3 1 3')
  expect(await asked(client, 3, 'GET', 'GET a', 'GET a b')).toMatch(/^-ERR wrong number .* 1 -ERR wrong number /)
})

test('a reply is skipped for one command, not for the same one behind it', async () => {
  const client = await plain.raw()
  expect(await asked(client, 3, 'SET a 1', 'CLIENT REPLY SKIP', 'GET a', 'GET none', 'GET a')).toBe('+OK $-1 1')
})

test('commands of clients that speak in turn reach the connections of each', async () => {
  const clients = await Promise.all([plain.raw(), plain.raw()])
  await asked(clients[1]!, 1, 'SELECT 5')
  for (let i = 0; i < 20; i++) {
    await Promise.all(clients.map((client, c) => asked(client, 3, `SET k c${c}-${i}`, `SET l ${i}`, `SET m ${i}`)))
    expect(await Promise.all(clients.map((client) => asked(client, 2, 'GET k', 'GET l')))).toEqual([
      `c0-${i} ${i}`,
      `c1-${i} ${i}`,
    ])
  }
})

test('keys of several stores are told apart, one by one', async () => {
  const path = await startDataPath({
    stores: { one, two },
    routes: [
      { name: 'all', source: 'one' },
      { name: 'two', keys: ['two:{rest}'], source: 'two' },
    ],
  })
  const client = await path.raw()
  try {
    expect(await asked(client, 3, 'SET x 1', 'SET two:x 2', 'SET y 3')).toBe('+OK +OK +OK')
    expect(await asked(client, 4, 'GET x', 'GET two:x', 'GET two:x', 'GET y')).toBe('1 2 2 3')
    expect(await asked(await plain.raw(), 2, 'GET two:x', 'GET y')).toBe('$-1 3')
  } finally {
    await path.stop()
  }
})

test('every write is mirrored, and every read behind it is answered by the primary', async () => {
  const path = await startDataPath({
    stores: { one, two },
    routes: [{ name: 'all', source: 'one', target: 'two', phase: 'mirror' }],
  })
  const client = await path.raw()
  try {
    const sets = Array.from({ length: 30 }, (_, i) => `SET w${i} ${i}`)
    const gets = Array.from({ length: 30 }, (_, i) => `GET w${i}`)
    await asked(client, 30, ...sets)
    expect(await asked(client, 30, ...gets)).toBe(gets.map((_, i) => i).join(' '))
    expect(path.runtime.stats().routes['all']!.counters.primaryOk).toBe(60)
    const shadow = two.client()
    await expect
      .poll(() => shadow.mget(sets.map((_, i) => `w${i}`)), { timeout: 10_000 })
      .toEqual(sets.map((_, i) => `${i}`))
    shadow.disconnect()
  } finally {
    await path.stop()
  }
})
