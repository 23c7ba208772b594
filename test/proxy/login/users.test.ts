import { createHash } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

const WRONGPASS = '-WRONGPASS invalid username-password pair or user is disabled.\r\n'

let redis: RedisServer
let locked: RedisServer
let shadow: RedisServer
let path: DataPathUnderTest

beforeAll(async () => {
  redis = await startRedis()
  shadow = await startRedis()
  locked = await startRedis({ args: ['--requirepass', 'root'], password: 'root' })
  for (const server of [redis, locked]) {
    const admin = server.client()
    await admin.call(
      'ACL',
      'SETUSER',
      'reader',
      'on',
      '>r',
      '~*',
      '+@read',
      '+ping',
      '+acl|whoami',
      '+select',
      '+multi',
      '+exec',
    )
    await admin.call('ACL', 'SETUSER', 'writer', 'on', '>w', '~w:*', '&w:*', '+@all')
  }
})

afterAll(async () => {
  await Promise.all([redis, locked, shadow].map((server) => server?.stop()))
})

afterEach(async () => {
  await path?.stop()
})

describe('clients.users', () => {
  const users = { default: [hash('secret')], app: [hash('old'), hash('new')] }

  test('serves nobody who has not logged in, in the words of Redis', async () => {
    path = await startDataPath({ stores: { redis }, clients: { auth: 'users', users } })
    const strict = await startRedis({ args: ['--requirepass', 'secret'], password: 'secret' })
    const [raw, direct] = [await path.raw(), await RawClient.open(strict.port)]
    const commands = [
      ['PING'],
      ['GET', 'k'],
      ['GET'],
      ['MULTI'],
      ['EXEC'],
      ['SUBSCRIBE', 'c'],
      ['BLPOP', 'k', '0'],
      ['CLIENT', 'ID'],
      ['ACL', 'WHOAMI'],
      ['SELECT', '1'],
      ['HELLO'],
      ['HELLO', '3'],
      ['HELLO', '4'],
      ['AUTH'],
      ['AUTH', 'wrong'],
      ['AUTH', 'default', 'wrong'],
      ['AUTH', 'nobody', 'secret'],
      ['AUTH', 'a', 'b', 'c'],
      ['HELLO', '3', 'AUTH', 'default', 'wrong'],
      ['HELLO', '3', 'AUTH', 'default'],
      ['RESET'],
      ['AUTH', 'secret'],
      ['ACL', 'WHOAMI'],
      ['PING'],
      ['RESET'],
      ['PING'],
      ['AUTH', 'default', 'secret'],
      ['PING'],
      ['QUIT'],
    ]
    for (const command of commands) {
      expect([command, await raw.ask(...command)]).toEqual([command, await direct.ask(...command)])
    }
    await raw.closed
    await strict.stop()
  })

  test('takes each password of a user, and tells who it is', async () => {
    path = await startDataPath({ stores: { redis }, clients: { auth: 'users', users } })
    for (const password of ['old', 'new']) {
      const raw = await path.raw()
      expect(await raw.ask('AUTH', 'app', password)).toBe('+OK\r\n')
      expect(await raw.ask('ACL', 'WHOAMI')).toBe('$3\r\napp\r\n')
      expect(await raw.ask('SET', 'k', password)).toBe('+OK\r\n')
      expect(await raw.ask('AUTH', 'app', 'wrong')).toBe(WRONGPASS)
      expect(await raw.ask('GET', 'k')).toBe(`$3\r\n${password}\r\n`)
    }
    expect(await path.client({ username: 'app', password: 'new' }).ping()).toBe('PONG')
    const resp3 = await path.raw()
    expect(await resp3.ask('HELLO', '3', 'AUTH', 'app', 'old', 'SETNAME', 'me')).toMatch(/^%7/)
    expect(await resp3.ask('CLIENT', 'GETNAME')).toBe('$2\r\nme\r\n')
    const raw = await path.raw()
    expect(await raw.ask('AUTH', '__proto__', 'x')).toBe(WRONGPASS)
  })

  test('keeps little of what a stranger sends', async () => {
    path = await startDataPath({ stores: { redis }, clients: { auth: 'users', users } })
    const raw = await path.raw()
    raw.send('*2\r\n$4\r\nECHO\r\n$100000000\r\nxxx')
    expect(await raw.text()).toBe('-ERR Protocol error: unauthenticated bulk length\r\n')
    await raw.closed
  })
})

