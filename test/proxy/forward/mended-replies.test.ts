import { afterAll, beforeAll, expect, test } from 'vitest'
import { newRunName } from '../../../src/mirror/crash/run-name.ts'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

const PUSH = encodeCommand(['DEBUG', 'PROTOCOL', 'push'])

let store: RedisServer
let path: DataPathUnderTest

beforeAll(async () => {
  store = await startRedis({ args: ['--enable-debug-command', 'yes'] })
  path = await startDataPath({ stores: { only: store } })
})
afterAll(async () => {
  await path.stop()
  await store.stop()
})

for (const protocol of [2, 3] as const) {
  test(`SLOWLOG GET names the client that sent a slow command, RESP${protocol}`, async () => {
    const [slow, other] = [await path.raw(), await path.raw()]
    for (const client of [slow, other]) if (protocol === 3) await client.ask('HELLO', 3)
    await slow.ask('CLIENT', 'SETNAME', `slow-${protocol}`)
    await other.ask('CLIENT', 'SETNAME', 'other')
    expect(await other.ask('SLOWLOG', 'RESET')).toBe('+OK\r\n')
    expect(await slow.ask('DEBUG', 'SLEEP', `0.0${protocol}7`)).toBe('+OK\r\n')
    const address = `127.0.0.1:${slow.socket.localPort}`
    expect(await other.ask('SLOWLOG', 'GET')).toContain(
      `$5\r\nDEBUG\r\n$5\r\nSLEEP\r\n$5\r\n0.0${protocol}7\r\n$${address.length}\r\n${address}\r\n$6\r\nslow-${protocol}\r\n`,
    )
  })
}

test('DEBUG PROTOCOL push gives the push before its reply, to its client alone', async () => {
  const direct = await RawClient.open(store.port)
  await direct.ask('HELLO', 3)
  const [client, other] = [await path.raw(), await path.raw()]
  for (const one of [client, other]) await one.ask('HELLO', 3)
  for (const one of [direct, client]) one.send(Buffer.concat([encodeCommand(['PING']), PUSH, encodeCommand(['PING'])]))
  const expected = await direct.take(4)
  expect(expected[1]).toMatch(/^>2\r\n/)
  expect(await client.take(4)).toEqual(expected)
  expect(await other.ask('PING')).toBe('+PONG\r\n')
  direct.destroy()
})

test('INFO leaves out that Understudy has the store tell what scripts write', async () => {
  const [one, two] = [await startRedis(), await startRedis()]
  const routes = [{ name: 'all', source: 'one', target: 'two', phase: 'mirror' as const }]
  const mirrored = await startDataPath({ stores: { one, two }, routes })
  try {
    const [client, tracker, direct] = [await mirrored.raw(), await mirrored.raw(), await RawClient.open(one.port)]
    const told = async (by: RawClient): Promise<string> =>
      (await by.ask('INFO')).match(/tracking_(clients|total_prefixes):\d+/g)!.join(' ')
    await eventually(async () => {
      await client.ask('EVAL', "return redis.call('set', 'undeclared', 1)", 0)
      expect(await told(direct)).toBe('tracking_clients:1 tracking_total_prefixes:1')
    })
    await eventually(async () => expect(await told(client)).toBe('tracking_clients:0 tracking_total_prefixes:0'))
    await tracker.ask('HELLO', 3)
    expect(await tracker.ask('CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', 'some:')).toBe('+OK\r\n')
    expect(await told(client)).toBe('tracking_clients:1 tracking_total_prefixes:1')
    await tracker.ask('CLIENT', 'TRACKING', 'OFF')
    expect(await tracker.ask('CLIENT', 'TRACKING', 'ON', 'BCAST')).toBe('+OK\r\n')
    expect(await told(direct)).toBe('tracking_clients:2 tracking_total_prefixes:1')
    expect(await told(client)).toBe('tracking_clients:1 tracking_total_prefixes:1')
    direct.destroy()
  } finally {
    await mirrored.stop()
    await Promise.all([one.stop(), two.stop()])
  }
})

test('SLOWLOG GET leaves out how Understudy looks after the store', async () => {
  const [client, probe] = [await path.raw(), await RawClient.open(store.port)]
  await probe.ask('CLIENT', 'SETNAME', 'understudy-health')
  for (const command of [
    ['CONFIG', 'SET', 'slowlog-log-slower-than', 0],
    ['SLOWLOG', 'RESET'],
  ])
    expect(await client.ask(...command)).toBe('+OK\r\n')
  await probe.ask('TIME')
  // As a process with a state directory calls the connections that it shares among its clients.
  await probe.ask('CLIENT', 'SETNAME', newRunName())
  await probe.ask('ECHO', 'run')
  await client.ask('ECHO', 'seen')
  expect(await client.ask('CONFIG', 'SET', 'slowlog-log-slower-than', 10_000)).toBe('+OK\r\n')
  const log = await client.ask('SLOWLOG', 'GET')
  expect(log).toContain('seen')
  expect(log).toContain('run')
  expect(log).not.toContain('TIME')
  probe.destroy()
})

test('LATENCY HISTOGRAM counts what Understudy answers itself, until CONFIG RESETSTAT', async () => {
  const client = await path.raw()
  expect(await client.ask('CONFIG', 'RESETSTAT')).toBe('+OK\r\n')
  await client.ask('CLIENT', 'ID')
  await client.ask('CLIENT', 'ID')
  await client.ask('CLIENT', 'LIST')
  await client.ask('ECHO', 'x')
  // It opens a connection, on which Understudy says who it is.
  const watching = await path.raw()
  for (const command of [
    ['SELECT', 7],
    ['WATCH', 'k'],
  ])
    expect(await watching.ask(...command)).toBe('+OK\r\n')
  const entry = (name: string, calls: number): string =>
    `$${name.length}\r\n${name}\r\n*4\r\n$5\r\ncalls\r\n:${calls}\r\n$14\r\nhistogram_usec\r\n*2\r\n:1\r\n:${calls}\r\n`
  expect(await client.ask('LATENCY', 'HISTOGRAM', 'client')).toBe(
    `*4\r\n${entry('client|id', 2)}${entry('client|list', 1)}`,
  )
  expect(await client.ask('LATENCY', 'HISTOGRAM', 'client|id')).toBe(`*2\r\n${entry('client|id', 2)}`)
  const all = await client.ask('LATENCY', 'HISTOGRAM')
  expect(all).toContain(entry('client|list', 1))
  expect(all).toContain('$4\r\necho\r\n')
  expect(await client.ask('LATENCY', 'HISTOGRAM', 'nosuch')).toBe('*0\r\n')
  await client.ask('HELLO', 3)
  expect(await client.ask('LATENCY', 'HISTOGRAM', 'client|id')).toMatch(/^%1\r\n\$9\r\nclient\|id\r\n%2\r\n/)
  expect(await client.ask('CONFIG', 'RESETSTAT')).toBe('+OK\r\n')
  expect(await client.ask('LATENCY', 'HISTOGRAM', 'client')).toBe('%0\r\n')
})
