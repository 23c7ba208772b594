import { afterAll, beforeAll, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let one: RedisServer
let two: RedisServer
let path: DataPathUnderTest
let admins: RawClient[]

beforeAll(async () => {
  ;[one, two] = await Promise.all([startRedis(), startRedis()])
  path = await startDataPath({
    stores: { one, two },
    routes: [
      { name: 'two', keys: ['two:*'], source: 'two' },
      { name: 'rest', source: 'one' },
    ],
    clients: { auth: 'passthrough' },
  })
  admins = await Promise.all([RawClient.open(one.port), RawClient.open(two.port)])
})
afterAll(async () => {
  for (const admin of admins) admin.destroy()
  await path.stop()
  await Promise.all([one.stop(), two.stop()])
})

/** At each store: connections of which the server says this. */
async function connections(like: RegExp): Promise<number[]> {
  const lists = await Promise.all(admins.map((admin) => admin.ask('CLIENT', 'LIST')))
  return lists.map((list) => list.split('\n').filter((line) => like.test(line)).length)
}

/** Those that the server does not evict. */
const kept = (): Promise<number[]> => connections(/flags=\w*e/)

test('CLIENT NO-EVICT reaches every primary, on connections that are this client’s alone, until it says OFF', async () => {
  const client = await path.raw()
  expect(await client.ask('CLIENT', 'NO-EVICT', 'ON')).toBe('+OK\r\n')
  await client.ask('SET', 'a', 1)
  await client.ask('SET', 'two:a', 1)
  expect(await kept()).toEqual([1, 1])
  expect(await client.ask('CLIENT', 'INFO')).toMatch(/flags=e /)
  await client.ask('MULTI')
  await client.ask('CLIENT', 'NO-EVICT', 'OFF')
  expect(await client.ask('EXEC')).toBe('*1\r\n+OK\r\n')
  await eventually(async () => expect(await kept()).toEqual([0, 0]))
  expect(await client.ask('GET', 'two:a')).toBe('$1\r\n1\r\n')
})

test.each([
  ['NO-EVICT', []],
  ['TRACKING', []],
  ['TRACKING', ['BCAST']],
])('CLIENT %s %s that comes and goes between WATCH and MULTI leaves the transaction as it is', async (flag, how) => {
  const [client, other] = [await path.raw(), await path.raw()]
  await client.ask('HELLO', 3)
  for (const key of ['a', 'two:a']) for (const one of [client, other]) await one.ask('GET', key)
  const before = await connections(/ name=understudy /)
  for (const key of ['a', 'two:a'])
    for (const changed of [false, true]) {
      await other.ask('SET', key, 'before')
      expect(await client.ask('WATCH', key)).toBe('+OK\r\n')
      for (let i = 0; i < 2; i++) {
        expect(await client.ask('CLIENT', flag, 'ON', ...how)).toBe('+OK\r\n')
        expect(await client.ask('CLIENT', flag, 'OFF')).toBe('+OK\r\n')
      }
      if (changed) await other.ask('SET', key, 'changed')
      expect(await client.ask('GET', key)).toBe(changed ? '$7\r\nchanged\r\n' : '$6\r\nbefore\r\n')
      for (const command of [['MULTI'], ['SET', key, 'mine']]) await client.ask(...command)
      expect(await client.ask('EXEC')).toBe(changed ? '_\r\n' : '*1\r\n+OK\r\n')
    }
  // It is back on the shared connections, and its own are closed.
  await eventually(async () => {
    const after = await connections(/ name=understudy /)
    for (const [i, count] of after.entries()) expect(count).toBeLessThanOrEqual(before[i]!)
  })
  expect(await client.ask('GET', 'two:a')).toBe('$7\r\nchanged\r\n')
})

test('ended and set again in one transaction it holds', async () => {
  const client = await path.raw()
  await client.ask('CLIENT', 'NO-EVICT', 'ON')
  for (const command of [['MULTI'], ['CLIENT', 'NO-EVICT', 'OFF'], ['CLIENT', 'NO-EVICT', 'ON']])
    await client.ask(...command)
  expect(await client.ask('EXEC')).toBe('*2\r\n+OK\r\n+OK\r\n')
  await client.ask('SET', 'a', 1)
  expect(await client.ask('GET', 'a')).toBe('$1\r\n1\r\n')
  await eventually(async () => expect(await kept()).toEqual([1, 1]))
  client.destroy()
  await eventually(async () => expect(await kept()).toEqual([0, 0]))
})

test('set in a transaction it holds behind it; RESET, and the end of the client, end it', async () => {
  const [client, other] = [await path.raw(), await path.raw()]
  for (const one of [client, other])
    for (const command of [['MULTI'], ['CLIENT', 'NO-EVICT', 'ON'], ['SET', 'a', '2'], ['EXEC']])
      await one.ask(...command)
  expect(await client.ask('GET', 'a')).toBe('$1\r\n2\r\n')
  await eventually(async () => expect(await kept()).toEqual([2, 2]))
  // Before 7.2 a server forgets it when it resets.
  path.runtime.setFacts('one', 0, '7.2.0')
  await client.ask('RESET')
  other.destroy()
  await eventually(async () => expect(await kept()).toEqual([0, 0]))
})

test('what the store’s user may not say is refused by the store, and the client stays on the shared connections', async () => {
  for (const admin of admins) await admin.ask('ACL', 'SETUSER', 'reader', 'on', '>secret', '~*', '+get', '+hello')
  const client = await path.raw()
  await client.ask('SET', 'two:a', 1)
  await client.ask('AUTH', 'reader', 'secret')
  expect(await client.ask('CLIENT', 'NO-EVICT', 'ON')).toMatch(/^-NOPERM/)
  expect(await client.ask('CLIENT', 'NO-EVICT', 'OFF')).toMatch(/^-NOPERM/)
  expect(await client.ask('GET', 'two:a')).toBe('$1\r\n1\r\n')
})

test('a client that becomes another user is that at every primary', async () => {
  for (const admin of admins)
    await admin.ask('ACL', 'SETUSER', 'limited', 'on', '>secret', '~*', '+get', '+hello', '+client')
  const client = await path.raw()
  await client.ask('CLIENT', 'NO-EVICT', 'ON')
  await client.ask('AUTH', 'limited', 'secret')
  expect(await client.ask('SET', 'two:a', 'x')).toMatch(/^-NOPERM/)
  expect(await client.ask('SET', 'a', 'x')).toMatch(/^-NOPERM/)
})

test('SELECT of a user of the store is asked of the store, whatever it has allowed before', async () => {
  for (const admin of admins) await admin.ask('ACL', 'SETUSER', 'chooser', 'on', '>secret', '~*', '+get', '+select')
  const [client, same] = [await path.raw(), await path.raw()]
  for (const one of [client, same]) {
    await one.ask('AUTH', 'chooser', 'secret')
    expect(await one.ask('SELECT', 1)).toBe('+OK\r\n')
  }
  for (const admin of admins) await admin.ask('ACL', 'SETUSER', 'chooser', '-select')
  for (const database of [0, 1, 2]) expect(await client.ask('SELECT', database)).toMatch(/^-NOPERM/)
  expect(await client.ask('GET', 'a')).toBe('$-1\r\n')
})