describe('clients.auth: passthrough', () => {
  test('gives each client the rights of the user it logs in as, and its refusals in the words of the store', async () => {
    path = await startDataPath({ stores: { redis }, clients: { auth: 'passthrough' } })
    const [raw, direct] = [await path.raw(), await RawClient.open(redis.port)]
    const commands = [
      ['ACL', 'WHOAMI'],
      ['SET', 'w:k', '1'],
      ['AUTH', 'reader', 'wrong'],
      ['ACL', 'WHOAMI'],
      ['AUTH', 'nobody', 'x'],
      ['AUTH', 'reader', 'r'],
      ['ACL', 'WHOAMI'],
      ['GET', 'w:k'],
      ['SET', 'w:k', '2'],
      ['SELECT', '3'],
      ['GET', 'w:k'],
      ['SELECT', '0'],
      ['AUTH', 'writer', 'r'],
      ['AUTH', 'writer', 'w'],
      ['SET', 'w:k', '3'],
      ['SET', 'other', '3'],
      ['GET', 'other'],
      ['BLPOP', 'other', '1'],
      ['BLPOP', 'w:nothing', '0.01'],
      ['PUBLISH', 'other', 'x'],
      ['SUBSCRIBE', 'other'],
      ['MULTI'],
      ['SET', 'w:k', '4'],
      ['SET', 'other', '4'],
      ['EXEC'],
      ['EVAL', "return redis.call('get', 'other')", '0'],
      ['HELLO', '3', 'AUTH', 'reader', 'wrong'],
      ['ACL', 'WHOAMI'],
      ['RESET'],
      ['ACL', 'WHOAMI'],
    ]
    for (const command of commands) {
      expect([command, await raw.ask(...command)]).toEqual([command, await direct.ask(...command)])
    }
    expect(await raw.ask('HELLO', '3', 'AUTH', 'reader', 'r')).toMatch(/^%7/)
    expect(await raw.ask('ACL', 'WHOAMI')).toBe('$6\r\nreader\r\n')
    expect(await raw.ask('GET', 'nothing')).toBe('_\r\n')
  })

  test('leaves a stranger outside where the store demands a password', async () => {
    path = await startDataPath({ stores: { locked: { port: locked.port } }, clients: { auth: 'passthrough' } })
    const [raw, direct] = [await path.raw(), await RawClient.open(locked.port)]
    const commands = [
      ['PING'],
      ['GET', 'k'],
      ['SELECT', '1'],
      ['BLPOP', 'k', '0'],
      ['HELLO'],
      ['HELLO', '3'],
      ['AUTH', 'wrong'],
      ['AUTH', 'root'],
      ['PING'],
      ['SELECT', '1'],
      ['GET', 'k'],
      ['RESET'],
      ['GET', 'k'],
    ]
    for (const command of commands) {
      expect([command, await raw.ask(...command)]).toEqual([command, await direct.ask(...command)])
    }
  })

  test('never lets a wrong password ride on a connection that a right one has opened', async () => {
    path = await startDataPath({ stores: { redis }, clients: { auth: 'passthrough' } })
    const first = await path.raw()
    expect(await first.ask('AUTH', 'reader', 'r')).toBe('+OK\r\n')
    const second = await path.raw()
    expect(await second.ask('AUTH', 'reader', 'x')).toBe(WRONGPASS)
    expect(await second.ask('ACL', 'WHOAMI')).toBe('$7\r\ndefault\r\n')
    // The password is changed at the store: who is in stays, as at Redis; the old word opens nothing any more.
    const admin = redis.client()
    await admin.call('ACL', 'SETUSER', 'reader', 'resetpass', '>changed')
    expect(await second.ask('AUTH', 'reader', 'r')).toBe(WRONGPASS)
    expect(await first.ask('GET', 'w:k')).not.toMatch(/^-/)
    expect(await second.ask('AUTH', 'reader', 'changed')).toBe('+OK\r\n')
    await admin.call('ACL', 'SETUSER', 'reader', 'resetpass', '>r')
  })

  test('mirrors with the credentials of the configuration, in the order of every user', async () => {
    path = await startDataPath({
      stores: { redis, shadow },
      routes: [{ source: 'redis', target: 'shadow', phase: 'shadow', compare: { sample: 1 } }],
      clients: { auth: 'passthrough' },
    })
    await redis.client().flushall()
    const writers = [await path.raw(), await path.raw()]
    for (const writer of writers) expect(await writer.ask('AUTH', 'writer', 'w')).toBe('+OK\r\n')
    const nobody = await path.raw()
    for (let i = 0; i < 300; i++) {
      for (const client of [...writers, nobody]) client.command('APPEND', `w:${i % 7}`, `${i}`)
      nobody.command('GET', `w:${i % 7}`)
    }
    await Promise.all([...writers.map((writer) => writer.take(300)), nobody.take(600)])
    expect(await writers[0]!.ask('SET', 'forbidden', '1')).toMatch(/^-NOPERM/)
    await settled(path)
    expect(await driftBetween(redis, shadow)).toEqual([])
    expect(path.runtime.stats().routes['all']!.counters.mismatched).toBe(0)
  })

  test('does not answer from the target with rights that the client does not have', async () => {
    path = await startDataPath({
      stores: { redis, shadow },
      routes: [{ source: 'redis', target: 'shadow', phase: 'read-target' }],
      clients: { auth: 'passthrough' },
    })
    await shadow.client().set('other', 'secret')
    const raw = await path.raw()
    expect(await raw.ask('AUTH', 'writer', 'w')).toBe('+OK\r\n')
    expect(await raw.ask('GET', 'other')).toMatch(/^-NOPERM/)
  })
})

