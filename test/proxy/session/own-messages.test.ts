import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

/** What a RESP3 client publishes to channels that it has subscribed to itself. */
let direct: RedisServer
let store: RedisServer

beforeAll(async () => {
  ;[direct, store] = await Promise.all([startRedis(), startRedis()])
})
afterAll(async () => {
  await Promise.all([direct.stop(), store.stop()])
})

type Command = readonly (string | number)[]
const SCRIPT = "redis.call('PUBLISH', KEYS[1], 'one'); redis.call('PUBLISH', KEYS[1], 'two'); return 'done'"
const COMMANDS: readonly Command[] = [
  ['SUBSCRIBE', 'a'],
  ['PSUBSCRIBE', 'a*'],
  ['PUBLISH', 'a', 1],
  ['PUBLISH', 'ab', 2],
  ['GET', 'k'],
  ['EVAL', SCRIPT, 1, 'a'],
  ['PUBLISH', 'nobody', 3],
  ['EVAL', SCRIPT],
  ['PUBLISH', 'a'],
  ['SSUBSCRIBE', 's'],
  ['SPUBLISH', 's', 4],
  ['WATCH', 'k'],
  ['PUBLISH', 'a', 5],
  ['UNWATCH'],
  ['UNSUBSCRIBE'],
  ['PUBLISH', 'a', 6],
  ['PUNSUBSCRIBE'],
  ['SUNSUBSCRIBE'],
  ['PUBLISH', 'a', 7],
  ['PING', 'end'],
]
const END = '$3\r\nend\r\n'

/** In one packet, or each command when the one before it has gone out. */
async function said(client: RawClient, apart: boolean, commands = COMMANDS): Promise<string[]> {
  await client.ask('HELLO', 3)
  if (apart) for (const command of commands) await client.sendApart(encodeCommand(command))
  else client.send(Buffer.concat(commands.map((command) => encodeCommand(command))))
  const frames: string[] = []
  for (let frame = ''; frame !== END; frames.push(frame)) frame = await client.text()
  client.destroy()
  return frames
}

const LISTEN = [
  ['shared', {}, {}],
  ['dedicated', { listen: { connections: 'dedicated' } }, {}],
  ['subscribers that share a connection', {}, { clients: { subscriberConnections: 0 } }],
] as const

