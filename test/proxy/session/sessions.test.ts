import { createClient } from 'redis'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let store: RedisServer
let path: DataPathUnderTest
let admin: RawClient

beforeAll(async () => {
  store = await startRedis()
  path = await startDataPath({ stores: { only: store } })
  admin = await RawClient.open(store.port)
})
afterAll(async () => {
  admin.destroy()
  await path.stop()
  await store.stop()
})
beforeEach(async () => {
  await admin.ask('FLUSHALL')
})

const packet = (...commands: (string | number)[][]) => Buffer.concat(commands.map((command) => encodeCommand(command)))

describe('SELECT', () => {
  test('holds for what comes behind it in the same packet, for the first client of a database and for others', async () => {
    for (let round = 0; round < 3; round++) {
      const client = await path.raw()
      client.send(
        packet(
          ['SET', 'k', 0],
          ['SELECT', 7],
          ['SET', 'k', 7],
          ['SELECT', 0],
          ['GET', 'k'],
          ['SELECT', 7],
          ['GET', 'k'],
        ),
      )
      expect(await client.take(7)).toEqual([
        '+OK\r\n',
        '+OK\r\n',
        '+OK\r\n',
        '+OK\r\n',
        '$1\r\n0\r\n',
        '+OK\r\n',
        '$1\r\n7\r\n',
      ])
    }
  })

  test('of a database that there is not leaves the client where it is', async () => {
    const client = await path.raw()
    await client.ask('SET', 'k', 'here')
    for (let round = 0; round < 3; round++) {
      client.send(packet(['SELECT', 16], ['GET', 'k'], ['SELECT', 999_999], ['SELECT', 1_000_001], ['GET', 'k']))
      const refused = '-ERR DB index is out of range\r\n'
      expect(await client.take(5)).toEqual([refused, '$4\r\nhere\r\n', refused, refused, '$4\r\nhere\r\n'])
    }
  })

  test('sees what the commands before it did to that database', async () => {
    for (let round = 0; round < 30; round++) {
      const client = await path.raw()
      client.send(
        packet(
          ['SET', 'k', 'v'],
          ['MOVE', 'k', 1],
          ['SELECT', 1],
          ['GET', 'k'],
          ['FLUSHALL'],
          ['SELECT', 0],
          ['DBSIZE'],
        ),
      )
      expect((await client.take(7)).slice(3)).toEqual(['$1\r\nv\r\n', '+OK\r\n', '+OK\r\n', ':0\r\n'])
      client.destroy()
    }
  })

  test('keeps clients of different databases apart', async () => {
    const clients = await Promise.all(
      Array.from({ length: 16 }, async (_, database) => {
        const client = await path.raw()
        await client.ask('SELECT', database)
        return client
      }),
    )
    await Promise.all(clients.map((client, database) => client.ask('SET', 'k', database)))
    for (const [database, client] of clients.entries()) {
      expect(await client.ask('GET', 'k')).toBe(`$${`${database}`.length}\r\n${database}\r\n`)
    }
  })

  test('0 is the database of the store’s URL', async () => {
    const own = await startDataPath({ stores: { only: { port: store.port, database: 3 } } })
    const client = await own.raw()
    await client.ask('SET', 'k', 'three')
    await admin.ask('SELECT', 3)
    expect(await admin.ask('GET', 'k')).toBe('$5\r\nthree\r\n')
    await admin.ask('SELECT', 0)
    client.send(packet(['SELECT', 1], ['GET', 'k'], ['SELECT', 0], ['GET', 'k']))
    expect((await client.take(4))[3]).toBe('$5\r\nthree\r\n')
    await own.stop()
  })
})

describe('HELLO', () => {
  test('changes the protocol for what comes behind it, not for what is under way', async () => {
    for (let round = 0; round < 30; round++) {
      const client = await path.raw()
      client.send(
        packet(
          ['HSET', 'h', 'f', round],
          ['HGETALL', 'h'],
          ['HELLO', 3],
          ['HGETALL', 'h'],
          ['HELLO', 2],
          ['HGETALL', 'h'],
        ),
      )
      const [, before, , between, , behind] = await client.take(6)
      expect([before![0], between![0], behind![0]]).toEqual(['*', '%', '*'])
      expect(between).toContain(`\r\n${round}\r\n`)
      client.destroy()
    }
  })

  test('says what the server would say', async () => {
    // As the health probe finds out.
    path.runtime.setFacts('only', 0, '7.0.15')
    const hello = async (client: RawClient) => (await client.ask('HELLO', 3)).replace(/(id\r\n):\d+/, '$1:N')
    expect(await hello(await path.raw())).toBe(await hello(await RawClient.open(store.port)))
  })

  test('names the client', async () => {
    const client = await path.raw()
    client.send(packet(['HELLO', 3, 'SETNAME', 'me'], ['CLIENT', 'GETNAME'], ['HELLO', 3, 'SETNAME', 'not me']))
    const [, name, refused] = await client.take(3)
    expect(name).toBe('$2\r\nme\r\n')
    expect(refused).toMatch(/^-ERR/)
  })
})

