import { afterEach, beforeEach, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { holdReplies } from '../support/held-replies.ts'
import type { RawClient } from '../support/raw-client.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'

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