test('a client that never logs in is served as before when the configuration names no users', async () => {
  path = await startDataPath({ stores: { locked: { port: locked.port, password: 'root' } } })
  const raw = await path.raw()
  expect(await raw.ask('PING')).toBe('+PONG\r\n')
  expect(await raw.ask('AUTH', 'wrong')).toBe(WRONGPASS)
  expect(await raw.ask('AUTH', 'root')).toBe('+OK\r\n')
})

test('without any setting, a client that names a user of the store becomes that user, and the others stay as they are', async () => {
  path = await startDataPath({ stores: { redis } })
  const [reader, other] = [await path.raw(), await path.raw()]
  expect(await reader.ask('AUTH', 'reader', 'r')).toBe('+OK\r\n')
  expect(await reader.ask('ACL', 'WHOAMI')).toBe('$6\r\nreader\r\n')
  expect(await reader.ask('SET', 'w:k', 'v')).toMatch(/^-NOPERM/)
  expect(await reader.ask('AUTH', 'reader', 'wrong')).toBe(WRONGPASS)
  expect(await other.ask('ACL', 'WHOAMI')).toBe('$7\r\ndefault\r\n')
  expect(await other.ask('AUTH', 'nobody')).toMatch(/^-ERR AUTH <password> called without any password configured/)
  expect(await other.ask('SET', 'w:k', 'v')).toBe('+OK\r\n')
})