describe('AUTH and HELLO AUTH', () => {
  test.each([
    {
      username: null,
      args: ['--requirepass', 'the password'],
      right: ['the password'],
      hello: ['default', 'the password'],
    },
    {
      username: 'app',
      args: ['--user', 'app', 'on', '>the-password', '~*', '&*', '+@all'],
      right: ['app', 'the-password'],
      hello: ['app', 'the-password'],
    },
  ])('take the credentials that the store is configured with ($username)', async ({ username, args, right, hello }) => {
    const password = right.at(-1)!
    const locked = await startRedis({ args, ...(username === null ? { password } : {}) })
    const own = await startDataPath({ stores: { only: { port: locked.port, password, username } } })
    try {
      const client = await own.raw()
      expect(await client.ask('AUTH', ...right)).toBe('+OK\r\n')
      expect(await client.ask('SET', 'k', 'v')).toBe('+OK\r\n')
      const direct = await RawClient.open(locked.port)
      expect(await client.ask('AUTH', 'wrong')).toBe(await direct.ask('AUTH', 'wrong'))
      direct.destroy()
      expect(await client.ask('AUTH', hello[0]!, 'wrong')).toMatch(/^-WRONGPASS/)
      expect(await client.ask('HELLO', 3, 'AUTH', hello[0]!, 'wrong')).toMatch(/^-WRONGPASS/)
      expect(await client.ask('HELLO', 3, 'AUTH', ...hello)).toMatch(/^%7/)
      expect(await client.ask('GET', 'k')).toBe('$1\r\nv\r\n')
      // Dedicated connections log in, too.
      expect(await client.ask('BLPOP', 'none', '0.01')).toBe('_\r\n')
      expect(JSON.stringify(own.notices)).not.toContain(password)
    } finally {
      await own.stop()
      await locked.stop()
    }
  })

  test('wrong credentials in the configuration: clients are told that the store refuses, not what was tried', async () => {
    const locked = await startRedis({ args: ['--requirepass', 'right'], password: 'right' })
    const own = await startDataPath({ stores: { only: { port: locked.port, password: 'wr0ng' } } })
    try {
      const client = await own.raw()
      const reply = await client.ask('GET', 'k')
      expect(reply).toMatch(/^-ERR Understudy: store 'only' is down .*was not executed/)
      expect(reply + JSON.stringify(own.notices)).not.toContain('wr0ng')
    } finally {
      await own.stop()
      await locked.stop()
    }
  })
})

describe('CLIENT', () => {
  test('ID, INFO and LIST are about the clients of the proxy', async () => {
    const [one, other] = [await path.raw(), await path.raw()]
    await one.ask('CLIENT', 'SETNAME', 'one')
    const id = Number((await one.ask('CLIENT', 'ID')).slice(1))
    const otherId = Number((await other.ask('CLIENT', 'ID')).slice(1))
    expect(otherId).toBeGreaterThan(id)
    expect(await one.ask('CLIENT', 'INFO')).toMatch(
      new RegExp(`id=${id} addr=127.0.0.1:${one.socket.localPort} .* name=one .* flags=N db=0 `),
    )
    await other.ask('SELECT', 2)
    await other.ask('MULTI')
    const list = await one.ask('CLIENT', 'LIST', 'ID', id, otherId)
    expect(list.match(/^id=\d+/gm)).toEqual([`id=${id}`, `id=${otherId}`])
    expect(list).toMatch(new RegExp(`id=${otherId} .* flags=x db=2 `))
    expect(list).not.toContain('name=understudy')
  })

  test('LIST tells of transactions, subscriptions and what was sent last', async () => {
    const [one, multi, subscriber] = [await path.raw(), await path.raw(), await path.raw()]
    for (const command of [['MULTI'], ['SET', 'k', 'v'], ['INCR', 'n']]) await multi.ask(...command)
    subscriber.send(packet(['SUBSCRIBE', 'a', 'b'], ['PSUBSCRIBE', 'p*']))
    await subscriber.take(3)
    const list = await one.ask('CLIENT', 'LIST')
    expect(list).toMatch(/flags=x db=0 sub=0 psub=0 ssub=0 multi=2 .* cmd=incr /)
    expect(list).toMatch(/flags=P db=0 sub=2 psub=1 ssub=0 multi=-1 .* cmd=psubscribe /)
    expect(await one.ask('CLIENT', 'LIST', 'TYPE', 'pubsub')).toMatch(/flags=P .*\n/)
    expect(list).toMatch(/flags=N .* qbuf=26 .* cmd=client\|list user=default redir=-1 resp=2/)
  })

  test('KILL ends another client, or itself after the answer', async () => {
    const [one, other, third] = [await path.raw(), await path.raw(), await path.raw()]
    const id = (await other.ask('CLIENT', 'ID')).slice(1).trim()
    expect(await one.ask('CLIENT', 'KILL', 'ID', id)).toBe(':1\r\n')
    await other.closed
    expect(await one.ask('CLIENT', 'KILL', `127.0.0.1:${third.socket.localPort}`)).toBe('+OK\r\n')
    await third.closed
    const self = (await one.ask('CLIENT', 'ID')).slice(1).trim()
    expect(await one.ask('CLIENT', 'KILL', 'ID', self)).toBe(':0\r\n')
    expect(await one.ask('CLIENT', 'KILL', 'ID', self, 'SKIPME', 'no')).toBe(':1\r\n')
    await one.closed
  })

  test('REPLY OFF, SKIP and ON leave out exactly what they say', async () => {
    const client = await path.raw()
    client.send(
      packet(
        ['ECHO', 'a'],
        ['CLIENT', 'REPLY', 'SKIP'],
        ['ECHO', 'skipped'],
        ['ECHO', 'b'],
        ['CLIENT', 'REPLY', 'OFF'],
        ['ECHO', 'off'],
        ['SET', 'k', 'v'],
        ['NOSUCH'],
        ['MULTI'],
        ['INCR', 'n'],
        ['EXEC'],
        ['BLPOP', 'none', '0.01'],
        ['CLIENT', 'REPLY', 'SKIP'],
        ['CLIENT', 'REPLY', 'ON'],
        ['MGET', 'k', 'n'],
      ),
    )
    expect(await client.take(4)).toEqual(['$1\r\na\r\n', '$1\r\nb\r\n', '+OK\r\n', '*2\r\n$1\r\nv\r\n$1\r\n1\r\n'])
  })

  test.each(['\r\n', '*0\r\n', '*-5\r\n'])('REPLY SKIP is used up by what is no command: %j', async (nothing) => {
    const play = async (client: RawClient) => {
      client.send(
        `${nothing}CLIENT REPLY SKIP\r\n${nothing}ECHO a\r\n${nothing}CLIENT REPLY SKIP\r\nGET k\r\n${nothing}ECHO b\r\n`,
      )
      return client.take(2)
    }
    for (const client of [await path.raw(), admin]) expect(await play(client)).toEqual(['$1\r\na\r\n', '$1\r\nb\r\n'])
  })
})

