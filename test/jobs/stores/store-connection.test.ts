import { afterEach, expect, test } from 'vitest'
import { configFromUrls } from '../../../src/config/file/load.ts'
import { StoreConnections } from '../../../src/jobs/stores/store-connection.ts'
import { DatabaseRefused, StoreLost } from '../../../src/jobs/stores/store-lost.ts'
import { ErrorReply } from '../../../src/resp/reply.ts'
import { configOf } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { type FakeAnswer, FakeStore } from '../../support/fake-store.ts'
import { startRedis } from '../../support/redis.ts'

const running: { close(): void }[] = []
const fakes: { stop(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of running.splice(0)) one.close()
  for (const one of fakes.splice(0)) await one.stop()
})

async function to(
  answer: FakeAnswer,
  signal?: AbortSignal,
): Promise<{ fake: FakeStore; connections: StoreConnections }> {
  const fake = await FakeStore.start(answer)
  const config = configOf({ stores: { old: { port: fake.port } } })
  const connections = new StoreConnections(
    () => config,
    () => config.stores['old']!.endpoints[0]!,
    signal,
  )
  fakes.push(fake)
  running.push(connections)
  return { fake, connections }
}

test.each([
  ['OOM command not allowed', 'has no memory left for writes (OOM)'],
  ['READONLY You', 'is a replica that takes no writes (READONLY)'],
  ['MISCONF Redis is', 'takes no writes because it cannot save (MISCONF)'],
  ['NOREPLICAS Not', 'takes no writes because replicas are missing (NOREPLICAS)'],
  ['LOADING Redis is', 'is loading its data (LOADING)'],
  ['MASTERDOWN Link', 'is a replica without its primary (MASTERDOWN)'],
  ['BUSY Redis is', 'runs a script (BUSY)'],
  ['CLUSTERDOWN Hash slot', 'does not serve every slot of its cluster (CLUSTERDOWN)'],
  ['TRYAGAIN Multiple', 'does not answer'],
])('what a store says of itself is no answer: %s', async (text, shown) => {
  const { connections } = await to(() => `-${text}\r\n`)
  const lost = await connections
    .to('old', 0)
    .ask(['GET', 'a'])
    .catch((error: unknown) => error)
  expect(lost).toBeInstanceOf(StoreLost)
  expect((lost as StoreLost).shown).toBe(`store 'old' ${shown}`)
  await expect(connections.to('old', 0).forEach([['EXISTS']], [Buffer.from('a')], () => {})).rejects.toThrow(text)
})

test('what it says of a key or a command is an answer', async () => {
  const { connections } = await to(([name]) => (name === 'GET' ? '-WRONGTYPE Operation\r\n' : '-BUSYKEY Target\r\n'))
  const connection = connections.to('old', 0)
  expect(await connection.ask(['GET', 'a'])).toEqual(new ErrorReply('WRONGTYPE Operation'))
  expect(await connection.ask(['RESTORE', 'a'])).toEqual(new ErrorReply('BUSYKEY Target'))
})

test('a database that the store does not have is refused for good, one that it cannot enter now is not', async () => {
  let says = '-BUSY Redis is busy\r\n'
  const { connections } = await to(([name]) => (name === 'SELECT' ? says : '+PONG\r\n'))
  await expect(connections.to('old', 3).ask(['PING'])).rejects.toBeInstanceOf(StoreLost)
  says = '-ERR DB index is out of range\r\n'
  const refused = await connections
    .to('old', 3)
    .ask(['PING'])
    .catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(DatabaseRefused)
  expect((refused as Error).message).toBe("store 'old' refuses database 3 (ERR DB index is out of range)")
  says = '+OK\r\n'
  await eventually(async () => expect(await connections.to('old', 3).ask(['PING'])).toMatchObject({ text: 'PONG' }))
})

test('a password that has changed meanwhile is the one that the next connection logs in with; a store elsewhere is not gone to', async () => {
  const server = await startRedis()
  fakes.push(server)
  const admin = server.client()
  const configWith = (password: string, port = server.port) =>
    configFromUrls({ env: {}, source: `redis://job:${password}@${server.host}:${port}`, phase: 'passthrough' }).config
  await admin.call('ACL', 'SETUSER', 'job', 'on', '>one', '~*', '+@all')
  let config = configWith('one')
  const [store] = Object.keys(config.stores) as [string]
  const connections = new StoreConnections(
    () => config,
    () => ({ kind: 'tcp', host: server.host, port: server.port }),
  )
  running.push(connections)
  const answers = () => eventually(async () => expect(await connections.to(store, 0).ask(['DBSIZE'])).toBe(0))
  await answers()
  await admin.call('ACL', 'SETUSER', 'job', 'resetpass', '>two')
  await admin.call('CLIENT', 'KILL', 'USER', 'job')
  await eventually(async () => {
    const lost = await connections
      .to(store, 0)
      .ask(['DBSIZE'])
      .catch((error: unknown) => error)
    expect((lost as StoreLost).shown).toMatch(/WRONGPASS/)
  })
  config = configWith('two')
  await answers()
  // Of another place nothing is taken.
  config = configWith('three', 1)
  await admin.call('CLIENT', 'KILL', 'USER', 'job')
  await answers()
})

test.each(['closed', 'aborted'])(
  'connections that were %s open none any more, and ask again for nothing',
  async (how) => {
    const aborter = new AbortController()
    const { fake, connections } = await to(() => null, aborter.signal)
    const asked = connections.to('old', 0).ask(['GET', 'a'])
    await eventually(() => expect(fake.accepted).toBe(1))
    if (how === 'closed') connections.close()
    else aborter.abort()
    await expect(asked).rejects.toBeInstanceOf(StoreLost)
    expect(() => connections.to('old', 0)).toThrow('the job is over')
    expect(() => connections.to('old', 0)).not.toThrow(StoreLost)
    expect(fake.accepted).toBe(1)
  },
)
