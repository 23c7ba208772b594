import type { Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeStore } from '../../support/fake-store.ts'
import type { RawClient } from '../../support/raw-client.ts'

/** Before a store that says of itself that it is Valkey 9: what Understudy answers itself is Valkey's, too. */
let store: FakeStore
let path: DataPathUnderTest

const bulk = (text: string) => `$${text.length}\r\n${text}\r\n`
const INFO = '# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n'
const LUA = `*1\r\n*4\r\n${bulk('name')}${bulk('lua')}${bulk('ver')}:1\r\n`
const hello = (id: number): string =>
  `*14\r\n${bulk('server')}${bulk('valkey')}${bulk('version')}${bulk('9.1.2')}${bulk('proto')}:2\r\n${bulk('id')}:${id}\r\n` +
  `${bulk('mode')}${bulk('standalone')}${bulk('role')}${bulk('master')}${bulk('modules')}${LUA}`
const leaf = (name: string): string => `*10\r\n${bulk(name)}:-2\r\n*0\r\n:0\r\n:0\r\n:0\r\n*0\r\n*0\r\n*0\r\n*0\r\n`
/** As the greetings and questions of Understudy need it, so that the table of commands has what only Valkey has. */
const SUBCOMMANDS = [
  'client|capa',
  'client|import-source',
  'client|list',
  'client|reply',
  'client|kill',
  'client|info',
  'client|id',
  'client|setname',
  'client|setinfo',
].map(leaf)
const container = (name: string, subcommands: readonly string[]): string =>
  `*10\r\n${bulk(name)}:-2\r\n*0\r\n:0\r\n:0\r\n:0\r\n*0\r\n*0\r\n*0\r\n*${subcommands.length}\r\n${subcommands.join('')}`
const COMMANDS = `*2\r\n${container('client', SUBCOMMANDS)}${container('commandlog', [leaf('commandlog|get')])}`

let zone = ''
let calledRedis = false
/** What a transaction of one command is answered. */
let executed = '*1\r\n*-1\r\n'
const inZone = (frame: string): string =>
  `${frame.replace('*14\r\n', '*16\r\n')}${bulk('availability_zone')}${bulk(zone)}`
/** A list of names and values as RESP3 has it. */
const map = (frame: string): string => frame.replace('*14\r\n', '%7\r\n')
const socketsOfThree = new Set<Socket>()
const inMulti = new Set<Socket>()
/** What was asked of COMMANDLOG. */
const log: string[] = []
const logged = (word: string, name: string): string =>
  `*6\r\n:1\r\n:2\r\n:3\r\n*1\r\n${bulk(word)}${bulk('127.0.0.1:1')}${bulk(name)}`

beforeAll(async () => {
  store = await FakeStore.start(([name, word, option, value, filter, user], socket) => {
    if (name === 'INFO') return bulk(INFO)
    // It is asked which users there are.
    if (name === 'CLIENT' && filter === 'USER') return `-ERR No such user '${user}'\r\n`
    if (name === 'CONFIG' && option === 'availability-zone') zone = value!
    if (name === 'CONFIG' && option === 'extended-redis-compatibility') calledRedis = value === 'yes'
    // As over RESP3, which asks in its way.
    if (name === 'HELLO' && word === '3') socketsOfThree.add(socket)
    if (name === 'HELLO' && word === undefined && socketsOfThree.has(socket)) return map(hello(4711))
    if (name === 'HELLO' && calledRedis) return hello(4711).replace(bulk('valkey'), bulk('redis'))
    if (name === 'HELLO') return zone === '' ? hello(4711) : inZone(hello(4711))
    if (name === 'COMMANDLOG') {
      log.push([word, option, value].join(' '))
      return `*2\r\n${logged('TIME', 'understudy-health')}${logged('ECHO', 'understudy')}`
    }
    if (name === 'MULTI') inMulti.add(socket)
    if (name === 'BLPOP') return inMulti.has(socket) ? '+QUEUED\r\n' : null
    if (name === 'EXEC') {
      inMulti.delete(socket)
      return executed
    }
    if (name === 'COMMAND') return COMMANDS
    if (name === 'CLIENT' && option === 'ASKED') return '+QUEUED\r\n'
    if (name === 'CLIENT' && word === 'IMPORT-SOURCE') return '-ERR Server is not in import mode\r\n'
    return '+OK\r\n'
  }, false)
  path = await startDataPath({ stores: { only: { port: store.port } } })
  const client = await path.raw()
  await eventually(async () => expect(await client.ask('HELLO')).toContain('valkey'))
  await eventually(async () => expect(await client.ask('CLIENT', 'CAPA', 'x')).toBe('+OK\r\n'))
  client.destroy()
})
afterAll(async () => {
  await path.stop()
  await store.stop()
})

async function idOf(client: RawClient): Promise<number> {
  return Number((await client.ask('CLIENT', 'ID')).slice(1))
}