test('QUIT is answered behind everything else, and then the connection ends', async () => {
  const client = await path.raw()
  client.send(packet(['SET', 'k', 'v'], ['GET', 'k'], ['QUIT'], ['SET', 'k', 'never']))
  expect(await client.take(3)).toEqual(['+OK\r\n', '$1\r\nv\r\n', '+OK\r\n'])
  await client.closed
  expect(client.unread).toBe(0)
  expect(await admin.ask('GET', 'k')).toBe('$1\r\nv\r\n')
})

test('RESET brings a client back to the beginning', async () => {
  const client = await path.raw()
  client.send(
    packet(
      ['HELLO', 3],
      ['SELECT', 4],
      ['CLIENT', 'SETNAME', 'x'],
      ['SET', 'k', 'four'],
      ['MULTI'],
      ['SET', 'k', 'no'],
      ['RESET'],
    ),
  )
  expect((await client.take(7))[6]).toBe('+RESET\r\n')
  client.send(packet(['GET', 'k'], ['CLIENT', 'GETNAME'], ['EXEC'], ['SELECT', 4], ['GET', 'k']))
  expect(await client.take(5)).toEqual([
    '$-1\r\n',
    '$-1\r\n',
    '-ERR EXEC without MULTI\r\n',
    '+OK\r\n',
    '$4\r\nfour\r\n',
  ])
})

test.each([2, 3] as const)('node-redis connects, names itself and works over RESP%i', async (RESP) => {
  const client = createClient({ url: `redis://127.0.0.1:${path.port}/2`, RESP, name: 'app', clientInfoTag: 'tag' })
  await client.connect()
  try {
    await client.hSet('h', { a: '1', b: '2' })
    expect({ ...(await client.hGetAll('h')) }).toEqual({ a: '1', b: '2' })
    expect(await client.multi().set('k', '1').incr('k').exec()).toEqual(['OK', 2])
    expect(await client.clientGetName()).toBe('app')
    expect(await client.sendCommand(['CLIENT', 'INFO'])).toMatch(/ name=app .* cmd=client\|info user=default redir=-1/)
  } finally {
    client.destroy()
  }
})

test('ioredis connects, names itself, checks the server and pipelines', async () => {
  const client = path.client({ db: 3, connectionName: 'app', enableReadyCheck: true })
  expect(await client.set('k', 'v')).toBe('OK')
  const results = await client.pipeline().get('k').incr('k').hgetall('none').exec()
  expect(results!.map(([error, value]) => error?.message ?? value)).toEqual([
    'v',
    'ERR value is not an integer or out of range',
    {},
  ])
  expect(await client.client('GETNAME')).toBe('app')
})