describe.each([
  ['passthrough', 'shared'],
  ['passthrough', 'dedicated'],
  ['store', 'shared'],
] as const)('clients.auth: %s, %s connections', (auth, connections) => {
  test('clients of a user that is deleted are disconnected, also those that say nothing, and nobody else is', async () => {
    path = await startDataPath({ stores: { redis }, clients: { auth }, listen: { connections } })
    const admin = redis.client()
    await admin.call('ACL', 'SETUSER', 'leaver', 'on', '>l', '~*', '&*', '+@all')
    const [idle, blocked, subscriber, asking, reader] = await Promise.all(Array.from({ length: 5 }, () => path.raw()))
    for (const client of [idle, blocked, subscriber, asking])
      expect(await client!.ask('AUTH', 'leaver', 'l')).toBe('+OK\r\n')
    expect(await reader!.ask('AUTH', 'reader', 'r')).toBe('+OK\r\n')
    blocked!.command('BLPOP', 'nothing', '0')
    expect(await subscriber!.ask('SUBSCRIBE', 'c')).toContain('subscribe')
    await admin.call('ACL', 'DELUSER', 'leaver')
    asking!.command('GET', 'w:k')
    await Promise.all([idle!.closed, blocked!.closed, subscriber!.closed, asking!.closed])
    expect(await reader!.ask('ACL', 'WHOAMI')).toBe('$6\r\nreader\r\n')
    const again = await path.raw()
    expect(await again.ask('AUTH', 'leaver', 'l')).toBe(WRONGPASS)
    expect(await again.ask('AUTH', 'reader', 'r')).toBe('+OK\r\n')
  })

  test('clients of a user that has another password now stay, and what needs a new connection is refused', async () => {
    path = await startDataPath({ stores: { redis }, clients: { auth }, listen: { connections } })
    const admin = redis.client()
    await admin.call('ACL', 'SETUSER', 'turner', 'on', '>old', '~*', '&*', '+@all')
    const [queuing, blocking] = [await path.raw(), await path.raw()]
    for (const client of [queuing, blocking]) {
      expect(await client.ask('AUTH', 'turner', 'old')).toBe('+OK\r\n')
      expect(await client.ask('GET', 'w:k')).toMatch(/^\$/)
    }
    expect(await queuing.ask('MULTI')).toBe('+OK\r\n')
    expect(await queuing.ask('GET', 'w:k')).toBe('+QUEUED\r\n')
    await admin.call('ACL', 'SETUSER', 'turner', 'resetpass', '>new')
    if (connections === 'shared') expect(await blocking.ask('BLPOP', 'nothing', '0')).toBe(WRONGPASS)
    expect(await queuing.ask('EXEC')).toMatch(/^\*1\r\n/)
    expect(await blocking.ask('ACL', 'WHOAMI')).toBe('$6\r\nturner\r\n')
    await admin.call('ACL', 'DELUSER', 'turner')
  })
})

test.each(['store', 'passthrough'] as const)(
  'who has logged in on a connection of its own is let alone when another one tries the password of before (clients.auth: %s)',
  async (auth) => {
    path = await startDataPath({ stores: { redis }, clients: { auth }, listen: { connections: 'dedicated' } })
    const admin = redis.client()
    await admin.call('ACL', 'SETUSER', 'keeper', 'on', '>old', '~*', '&*', '+@all')
    const keeping = await path.raw()
    expect(await keeping.ask('AUTH', 'keeper', 'old')).toBe('+OK\r\n')
    expect(await keeping.ask('STRLEN', 'w:none')).toBe(':0\r\n')
    await admin.call('ACL', 'SETUSER', 'keeper', 'resetpass', '>new')
    // As it goes by itself when nobody logs in for a minute.
    const askedBy = ((await admin.client('LIST')) as string)
      .split('\n')
      .filter((line) => /cmd=auth user=keeper/.test(line))
    expect(askedBy).toHaveLength(1)
    await admin.client('KILL', 'ID', /id=(\d+)/.exec(askedBy[0]!)![1]!)
    expect(await (await path.raw()).ask('AUTH', 'keeper', 'old')).toBe(WRONGPASS)
    expect(await keeping.ask('STRLEN', 'w:none')).toBe(':0\r\n')
    await admin.call('ACL', 'DELUSER', 'keeper')
    await keeping.closed
  },
)

test('who was a deleted user before keeps nobody connected who still is', async () => {
  path = await startDataPath({ stores: { redis }, clients: { auth: 'passthrough' } })
  const admin = redis.client()
  await admin.call('ACL', 'SETUSER', 'leaver', 'on', '>l', '~*', '&*', '+@all')
  const [idle, changed] = [await path.raw(), await path.raw()]
  for (const client of [idle, changed]) expect(await client.ask('AUTH', 'leaver', 'l')).toBe('+OK\r\n')
  // Its connection is its own from here on.
  expect(await changed.ask('WATCH', 'w:k')).toBe('+OK\r\n')
  expect(await changed.ask('AUTH', 'reader', 'r')).toBe('+OK\r\n')
  await admin.call('ACL', 'DELUSER', 'leaver')
  await idle.closed
  expect(await changed.ask('ACL', 'WHOAMI')).toBe('$6\r\nreader\r\n')
})

test('a client that logs in as the default user again has its rights again, also on a connection of its own', async () => {
  for (const connections of ['shared', 'dedicated'] as const) {
    await path?.stop()
    path = await startDataPath({ stores: { redis }, listen: { connections } })
    const client = await path.raw()
    expect(await client.ask('AUTH', 'reader', 'r')).toBe('+OK\r\n')
    expect(await client.ask('SET', 'w:k', 'v')).toMatch(/^-NOPERM/)
    // Behind a command whose reply is still owed.
    client.send(
      Buffer.concat(
        [
          ['GET', 'r:k'],
          ['AUTH', 'default', ''],
        ].map((args) => encodeCommand(args)),
      ),
    )
    await client.take(2)
    expect(await client.ask('ACL', 'WHOAMI')).toBe('$7\r\ndefault\r\n')
    expect(await client.ask('SET', 'w:k', 'v')).toBe('+OK\r\n')
  }
})