test('HELLO tells what the server tells, but for the client’s id and protocol; modules are maps over RESP3', async () => {
  const client = await path.raw()
  expect(await client.ask('HELLO')).toBe(hello(await idOf(client)))
  expect(await client.ask('HELLO', 3)).toContain(`${bulk('modules')}*1\r\n%2\r\n${bulk('name')}${bulk('lua')}`)
})

test('HELLO tells the same after a client of RESP3 has come', async () => {
  const three = await path.raw()
  await three.ask('HELLO', 3)
  // The second is answered behind whatever its connection to the store asks first.
  for (let i = 0; i < 2; i++) await three.ask('GET', 'k')
  const client = await path.raw()
  expect(await client.ask('HELLO')).toBe(hello(await idOf(client)))
})

test('CLIENT SETINFO quotes what it is given as it was sent', async () => {
  const client = await path.raw()
  expect(await client.ask('CLIENT', 'SETINFO', 'LIB-NAME', 'a b')).toMatch(/^-ERR LIB-NAME cannot contain spaces/)
  expect(await client.ask('CLIENT', 'SETINFO', 'lib-Ver', 'a b')).toMatch(/^-ERR lib-Ver cannot contain spaces/)
  expect(await client.ask('CLIENT', 'SETINFO', 'Other', 'a')).toBe("-ERR Unrecognized option 'Other'\r\n")
})

test('CLIENT LIST has Valkey’s fields, with what the client has sent and got', async () => {
  const client = await path.raw()
  await client.ask('CLIENT', 'CAPA', 'redirect')
  const line = await client.ask('CLIENT', 'INFO')
  expect([...line.matchAll(/([a-z-]+)=/g)].map(([, name]) => name).join(' ')).toBe(
    'id addr laddr fd name age idle flags capa db sub psub ssub multi watch qbuf qbuf-free argv-mem multi-mem rbs rbp obl oll omem tot-mem events cmd user redir resp lib-name lib-ver tot-net-in tot-net-out tot-cmds',
  )
  expect(line).toContain(' capa=r ')
  expect(line).toContain(' qbuf=0 qbuf-free=0 ')
  expect(line).toMatch(/tot-net-in=[1-9]\d* tot-net-out=[1-9]\d* tot-cmds=[1-9]/)
})

// What Valkey 9.1.2 says to it.
const WORDS: readonly (readonly [string, string])[] = [
  ['LIST NAME x', '$0\r\n\r\n'],
  ['LIST ID 99998 99999 SKIPME YES', '$0\r\n\r\n'],
  ['LIST ID x', '-ERR syntax error\r\n'],
  ['LIST ID -1', '-ERR client-id should be greater than 0\r\n'],
  ['LIST NOT-ID 5 ID 0', '-ERR client-id should be greater than 0\r\n'],
  ['LIST USER nobody', "-ERR No such user 'nobody'\r\n"],
  ['LIST TYPE PRIMARY', '$0\r\n\r\n'],
  ['LIST MAXAGE 0', '-ERR maxage should be greater than 0\r\n'],
  ['LIST IDLE x', '-ERR idle is not an integer or out of range\r\n'],
  ['LIST DB x', '-ERR DB is not an integer or out of range\r\n'],
  ['LIST NOT-DB x', '-ERR NOT-DB is not an integer or out of range\r\n'],
  ['LIST CAPA z', '-ERR Unknown capa found in the provided filter: z\r\n'],
  ['LIST FLAGS q', '-ERR Unknown flags found in the provided filter: q\r\n'],
  ['LIST NOT-FLAGS q', '-ERR Unknown flags found in the NOT-FLAGS filter: q\r\n'],
  ['LIST IP 127.0.0.2', '$0\r\n\r\n'],
  ['LIST NAME', '-ERR syntax error\r\n'],
  ['KILL NAME nobody', ':0\r\n'],
  ['KILL ID 99998 99999', ':0\r\n'],
  ['KILL IDLE 1000 LIB-NAME x LIB-VER y', ':0\r\n'],
  ['KILL NOT-TYPE NORMAL NOT-ADDR 127.0.0.1:1', ':0\r\n'],
  ['IMPORT-SOURCE ON', '-ERR Server is not in import mode\r\n'],
]

test.each(WORDS)('CLIENT %s is answered as by Valkey', async (words, expected) => {
  const client = await path.raw()
  expect(await client.ask('CLIENT', ...words.split(' '))).toBe(expected)
})

test('CLIENT LIST and KILL choose by name, database, address and what they are not', async () => {
  const [one, two] = [await path.raw(), await path.raw()]
  const ids = [await idOf(one), await idOf(two)]
  const listed = async (...words: (string | number)[]): Promise<number[]> =>
    [...(await one.ask('CLIENT', 'LIST', ...words)).matchAll(/(?<!\S)id=(\d+)/g)].map(([, id]) => Number(id))
  await one.ask('CLIENT', 'SETNAME', 'one')
  expect(await listed('NAME', 'one')).toEqual([ids[0]])
  expect(await listed('ID', ...ids, 'NOT-NAME', 'one')).toEqual([ids[1]])
  expect(await listed('ID', ...ids, 'SKIPME', 'yes')).toEqual([ids[1]])
  expect(await listed('ID', ...ids, 'DB', 0, 'IP', '127.0.0.1', 'NOT-FLAGS', 'P')).toEqual(ids)
  expect(await listed('ID', ...ids, 'NOT-ID', ids[0]!)).toEqual([ids[1]])
  expect(await listed('ID', ids[0]!, 'NAME', 'nobody', 'ID', ids[1]!, 'NAME', 'one')).toEqual([ids[0]])
  expect(await one.ask('CLIENT', 'KILL', 'ID', ...ids, 'NOT-FLAGS', 'N', 'NOT-FLAGS', 'r')).toBe(':1\r\n')
  await two.closed
})

