import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type RedisCluster, startCluster } from '../../support/cluster.ts'
import { type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { HoldingNetwork } from '../../support/holding-network.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

let direct: RedisServer
let one: RedisServer
let two: RedisServer
let cluster: RedisCluster
let path: DataPathUnderTest

beforeAll(async () => {
  ;[direct, one, two, cluster] = await Promise.all([startRedis(), startRedis(), startRedis(), startCluster()])
})
afterAll(async () => {
  await Promise.all([direct.stop(), one.stop(), two.stop(), cluster.stop()])
})
afterEach(async () => {
  await path.stop()
  await Promise.all([one, two].map((server) => server.client().flushall()))
  await cluster.flushAll()
})

const packet = (...lines: string[]) => Buffer.concat(lines.map((line) => encodeCommand(line.split(' '))))

/** Says all this, and no more; gives what it is answered until the connection ends. */
async function lastWords(port: number, first: readonly string[], ...lines: string[]): Promise<string> {
  const client = await RawClient.open(port)
  for (const line of first) await client.ask(...line.split(' '))
  client.send(packet(...lines))
  await client.end()
  await client.closed
  let said = ''
  while (client.unread > 0) said += await client.text()
  return said
}

const places: Readonly<Record<string, () => DataPathOptions>> = {
  'shared connections': () => ({
    stores: { one, two },
    routes: [{ source: 'one', target: 'two', phase: 'mirror' }],
  }),
  'connections of their own': () => ({ stores: { one }, listen: { connections: 'dedicated' } }),
  'a cluster': () => {
    const endpoints = cluster.servers.map(({ port }) => ({ kind: 'tcp', host: '127.0.0.1', port }) as const)
    return { stores: { many: { port: cluster.servers[0]!.port, kind: 'cluster', endpoints } } }
  },
}

describe.each(Object.entries(places))('a client that is gone, over %s', (where, options) => {
  beforeEach(async () => {
    path = await startDataPath(options())
  })

  // WAIT and WAITAOF are refused where there is no one server to ask.
  const oneServer = where !== 'a cluster'

  test.each([
    'BLPOP q 0',
    'BLMOVE q {q}m LEFT RIGHT 0',
    'XREAD BLOCK 0 STREAMS s $',
    ...(oneServer ? ['WAIT 5 0'] : []),
  ])(
    '%s that comes to its turn behind its last word is cancelled, and nothing behind it is executed',
    async (blocking) => {
      const other = await path.raw()
      for (let round = 0; round < 3; round++) {
        const said = await lastWords(path.port, [], 'GET x', blocking, 'SET behind 1')
        expect(said).toBe(`$-1\r\n${blocking.startsWith('WAIT') ? ':0' : '*-1'}\r\n`)
      }
      expect(await other.ask('RPUSH', 'q', 'a', 'b', 'c')).toBe(':3\r\n')
      expect(await other.ask('LLEN', 'q')).toBe(':3\r\n')
      expect(await other.ask('EXISTS', 'behind')).toBe(':0\r\n')
      await eventually(() => expect(path.runtime.stats().clients).toBe(1))
    },
  )

  test.each<[string, string]>([
    ...(oneServer ? ([['WAIT 0 0', ':0\r\n']] as [string, string][]) : []),
    ['BLPOP q 0', '*2\r\n$1\r\nq\r\n$1\r\na\r\n'],
    ['BLMOVE q {q}m LEFT RIGHT 0', '$1\r\na\r\n'],
  ])('%s that does not block is answered, and what lies behind it executed', async (blocking, answer) => {
    const other = await path.raw()
    for (let round = 0; round < 5; round++) {
      const said = await lastWords(path.port, [], 'SET w 1', 'RPUSH q a', blocking, 'SET w 2', 'GET w')
      expect(said).toBe(`+OK\r\n:1\r\n${answer}+OK\r\n$1\r\n2\r\n`)
      await other.ask('DEL', 'q')
    }
  })

  test('CLIENT PAUSE: what it holds is not executed', async () => {
    const other = await path.raw()
    expect(await other.ask('CLIENT', 'PAUSE', 60_000, 'WRITE')).toBe('+OK\r\n')
    expect(await lastWords(path.port, [], 'GET x', 'BLPOP q 0')).toBe('$-1\r\n')
    expect(await lastWords(path.port, [], 'GET x', 'SET behind 1')).toBe('$-1\r\n')
    // It comes to its turn behind the last word.
    expect(await lastWords(path.port, [], 'GET x', 'WATCH w', 'SET behind 1')).toBe('$-1\r\n+OK\r\n')
    const confirmed = '>3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n'
    expect(await lastWords(path.port, ['HELLO 3'], 'SUBSCRIBE a', 'SET behind 1')).toBe(confirmed)
    expect(await other.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
    expect(await other.ask('RPUSH', 'q', 'a')).toBe(':1\r\n')
    expect(await other.ask('LLEN', 'q')).toBe(':1\r\n')
    expect(await other.ask('EXISTS', 'behind')).toBe(':0\r\n')
  })
})

test('what a switch holds is executed, unless it blocks', async () => {
  const options = (phase: 'mirror' | 'switched'): DataPathOptions => ({
    stores: { one, two },
    store: { timeoutMs: 0 },
    routes: [{ source: 'one', target: 'two', phase }],
  })
  path = await startDataPath(options('mirror'))
  const [slow, worker, writer, other] = [await path.raw(), await path.raw(), await path.raw(), await path.raw()]
  await slow.ask('SET', 'n', 1)
  await settled(path)
  one.pause()
  slow.command('INCR', 'n')
  await eventually(() => expect(path.runtime.stats().routes['all']!.inFlight).toBe(1))
  const switched = path.runtime.apply({ ...path.change(options('switched')), holdTimeoutMs: 30_000, force: true })
  worker.send(packet('BLPOP q 0', 'SET behind 1'))
  writer.send(packet('SET held 1'))
  await Promise.all([worker.end(), writer.end()])
  // By then their last words have been read, too.
  for (let i = 0; i < 3; i++) await other.ask('CLIENT', 'ID')
  one.resume()
  expect(await switched).toMatchObject({ ok: true })
  expect(await writer.text()).toBe('+OK\r\n')
  await Promise.all([worker.closed, writer.closed])
  expect(await other.ask('RPUSH', 'q', 'a')).toBe(':1\r\n')
  expect(await other.ask('LLEN', 'q')).toBe(':1\r\n')
  expect(await other.ask('EXISTS', 'held', 'behind')).toBe(':1\r\n')
})

test('one that is blocked, and has said much behind that, is noticed when it goes', async () => {
  path = await startDataPath({ stores: { one } })
  const [worker, other] = [await path.raw(), await path.raw()]
  worker.send(Buffer.concat([packet('BLPOP q 0'), encodeCommand(['SET', 'behind', 'x'.repeat(4_000_000)])]))
  await worker.end()
  await worker.closed
  expect(await other.ask('RPUSH', 'q', 'a')).toBe(':1\r\n')
  expect(await other.ask('LLEN', 'q')).toBe(':1\r\n')
  expect(await other.ask('EXISTS', 'behind')).toBe(':0\r\n')
})

test('the same where much had to be answered before it blocked', async () => {
  path = await startDataPath({ stores: { one } })
  const [worker, other] = [await path.raw(), await path.raw()]
  const before = encodeCommand(['SET', 'before', 'x'.repeat(500)])
  const behind = encodeCommand(['SET', 'behind', 'x'.repeat(500)])
  const said = [...Array<Buffer>(12_000).fill(before), packet('BLPOP q 0'), ...Array<Buffer>(4_000).fill(behind)]
  worker.send(Buffer.concat(said))
  await eventually(async () => expect(await other.ask('CLIENT', 'LIST')).toContain(' cmd=blpop '))
  worker.destroy()
  await eventually(async () => expect(await other.ask('CLIENT', 'LIST')).not.toContain(' cmd=blpop '))
  expect(await other.ask('RPUSH', 'q', 'a')).toBe(':1\r\n')
  expect(await other.ask('LLEN', 'q')).toBe(':1\r\n')
})

describe('while a connection is opened', () => {
  let network: HoldingNetwork
  beforeEach(async () => {
    network = await new HoldingNetwork(one).start()
  })
  afterEach(() => network.stop())

  test('what there is to be taken is taken for a client that has said its last word', async () => {
    path = await startDataPath({ stores: { one: { port: network.port } } })
    const other = await path.raw()
    await other.ask('RPUSH', 'q', 'a')
    network.holdFrom('CLIENT')
    const client = await RawClient.open(path.port)
    client.send(packet('BLPOP q 0', 'SET behind 1'))
    await client.end()
    await eventually(() => expect(network.holdsAny).toBe(true))
    for (let i = 0; i < 3; i++) await other.ask('ECHO', 'x')
    network.pass()
    expect(await client.take(2)).toEqual(['*2\r\n$1\r\nq\r\n$1\r\na\r\n', '+OK\r\n'])
    await client.closed
  })

  test.each(['shared', 'dedicated'] as const)('a switch sends on what blocks: %s connections', async (connections) => {
    const options = (phase: 'mirror' | 'switched'): DataPathOptions => ({
      stores: { one: { port: network.port }, two },
      listen: { connections },
      routes: [{ source: 'one', target: 'two', phase }],
    })
    path = await startDataPath(options('mirror'))
    const other = await path.raw()
    await other.ask('SET', 'n', 1)
    await settled(path)
    network.holdFrom('CLIENT')
    const worker = await path.raw()
    worker.send(packet('BLPOP q 0', 'PING'))
    await eventually(() => expect(network.holdsAny).toBe(true))
    const switched = path.runtime.apply({ ...path.change(options('switched')), force: true })
    await other.ask('CLIENT', 'ID')
    network.pass()
    expect(await switched).toMatchObject({ ok: true })
    expect(await other.ask('RPUSH', 'q', 'a')).toBe(':1\r\n')
    expect(await worker.take(2)).toEqual(['*2\r\n$1\r\nq\r\n$1\r\na\r\n', '+PONG\r\n'])
  })
})

test('half of a large command that has waited, and whose rest will not come, keeps nothing, and the answers before it are given', async () => {
  path = await startDataPath({ stores: { one } })
  const [client, other] = [await path.raw(), await path.raw()]
  one.pause()
  await client.sendApart(Buffer.concat([packet('GET x'), Buffer.from('*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$3000000\r\n')]))
  for (let i = 0; i < 3; i++) await other.ask('CLIENT', 'ID')
  client.send('x'.repeat(50_000))
  await client.end()
  for (let i = 0; i < 3; i++) await other.ask('CLIENT', 'ID')
  one.resume()
  expect(await client.text()).toBe('$-1\r\n')
  await client.closed
  expect(await other.ask('EXISTS', 'big')).toBe(':0\r\n')
  expect(path.runtime.stats().routes['all']!.inFlight).toBe(0)
})

describe.each(['shared', 'dedicated'] as const)(
  'what a client is owed, on a listener with %s connections',
  (connections) => {
    beforeEach(async () => {
      path = await startDataPath({ stores: { one }, listen: { connections } })
    })

    test.each([
      ['its subscription is confirmed', [], ['SUBSCRIBE a']],
      ['all of them are', [], ['SUBSCRIBE a', 'SUBSCRIBE b', 'PING']],
      ['it gets what it has published to itself', ['HELLO 3', 'SUBSCRIBE a'], ['PUBLISH a hello']],
      ['between WATCH and MULTI', [], ['WATCH k', 'GET k']],
      ['in MULTI', [], ['WATCH k', 'MULTI', 'SET k 1']],
      ['a transaction that subscribes', [], ['MULTI', 'SUBSCRIBE a', 'EXEC']],
    ])('it gets as from the server, before it is taken leave of: %s', async (_what, first, lines) => {
      const expected = await lastWords(direct.port, first, ...lines)
      for (let round = 0; round < 5; round++) expect(await lastWords(path.port, first, ...lines)).toBe(expected)
    })

    test.each([[['CLIENT REPLY SKIP', 'GET a']], [['CLIENT REPLY SKIP', 'GET a', 'PING']]])(
      'what is wrong with its bytes is said, whatever was to be left out before: %s',
      async (lines) => {
        const play = async (port: number) => {
          const client = await RawClient.open(port)
          client.send(Buffer.concat([packet(...lines), Buffer.from('SET x "unbalanced\r\n')]))
          await client.closed
          return client.take(client.unread)
        }
        const expected = await play(direct.port)
        for (let round = 0; round < 3; round++) expect(await play(path.port)).toEqual(expected)
      },
    )

    test.each([[['SUBSCRIBE a']], [['SUBSCRIBE a', 'WATCH k']]])(
      'what is wrong with its bytes is said behind a subscription’s confirmation: %s',
      async (first) => {
        const play = async (port: number) => {
          const client = await RawClient.open(port)
          for (const line of ['HELLO 3', ...first]) await client.ask(...line.split(' '))
          client.send(Buffer.concat([packet('SUBSCRIBE b'), Buffer.from('*1\r\n+x\r\n')]))
          const said = await client.take(2)
          await client.closed
          return said
        }
        expect(await play(path.port)).toEqual(await play(direct.port))
      },
    )
  },
)
