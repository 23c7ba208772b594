import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type RedisCluster, startCluster } from '../../support/cluster.ts'
import { type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'

let cluster: RedisCluster
let path: DataPathUnderTest
/** Of the last master. */
let key: string

beforeAll(async () => {
  const user = ['--user', 'app', 'on', '>open', '~*', '&*', '+@all']
  cluster = await startCluster({ args: ['--cluster-require-full-coverage', 'no', ...user] })
  const last = cluster.servers.at(-1)
  for (let i = 0; ; i++) if ((await cluster.ownerOf(await cluster.slotOf((key = `key:${i}`)))) === last) break
}, 180_000)
afterAll(async () => {
  await cluster?.stop()
})
afterEach(async () => {
  await path?.stop()
  const [first] = cluster.servers
  if (first!.isRunning) first!.resume()
  else await first!.restart()
  await cluster.ready()
})

const LOGIN = { username: 'app', password: 'open' }

async function start(options: Partial<DataPathOptions>): Promise<void> {
  const endpoints = cluster.servers.map(({ port }) => ({ kind: 'tcp', host: '127.0.0.1', port }) as const)
  const store = { port: endpoints[0]!.port, kind: 'cluster', endpoints } as const
  // A node that hangs is given up after this.
  const patience = { timeoutMs: 3_000, connectTimeoutMs: 3_000 }
  path = await startDataPath({ stores: { cluster: store }, store: patience, ...options })
}

/** The first master cannot be spoken to any more. */
async function leaves(how: 'down' | 'hung'): Promise<void> {
  const [first] = cluster.servers
  if (how === 'down') await first!.kill9()
  else first!.pause()
}

test.each<[string, 'down' | 'hung', Partial<DataPathOptions>]>([
  ['of all clients', 'down', {}],
  ['of all clients', 'hung', {}],
  ['of clients that log in at the store', 'down', { clients: { auth: 'passthrough' } }],
  ['of clients that log in at the store', 'hung', { clients: { auth: 'passthrough' } }],
  ['of each client alone', 'down', { listen: { connections: 'dedicated' } }],
  ['of each client alone', 'hung', { listen: { connections: 'dedicated' } }],
])('connections %s work while the first master is %s', async (_whose, how, options) => {
  await start(options)
  const login = options.clients?.auth === 'passthrough' ? LOGIN : {}
  // None comes a second time.
  const client = () => path.client({ ...login, maxRetriesPerRequest: 0, retryStrategy: () => null })
  await client().set(key, '1')
  await leaves(how)
  // Until that is known, whoever asks it for something is told that it is down, or waits for as long as the timeout.
  await eventually(async () => expect(await client().eval('return 1', 0)).toBe(1))

  const [subscriber, worker, publisher] = [client(), client(), client()]
  const heard: string[] = []
  subscriber.on('message', (_channel, message) => heard.push(message))
  expect(await subscriber.subscribe('news')).toBe(1)
  expect(await publisher.publish('news', 'one')).toBeGreaterThanOrEqual(0)
  await eventually(() => expect(heard).toEqual(['one']))
  expect(await worker.blpop(`{${key}}list`, 0.05)).toBeNull()
  await worker.watch(key)
  expect(await worker.multi().incr(key).exec()).toEqual([[null, 2]])
})

test.each([
  ['down', 'shared'],
  ['down', 'dedicated'],
  ['hung', 'shared'],
  ['hung', 'dedicated'],
] as const)(
  'INFO is told without the first master while that is %s and nobody has asked before: %s connections',
  async (how, connections) => {
    await start({ listen: { connections } })
    const first = await path.raw()
    expect(await first.ask('SET', key, '1')).toBe('+OK\r\n')
    await leaves(how)
    expect(await path.client().info('server')).toContain('redis_version:')
  },
)

test('a client with a connection of its own to a node that hangs is told so, and ended', async () => {
  await start({ listen: { connections: 'dedicated' } })
  const first = cluster.servers[0]!
  let its = ''
  for (let i = 0; its === ''; i++)
    if ((await cluster.ownerOf(await cluster.slotOf(`key:${i}`))) === first) its = `key:${i}`
  const client = await path.raw()
  expect(await client.ask('SET', its, '1')).toBe('+OK\r\n')
  await leaves('hung')
  expect(await client.ask('GET', its)).toContain('no reply for 3000 ms')
  await client.closed
})

test('what a client says of its own connection waits for no node that it has not reached', async () => {
  await start({ listen: { connections: 'dedicated' }, store: { timeoutMs: 120_000, connectTimeoutMs: 120_000 } })
  const client = await path.raw()
  expect(await client.ask('SET', key, '1')).toBe('+OK\r\n')
  await leaves('hung')
  expect(await client.ask('HELLO', 3)).toMatch(/^%/)
  expect(await client.ask('GET', `{${key}}none`)).toBe('_\r\n')
})

test('what any node can do is done by another one where the first one does not come up', async () => {
  await start({ listen: { connections: 'dedicated' } })
  const [before, after] = [await path.raw(), await path.raw()]
  expect(await before.ask('SET', key, '1')).toBe('+OK\r\n')
  await leaves('hung')
  expect(await after.ask('PING')).toBe('+PONG\r\n')
})