test('MULTI, WATCH and CLIENT REPLY inside MULTI end the transaction', async () => {
  const client = await path.raw()
  for (const inside of [['MULTI'], ['WATCH', 'a'], ['CLIENT', 'REPLY', 'OFF']]) {
    await client.ask('MULTI')
    expect(await client.ask(...inside)).toBe(
      `-ERR Command '${inside.slice(0, 2).join('|').toLowerCase().replace('|a', '')}' not allowed inside a transaction\r\n`,
    )
    expect(await client.ask('EXEC')).toBe('-EXECABORT Transaction discarded because of previous errors.\r\n')
  }
})

test('READONLY is noted of any client, as a flag, until READWRITE or RESET', async () => {
  const client = await path.raw()
  for (const ends of ['READWRITE', 'RESET']) {
    expect(await client.ask('READONLY')).toBe('+OK\r\n')
    expect(await client.ask('CLIENT', 'INFO')).toContain(' flags=r ')
    expect(await client.ask(ends)).toMatch(/^\+(OK|RESET)/)
    expect(await client.ask('CLIENT', 'INFO')).toContain(' flags=N ')
  }
  expect(await client.ask('ASKING')).toBe('-ERR This instance has cluster support disabled\r\n')
})

test('a word of an inline command goes on behind its quotes', async () => {
  const client = await path.raw()
  client.send('CLIENT SETNAME "a"b\'c\'"d"\r\n')
  expect(await client.text()).toBe('+OK\r\n')
  expect(await client.ask('CLIENT', 'INFO')).toContain(' name=abcd ')
  client.send('PING "a"b"\r\n')
  expect(await client.text()).toBe('-ERR Protocol error: unbalanced quotes in request\r\n')
})

test('HELLO tells of another availability zone, and whether the server calls itself Redis, as soon as CONFIG SET is answered', async () => {
  const client = await path.raw()
  expect(await client.ask('CONFIG', 'SET', 'availability-zone', 'here')).toBe('+OK\r\n')
  expect(await client.ask('HELLO')).toContain(`${bulk('availability_zone')}${bulk('here')}`)
  await client.ask('CONFIG', 'SET', 'availability-zone', '')
  expect(await client.ask('HELLO')).not.toContain('availability_zone')
  for (const [word, name] of [
    ['yes', 'redis'],
    ['no', 'valkey'],
  ]) {
    await client.ask('CONFIG', 'SET', 'extended-redis-compatibility', word!)
    expect(await client.ask('HELLO')).toContain(bulk('server') + bulk(name!))
  }
})

test('a blocked command is not counted yet', async () => {
  const [blocked, other] = [await path.raw(), await path.raw()]
  const id = await idOf(blocked)
  const counted = async (): Promise<string | undefined> =>
    / tot-cmds=(\d+)/.exec(await other.ask('CLIENT', 'LIST', 'ID', id))?.[1]
  expect(await counted()).toBe('1')
  blocked.command('BLPOP', 'nothing', 0)
  await eventually(async () => expect(await other.ask('CLIENT', 'LIST', 'ID', id)).toContain(' flags=b '))
  expect(await counted()).toBe('1')
})

test('COMMANDLOG GET leaves out how Understudy looks after the store', async () => {
  const client = await path.raw()
  expect(await client.ask('COMMANDLOG', 'GET', 5, 'slow')).toBe(`*1\r\n${logged('ECHO', 'understudy')}`)
  expect(log).toEqual(['GET 74 slow'])
  log.length = 0
})

test.each([
  ['ON', '-ERR Server is not in import mode\r\n', '-ERR Server is not in import mode\r\n'],
  ['x', '-ERR Server is not in import mode\r\n', '-ERR Server is not in import mode\r\n'],
  ['x', '-ERR syntax error\r\n', '-ERR syntax error\r\n'],
  ['ON', '-ERR syntax error\r\n', '+OK\r\n'],
  ['OFF', '+PONG\r\n', '+OK\r\n'],
])(
  'CLIENT IMPORT-SOURCE %s in MULTI, where the store says %j to what stands in its place',
  async (word, said, answer) => {
    const client = await path.raw()
    await client.ask('MULTI')
    await client.ask('CLIENT', 'IMPORT-SOURCE', word)
    executed = `*1\r\n${said}`
    expect(await client.ask('EXEC')).toBe(`*1\r\n${answer}`)
    executed = '*1\r\n*-1\r\n'
  },
)
