import { createHash } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeStore } from '../../support/fake-store.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

const ABOUT_OTHERS = [
  ['CLIENT', 'LIST'],
  ['CLIENT', 'LIST', 'TYPE', 'normal'],
  ['CLIENT', 'KILL', 'TYPE', 'normal'],
  ['CLIENT', 'KILL', 'ID', '1', 'SKIPME', 'no'],
  ['CLIENT', 'KILL', '127.0.0.1:1'],
  ['CLIENT', 'UNBLOCK', '1'],
  ['CLIENT', 'PAUSE', '60000', 'ALL'],
  ['CLIENT', 'PAUSE', '0'],
  ['CLIENT', 'UNPAUSE'],
]

let redis: RedisServer
let locked: RedisServer
let path: DataPathUnderTest

beforeAll(async () => {
  redis = await startRedis()
  locked = await startRedis({ args: ['--requirepass', 'root'], password: 'root' })
  const admin = redis.client()
  await admin.call('ACL', 'SETUSER', 'few', 'on', '>f', '~*', '-@all', '+get', '+multi', '+exec', '+ping')
  await admin.call('ACL', 'SETUSER', 'many', 'on', '>m', '~*', '+@all')
})

afterAll(async () => {
  await Promise.all([redis, locked].map((server) => server?.stop()))
})

afterEach(async () => {
  await path?.stop()
})

async function as(user: string, port = path.port): Promise<RawClient> {
  const client = port === path.port ? await path.raw() : await RawClient.open(port)
  expect(await client.ask('AUTH', user, user[0]!)).toBe('+OK\r\n')
  return client
}

async function idOf(client: RawClient): Promise<string> {
  return (await client.ask('CLIENT', 'ID')).slice(1).trim()
}

function inOne(...commands: readonly (readonly string[])[]): Buffer {
  return Buffer.concat(commands.map((command) => encodeCommand(command)))
}

