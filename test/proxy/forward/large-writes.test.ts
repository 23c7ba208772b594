import net from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { startCluster } from '../../support/cluster.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

const LARGE = Buffer.alloc(3 * 1024 * 1024, 'large ')

let source: RedisServer
let target: RedisServer
let path: DataPathUnderTest

beforeAll(async () => {
  source = await startRedis()
  target = await startRedis()
})

afterAll(async () => {
  await source?.stop()
  await target?.stop()
})

afterEach(async () => {
  await path?.stop()
  await source.client().flushall()
  await target.client().flushall()
})

const keys = { 'job:{id}': 'step:{id}' }

describe('large writes', () => {
  test.each(['async', 'sync'] as const)(
    'are mirrored (%s) under the names of each side, in the order of all writes',
    async (mode) => {
      path = await startDataPath({
        stores: { source, target },
        routes: [
          {
            name: 'jobs',
            keys: ['job:{id}'],
            source: 'source',
            target: { store: 'target', keys },
            phase: 'shadow',
            mirror: { mode, timeoutMs: 5_000 },
          },
          { name: 'all', source: 'source', target: 'target', phase: 'shadow' },
        ],
      })
      const [one, two] = [await path.raw(), await path.raw()]
      for (let i = 0; i < 5; i++) {
        one.command('SET', 'job:1', LARGE)
        one.command('APPEND', 'job:1', `${i}`)
        two.command('APPEND', 'job:1', `two ${i}`)
        one.command('HSET', 'hash', `f${i}`, LARGE)
        two.command('RPUSH', 'list', LARGE, 'small')
      }
      await one.take(15)
      await two.take(10)
      expect(await one.ask('STRLEN', 'job:1')).toMatch(/^:31457/)
      await settled(path)
      const toShadow = (key: string): string => key.replace('job:', 'step:')
      expect(await driftBetween(source, target, { toShadow })).toEqual([])
      expect(await target.client().exists('step:1', 'hash', 'list')).toBe(3)
    },
  )

  test('go to the store under its names, and read back', async () => {
    path = await startDataPath({
      stores: { target, source },
      routes: [
        { name: 'jobs', keys: ['job:{id}'], source: 'source', target: { store: 'target', keys }, phase: 'switched' },
        { name: 'all', source: 'source' },
      ],
    })
    const raw = await path.raw()
    expect(await raw.ask('SET', 'job:1', LARGE)).toBe('+OK\r\n')
    expect(await target.client().strlen('step:1')).toBe(LARGE.length)
    raw.command('GET', 'job:1')
    expect((await raw.next()).subarray(10, -2).equals(LARGE)).toBe(true)
    await settled(path)
    expect(await source.client().strlen('job:1')).toBe(LARGE.length)
  })

  test('in any pieces, between other commands, in MULTI and refused ones are answered in order', async () => {
    path = await startDataPath({ stores: { source } })
    const raw = await path.raw()
    const commands = [
      ['SET', 'n', '1'],
      ['SET', 'large', LARGE, 'PX', '100000'],
      ['INCR', 'n'],
      ['LPUSH', 'large', LARGE],
      ['SET', 'large', LARGE, 'NONSENSE'],
      ['STRLEN', 'large'],
      ['MULTI'],
      ['SET', 'other', LARGE],
      ['STRLEN', 'other'],
      ['EXEC'],
      ['ECHO', LARGE],
      ['INCR', 'n'],
    ]
    const bytes = Buffer.concat(commands.map((command) => encodeCommand(command)))
    for (let at = 0, i = 0; at < bytes.length; i++) {
      const piece = [1, 7, 100, 65_536, 300_000, 1_000_000][i % 6]!
      await raw.sendApart(bytes.subarray(at, at + piece))
      at += piece
    }
    const replies = await raw.take(commands.length)
    expect(replies.map((reply) => reply.slice(0, 30))).toEqual([
      '+OK\r\n',
      '+OK\r\n',
      ':2\r\n',
      expect.stringMatching(/^-WRONGTYPE/),
      '-ERR syntax error\r\n',
      `:${LARGE.length}\r\n`,
      '+OK\r\n',
      '+QUEUED\r\n',
      '+QUEUED\r\n',
      `*2\r\n+OK\r\n:${LARGE.length}\r\n`,
      expect.stringMatching(/^\$3145728\r\nlarge/),
      ':3\r\n',
    ])
  })

  test('are not executed, and said to be not, when the store goes while they come in; the client goes on', async () => {
    const store = await startRedis()
    path = await startDataPath({ stores: { store } })
    const raw = await path.raw()
    expect(await raw.ask('SET', 'k', 'old')).toBe('+OK\r\n')
    const bytes = encodeCommand(['SET', 'k', LARGE])
    await raw.sendApart(bytes.subarray(0, 2_000_000))
    await eventually(async () => {
      const list = (await store.client().client('LIST')) as string
      expect(Math.max(...[...list.matchAll(/qbuf=(\d+)/g)].map(([, n]) => Number(n)))).toBeGreaterThan(1_000_000)
    })
    await store.restart()
    raw.send(bytes.subarray(2_000_000))
    raw.command('PING')
    expect(await raw.text()).toMatch(/^-ERR Understudy: .*; the command was not executed\r\n$/)
    expect(await raw.text()).toMatch(/^(\+PONG|-ERR Understudy: store 'store' is down)/)
    await eventually(async () => expect(await raw.ask('PING')).toBe('+PONG\r\n'))
    await store.stop()
  })

  test('whose client goes in the middle are not counted as lost by the store', async () => {
    path = await startDataPath({ stores: { source } })
    const raw = await path.raw()
    expect(await raw.ask('SET', 'k', 'old')).toBe('+OK\r\n')
    const state = () => path.runtime.stats().routes['all']!
    await raw.sendApart(encodeCommand(['SET', 'k', LARGE]).subarray(0, 2_000_000))
    await eventually(() => expect(state().inFlight).toBe(1))
    raw.destroy()
    await eventually(() => expect(state().inFlight).toBe(0))
    expect(state().counters).toMatchObject({ primaryOk: 1, primaryLost: 0 })
  })

  test('that break the protocol behind their value end the connection in the words of Redis', async () => {
    path = await startDataPath({ stores: { source } })
    const raw = await path.raw()
    await source.client().set('k', 'old')
    raw.send(
      Buffer.concat([Buffer.from('*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$3145728\r\n'), LARGE, Buffer.from('\r\n$x\r\n')]),
    )
    expect(await raw.text()).toBe('-ERR Protocol error: invalid bulk length\r\n')
    await raw.closed
    expect(await source.client().get('k')).toBe('old')
  })

  test('have the time that their way to a node of a cluster takes', async () => {
    const cluster = await startCluster({ masters: 1 })
    const [node] = cluster.servers
    const way = await slowWay(node!.port, 20_000)
    await node!.client().config('SET', 'cluster-announce-port', way.port)
    const endpoints = [{ kind: 'tcp', host: '127.0.0.1', port: way.port }] as const
    path = await startDataPath({
      stores: { cluster: { port: way.port, kind: 'cluster', endpoints } },
      store: { timeoutMs: 300 },
    })
    const raw = await path.raw()
    expect(await raw.ask('SET', 'k', Buffer.alloc(24_000_000, 'large '))).toBe('+OK\r\n')
    expect(await node!.client().strlen('k')).toBe(24_000_000)
    way.server.close()
    await cluster.stop()
  })
})

/** A way to a server on which so many bytes go in a millisecond. */
async function slowWay(serverPort: number, bytesPerMs: number): Promise<{ port: number; server: net.Server }> {
  const server = net.createServer((client) => {
    const upstream = net.connect(serverPort, '127.0.0.1')
    upstream.pipe(client)
    client.on('data', (bytes: Buffer) => {
      upstream.write(bytes)
      client.pause()
      setTimeout(() => client.resume(), bytes.length / bytesPerMs)
    })
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => one.destroy())
      one.on('close', () => other.destroy())
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { port: (server.address() as net.AddressInfo).port, server }
}
