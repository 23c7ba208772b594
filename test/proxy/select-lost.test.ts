import { afterEach, beforeEach, expect, test } from 'vitest'
import { encodeCommand } from '../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../support/data-path.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'

let store: RedisServer
let path: DataPathUnderTest

beforeEach(async () => {
  store = await startRedis()
})
afterEach(async () => {
  store.resume()
  await path.stop()
  await store.stop()
})

const packet = (...commands: string[][]): Buffer => Buffer.concat(commands.map((words) => encodeCommand(words)))

test.each([
  ['database 0, which is known', []],
  ['between WATCH and MULTI', [['WATCH', 'other']]],
])('what stands behind a SELECT that nobody has answered is executed nowhere (%s)', async (_, before) => {
  path = await startDataPath({ stores: { only: store }, store: { timeoutMs: 300 } })
  const client = await path.raw()
  expect(await client.ask('SET', 'warm', '1')).toBe('+OK\r\n')
  for (const words of before) expect(await client.ask(...words)).toBe('+OK\r\n')
  store.pause()
  client.send(packet(['SELECT', '7'], ['SET', 'key', 'for 7'], ['INCR', 'n']))
  expect(await client.text()).toMatch(/^-ERR Understudy: .*(did not answer in time|lost|closed)/)
  await client.closed
  store.resume()
  const direct = store.client()
  expect(await direct.exists('key', 'n')).toBe(0)
  await direct.select(7)
  expect(await direct.exists('key', 'n')).toBe(0)
})

test('nor behind one while the store is down', async () => {
  path = await startDataPath({ stores: { only: store } })
  const client = await path.raw()
  expect(await client.ask('SET', 'warm', '1')).toBe('+OK\r\n')
  await store.kill9()
  client.send(packet(['SELECT', '7'], ['SET', 'key', 'for 7']))
  expect(await client.text()).toMatch(/^-ERR Understudy: store 'only' is down/)
  await client.closed
  await store.restart()
})

test('one that the store refuses is answered in its words, and the client goes on where it was', async () => {
  path = await startDataPath({ stores: { only: store } })
  const client = await path.raw()
  client.send(packet(['SELECT', '99'], ['SET', 'key', 'for 0']))
  expect(await client.text()).toBe('-ERR DB index is out of range\r\n')
  expect(await client.text()).toBe('+OK\r\n')
  expect(await store.client().get('key')).toBe('for 0')
})
