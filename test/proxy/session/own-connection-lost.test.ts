import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { changeBetween } from '../../support/change.ts'
import { configOf, type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { type HeldReplies, holdReplies } from '../../support/held-replies.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let store: RedisServer
let path: DataPathUnderTest
const cleanUps: (() => unknown)[] = []

beforeEach(async () => {
  store = await startRedis()
})
afterEach(async () => {
  await path.stop()
  for (const cleanUp of cleanUps.splice(0)) await cleanUp()
  await store.stop()
})

/** Ways to a connection to the store that is the client's own. */
const WAYS: [string, 'shared' | 'dedicated', string[][]][] = [
  ['a dedicated listener', 'dedicated', []],
  [
    'tracking',
    'shared',
    [
      ['HELLO', '3'],
      ['CLIENT', 'TRACKING', 'ON'],
    ],
  ],
  ['NO-EVICT', 'shared', [['CLIENT', 'NO-EVICT', 'ON']]],
]

async function open(connections: 'shared' | 'dedicated', words: string[][], port = store.port): Promise<RawClient> {
  path = await startDataPath({ stores: { only: { port } }, listen: { connections } })
  const client = await path.raw()
  for (const word of words) expect(await client.ask(...word)).not.toMatch(/^-/)
  return client
}

test.each(WAYS)(
  'a pop whose connection is lost says so, though its element may be gone (%s)',
  async (_, kind, words) => {
    const network = await holdReplies(store.port)
    cleanUps.push(() => network.stop())
    const client = await open(kind, words, network.port)
    const direct = store.client()
    network.hold((sent) => /BLPOP/i.test(sent))
    await direct.rpush('q', 'job')
    client.send(Buffer.from('*3\r\n$5\r\nBLPOP\r\n$1\r\nq\r\n$1\r\n0\r\n'))
    await eventually(async () => expect(await direct.llen('q')).toBe(0))
    await network.stop()
    expect(await client.text()).toMatch(
      /^-ERR Understudy: the connection to store 'only' was lost .*may have been executed/,
    )
    await client.closed
  },
)

test('a client that redirects its invalidations ends with the connection that takes them', async () => {
  const reader = await open('shared', [['HELLO', '3']])
  const id = (await reader.ask('CLIENT', 'ID')).slice(1).trim()
  const client = await path.raw()
  for (const command of [
    ['HELLO', '3'],
    ['CLIENT', 'TRACKING', 'ON', 'REDIRECT', id],
    ['GET', 'a'],
  ])
    expect(await client.ask(...command)).not.toMatch(/^-/)
  const direct = await RawClient.open(store.port)
  cleanUps.push(() => direct.destroy())
  const taking = / redir=([1-9]\d*) /.exec(await direct.ask('CLIENT', 'LIST'))![1]!
  expect(await direct.ask('CLIENT', 'KILL', 'ID', taking)).toBe(':1\r\n')
  await client.closed
  expect(await reader.ask('PING')).toBe('+PONG\r\n')
})

const BEGUN = [[['WATCH', 'a']], [['MULTI'], ['INCR', 'n']], [['WATCH', 'a'], ['MULTI'], ['INCR', 'n']]]

test.each(
  WAYS.flatMap(([way, kind, words]) => BEGUN.map((begun) => [way, begun.join(' '), kind, words, begun] as const)),
)('a client ends with its own connection, also in a transaction (%s, %s)', async (_, __, kind, words, begun) => {
  const client = await open(kind, words)
  expect(await client.ask('SET', 'a', '1')).toBe('+OK\r\n')
  for (const word of begun) expect(await client.ask(...word)).toMatch(/^\+/)
  await store.client().call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  await client.closed
  // Nobody else is concerned.
  const other = await path.raw()
  await eventually(async () => expect(await other.ask('SET', 'a', '2')).toBe('+OK\r\n'))
})

describe('a DISCARD that the store has not answered', () => {
  let network: HeldReplies
  let target: RedisServer
  let client: RawClient
  let atSource: RawClient

  const options = (phase: 'mirror' | 'switched', connections: 'shared' | 'dedicated'): DataPathOptions => ({
    stores: { source: { port: network.port }, target },
    routes: [{ source: 'source', target: 'target', phase }],
    listen: { connections },
  })

  /** Gives the id of its connection at the source, on which the DISCARD has been executed and the answer is held back. */
  async function discards(connections: 'shared' | 'dedicated', words: string[][]): Promise<string> {
    ;[network, target] = await Promise.all([holdReplies(store.port), startRedis()])
    atSource = await RawClient.open(store.port)
    path = await startDataPath(options('mirror', connections))
    cleanUps.push(
      () => atSource.destroy(),
      () => network.stop(),
      () => target.stop(),
    )
    client = await path.raw()
    for (const word of [...words, ['WATCH', 'w'], ['MULTI'], ['INCR', 'n']]) {
      expect(await client.ask(...word)).not.toMatch(/^-/)
    }
    const lines = async (): Promise<string[]> => (await atSource.ask('CLIENT', 'LIST')).split('\n')
    const id = /^(?:\$\d+\r)?id=(\d+) /.exec((await lines()).find((line) => line.includes(' multi=1 '))!)![1]!
    network.hold((sent) => /\r\nWATCH\r\n/i.test(sent))
    expect(await client.ask('DISCARD')).toBe('+OK\r\n')
    await eventually(async () =>
      expect((await lines()).find((line) => line.startsWith(`id=${id} `))).toMatch(/ multi=-1 .* cmd=discard /),
    )
    return id
  }

  async function switches(connections: 'shared' | 'dedicated'): Promise<void> {
    const config = { ...configOf(options('switched', connections)), listen: path.config.listen }
    expect(await path.runtime.apply(changeBetween(path.config, config, 1))).toMatchObject({ ok: true })
  }

  /** The next reply; what a tracking client is told of keys lies between. */
  async function answer(): Promise<string> {
    for (;;) {
      const frame = await client.text()
      if (!frame.startsWith('>')) return frame
    }
  }

  function asked(...words: string[]): Promise<string> {
    client.command(...words)
    return answer()
  }

  async function worksAtTarget(): Promise<void> {
    for (const word of [['WATCH', 'w'], ['MULTI']]) expect(await asked(...word)).toBe('+OK\r\n')
    expect(await asked('INCR', 'n')).toBe('+QUEUED\r\n')
    expect(await asked('EXEC')).toBe('*1\r\n:1\r\n')
    client.command('BLPOP', 'q', '0')
    const direct = target.client()
    await eventually(async () => expect(await direct.info('clients')).toContain('blocked_clients:1'))
    await direct.rpush('q', 'x')
    expect(await answer()).toBe('*2\r\n$1\r\nq\r\n$1\r\nx\r\n')
  }

  test.each(WAYS)('is no hindrance to a switch, whenever the answer comes (%s)', async (_, kind, words) => {
    const id = await discards(kind, words)
    await switches(kind)
    await worksAtTarget()
    network.release()
    // What is left behind is closed, and nobody gets it.
    await eventually(async () => expect(await atSource.ask('CLIENT', 'LIST')).not.toMatch(new RegExp(`id=${id} `)))
    expect(await asked('GET', 'n')).toBe('$1\r\n1\r\n')
    expect(await asked('DEL', 'n')).toBe(':1\r\n')
    await worksAtTarget()
  })

  test.each(WAYS)(
    'may be lost behind a switch: the connection is not the client’s any more (%s)',
    async (_, kind, words) => {
      const id = await discards(kind, words)
      await switches(kind)
      expect(await atSource.ask('CLIENT', 'KILL', 'ID', id)).toBe(':1\r\n')
      await worksAtTarget()
    },
  )

  test.each(WAYS)('ends the client with its connection, when that is lost (%s)', async (_, kind, words) => {
    const id = await discards(kind, words)
    expect(await atSource.ask('CLIENT', 'KILL', 'ID', id)).toBe(':1\r\n')
    await client.closed
    network.release()
    const other = await path.raw()
    await eventually(async () => expect(await other.ask('INCR', 'n')).toBe(':1\r\n'))
  })
})