describe.each(['shared', 'dedicated'] as const)(
  'logging in meanwhile, as at a server (%s connections)',
  (connections) => {
    const scripts: Readonly<Record<string, readonly string[]>> = {
      'inside MULTI, for what is behind it and from then on': [
        'MULTI',
        'SET w:k v',
        'AUTH reader r',
        'GET w:k',
        'ACL WHOAMI',
        'EXEC',
        'ACL WHOAMI',
        'SET w:k x',
        'MULTI',
        'AUTH reader wrong',
        'AUTH reader r more',
        'PING',
        'EXEC',
        'ACL WHOAMI',
        'AUTH default any',
        'SET w:k y',
      ],
      'by HELLO inside MULTI': [
        'MULTI',
        'HELLO 3 AUTH writer wrong SETNAME no',
        'HGETALL w:none',
        'HELLO 3 AUTH writer w SETNAME me',
        'HGETALL w:none',
        'EXEC',
        'ACL WHOAMI',
        'GET other',
        'HGETALL w:none',
        'CLIENT GETNAME',
      ],
      'not, when the transaction is given up': [
        'MULTI',
        'AUTH reader r',
        'DISCARD',
        'ACL WHOAMI',
        'MULTI',
        'AUTH reader r',
        'NOSUCH',
        'EXEC',
        'ACL WHOAMI',
      ],
      'between WATCH and MULTI': [
        'WATCH w:k',
        'AUTH writer w',
        'GET w:k',
        'MULTI',
        'SET w:k new',
        'ACL WHOAMI',
        'EXEC',
        'GET other',
        'GET w:k',
      ],
      'while subscribed': [
        'HELLO 3',
        'SUBSCRIBE w:ch',
        'AUTH writer w',
        'ACL WHOAMI',
        'GET other',
        'UNSUBSCRIBE',
        'GET other',
      ],
      'while subscribed, for what it subscribes to from then on': [
        'HELLO 3',
        'SUBSCRIBE w:ch',
        'AUTH writer w',
        'SUBSCRIBE other',
        'PSUBSCRIBE *',
        'SUBSCRIBE w:ch',
        'AUTH default any',
        'SUBSCRIBE other',
        'HELLO 3 AUTH writer w',
        'PSUBSCRIBE *',
      ],
      'while it tracks keys': [
        'HELLO 3',
        'CLIENT TRACKING ON',
        'AUTH writer w',
        'GET w:k',
        'GET other',
        'SET w:k z',
        'PING',
      ],
    }

    test.each(Object.entries(scripts))('%s', async (_name, script) => {
      path = await startDataPath({ stores: { redis }, listen: { connections } })
      path.runtime.setFacts('redis', 0, '7.0.15')
      await redis.client().set('w:k', 'old')
      const here = await said(await path.raw(), script)
      await redis.client().set('w:k', 'old')
      expect(here).toEqual(await said(await RawClient.open(redis.port), script))
    })
  },
)

test('a subscriber that shares its connection is disconnected when it becomes another user', async () => {
  path = await startDataPath({ stores: { redis }, clients: { subscriberConnections: 0 } })
  const [client, other] = [await path.raw(), await path.raw()]
  for (const each of [client, other]) {
    await each.ask('HELLO', 3)
    await each.ask('SUBSCRIBE', 'w:ch')
  }
  client.command('AUTH', 'writer', 'w')
  await client.closed
  expect(await redis.client().publish('w:ch', 'still there')).toBe(1)
  expect(await other.take(1)).toEqual(['>3\r\n$7\r\nmessage\r\n$4\r\nw:ch\r\n$11\r\nstill there\r\n'])
})

