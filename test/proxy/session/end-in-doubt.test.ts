import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

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

describe('what stands behind a SELECT', () => {
  test.each([
    ['database 0, which is known', []],
    ['between WATCH and MULTI', [['WATCH', 'other']]],
  ])('that nobody has answered is executed nowhere (%s)', async (_, before) => {
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

  test('that the store refuses is executed where the client was', async () => {
    path = await startDataPath({ stores: { only: store } })
    const client = await path.raw()
    client.send(packet(['SELECT', '99'], ['SET', 'key', 'for 0']))
    expect(await client.text()).toBe('-ERR DB index is out of range\r\n')
    expect(await client.text()).toBe('+OK\r\n')
    expect(await store.client().get('key')).toBe('for 0')
  })
})

describe('what stands behind a log-in', () => {
  /** Ways to become another user. */
  const LOGINS: [string, string[][]][] = [
    ['AUTH', [['AUTH', 'app', 'secret']]],
    ['HELLO', [['HELLO', '3', 'AUTH', 'app', 'secret']]],
    ['in MULTI', [['MULTI'], ['AUTH', 'app', 'secret'], ['EXEC']]],
  ]

  async function start(auth: 'store' | 'passthrough'): Promise<void> {
    await store.client().call('ACL', 'SETUSER', 'app', 'on', '>secret', '~app:*', '+@all')
    path = await startDataPath({ stores: { only: store }, clients: { auth }, store: { timeoutMs: 300 } })
  }

  for (const auth of ['store', 'passthrough'] as const) {
    test.each(LOGINS)(
      `that nobody has answered is executed by nobody (%s, clients.auth: ${auth})`,
      async (_, login) => {
        await start(auth)
        const client = await path.raw()
        expect(await client.ask('SET', 'warm', '1')).toBe('+OK\r\n')
        const begun = login.slice(0, -1)
        for (const words of begun) expect(await client.ask(...words)).toMatch(/^\+/)
        store.pause()
        client.send(packet(...login.slice(begun.length), ['SET', 'not the app’s', '1']))
        expect(await client.text()).toMatch(
          /^-ERR Understudy: .*(did not answer in time|lost|closed|not connected|is down)/,
        )
        await client.closed
        store.resume()
        expect(await store.client().exists('not the app’s')).toBe(0)
      },
    )

    test(`is executed by nobody while the store is down (clients.auth: ${auth})`, async () => {
      await start(auth)
      const client = await path.raw()
      expect(await client.ask('SET', 'warm', '1')).toBe('+OK\r\n')
      await store.kill9()
      client.send(packet(['AUTH', 'app', 'secret'], ['SET', 'not the app’s', '1']))
      expect(await client.text()).toMatch(/^-ERR Understudy: store 'only' is down/)
      await client.closed
      await store.restart()
    })
  }

  test('that the store refuses is executed by who the client was', async () => {
    await start('store')
    const client = await path.raw()
    client.send(packet(['AUTH', 'app', 'wrong'], ['SET', 'key', '1'], ['HELLO', '3', 'AUTH', 'app', 'wrong'], ['PING']))
    for (const reply of [/^-WRONGPASS/, /^\+OK/, /^-WRONGPASS/, /^\+PONG/]) expect(await client.text()).toMatch(reply)
  })
})

test('a HELLO without AUTH makes nobody another: the client stays while the store is down', async () => {
  path = await startDataPath({ stores: { only: store }, clients: { auth: 'passthrough' } })
  const client = await path.raw()
  expect(await client.ask('SET', 'warm', '1')).toBe('+OK\r\n')
  await store.kill9()
  client.send(packet(['HELLO', '3'], ['CLIENT', 'GETNAME']))
  expect(await client.text()).toMatch(/^-ERR Understudy: .* (is down|was lost)/)
  expect(await client.text()).toBe('$-1\r\n')
  await store.restart()
})

test('what stands behind an EXEC with a SELECT that is lost is executed nowhere', async () => {
  path = await startDataPath({ stores: { only: store }, store: { timeoutMs: 300 } })
  const client = await path.raw()
  for (const words of [['MULTI'], ['SELECT', '7']]) expect(await client.ask(...words)).toMatch(/^\+/)
  store.pause()
  client.send(packet(['EXEC'], ['SET', 'key', 'for 7']))
  expect(await client.text()).toMatch(/^-ERR Understudy: .* may have been executed/)
  await client.closed
  store.resume()
  expect(await store.client().exists('key')).toBe(0)
})