describe.each([
  ['passthrough', 'shared', {}],
  ['passthrough', 'dedicated', {}],
  ['store', 'shared', {}],
  // There the store is not told of a pause.
  ['store', 'shared', { '*': 'ns:*' }],
] as const)('clients.auth: %s, %s connections, names %o', (auth, connections, keys) => {
  const start = async (): Promise<void> => {
    path = await startDataPath({
      stores: { redis },
      routes: [{ name: 'all', source: { store: 'redis', keys } }],
      clients: { auth },
      listen: { connections },
    })
  }

  test('a user without the right neither lists nor ends nor holds other clients', async () => {
    await start()
    const [victim, few, direct] = [await path.raw(), await as('few'), await as('few', redis.port)]
    for (const command of ABOUT_OTHERS) {
      const refusal = await direct.ask(...command)
      expect(refusal).toMatch(/^-NOPERM /)
      expect([command, await few.ask(...command)]).toEqual([command, refusal])
      few.send(inOne(['MULTI'], command, ['GET', 'none'], ['EXEC']))
      expect([command, await few.take(4)]).toEqual([
        command,
        ['+OK\r\n', refusal, '+QUEUED\r\n', expect.stringMatching(/^-EXECABORT /)],
      ])
    }
    // In its place among the replies, however many are under way.
    few.send(
      inOne(['GET', 'none'], ['CLIENT', 'KILL', 'TYPE', 'normal'], ['GET', 'none'], ['CLIENT', 'UNPAUSE'], ['PING']),
    )
    expect(await few.take(5)).toEqual([
      '$-1\r\n',
      expect.stringMatching(/^-NOPERM .*client\|kill/),
      '$-1\r\n',
      expect.stringMatching(/^-NOPERM .*client\|unpause/),
      '+PONG\r\n',
    ])
    expect(await victim.ask('SET', 'k', 'v')).toBe('+OK\r\n')
  })

  test('a user without the right does not end a pause of another', async () => {
    await start()
    const [many, few, writer] = [await as('many'), await as('few'), await path.raw()]
    expect(await many.ask('CLIENT', 'PAUSE', '60000', 'WRITE')).toBe('+OK\r\n')
    writer.command('SET', 'k', 'v')
    for (const command of [
      ['CLIENT', 'PAUSE', '0'],
      ['CLIENT', 'UNPAUSE'],
    ])
      expect(await few.ask(...command)).toMatch(/^-NOPERM /)
    await eventually(async () => expect(await many.ask('INFO', 'clients')).toContain('blocked_clients:1\r\n'))
    expect(await many.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
    expect(await writer.text()).toBe('+OK\r\n')
  })

  test('a user with the right does all of it, alone and inside MULTI', async () => {
    await start()
    const many = await as('many')
    for (const inside of [false, true]) {
      const [victim, blocked] = [await path.raw(), await path.raw()]
      const [victimId, blockedId] = [await idOf(victim), await idOf(blocked)]
      blocked.command('BLPOP', 'nothing', '0')
      await eventually(async () => expect(await many.ask('CLIENT', 'LIST', 'ID', blockedId)).toMatch(/ flags=b /))
      const commands = [
        ['CLIENT', 'LIST', 'ID', victimId],
        ['CLIENT', 'UNBLOCK', blockedId],
        ['CLIENT', 'KILL', 'ID', victimId],
        ['CLIENT', 'PAUSE', '100', 'WRITE'],
        ['CLIENT', 'UNPAUSE'],
      ]
      many.send(inside ? inOne(['MULTI'], ...commands, ['EXEC']) : inOne(...commands))
      const replies = inside ? (await many.take(7)).at(-1)! : (await many.take(5)).join('')
      expect(replies).toMatch(new RegExp(`id=${victimId} [^]*\\n:1\\r\\n:1\\r\\n\\+OK\\r\\n\\+OK\\r\\n$`))
      expect(await blocked.text()).toBe('*-1\r\n')
      await victim.closed
    }
  })
})

describe.each(['passthrough', 'store', 'users'] as const)('clients.auth: %s', (auth) => {
  test.each(['alone', 'inside MULTI'] as const)(
    'CLIENT KILL USER knows who is a user and has no client, %s',
    async (how) => {
      const users = { many: [createHash('sha256').update('m').digest('hex')], few: [] }
      path = await startDataPath({ stores: { redis }, clients: { auth, users } })
      const many = await as('many')
      for (const [name, expected] of [
        ['few', ':0\r\n'],
        ['nobody', "-ERR No such user 'nobody'\r\n"],
      ] as const) {
        const command = ['CLIENT', 'KILL', 'USER', name]
        if (how === 'alone') expect(await many.ask(...command)).toBe(expected)
        else {
          many.send(inOne(['MULTI'], command, ['EXEC']))
          expect((await many.take(3)).at(-1)).toBe(`*1\r\n${expected}`)
        }
      }
    },
  )
})

test('with the rights of the configuration a user is known without a right at the store', async () => {
  const weak = await startRedis()
  try {
    path = await startDataPath({ stores: { redis: weak } })
    await weak.client().call('ACL', 'SETUSER', 'default', '-client|kill')
    const [client, other] = [await path.raw(), await path.raw()]
    expect(await client.ask('CLIENT', 'KILL', 'USER', 'default')).toBe(':1\r\n')
    await other.closed
  } finally {
    await weak.stop()
  }
})

test('a stranger before a store with a password learns nothing about other clients', async () => {
  path = await startDataPath({ stores: { locked: { port: locked.port } }, clients: { auth: 'passthrough' } })
  const stranger = await path.raw()
  for (const command of ABOUT_OTHERS) expect(await stranger.ask(...command)).toMatch(/^-NOAUTH /)
  expect(await stranger.ask('AUTH', 'root')).toBe('+OK\r\n')
  expect(await stranger.ask('CLIENT', 'LIST')).toContain('cmd=client|list')
})

test('a store that does not know the form breaks nothing, one that is away does nothing', async () => {
  const old = await FakeStore.start(([name, word]) => {
    if (name === 'CLIENT' && word !== 'SETNAME')
      return "-ERR unknown subcommand or wrong number of arguments for 'x'\r\n"
    return '+OK\r\n'
  })
  path = await startDataPath({ stores: { old }, clients: { auth: 'passthrough' } })
  const [client, other] = [await path.raw(), await path.raw()]
  expect(await client.ask('CLIENT', 'LIST')).toContain('cmd=client|list')
  expect(await client.ask('CLIENT', 'UNBLOCK', '1')).toBe(':0\r\n')
  expect(await client.ask('CLIENT', 'PAUSE', '0')).toBe('+OK\r\n')
  expect(await client.ask('CLIENT', 'UNPAUSE')).toBe('+OK\r\n')
  await old.stop()
  await eventually(async () => expect(await client.ask('CLIENT', 'KILL', 'TYPE', 'normal')).toMatch(/^-ERR Understudy/))
  expect(other.ended).toBe(false)
})