describe.each(LISTEN)('%s', (_name, listen, clients) => {
  let path: DataPathUnderTest
  beforeAll(async () => {
    path = await startDataPath({ stores: { only: store }, ...listen, ...clients })
  })
  afterAll(() => path.stop())

  test.each([true, false])('come where a server puts them (each command apart: %s)', async (apart) => {
    const expected = await said(await RawClient.open(direct.port), apart)
    expect(expected.filter((frame) => frame.includes('message\r\n'))).toHaveLength(11)
    for (let i = 0; i < 5; i++) {
      expect(await said(await path.raw(), apart)).toEqual(expected)
    }
  })

  test('come behind the reply since Redis 7.2, behind all of a script or a transaction', async () => {
    path.runtime.setFacts('only', 0, '7.2.4')
    const message = (text: string, channel = 'a') =>
      `>3\r\n$7\r\nmessage\r\n$1\r\n${channel}\r\n$${text.length}\r\n${text}\r\n`
    const commands: readonly Command[] = [
      ['SUBSCRIBE', 'a'],
      ['PUBLISH', 'a', 1],
      ['EVAL', SCRIPT, 1, 'a'],
      ['MULTI'],
      ['PUBLISH', 'a', 3],
      ['PING', 'x'],
      ['PUBLISH', 'a', 4],
      ['EXEC'],
      ['MULTI'],
      ['SUBSCRIBE', 'c'],
      ['PUBLISH', 'c', 5],
      ['EXEC'],
      ['PUBLISH', 'a', 6],
      ['PING', 'end'],
    ]
    for (const apart of [true, false, true, false, true, false]) {
      expect((await said(await path.raw(), apart, commands)).slice(1)).toEqual([
        ':1\r\n',
        message('1'),
        '$4\r\ndone\r\n',
        message('one'),
        message('two'),
        '+OK\r\n',
        '+QUEUED\r\n',
        '+QUEUED\r\n',
        '+QUEUED\r\n',
        '*3\r\n:1\r\n$1\r\nx\r\n:1\r\n',
        message('3'),
        message('4'),
        '+OK\r\n',
        '+QUEUED\r\n',
        '+QUEUED\r\n',
        '*2\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:2\r\n:1\r\n',
        message('5', 'c'),
        ':1\r\n',
        message('6'),
        END,
      ])
    }
    path.runtime.setFacts('only', 0, '7.0.15')
  })

  test('each that waits for the one before it comes in its turn, and nothing hangs', async () => {
    const message = (text: string) => `>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\n${text}\r\n`
    const skipping = [
      ['SUBSCRIBE', 'a'],
      ['CLIENT', 'REPLY', 'SKIP'],
      ['PUBLISH', 'a', 1],
      ['PUBLISH', 'a', 2],
      ['PING', 'end'],
    ]
    // More than a client may have owed at once.
    const echoes = Array.from({ length: 200 }, () => ['PING', 'x'])
    const large = [
      ['SUBSCRIBE', 'a'],
      ['MULTI'],
      ...echoes,
      ['PUBLISH', 'a', 1],
      ['EXEC'],
      ['PUBLISH', 'a', 2],
      ['PING', 'end'],
    ]
    const answer = `*201\r\n${'$1\r\nx\r\n'.repeat(200)}:1\r\n`
    expect((await said(await path.raw(), false, skipping)).slice(1)).toEqual([
      message('1'),
      message('2'),
      ':1\r\n',
      END,
    ])
    expect((await said(await path.raw(), false, large)).slice(-4)).toEqual([answer, message('2'), ':1\r\n', END])
    path.runtime.setFacts('only', 0, '7.2.4')
    expect((await said(await path.raw(), false, skipping)).slice(1)).toEqual([
      message('1'),
      ':1\r\n',
      message('2'),
      END,
    ])
    const behind = [answer, message('1'), ':1\r\n', message('2'), END]
    expect((await said(await path.raw(), false, large)).slice(-5)).toEqual(behind)
    path.runtime.setFacts('only', 0, '7.0.15')
  })

  test('of a client that subscribes in the transaction that makes it one of RESP3', async () => {
    const play = async (port: number): Promise<string[]> => {
      const client = await RawClient.open(port)
      for (const words of ['MULTI', 'HELLO 3', 'SUBSCRIBE a', 'EXEC']) await client.ask(...words.split(' '))
      for (const words of ['PUBLISH a m', 'PING', 'SUBSCRIBE b', 'PUBLISH b n', 'PING end'])
        client.command(...words.split(' '))
      const frames: string[] = []
      for (let frame = ''; frame !== END; frames.push(frame)) frame = await client.text()
      client.destroy()
      return frames
    }
    const expected = await play(direct.port)
    expect(await play(path.port)).toEqual(expected)
  })

  const tail = ['CLIENT SETNAME me', 'CLIENT GETNAME', 'MULTI', 'SET k 99', 'DISCARD', 'GET k', 'PING end']
  test.each([
    ['WATCH k', 'PUBLISH other x'],
    ['WATCH k', 'EVAL return{} 0'],
    ['CLIENT REPLY SKIP', 'PUBLISH other x', 'WATCH k'],
    ['CLIENT REPLY SKIP', 'EVAL return{} 0', 'WATCH k'],
    ['UNSUBSCRIBE b', 'WATCH k'],
    ['MULTI', 'SUBSCRIBE a', 'EXEC', 'WATCH k'],
    ['MULTI', 'UNSUBSCRIBE b', 'PUBLISH other x', 'EXEC', 'WATCH k'],
    ['MULTI', 'CLIENT REPLY SKIP', 'PUBLISH other x', 'EXEC', 'PING skipped', 'WATCH k'],
  ])('an EXEC is waited for, whatever answers come meanwhile: %s, %s', async (...before) => {
    const play = async (port: number): Promise<string[]> => {
      const client = await RawClient.open(port)
      for (const words of ['HELLO 3', 'SET k 1', 'SUBSCRIBE a', 'SUBSCRIBE b']) await client.ask(...words.split(' '))
      const all = [...before, 'MULTI', 'INCR k', 'EXEC', ...tail]
      client.send(Buffer.concat(all.map((words) => encodeCommand(words.split(' ')))))
      const frames: string[] = []
      for (let frame = ''; frame !== END; frames.push(frame)) frame = await client.text()
      client.destroy()
      return frames
    }
    const expected = await play(direct.port)
    expect(expected.at(-2)).toBe('$1\r\n2\r\n')
    for (let round = 0; round < 5; round++) expect(await play(path.port)).toEqual(expected)
    expect(path.runtime.stats().routes['all']!.inFlight).toBe(0)
  })

  test('a client that says no more, and one that goes, leave nothing behind', async () => {
    const client = await path.raw()
    await client.ask('HELLO', 3)
    await client.ask('SUBSCRIBE', 'a')
    client.command('PUBLISH', 'a', 1)
    await client.end()
    await client.closed
    const other = await path.raw()
    expect(await other.ask('PUBSUB', 'NUMSUB', 'a')).toMatch(/:[01]\r\n/)
  })
})
