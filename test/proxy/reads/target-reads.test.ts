import { afterEach, expect, test } from 'vitest'
import { type DataPathUnderTest, type RouteOptions, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeNode, storeOf } from '../../support/fake-cluster.ts'
import { holdReplies } from '../../support/held-replies.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { shadowUp } from '../../support/shadow-up.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

async function redis(): Promise<RedisServer> {
  const server = await startRedis()
  running.push(server)
  return server
}

async function through(options: Parameters<typeof startDataPath>[0]): Promise<DataPathUnderTest> {
  const path = await startDataPath(options)
  running.push({ stop: () => path.stop() })
  return path
}

test('a target that can never be asked lets nobody else’s command in between a read and its names', async () => {
  const server = await redis()
  const network = await holdReplies(server.port)
  const nodes = await FakeNode.start(2)
  for (const node of nodes) node.masters = nodes
  running.push(network, ...nodes)
  // A cluster has no database 1, and its connection says so without asking.
  const stores = { one: { port: network.port }, many: storeOf(nodes) }
  const routes = (phase: 'mirror' | 'passthrough'): RouteOptions[] => [
    {
      name: 'a',
      keys: ['a:*'],
      phase: 'read-target',
      source: { store: 'one', keys: { 'a:*': 'app:a:*' } },
      target: 'many',
    },
    { name: 'b', keys: ['b:*'], phase, source: 'one', target: 'many' },
    { name: 'all', source: 'one' },
  ]
  const path = await through({ stores, routes: routes('mirror') })
  const direct = server.client({ db: 1 })
  await direct.mset('app:a:1', 'its own', 'a:1', 'another’s')
  const [reader, writer, waiting, looker] = [await path.raw(), await path.raw(), await path.raw(), await path.raw()]
  await reader.ask('SELECT', 1)
  // Up, but for the target's in database 1.
  await reader.ask('SET', 'plain', 'v')
  await waiting.ask('CLIENT', 'SETNAME', 'waiting')
  network.hold((sent) => sent.includes('b:1'))
  writer.command('INCR', 'b:1')
  await eventually(async () => expect(await server.client().get('b:1')).toBe('1'))
  const switching = path.apply({ stores, routes: routes('passthrough') })
  await eventually(async () => {
    waiting.command('GET', 'b:2')
    expect(await looker.ask('CLIENT', 'LIST')).toMatch(/ name=waiting .* qbuf=[1-9]/)
  })
  expect(await reader.ask('GET', 'a:1')).toBe('$7\r\nits own\r\n')
  network.release()
  await switching
})

test('a read is given its route’s time, whoever waits before it', async () => {
  const [one, two] = [await redis(), await redis()]
  const network = await holdReplies(two.port)
  running.push(network)
  const ends = { phase: 'read-target', source: 'one', target: 'two' } as const
  const path = await through({
    stores: { one, two: { port: network.port } },
    routes: [
      { ...ends, name: 'patient', keys: ['patient:*'], readTimeoutMs: 600_000 },
      { ...ends, name: 'all', readTimeoutMs: 50 },
    ],
  })
  await one.client().mset('patient:1', 'a', 'k', 'b')
  await shadowUp(path)
  network.hold(() => true)
  const [patient, hasty] = [await path.raw(), await path.raw()]
  patient.command('GET', 'patient:1')
  await eventually(async () => expect(await two.client().info('commandstats')).toContain('cmdstat_get:calls=1,'))
  expect(await hasty.ask('GET', 'k')).toBe('$1\r\nb\r\n')
  expect(patient.unread).toBe(0)
  network.release()
  expect(await patient.text()).toBe('$1\r\na\r\n')
})

test('while the target refuses a library, reads are its own all the same, but for calls of functions', async () => {
  const [one, other] = [await redis(), await redis()]
  const library = (name: string, answer: string): string =>
    `#!lua name=${name}\nredis.register_function{function_name='f', callback=function() return '${answer}' end, flags={'no-writes'}}`
  await other.client().call('FUNCTION', 'LOAD', library('theirs', 'theirs'))
  const path = await through({
    stores: { one, other },
    routes: [
      { name: 'some', keys: ['some:*'], source: 'one', target: 'other', phase: 'read-target' },
      { name: 'all', source: 'one', target: 'other', phase: 'read-target' },
    ],
  })
  const app = path.client()
  await shadowUp(path)
  await app.call('FUNCTION', 'LOAD', library('ours', 'ours'))
  await eventually(() => expect(path.runtime.stats().routes['all']!.refusedLibraries).toEqual(['ours']))
  for (const key of ['k', 'some:k']) {
    await app.set(key, 'v')
    await eventually(async () => expect(await other.client().get(key)).toBe('v'))
    await other.client().set(key, 'seen at the target')
    expect(await app.get(key)).toBe('seen at the target')
    expect(await app.call('FCALL_RO', 'f', 1, key)).toBe('ours')
  }
})

test('a target that comes back as another server is not read from before it is decided what it has lost', async () => {
  const [one, other] = [await redis(), await redis()]
  const network = await holdReplies(other.port)
  running.push(network)
  const path = await through({
    stores: { one, other: { port: network.port } },
    routes: [{ source: 'one', target: 'other', phase: 'read-target', readTimeoutMs: 600_000 }],
  })
  const [app, reader] = [path.client(), await path.raw()]
  await app.set('k', 'older')
  await shadowUp(path)
  await other.client().save()
  await app.set('k', 'newer')
  await shadowUp(path)
  expect(path.runtime.stats().routes['all']!.verifyCauses).toEqual([])
  let isAskedWhatItHolds = false
  network.hold((sent) => {
    const asks = sent.includes('persistence')
    isAskedWhatItHolds ||= asks
    return asks
  })
  await other.restart()
  await eventually(() => expect(isAskedWhatItHolds).toBe(true))
  expect(await other.client().get('k')).toBe('older')
  // Sooner than the connection would be given up.
  reader.command('GET', 'k')
  await eventually(() => expect(reader.unread).toBeGreaterThan(0), { timeoutMs: 10_000 })
  expect(await reader.text()).toBe('$5\r\nnewer\r\n')
  network.release()
  await eventually(() => expect(path.runtime.stats().routes['all']!.verifyCauses).toContain('shadow-restarted'))
  expect(await app.get('k')).toBe('newer')
})
