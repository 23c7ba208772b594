import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeStore } from '../../support/fake-store.ts'
import { RawClient } from '../../support/raw-client.ts'
import { startRedis } from '../../support/redis.ts'

const cleanUps: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function redis() {
  const server = await startRedis()
  cleanUps.push(() => server.stop())
  return server
}

test('what is under way is answered, then every client is let go, and no new one is taken', async () => {
  const store = await FakeStore.start((args, socket) => {
    if (args[0] === 'SLOW') void sleep(100).then(() => socket.write('+slow\r\n'))
    return args[0] === 'SLOW' ? null : '+fast\r\n'
  })
  cleanUps.push(() => store.stop())
  const path = await startDataPath({ stores: { only: store } })
  const [busy, idle] = [await path.raw(), await path.raw()]
  await busy.ask('FAST')
  await idle.ask('FAST')
  busy.send(Buffer.concat([encodeCommand(['SLOW']), encodeCommand(['SLOW'])]))
  await eventually(() => expect(path.runtime.stats().routes['all']!.inFlight).toBe(2))
  const began = performance.now()
  const stopped = path.runtime.stop(5_000)
  expect(await busy.take(2)).toEqual(['+slow\r\n', '+slow\r\n'])
  await Promise.all([busy.closed, idle.closed, stopped])
  expect(performance.now() - began).toBeLessThan(4_500)
  const refused = connect(path.port, '127.0.0.1')
  await new Promise((resolve) => refused.once('error', resolve))
})

test('a transaction behind WATCH is answered to its end, as far as it has been sent', async () => {
  const store = await redis()
  const path = await startDataPath({ stores: { only: store } })
  const [client, other] = [await path.raw(), await path.raw()]
  await client.ask('WATCH', 'k')
  store.pause()
  // What changes to another connection waits for what is under way.
  const commands = [['GET', 'k'], ['CLIENT', 'GETNAME'], ['MULTI'], ['SET', 'k', 2], ['EXEC']]
  client.send(Buffer.concat(commands.map((args) => encodeCommand(args))))
  await eventually(() => expect(path.runtime.stats().routes['all']!.inFlight).toBeGreaterThan(0))
  const stopped = path.runtime.stop(5_000)
  expect(await other.closed).toBeUndefined()
  store.resume()
  expect(await client.take(5)).toEqual(['$-1\r\n', '$-1\r\n', '+OK\r\n', '+QUEUED\r\n', '*1\r\n+OK\r\n'])
  await Promise.all([client.closed, stopped])
})

test('blocked clients, subscribers and half-done transactions do not hold it up, and lose nothing', async () => {
  const store = await redis()
  const path = await startDataPath({ stores: { only: store } })
  const [blocked, subscriber, watching] = [await path.raw(), await path.raw(), await path.raw()]
  blocked.command('BLPOP', 'l', 0)
  await subscriber.ask('SUBSCRIBE', 'ch')
  await watching.ask('WATCH', 'k')
  await watching.ask('MULTI')
  await watching.ask('SET', 'k', 'never')
  const admin = await RawClient.open(store.port)
  await eventually(async () => expect(await admin.ask('INFO', 'clients')).toContain('blocked_clients:1\r\n'))
  await path.runtime.stop(5_000)
  expect(await blocked.text()).toBe('*-1\r\n')
  await Promise.all([blocked.closed, subscriber.closed, watching.closed])
  expect(await admin.ask('RPUSH', 'l', 'x')).toBe(':1\r\n')
  expect(await admin.ask('LLEN', 'l')).toBe(':1\r\n')
  expect(await admin.ask('EXISTS', 'k')).toBe(':0\r\n')
  admin.destroy()
})

test('what was acknowledged reaches the shadow first', async () => {
  const [source, target] = [await redis(), await redis()]
  const path = await startDataPath({
    stores: { source, target },
    routes: [{ source: 'source', target: 'target', phase: 'mirror' }],
  })
  const client = await path.raw()
  await client.ask('PING')
  const atTarget = await RawClient.open(target.port)
  await eventually(async () => {
    await client.ask('SET', 'warm', 1)
    expect(await atTarget.ask('EXISTS', 'warm')).toBe(':1\r\n')
  })
  target.pause()
  client.send(Buffer.concat(Array.from({ length: 1_000 }, (_, i) => encodeCommand(['SET', `k${i}`, i]))))
  await client.take(1_000)
  const stopped = path.runtime.stop(5_000)
  await sleep(50)
  target.resume()
  await stopped
  expect(await atTarget.ask('DBSIZE')).toBe(':1001\r\n')
  atTarget.destroy()
})

test('half of a large command does not hold it up', async () => {
  const path = await startDataPath({ stores: { only: await redis() } })
  const client = await path.raw()
  client.send('*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$3000000\r\n')
  // With the second piece of it that comes it is on its way.
  await eventually(async () => {
    await client.sendApart('x')
    expect(path.runtime.stats().routes['all']!.inFlight).toBe(1)
  })
  const began = performance.now()
  await path.runtime.stop(20_000)
  expect(performance.now() - began).toBeLessThan(15_000)
  await client.closed
})

test('a store that does not answer, and a client that does not close, hold it up for the time of grace at most', async () => {
  const store = await FakeStore.start(() => null)
  cleanUps.push(() => store.stop())
  const path = await startDataPath({ stores: { only: store } })
  const waiting = await path.raw()
  waiting.command('NEVER')
  const stubborn = connect({ port: path.port, host: '127.0.0.1', allowHalfOpen: true })
  stubborn.on('error', () => {}).resume()
  await eventually(() => expect(path.runtime.stats().clients).toBe(2))
  const began = performance.now()
  await path.runtime.stop(150)
  const took = performance.now() - began
  expect(took).toBeGreaterThan(100)
  expect(took).toBeLessThan(10_000)
  await waiting.closed
  stubborn.destroy()
})

test('with a store that is not there', async () => {
  const store = await redis()
  const path = await startDataPath({ stores: { only: store } })
  const client = await path.raw()
  await client.ask('PING')
  await store.kill9()
  await client.ask('PING')
  await path.runtime.stop(5_000)
  await client.closed
})
