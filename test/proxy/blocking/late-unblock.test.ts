import { afterEach, beforeEach, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { HoldingNetwork } from '../../support/holding-network.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

/** What the shared connection alone has said. */
const SHARED = 'THE SHARED ONE'

let store: RedisServer
let network: HoldingNetwork
let path: DataPathUnderTest
let direct: RawClient

beforeEach(async () => {
  store = await startRedis()
  network = await new HoldingNetwork(store).start()
  direct = await RawClient.open(store.port)
})
afterEach(async () => {
  direct.destroy()
  await path.stop()
  await network.stop()
  await store.stop()
})

async function start(connections: 'shared' | 'dedicated' = 'shared'): Promise<void> {
  path = await startDataPath({ stores: { only: { port: network.port, timeoutMs: 60_000 } }, listen: { connections } })
}

const blocked = (count: number): Promise<void> =>
  eventually(async () => expect(await direct.ask('INFO', 'clients')).toContain(`blocked_clients:${count}\r\n`))

const popped = (list: string, value: string): string => `*2\r\n$1\r\n${list}\r\n$1\r\n${value}\r\n`

/** A client leaves, its UNBLOCK is on the way, and what it waits for comes before that: so its connection is free. */
async function leaveWhilePopping(): Promise<void> {
  const leaving = await path.raw()
  leaving.command('BLPOP', 'l', 0)
  await blocked(1)
  network.hold(SHARED)
  leaving.destroy()
  await eventually(() => expect(network.holds('UNBLOCK')).toBe(true))
  expect(await direct.ask('RPUSH', 'l', 'x')).toBe(':1\r\n')
  await blocked(0)
  // The reply to the pop has come: Understudy has seen the last of its client.
  await eventually(() => expect(path.runtime.stats().clients).toBe(2))
}

test.each(['comes late', 'is lost'] as const)(
  'a CLIENT UNBLOCK that %s does not end the wait of a client that came after',
  async (way) => {
    await start()
    const [stranger, later] = [await path.raw(), await path.raw()]
    await stranger.ask('ECHO', SHARED)
    await later.ask('PING')
    await leaveWhilePopping()
    stranger.command('BLPOP', 'm', 0)
    await blocked(1)
    if (way === 'comes late') network.pass()
    else await network.letGo()
    await eventually(async () =>
      expect(await direct.ask('INFO', 'commandstats')).toMatch(/cmdstat_client\|unblock:calls=1,/),
    )
    expect(await direct.ask('RPUSH', 'm', 'y')).toBe(':1\r\n')
    expect(await stranger.text()).toBe(popped('m', 'y'))
    // Nothing is left behind.
    await eventually(async () => expect(await later.ask('PING')).toBe('+PONG\r\n'))
    expect(await direct.ask('RPUSH', 'm', 'z')).toBe(':1\r\n')
    expect(await later.ask('BLPOP', 'm', 0)).toBe(popped('m', 'z'))
  },
)

test('nor the next wait of the same client on its own connection', async () => {
  await start('dedicated')
  const [client, other] = [await path.raw(), await path.raw()]
  const id = (await client.ask('CLIENT', 'ID')).slice(1).trim()
  client.command('BLPOP', 'l', 0)
  await blocked(1)
  // Only Understudy itself speaks on the shared one here.
  network.hold('COMMAND')
  other.command('CLIENT', 'UNBLOCK', id, 'ERROR')
  await eventually(() => expect(network.holds('UNBLOCK')).toBe(true))
  expect(await direct.ask('RPUSH', 'l', 'x')).toBe(':1\r\n')
  expect(await client.text()).toBe(popped('l', 'x'))
  // It has not ended the wait.
  expect(await other.text()).toBe(':0\r\n')
  client.command('BLPOP', 'm', 0)
  await other.ask('PING')
  network.pass()
  await blocked(1)
  expect(await direct.ask('INFO', 'commandstats')).toMatch(/cmdstat_client\|unblock:calls=1,/)
  expect(await direct.ask('RPUSH', 'm', 'y')).toBe(':1\r\n')
  expect(await client.text()).toBe(popped('m', 'y'))
})

test.each([
  [
    'another wait',
    [
      ['BLPOP', 'l', '0'],
      ['BLPOP', 'm', '0'],
    ],
  ],
  ['a transaction', [['WATCH', 'w'], ['MULTI'], ['PING'], ['EXEC'], ['BLPOP', 'm', '0']]],
  ['a transaction that is given up', [['WATCH', 'w'], ['MULTI'], ['DISCARD'], ['BLPOP', 'm', '0']]],
])('a client with a connection of its own may wait for ever right behind %s', async (_, commands) => {
  path = await startDataPath({
    stores: { only: store },
    listen: { connections: 'dedicated' },
    store: { timeoutMs: 1_000 },
  })
  const [client, other] = [await path.raw(), await path.raw()]
  client.socket.cork()
  for (const words of commands) client.command(...words)
  client.socket.uncork()
  await other.ask('RPUSH', 'l', 'x')
  await client.take(commands.length - 1)
  await blocked(1)
  // Several times as long as the store may take for any other answer.
  for (let i = 0; i < 25; i++) expect(await other.ask('BLPOP', 'none', '0.1')).toBe('*-1\r\n')
  await other.ask('RPUSH', 'm', 'y')
  expect(await client.text()).toBe(popped('m', 'y'))
})

/** `client`, of that ID, waits for `l`; what is sent to unblock it does not reach the store from now on. */
async function waitingBehindHeldUnblocks() {
  await start()
  const [client, stranger, other] = [await path.raw(), await path.raw(), await path.raw()]
  const id = (await client.ask('CLIENT', 'ID')).slice(1).trim()
  await stranger.ask('ECHO', SHARED)
  client.command('BLPOP', 'l', 0)
  await blocked(1)
  network.hold(SHARED)
  return { client, stranger, other, id }
}

test('a CLIENT UNBLOCK is answered when it is known how the wait has ended, in its turn', async () => {
  const { client, stranger, other, id } = await waitingBehindHeldUnblocks()
  other.command('CLIENT', 'UNBLOCK', id)
  other.command('CLIENT', 'UNBLOCK', id)
  other.command('CLIENT', 'ID')
  await eventually(() => expect(network.holds('UNBLOCK')).toBe(true))
  expect(await stranger.ask('CLIENT', 'UNBLOCK', id)).toBe(':0\r\n')
  network.pass()
  expect(await client.text()).toBe('*-1\r\n')
  expect((await other.take(3)).slice(0, 2)).toEqual([':1\r\n', ':0\r\n'])
})

test.each(['the store', 'the client that waits', 'the client that asks'] as const)(
  'a CLIENT UNBLOCK that is under way ends when %s goes away',
  async (who) => {
    const { client, stranger, other, id } = await waitingBehindHeldUnblocks()
    other.command('CLIENT', 'UNBLOCK', id)
    await eventually(() => expect(network.holds('UNBLOCK')).toBe(true))
    if (who === 'the store') await network.letGo()
    else if (who === 'the client that waits') client.socket.resetAndDestroy()
    else other.socket.resetAndDestroy()
    await eventually(() => expect(path.runtime.stats().clients).toBe(who === 'the store' ? 3 : 2))
    network.pass()
    await blocked(0)
    if (who !== 'the client that waits') expect(await client.text()).toBe('*-1\r\n')
    if (who !== 'the client that asks') expect(await other.text()).toBe(':1\r\n')
    await eventually(async () => expect(await stranger.ask('PING')).toBe('+PONG\r\n'))
  },
)

test('a CLIENT UNBLOCK of a client whose store hangs keeps the client that asks from its next commands for a moment only', async () => {
  const { client, other, id } = await waitingBehindHeldUnblocks()
  other.command('CLIENT', 'UNBLOCK', id)
  other.command('CLIENT', 'GETNAME')
  expect(await other.take(2)).toEqual([':1\r\n', '$-1\r\n'])
  expect(network.holds('UNBLOCK')).toBe(true)
  // It may take something yet, which answers nothing any more.
  expect(await direct.ask('RPUSH', 'l', 'x')).toBe(':1\r\n')
  expect(await client.text()).toBe(popped('l', 'x'))
  network.pass()
  expect(await other.ask('CLIENT', 'GETNAME')).toBe('$-1\r\n')
  expect(await client.ask('PING')).toBe('+PONG\r\n')
})
