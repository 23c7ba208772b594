import { afterAll, beforeAll, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { FakeStore } from '../../support/fake-store.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let server: RedisServer
let path: DataPathUnderTest
let admin: RawClient

beforeAll(async () => {
  server = await startRedis()
  path = await startDataPath({ stores: { server } })
  admin = await RawClient.open(server.port)
})
afterAll(async () => {
  admin.destroy()
  await path.stop()
  await server.stop()
})

/** How many connections the server has ever taken. */
async function accepted(): Promise<number> {
  return Number(/total_connections_received:(\d+)/.exec(await admin.ask('INFO', 'stats'))![1])
}

test('transactions of many clients at once do not open a connection each', async () => {
  const clients = await Promise.all(Array.from({ length: 40 }, () => path.raw()))
  const all = (...command: string[]): Promise<string[]> => Promise.all(clients.map((client) => client.ask(...command)))
  const before = await accepted()
  const round = async (): Promise<void> => {
    await all('WATCH', 'k')
    await all('MULTI')
    await all('PING')
    expect(new Set(await all('EXEC'))).toEqual(new Set(['*1\r\n+PONG\r\n']))
    await all('WATCH', 'k')
    await all('UNWATCH')
    await all('WATCH', 'k')
    await all('MULTI')
    await all('DISCARD')
  }
  for (let i = 0; i < 6; i++) await round()
  // A client's next one may begin before its last one has come back clean: two or three for each, the more the busier the machine is, for 720 transactions.
  expect((await accepted()) - before).toBeLessThan(240)
})

test('a connection whose EXEC, DISCARD or UNWATCH was refused is not used again', async () => {
  let refuses = true
  const connections = new Set<unknown>()
  const store = await FakeStore.start(([name = ''], socket) => {
    if (name === 'WATCH') connections.add(socket)
    if (refuses && /^(EXEC|DISCARD|UNWATCH)$/.test(name)) return '-ERR not now\r\n'
    return name === 'EXEC' ? '*0\r\n' : '+OK\r\n'
  })
  const apart = await startDataPath({ stores: { store } })
  const client = await apart.raw()
  const transactions = async (): Promise<void> => {
    for (const rest of [['UNWATCH'], ['MULTI', 'DISCARD'], ['MULTI', 'EXEC']]) {
      await client.ask('WATCH', 'k')
      for (const command of rest) await client.ask(command)
    }
  }
  await transactions()
  expect(connections.size).toBe(3)
  refuses = false
  await transactions()
  const used = connections.size
  await transactions()
  expect(connections.size - used).toBeLessThanOrEqual(2)
  await apart.stop()
  await store.stop()
})