test.each(['shared', 'dedicated'] as const)(
  'the store’s ACL LOG has a wrong password once, under the name that clients give the command (%s)',
  async (connections) => {
    path = await startDataPath({ stores: { redis }, listen: { connections } })
    await redis.client().call('ACL', 'LOG', 'RESET')
    const raw = await path.raw()
    expect(await raw.ask('AUTH', 'reader', 'wrong')).toBe(WRONGPASS)
    for (const version of ['2', '3']) {
      await raw.ask('HELLO', version)
      const log = await raw.ask('ACL', 'LOG')
      expect(log).toMatch(/^\*1\r\n/)
      expect(log).toContain('\r\nauth\r\n$7\r\ncontext\r\n$8\r\ntoplevel\r\n$6\r\nobject\r\n$4\r\nAUTH\r\n')
    }
  },
)

test('a user that may not SELECT stays in the database that its client was in', async () => {
  path = await startDataPath({ stores: { redis } })
  await redis.client().call('ACL', 'SETUSER', 'narrow', 'on', '>n', '~*', '+set', '+get', '+multi', '+exec', '+watch')
  const raw = await path.raw()
  expect(await raw.ask('SELECT', '3')).toBe('+OK\r\n')
  expect(await raw.ask('AUTH', 'narrow', 'n')).toBe('+OK\r\n')
  expect(await raw.ask('SET', 'here', '3')).toBe('+OK\r\n')
  expect(await raw.ask('WATCH', 'here')).toBe('+OK\r\n')
  expect(await raw.ask('SELECT', '4')).toMatch(/^-NOPERM/)
  expect(await redis.client({ db: 3 }).get('here')).toBe('3')
})

test('a user that may not SELECT stays in its database also when nobody could open one there any more', async () => {
  path = await startDataPath({ stores: { redis } })
  const admin = redis.client()
  await admin.call('ACL', 'SETUSER', 'narrow', 'on', '>n', '~*', '+get')
  const raw = await path.raw()
  expect(await raw.ask('SELECT', '3')).toBe('+OK\r\n')
  const other = await path.raw()
  expect(await other.ask('SELECT', '3')).toBe('+OK\r\n')
  expect(await other.ask('AUTH', 'narrow', 'n')).toBe('+OK\r\n')
  await eventually(async () => expect(await admin.client('LIST')).toMatch(/ db=3 .*user=narrow/))
  await admin.call('ACL', 'SETUSER', 'default', 'off')
  try {
    expect(await raw.ask('AUTH', 'narrow', 'n')).toBe('+OK\r\n')
    expect(await raw.ask('GET', 'nothing')).toBe('$-1\r\n')
  } finally {
    await admin.call('ACL', 'SETUSER', 'default', 'on')
  }
})

test('on a connection of its own a client becomes another user there: nobody has to open one for it', async () => {
  path = await startDataPath({ stores: { redis }, listen: { connections: 'dedicated' } })
  const admin = redis.client()
  await admin.call('ACL', 'SETUSER', 'slim', 'reset', 'on', '>n', '~*', '+get')
  const raw = await path.raw()
  expect(await raw.ask('SELECT', '3')).toBe('+OK\r\n')
  await admin.call('ACL', 'SETUSER', 'default', 'off')
  try {
    expect(await raw.ask('AUTH', 'slim', 'n')).toBe('+OK\r\n')
    expect(await raw.ask('GET', 'nothing')).toBe('$-1\r\n')
    expect(await raw.ask('SET', 'k', 'v')).toMatch(/^-NOPERM/)
  } finally {
    await admin.call('ACL', 'SETUSER', 'default', 'on')
  }
  expect(await raw.ask('AUTH', 'default', '')).toBe('+OK\r\n')
  expect(await raw.ask('SET', 'in-three', 'v')).toBe('+OK\r\n')
  expect(await redis.client({ db: 3 }).get('in-three')).toBe('v')
})

test('on a connection of its own the default user logs in by the password that it was given since', async () => {
  path = await startDataPath({ stores: { redis }, listen: { connections: 'dedicated' } })
  const raw = await path.raw()
  await redis.client().call('ACL', 'SETUSER', 'passing', 'on', '>p', '+acl')
  expect(await raw.ask('CONFIG', 'SET', 'requirepass', 'given')).toBe('+OK\r\n')
  try {
    expect(await raw.ask('AUTH', 'passing', 'p')).toBe('+OK\r\n')
    expect(await raw.ask('AUTH', 'default', 'given')).toBe('+OK\r\n')
    expect(await raw.ask('ACL', 'WHOAMI')).toBe('$7\r\ndefault\r\n')
  } finally {
    expect(await raw.ask('CONFIG', 'SET', 'requirepass', '')).toBe('+OK\r\n')
  }
})

