import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { TlsConfig } from '../../../src/config/config.ts'
import { TestAuthority } from '../../support/certificates.ts'
import { type RedisCluster, startCluster } from '../../support/cluster.ts'
import { type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import type { RedisServer } from '../../support/redis.ts'

/** Two nodes that speak TLS, want a password, and know a user who may read alone. */
let cluster: RedisCluster
let authority: TestAuthority
let path: DataPathUnderTest

beforeAll(async () => {
  authority = await TestAuthority.create()
  const tls = { ...(await authority.issue('node')), caFile: authority.caFile }
  cluster = await startCluster({ masters: 2, password: 'sesame', tls })
  for (const server of cluster.servers) await admitReader(server)
}, 180_000)
afterAll(async () => {
  await cluster?.stop()
  authority?.remove()
})
afterEach(async () => {
  await path?.stop()
  for (const server of cluster.servers) await server.client().config('SET', 'cluster-preferred-endpoint-type', 'ip')
  await cluster.flushAll()
})

function admitReader(server: RedisServer): Promise<unknown> {
  const rights = ['~*', '+@read', '+@connection', '+@transaction', '-client|kill', '-client|unblock', '+info']
  return server.client().call('ACL', 'SETUSER', 'reader', 'on', '>open', ...rights)
}

const KEYS = Array.from({ length: 20 }, (_, i) => `key:${i}`)

/** By TLS, through one of the nodes: the others are found by what it says. */
async function start(options: Partial<DataPathOptions> = {}): Promise<DataPathUnderTest> {
  const tls: TlsConfig = {
    caFile: authority.caFile,
    certFile: null,
    keyFile: null,
    serverName: null,
    verify: true,
  }
  const [port] = cluster.tlsPorts as [number]
  const endpoints = [{ kind: 'tcp', host: '127.0.0.1', port } as const]
  const store = { port, kind: 'cluster', endpoints, password: 'sesame', tls } as const
  return startDataPath({ stores: { cluster: store }, store: { timeoutMs: 30_000 }, ...options })
}

async function works(client = path.client()): Promise<void> {
  for (const key of KEYS) expect(await client.set(key, key)).toBe('OK')
  expect(await client.mget(...KEYS)).toEqual(KEYS)
}

async function announce(type: string): Promise<void> {
  for (const server of cluster.servers) {
    await server.client().config('SET', 'cluster-announce-hostname', 'localhost')
    await server.client().config('SET', 'cluster-preferred-endpoint-type', type)
  }
  const says = type === 'hostname' ? 'localhost' : null
  await eventually(async () => {
    for (const server of cluster.servers) {
      const ranges = (await server.client().call('CLUSTER', 'SLOTS')) as [number, number, [string | null]][]
      expect(ranges.map(([, , [host]]) => host)).toEqual([says, says])
    }
  })
}

test('every node is reached over TLS, with the password of the store', async () => {
  path = await start()
  await works()
  const sizes = await Promise.all(cluster.servers.map((server) => server.client().dbsize()))
  for (const size of sizes) expect(size).toBeGreaterThan(0)
})

test('nodes may name themselves by host names, also in redirections', async () => {
  await announce('hostname')
  path = await start()
  await works()
  await movesAside()
})

test('nodes that name no host are found where the one is that was asked', async () => {
  await announce('unknown-endpoint')
  path = await start()
  await works()
  await movesAside()
})

/** A slot moves: its commands are sent on to where the node says. */
async function movesAside(): Promise<void> {
  const slot = await cluster.slotOf('key:1')
  const from = await cluster.ownerOf(slot)
  const to = cluster.servers.find((server) => server !== from)!
  const client = path.client()
  const move = await cluster.beginMove(slot, to)
  expect(await client.set('{key:1}new', 'x')).toBe('OK')
  await move.finish()
  expect(await client.get('key:1')).toBe('key:1')
  expect(await to.client().get('{key:1}new')).toBe('x')
  await cluster.moveSlot(slot, from)
  expect(await client.get('key:1')).toBe('key:1')
}

test('a client of RESP3 is answered in its shapes, also where several nodes answer', async () => {
  path = await start()
  await works()
  const client = await path.raw()
  expect(await client.ask('HELLO', 3)).toMatch(/^%/)
  await client.ask('HSET', 'h', 'f', 'v')
  expect(await client.ask('HGETALL', 'h')).toBe('%1\r\n$1\r\nf\r\n$1\r\nv\r\n')
  expect(await client.ask('MGET', 'key:1', 'missing', 'key:2')).toBe('*3\r\n$5\r\nkey:1\r\n_\r\n$5\r\nkey:2\r\n')
  expect(await client.ask('KEYS', 'key:*')).toMatch(/^\*20\r\n/)
  expect(await client.ask('DBSIZE')).toBe(':21\r\n')
  const info = await client.ask('INFO', 'server')
  expect(info).toMatch(/^=\d+\r\ntxt:# Server\r\n/)
  expect(info.length).toBe(Number(/\d+/.exec(info)![0]) + info.indexOf('\n') + 3)
  await client.ask('MULTI')
  expect(await client.ask('HGETALL', 'h')).toBe('+QUEUED\r\n')
  expect(await client.ask('EXEC')).toBe('*1\r\n%1\r\n$1\r\nf\r\n$1\r\nv\r\n')
  client.command('SUBSCRIBE', 'news')
  expect(await client.text()).toBe('>3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n')
  expect(await client.ask('GET', 'key:1')).toBe('$5\r\nkey:1\r\n')
})

test('what a node that hangs has answered one user to INFO last is no answer to another', async () => {
  path = await start({ clients: { auth: 'passthrough' } })
  const hung = cluster.servers[1]!
  for (const server of cluster.servers)
    await server.client().call('ACL', 'SETUSER', 'mute', 'on', '>open', '~*', '+@read', '+@connection', '-info')
  const reader = path.client({ username: 'reader', password: 'open' })
  const mute = path.client({ username: 'mute', password: 'open', enableReadyCheck: false })
  expect(await reader.info()).toContain('run_id:')
  await expect(mute.info()).rejects.toThrow('NOPERM')
  hung.pause()
  try {
    expect(await reader.info()).toContain('run_id:')
  } finally {
    hung.resume()
  }
})

test.each([
  ['store', 'none'],
  ['store', 'all'],
  ['passthrough', 'none'],
  ['passthrough', 'all'],
] as const)(
  'a client with a connection of its own has the rights of its user at every node: auth %s, logged in when it had reached %s of them',
  async (auth, reached) => {
    path = await start({ clients: { auth }, listen: { connections: 'dedicated' } })
    const client = await path.raw()
    expect(await client.ask('AUTH', 'sesame')).toBe('+OK\r\n')
    if (reached === 'all') for (const key of KEYS) expect(await client.ask('SET', key, '1')).toBe('+OK\r\n')
    expect(await client.ask('AUTH', 'reader', 'open')).toBe('+OK\r\n')
    for (const key of KEYS) expect(await client.ask('SET', key, '2')).toMatch(/^-NOPERM/)
    expect(await client.ask('AUTH', 'sesame')).toBe('+OK\r\n')
    for (const key of KEYS) expect(await client.ask('SET', key, '3')).toBe('+OK\r\n')
  },
)

test('a client with a connection of its own that has logged in is answered in its shapes at the nodes that it reaches from then on', async () => {
  path = await start({ listen: { connections: 'dedicated' } })
  const client = await path.raw()
  expect(await client.ask('HELLO', 3)).toMatch(/^%/)
  expect(await client.ask('AUTH', 'reader', 'open')).toBe('+OK\r\n')
  for (const key of KEYS) expect(await client.ask('HGETALL', key)).toBe('%0\r\n')
})

test('a client with a connection of its own keeps it where a blocking command is for a node that does not know its user', async () => {
  path = await start({ listen: { connections: 'dedicated' } })
  const [, stranger] = cluster.servers as [RedisServer, RedisServer]
  const owners = await Promise.all(KEYS.map(async (key) => cluster.ownerOf(await cluster.slotOf(key))))
  const refused = KEYS.find((_, i) => owners[i] === stranger)!
  const served = KEYS.find((_, i) => owners[i] !== stranger)!
  for (const server of cluster.servers) await server.client().call('ACL', 'SETUSER', 'reader', '+@blocking')
  await stranger.client().call('ACL', 'DELUSER', 'reader')
  try {
    const client = await path.raw()
    expect(await client.ask('AUTH', 'reader', 'open')).toBe('+OK\r\n')
    for (let i = 0; i < 2; i++) {
      expect(await client.ask('XREAD', 'BLOCK', '1', 'STREAMS', `{${refused}}:stream`, '0')).toMatch(/^-WRONGPASS/)
      expect(await client.ask('GET', served)).toBe('$-1\r\n')
    }
  } finally {
    await admitReader(stranger)
  }
})

test('what a node that hangs has answered in one protocol to INFO last is no answer in the other', async () => {
  path = await start({ listen: { connections: 'dedicated' } })
  const [modern, old] = [await path.raw(), await path.raw()]
  await modern.ask('HELLO', 3)
  expect(await modern.ask('INFO', 'server')).toMatch(/^=\d+\r\ntxt:# Server\r\n/)
  const hung = (await cluster.masters())[0]!
  hung.pause()
  try {
    expect(await old.ask('INFO', 'server')).toMatch(/^\$\d+\r\n# Server\r\n/)
  } finally {
    hung.resume()
  }
})

test('clients that log in at the store have the rights of their users at every node', async () => {
  path = await start({ clients: { auth: 'passthrough' } })
  await works(path.client({ password: 'sesame' }))
  const reader = path.client({ username: 'reader', password: 'open' })
  expect(await reader.mget(...KEYS)).toEqual(KEYS)
  for (const key of KEYS.slice(0, 4)) await expect(reader.set(key, 'x')).rejects.toThrow('NOPERM')
  const stranger = await path.raw()
  expect(await stranger.ask('AUTH', 'reader', 'wrong')).toMatch(/^-WRONGPASS/)
  expect(await stranger.ask('GET', 'key:1')).toMatch(/^-NOAUTH/)
  // About other clients, too.
  expect(await stranger.ask('CLIENT', 'LIST')).toMatch(/^-NOAUTH/)
  await expect(reader.call('CLIENT', 'KILL', 'TYPE', 'normal')).rejects.toThrow('NOPERM')
  await expect(reader.call('CLIENT', 'UNBLOCK', '1')).rejects.toThrow('NOPERM')
  expect(await reader.client('LIST')).toContain('user=reader')
  await expect(reader.multi().call('CLIENT', 'KILL', 'TYPE', 'normal').exec()).rejects.toThrow('EXECABORT')
  expect(await reader.multi().client('LIST').exec()).toEqual([[null, expect.stringContaining('user=reader')]])
})

test('a user whom one node does not know is served by the others, and by that one as soon as it does', async () => {
  path = await start({ clients: { auth: 'passthrough' } })
  await works(path.client({ password: 'sesame' }))
  const reader = path.client({ username: 'reader', password: 'open' })
  expect(await reader.mget(...KEYS)).toEqual(KEYS)
  const [, stranger] = cluster.servers as [RedisServer, RedisServer]
  const owners = await Promise.all(KEYS.map(async (key) => cluster.ownerOf(await cluster.slotOf(key))))
  const refused = KEYS.find((_, i) => owners[i] === stranger)!
  const served = KEYS.find((_, i) => owners[i] !== stranger)!
  // Its connections there are ended, as where a node is added that lacks the user.
  await stranger.client().call('ACL', 'DELUSER', 'reader')
  await eventually(() => expect(reader.get(refused)).rejects.toThrow('WRONGPASS'))
  for (let i = 0; i < 20; i++) {
    expect(await reader.get(served)).toBe(served)
    await expect(reader.get(refused)).rejects.toThrow('WRONGPASS')
  }
  await admitReader(stranger)
  await eventually(async () => expect(await reader.mget(...KEYS)).toEqual(KEYS))
})

test('a user whom the node with the first slots does not know waits, watches and subscribes at the others', async () => {
  path = await start({ clients: { auth: 'passthrough' } })
  const all = path.client({ password: 'sesame' })
  await works(all)
  const [stranger] = cluster.servers as [RedisServer]
  const owners = await Promise.all(KEYS.map(async (key) => cluster.ownerOf(await cluster.slotOf(key))))
  const refused = KEYS.find((_, i) => owners[i] === stranger)!
  const served = KEYS.find((_, i) => owners[i] !== stranger)!
  for (const server of cluster.servers)
    await server.client().call('ACL', 'SETUSER', 'reader', '&*', '+@pubsub', '+@blocking')
  await stranger.client().call('ACL', 'DELUSER', 'reader')
  try {
    const reader = path.client({ username: 'reader', password: 'open' })
    expect(await reader.get(served)).toBe(served)
    expect(await reader.watch(served)).toBe('OK')
    expect(await reader.multi().get(served).exec()).toEqual([[null, served]])
    await expect(reader.watch(refused)).rejects.toThrow('WRONGPASS')
    expect(await reader.call('XREAD', 'BLOCK', '1', 'STREAMS', `{${served}}:stream`, '0')).toBeNull()
    await expect(reader.call('XREAD', 'BLOCK', '1', 'STREAMS', `{${refused}}:stream`, '0')).rejects.toThrow('WRONGPASS')
    expect(await reader.subscribe('news')).toBe(1)
    const told = new Promise((resolve) => reader.once('message', (_, message) => resolve(message)))
    await all.publish('news', 'hello')
    expect(await told).toBe('hello')
  } finally {
    await admitReader(stranger)
  }
})
