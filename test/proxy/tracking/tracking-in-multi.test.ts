import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let store: RedisServer
let other: RedisServer
let path: DataPathUnderTest
let dedicated: DataPathUnderTest
let admin: RawClient

beforeAll(async () => {
  ;[store, other] = await Promise.all([startRedis(), startRedis()])
  path = await startDataPath({ stores: { only: store } })
  dedicated = await startDataPath({ stores: { only: store }, listen: { connections: 'dedicated' } })
  admin = await RawClient.open(store.port)
})
afterAll(async () => {
  admin.destroy()
  await Promise.all([path.stop(), dedicated.stop()])
  await Promise.all([store.stop(), other.stop()])
})
beforeEach(async () => {
  await admin.ask('FLUSHALL')
  await admin.ask('MSET', 'a', 1, 'b', 2, 'user:1', 3)
})

const PLAYED: readonly (readonly [string, readonly (readonly string[])[]])[] = [
  [
    'turned on, and what is read behind it remembered',
    [['MULTI'], ['CLIENT', 'TRACKING', 'ON'], ['GET', 'a'], ['EXEC']],
  ],
  [
    'turned on twice, off, and on again; what each says of itself meanwhile',
    [
      ['MULTI'],
      ['CLIENT', 'TRACKING', 'on', 'OPTIN'],
      ['CLIENT', 'CACHING', 'YES'],
      ['CLIENT', 'TRACKINGINFO'],
      ['CLIENT', 'GETREDIR'],
      ['CLIENT', 'TRACKING', 'OFF'],
      ['CLIENT', 'GETREDIR'],
      ['CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', 'user:'],
      ['CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', 'a'],
      ['CLIENT', 'TRACKING', 'ON', 'OPTOUT'],
      ['EXEC'],
      ['CLIENT', 'TRACKINGINFO'],
    ],
  ],
  [
    'in a protocol that is agreed on in it',
    [['MULTI'], ['HELLO', '3'], ['CLIENT', 'TRACKING', 'ON'], ['GET', 'a'], ['EXEC']],
  ],
  [
    'in another database',
    [['MULTI'], ['SELECT', '2'], ['CLIENT', 'TRACKING', 'ON'], ['EXEC'], ['SELECT', '0'], ['GET', 'a']],
  ],
  [
    'with a wrong option',
    [
      ['MULTI'],
      ['CLIENT', 'TRACKING', 'ON', 'NONSENSE'],
      ['CLIENT', 'TRACKING', 'ON', 'REDIRECT', '99999'],
      ['EXEC'],
      ['CLIENT', 'GETREDIR'],
    ],
  ],
  [
    'given up with the transaction',
    [['MULTI'], ['CLIENT', 'TRACKING', 'ON'], ['DISCARD'], ['CLIENT', 'GETREDIR'], ['GET', 'a']],
  ],
  ['between WATCH and MULTI', [['WATCH', 'a'], ['CLIENT', 'TRACKING', 'ON'], ['MULTI'], ['GET', 'a'], ['EXEC']]],
  [
    'turned off',
    [
      ['CLIENT', 'TRACKING', 'ON'],
      ['GET', 'a'],
      ['MULTI'],
      ['CLIENT', 'TRACKING', 'OFF'],
      ['GET', 'b'],
      ['EXEC'],
      ['CLIENT', 'TRACKINGINFO'],
    ],
  ],
]

test.each(PLAYED)('%s: every answer and every push is the server’s', async (_, commands) => {
  const played: string[][] = []
  for (const client of [await RawClient.open(store.port), await path.raw(), await dedicated.raw()]) {
    const said = [(await client.ask('HELLO', 3)).slice(0, 3)]
    // The greeting of a HELLO inside has an id of its own.
    for (const command of commands) said.push((await client.ask(...command)).replace(/\$2\r\nid\r\n:\d+/, ''))
    await admin.ask('MSET', 'a', 'x', 'b', 'x', 'user:1', 'x')
    client.command('PING', 'end')
    for (let frame = ''; frame !== '$3\r\nend\r\n'; said.push(frame)) frame = await client.text()
    played.push(said)
    client.destroy()
    await admin.ask('MSET', 'a', 1, 'b', 2, 'user:1', 3)
  }
  expect(played[1]).toEqual(played[0])
  expect(played[2]).toEqual(played[0])
})