test('a user that may not SELECT stays in its client’s database also where the default user has a password', async () => {
  const admin = locked.client()
  for (const name of ['narrow', 'other']) await admin.call('ACL', 'SETUSER', name, 'on', `>${name}`, '~*', '+set')
  // Who knows the default user's password: the client, or the configuration.
  for (const { password, auth, first } of [
    { password: null, auth: 'passthrough', first: ['AUTH', 'root'] },
    { password: 'root', auth: 'store', first: ['PING'] },
  ] as const) {
    for (const connections of ['shared', 'dedicated'] as const) {
      await path?.stop()
      path = await startDataPath({
        stores: { redis: { port: locked.port, password } },
        clients: { auth },
        listen: { connections },
      })
      const raw = await path.raw()
      expect(await raw.ask(...first)).toMatch(/^\+/)
      expect(await raw.ask('SELECT', '3')).toBe('+OK\r\n')
      for (const name of ['narrow', 'other']) {
        expect(await raw.ask('AUTH', name, name)).toBe('+OK\r\n')
        expect([auth, connections, name, await raw.ask('SET', name, auth + connections)]).toEqual([
          auth,
          connections,
          name,
          '+OK\r\n',
        ])
        expect(await raw.ask('GET', name)).toMatch(/^-NOPERM/)
        expect(await locked.client({ db: 3 }).get(name)).toBe(auth + connections)
      }
    }
  }
})

test.each([
  ['shared', '2'],
  ['shared', '3'],
  ['dedicated', '2'],
  ['dedicated', '3'],
] as const)(
  'the store’s ACL LOG tells what a user has tried, and nothing of Understudy (%s connections, RESP%s)',
  async (connections, protocol) => {
    path = await startDataPath({ stores: { redis }, listen: { connections } })
    const admin = redis.client()
    await admin.call('ACL', 'SETUSER', 'logged', 'on', '>l', '~*', '+get')
    await admin.call('ACL', 'LOG', 'RESET')
    const raw = await path.raw()
    expect(await raw.ask('HELLO', protocol, 'AUTH', 'logged', 'l')).toMatch(/^[*%]/)
    expect(await raw.ask('GET', 'k')).toMatch(/^[$_]/)
    expect(await raw.ask('SET', 'k', 'v')).toMatch(/^-NOPERM/)
    expect(await raw.ask('SET', 'k', 'v')).toMatch(/^-NOPERM/)
    const entries = (await admin.call('ACL', 'LOG')) as unknown[][]
    expect(entries.map((entry) => [entry[7], entry[1]])).toEqual([['set', 2]])
  },
)

test('a client that waits on a connection of its own is unblocked, although its user may not ask for its id', async () => {
  path = await startDataPath({ stores: { redis }, listen: { connections: 'dedicated' } })
  await redis.client().call('ACL', 'SETUSER', 'waiting', 'on', '>w', '~*', '+blpop')
  const raw = await path.raw()
  const id = /:(\d+)/.exec(await raw.ask('CLIENT', 'ID'))![1]!
  expect(await raw.ask('AUTH', 'waiting', 'w')).toBe('+OK\r\n')
  expect(await raw.ask('BLPOP', 'nothing', '0.01')).toMatch(/^([*]-1|_)\r\n/)
  const answer = raw.ask('BLPOP', 'nothing', '0')
  const admin = await path.raw()
  await eventually(async () => expect(await admin.ask('CLIENT', 'UNBLOCK', id)).toBe(':1\r\n'))
  expect(await answer).toMatch(/^([*]-1|_)\r\n/)
  expect(await raw.ask('BLPOP', 'nothing', '0.01')).toMatch(/^([*]-1|_)\r\n/)
})

function hash(password: string): string {
  return createHash('sha256').update(password).digest('hex')
}

/** What a client reads, a frame a command, without the ids of clients. */
async function said(client: RawClient, script: readonly string[]): Promise<string[]> {
  const frames: string[] = []
  for (const command of script)
    frames.push(`${command} => ${(await client.ask(...command.split(' '))).replace(/(id\r\n):\d+/, '$1:N')}`)
  client.destroy()
  return frames
}
