import { afterEach, beforeEach, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

// A server crashes that is told to unblock a client whose command it holds for a pause of its writes.

let store: RedisServer
let direct: RawClient
let path: DataPathUnderTest

beforeEach(async () => {
  store = await startRedis()
  direct = await RawClient.open(store.port)
  path = await startDataPath({ stores: { only: store } })
})
afterEach(async () => {
  direct.destroy()
  await path.stop()
  await store.stop()
})

/** Connections whose last command that was: also of one that is held. */
const at = (command: string): Promise<void> =>
  eventually(async () => expect(await direct.ask('CLIENT', 'LIST')).toContain(` cmd=${command} `))

const HELD = [
  ['spublish', ['WAIT', '1', '0']],
  ['blpop', ['BLPOP', 'l', '0']],
  ['xreadgroup', ['XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', '0', 'STREAMS', 's', '>']],
] as const

test.each(HELD)('a client that leaves while its %s is held by a pause of the store', async (command, words) => {
  await direct.ask('XGROUP', 'CREATE', 's', 'g', '$', 'MKSTREAM')
  expect(await direct.ask('CLIENT', 'PAUSE', '60000', 'WRITE')).toBe('+OK\r\n')
  const client = await path.raw()
  client.command(...words)
  await at(command)
  client.destroy()
  await at('eval')
  expect(await direct.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
  await eventually(async () => expect(await direct.ask('INFO', 'clients')).toContain('blocked_clients:0\r\n'))
  expect(await direct.ask('RPUSH', 'l', 'x')).toBe(':1\r\n')
  expect(await direct.ask('LLEN', 'l')).toBe(':1\r\n')
})

test('CLIENT UNBLOCK of one that is held ends its wait when the pause is over', async () => {
  const [client, other] = [await path.raw(), await path.raw()]
  const id = (await client.ask('CLIENT', 'ID')).slice(1).trim()
  expect(await direct.ask('CLIENT', 'PAUSE', '60000', 'WRITE')).toBe('+OK\r\n')
  client.command('BLPOP', 'l', '0')
  await at('blpop')
  other.command('CLIENT', 'UNBLOCK', id)
  await at('eval')
  expect(await direct.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
  expect(await other.text()).toBe(':1\r\n')
  expect(await client.text()).toBe('*-1\r\n')
})

test('CLIENT UNBLOCK while clients have writes paused: it waits for the end of that, and nobody’s read does', async () => {
  const [client, other, reader] = [await path.raw(), await path.raw(), await path.raw()]
  const id = (await client.ask('CLIENT', 'ID')).slice(1).trim()
  client.command('BLPOP', 'l', '0')
  await at('blpop')
  expect(await reader.ask('CLIENT', 'PAUSE', '60000', 'WRITE')).toBe('+OK\r\n')
  other.command('CLIENT', 'UNBLOCK', id)
  await at('eval')
  expect(await reader.ask('GET', 'k')).toBe('$-1\r\n')
  expect(await reader.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
  expect(await other.text()).toBe(':1\r\n')
  expect(await client.text()).toBe('*-1\r\n')
})

test('one that the store held before clients paused writes as well leaves', async () => {
  expect(await direct.ask('CLIENT', 'PAUSE', '60000', 'WRITE')).toBe('+OK\r\n')
  const [client, other] = [await path.raw(), await path.raw()]
  client.command('BLPOP', 'l', '0')
  await at('blpop')
  expect(await other.ask('CLIENT', 'PAUSE', '60000', 'WRITE')).toBe('+OK\r\n')
  client.destroy()
  await at('eval')
  expect(await other.ask('GET', 'k')).toBe('$-1\r\n')
  expect(await other.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
  await eventually(async () => expect(await direct.ask('INFO', 'clients')).toContain('blocked_clients:0\r\n'))
})