test('with REDIRECT the client that was named is told, and is named again when asked for', async () => {
  const [listener, reader] = [await path.raw(), await path.raw()]
  await listener.ask('HELLO', 3)
  const id = (await listener.ask('CLIENT', 'ID')).slice(1).trim()
  reader.command('MULTI')
  reader.command('CLIENT', 'TRACKING', 'ON', 'REDIRECT', id)
  reader.command('CLIENT', 'GETREDIR')
  reader.command('GET', 'a')
  reader.command('CLIENT', 'TRACKINGINFO')
  reader.command('EXEC')
  const said = (await reader.take(6)).at(-1)!
  expect(said).toContain(`*4\r\n+OK\r\n:${id}\r\n$1\r\n1\r\n`)
  expect(said).toContain(`redirect\r\n:${id}\r\n`)
  await admin.ask('SET', 'a', 'x')
  expect(await listener.text()).toBe('>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n')
  // A transaction that comes to nothing leaves no connection behind.
  for (let i = 0; i < 10; i++) {
    const second = await path.raw()
    for (const command of [['MULTI'], ['CLIENT', 'TRACKING', 'ON', 'REDIRECT', id], ['DISCARD']])
      await second.ask(...command)
    const third = await path.raw()
    for (const command of [['MULTI'], ['CLIENT', 'TRACKING', 'ON', 'REDIRECT', id]]) await third.ask(...command)
    third.destroy()
  }
  // Of the forty that these had, there are those left that the pool keeps for the next.
  await eventually(async () => expect(await connections()).toBeLessThan(16))
})

test('what the client reads at other primaries is tracked, too, and not any more when it is turned off', async () => {
  const two = await startDataPath({
    stores: { one: store, two: other },
    routes: [
      { name: 'two', keys: ['two:*'], source: 'two' },
      { name: 'rest', source: 'one' },
    ],
  })
  const [reader, writer] = [await two.raw(), await two.raw()]
  await reader.ask('HELLO', 3)
  for (const command of [['MULTI'], ['CLIENT', 'TRACKING', 'ON'], ['EXEC'], ['GET', 'two:a'], ['GET', 'a']])
    await reader.ask(...command)
  await writer.ask('SET', 'two:a', 'x')
  expect(await reader.text()).toContain('two:a')
  await writer.ask('SET', 'a', 'x')
  expect(await reader.text()).toContain('$1\r\na\r\n')
  for (const command of [['GET', 'two:a'], ['MULTI'], ['CLIENT', 'TRACKING', 'OFF'], ['EXEC']])
    await reader.ask(...command)
  await writer.ask('SET', 'two:a', 'y')
  expect(await reader.ask('GET', 'two:a')).toBe('$1\r\ny\r\n')
  await two.stop()
})

async function connections(): Promise<number> {
  const list = await admin.ask('CLIENT', 'LIST')
  return list.split('\n').filter((line) => line.includes(' name=understudy ')).length
}

test.each([
  ['turned on', ['CLIENT', 'TRACKING', 'ON', 'BCAST']],
  ['turned off', ['CLIENT', 'TRACKING', 'OFF']],
])('with a word too few it is refused, and the transaction, right behind one that is %s', async (_, before) => {
  const commands = [
    ['MULTI'],
    before,
    ['UNWATCH'],
    ['CLIENT', 'TRACKING'],
    ['SET', 'a', 'lost'],
    ['EXEC'],
    ['GET', 'a'],
  ]
  const said: string[][] = []
  for (const client of [await RawClient.open(store.port), await path.raw(), await dedicated.raw()]) {
    client.send(Buffer.concat(commands.map((words) => encodeCommand(words))))
    said.push(await client.take(commands.length))
    client.destroy()
  }
  expect(said[0]!.slice(3)).toEqual([
    expect.stringContaining('wrong number of arguments'),
    '+QUEUED\r\n',
    expect.stringContaining('EXECABORT'),
    '$1\r\n1\r\n',
  ])
  expect(said[1]).toEqual(said[0])
  expect(said[2]).toEqual(said[0])
})
