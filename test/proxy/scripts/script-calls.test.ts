import type { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type RedisCluster, startCluster } from '../../support/cluster.ts'
import {
  type DataPathOptions,
  type DataPathUnderTest,
  type RouteOptions,
  startDataPath,
} from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

const BUMP = "return redis.call('INCR', KEYS[1])"

let path: DataPathUnderTest
let old: RedisServer
let fresh: RedisServer
beforeEach(async () => {
  ;[old, fresh] = await Promise.all([startRedis(), startRedis()])
})
afterEach(async () => {
  await path.stop()
  await Promise.all([old.stop(), fresh.stop()])
})

/** A client that remembers, as `defineCommand` does, that it has sent the source. */
interface Bumping {
  readonly app: Redis
  /** In MULTI: the reply of the script, or what was wrong. */
  bump(key: string): Promise<unknown>
}

function bumping(): Bumping {
  const app = path.client()
  app.defineCommand('bump', { numberOfKeys: 1, lua: BUMP })
  return {
    app,
    async bump(key) {
      const multi = app.multi() as unknown as {
        bump(key: string): typeof multi
        exec(): Promise<[Error | null, unknown][]>
      }
      const [[error, reply]] = (await multi.bump(key).exec()) as [[Error | null, unknown]]
      return error === null ? reply : error.message
    },
  }
}

/** Sent bit by bit, so that it has a connection of its own. */
async function piecemeal(sha: string, key: string): Promise<string | undefined> {
  const client = await path.raw()
  await client.ask('MULTI')
  await client.ask('EVALSHA', sha, 1, key)
  return client.ask('EXEC')
}

async function isBack(app: Redis): Promise<void> {
  await eventually(async () => expect(await app.ping()).toBe('PONG'))
}

async function loadsAt(server: RedisServer): Promise<number> {
  const stats = await server.client().info('commandstats')
  return Number(/cmdstat_script\|load:calls=(\d+)/.exec(stats)?.[1] ?? 0)
}

const rest = (phase: 'passthrough' | 'mirror'): RouteOptions[] => [
  { name: 'rest', source: 'old', target: 'new', phase },
]

describe('the primary is restarted', () => {
  test.each(['passthrough', 'mirror'] as const)('and scripts called in MULTI are there again (%s)', async (phase) => {
    path = await startDataPath({ stores: { old, new: fresh }, routes: rest(phase) })
    const { app, bump } = bumping()
    const other = path.client()
    const sha = (await other.script('LOAD', `${BUMP} -- loaded`)) as string
    expect([await bump('k'), await bump('k')]).toEqual([1, 2])

    await old.kill9()
    await old.restart()
    await isBack(app)
    expect([await bump('k'), await bump('k')]).toEqual([1, 2])
    expect(await piecemeal(sha, 'k')).toBe('*1\r\n:3\r\n')
    expect(await app.script('EXISTS', sha, 'f'.repeat(40))).toEqual([1, 0])
  })

  test('and one that is called on its own as well; each is loaded once on a connection', async () => {
    path = await startDataPath({ stores: { old } })
    const app = path.client()
    const sha = (await app.script('LOAD', BUMP)) as string
    await old.kill9()
    await old.restart()
    await isBack(app)
    const replies = await Promise.all([1, 2, 3].map(() => app.evalsha(sha, 1, 'k')))
    expect(replies).toEqual([1, 2, 3])
    expect(await loadsAt(old)).toBe(1)
  })

  test('while a transaction queues: its EXEC tells so, and the next one finds the script', async () => {
    path = await startDataPath({ stores: { old } })
    const client = await path.raw()
    const sha = (await client.ask('SCRIPT', 'LOAD', BUMP)).split('\r\n')[1]!
    await client.ask('MULTI')
    await client.ask('EVALSHA', sha, 1, 'k')
    await old.kill9()
    await old.restart()
    await isBack(path.client())
    expect(await client.ask('EXEC')).toMatch(/^-EXECABORT/)
    expect(await piecemeal(sha, 'k')).toBe('*1\r\n:1\r\n')
  })
})

test('what was flushed past Understudy is there again from the second call on', async () => {
  path = await startDataPath({ stores: { old } })
  const { bump } = bumping()
  expect([await bump('k'), await bump('k')]).toEqual([1, 2])
  await old.client().script('FLUSH')
  expect(await bump('k')).toMatch(/^NOSCRIPT/)
  expect(await bump('k')).toBe(3)
})

test('what the application has flushed is not loaded again before it has sent the source', async () => {
  path = await startDataPath({ stores: { old } })
  const app = path.client()
  const sha = (await app.script('LOAD', BUMP)) as string
  await app.evalsha(sha, 1, 'k')
  await app.script('FLUSH')
  await expect(app.evalsha(sha, 1, 'k')).rejects.toThrow(/^NOSCRIPT/)
  expect(await app.script('EXISTS', sha)).toEqual([0])
  await app.eval(BUMP, 1, 'k')
  expect(await app.evalsha(sha, 1, 'k')).toBe(3)
})

test('a flush is not undone by the reply to what was called ahead of it', async () => {
  path = await startDataPath({ stores: { old, new: fresh }, routes: rest('mirror') })
  const client = await path.raw()
  const sha = (await client.ask('SCRIPT', 'LOAD', BUMP)).split('\r\n')[1]!
  client.send(
    Buffer.concat(
      [
        ['EVAL', BUMP, 1, 'k'],
        ['SCRIPT', 'FLUSH'],
        ['SCRIPT', 'EXISTS', sha],
      ].map((words) => encodeCommand(words.map(String))),
    ),
  )
  expect(await client.take(3)).toEqual([':1\r\n', '+OK\r\n', '*1\r\n:0\r\n'])
  expect(await client.ask('SCRIPT', 'EXISTS', sha)).toBe('*1\r\n:0\r\n')
})

test('what a transaction is to flush is there until its EXEC, and stays if that executes nothing', async () => {
  path = await startDataPath({ stores: { old } })
  const app = path.client()
  const sha = (await app.script('LOAD', BUMP)) as string
  const client = await path.raw()
  const flushed = async (end: string): Promise<void> => {
    await client.ask('MULTI')
    await client.ask('SCRIPT', 'FLUSH')
    await client.ask(end)
    await old.client().script('FLUSH')
    await old.client().call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await isBack(app)
  }
  await flushed('DISCARD')
  expect(await app.evalsha(sha, 1, 'k')).toBe(1)
  await flushed('EXEC')
  await expect(app.evalsha(sha, 1, 'k')).rejects.toThrow(/^NOSCRIPT/)
})

test('a user who must not load is not asked again and again, and is told what its store says', async () => {
  await old.client().call('ACL', 'SETUSER', 'plain', 'on', '>secret', '~*', '&*', '+@all', '-script|load')
  path = await startDataPath({ stores: { old }, store: { username: 'plain', password: 'secret' } })
  const app = path.client()
  await app.eval(BUMP, 1, 'k')
  const sha = (await old.client().script('LOAD', BUMP)) as string
  for (let i = 2; i < 5; i++) expect(await app.evalsha(sha, 1, 'k')).toBe(i)
  expect(await piecemeal(sha, 'k')).toBe('*1\r\n:5\r\n')
  expect(await old.client().call('ACL', 'LOG')).toHaveLength(1)
})

describe('routes with different primaries', () => {
  const apart = (phase: 'passthrough' | 'mirror' | 'switched'): DataPathOptions => ({
    stores: { old, new: fresh },
    routes: [
      { name: 'jobs', keys: ['job:{id}'], source: 'old', target: 'new', phase },
      { name: 'rest', source: 'old' },
    ],
  })

  test('a script that was sent before the switch is at the store of its keys after it', async () => {
    path = await startDataPath(apart('passthrough'))
    const { app, bump } = bumping()
    const sha = (await app.script('LOAD', `${BUMP} -- loaded`)) as string
    expect([await bump('job:1'), await bump('other')]).toEqual([1, 1])

    await path.apply(apart('switched'))
    expect([await bump('job:2'), await bump('other')]).toEqual([1, 2])
    expect(await piecemeal(sha, 'job:2')).toBe('*1\r\n:2\r\n')
    expect(await fresh.client().get('job:2')).toBe('2')
  })

  test('the same on a listener whose clients have connections of their own', async () => {
    path = await startDataPath({ ...apart('passthrough'), listen: { connections: 'dedicated' } })
    const { app, bump } = bumping()
    const sha = (await app.script('LOAD', `${BUMP} -- loaded`)) as string
    expect([await bump('job:1'), await bump('other')]).toEqual([1, 1])

    await path.apply(apart('switched'))
    expect([await bump('job:2'), await bump('other')]).toEqual([1, 2])
    expect(await piecemeal(sha, 'job:2')).toBe('*1\r\n:2\r\n')
    expect(await app.script('EXISTS', sha)).toEqual([1])
  })

  test('one that makes names itself is judged where it is called, although it was sent when that did not matter', async () => {
    const renamed = (phase: 'passthrough' | 'switched'): DataPathOptions => ({
      stores: { old, new: fresh },
      routes: [
        { name: 'rest', keys: ['{x}'], source: 'old', target: { store: 'new', keys: { '{x}': 'app:{x}' } }, phase },
      ],
    })
    path = await startDataPath(renamed('passthrough'))
    const client = await path.raw()
    const madeUp = (await client.ask('SCRIPT', 'LOAD', "return redis.call('SET', 'k' .. ARGV[1], 'x')")).split(
      '\r\n',
    )[1]!
    await path.apply(renamed('switched'))
    const refused = /^-ERR Understudy refuses this script: it uses keys which it does not declare/
    expect(await client.ask('EVALSHA', madeUp, 1, 'k', '1')).toMatch(refused)
    await client.ask('MULTI')
    expect(await client.ask('EVALSHA', madeUp, 1, 'k', '1')).toMatch(refused)
    expect(await client.ask('EXEC')).toMatch(/^-EXECABORT/)
    expect(await fresh.client().keys('*')).toEqual([])
  })

  test('SCRIPT EXISTS says yes where each of them has it', async () => {
    const half = (await old.client().script('LOAD', BUMP)) as string
    path = await startDataPath(apart('switched'))
    const app = path.client()
    const whole = (await app.script('LOAD', `${BUMP} -- loaded`)) as string
    expect(await app.script('EXISTS', half, whole)).toEqual([0, 1])
    expect(await fresh.client().script('EXISTS', whole)).toEqual([1])
  })

  test('SCRIPT EXISTS is answered without one that hangs, or is down, unless it is that of all other keys', async () => {
    path = await startDataPath({ ...apart('switched'), store: { timeoutMs: 120_000 } })
    const app = path.client()
    const sha = (await app.script('LOAD', BUMP)) as string
    const asked = [sha, 'f'.repeat(40)]
    fresh.pause()
    try {
      expect(await app.script('EXISTS', ...asked)).toEqual([1, 0])
    } finally {
      fresh.resume()
    }
    await fresh.kill9()
    expect(await app.script('EXISTS', ...asked)).toEqual([1, 0])
    await fresh.restart()
    await old.kill9()
    await expect(app.script('EXISTS', ...asked)).rejects.toThrow(/ERR Understudy/)
    await old.restart()
    await isBack(app)
    expect(await app.script('EXISTS', ...asked)).toEqual([1, 0])
  })

  test('a transaction that a switch takes along finds its script', async () => {
    path = await startDataPath(apart('mirror'))
    const client = await path.raw()
    const sha = (await client.ask('SCRIPT', 'LOAD', BUMP)).split('\r\n')[1]!
    await client.ask('MULTI')
    await client.ask('EVALSHA', sha, 1, 'job:1')
    await path.apply(apart('switched'))
    expect(await client.ask('EXEC')).toBe('*1\r\n:1\r\n')
    expect(await fresh.client().get('job:1')).toBe('1')
  })
})

describe('a cluster', () => {
  let cluster: RedisCluster
  beforeAll(async () => {
    cluster = await startCluster()
  }, 180_000)
  afterAll(() => cluster.stop())
  beforeEach(async () => {
    await cluster.flushAll()
    const [{ port }] = cluster.servers as [RedisServer]
    const endpoints = cluster.servers.map((node) => ({ kind: 'tcp', host: '127.0.0.1', port: node.port }) as const)
    // Longer than any pause here lasts, also on a busy machine.
    path = await startDataPath({
      stores: { cluster: { port, kind: 'cluster', endpoints } },
      store: { timeoutMs: 120_000 },
    })
  })
  const keys = ['{a}', '{b}', '{c}', '{d}', '{e}', '{f}']

  test('has a script at every master that is called, in MULTI and in a pipeline', async () => {
    const { app, bump } = bumping()
    for (const key of keys) expect(await bump(key)).toBe(1)
    const pipeline = app.pipeline() as unknown as {
      bump(key: string): void
      exec(): Promise<[Error | null, unknown][]>
    }
    for (const key of keys) pipeline.bump(key)
    expect(await pipeline.exec()).toEqual(keys.map(() => [null, 2]))
    const sha = (await app.script('LOAD', `${BUMP} -- loaded`)) as string
    for (const key of keys) expect(await piecemeal(sha, key)).toBe('*1\r\n:3\r\n')
  })

  test('SCRIPT EXISTS says yes where every master has it', async () => {
    const source = `${BUMP} -- at one`
    const sha = (await cluster.servers[0]!.client().script('LOAD', source)) as string
    const app = path.client()
    // Whichever master is asked first.
    for (let i = 0; i < 3; i++) expect(await app.script('EXISTS', sha)).toEqual([0])
    await app.script('LOAD', source)
    expect(await app.script('EXISTS', sha)).toEqual([1])
  })

  test('has them also in a transaction that comes bit by bit while another master hangs', async () => {
    const { app, bump } = bumping()
    expect(await bump('{a}')).toBe(1)
    const owner = await cluster.ownerOf(await cluster.slotOf('{a}'))
    const other = cluster.servers.find((server) => server !== owner)!
    const sha = (await owner.client().script('LOAD', `${BUMP} -- second`)) as string
    await app.eval(`${BUMP} -- second`, 1, '{a}')
    await owner.client().script('FLUSH')
    other.pause()
    try {
      expect(await piecemeal(sha, '{a}')).toBe('*1\r\n:3\r\n')
      // The same with keys that are watched.
      const client = await path.raw()
      await client.ask('WATCH', '{a}')
      await client.ask('MULTI')
      await client.ask('EVALSHA', sha, 1, '{a}')
      expect(await client.ask('EXEC')).toBe('*1\r\n:4\r\n')
    } finally {
      other.resume()
    }
  })

  test('one of whose masters is restarted has them again', async () => {
    const { bump } = bumping()
    for (const key of keys) expect(await bump(key)).toBe(1)
    const node = cluster.servers[1]!
    await node.kill9()
    await node.restart()
    for (const key of keys)
      await eventually(async () => expect(await bump(key).catch((error) => error.message)).toEqual(expect.any(Number)))
  }, 60_000)
})

describe('what CLIENT CACHING has said is for the call, and not for what is loaded ahead of it', () => {
  const READS = "return redis.call('GET', KEYS[1])"

  test.each([false, true])('routes with two primaries: %s', async (two) => {
    path = await startDataPath({
      stores: { old, new: fresh },
      routes: two
        ? [
            { name: 'jobs', keys: ['job:{id}'], source: 'new' },
            { name: 'rest', source: 'old' },
          ]
        : [{ name: 'all', source: 'old' }],
    })
    const app = path.client()
    const [alone, whole, watching] = (await Promise.all(
      [READS, `${READS} -- 2`, `${READS} -- 3`].map((source) => app.script('LOAD', source)),
    )) as [string, string, string]
    for (const server of [old, fresh]) await server.client().script('FLUSH')
    const reader = await path.raw()
    await reader.ask('HELLO', 3)
    expect(await reader.ask('CLIENT', 'TRACKING', 'ON', 'OPTIN')).toBe('+OK\r\n')
    const invalidated = (key: string) => `>2\r\n$10\r\ninvalidate\r\n*1\r\n$${key.length}\r\n${key}\r\n`

    expect(await reader.ask('CLIENT', 'CACHING', 'YES')).toBe('+OK\r\n')
    expect(await reader.ask('EVALSHA_RO', alone, 1, 'job:1')).toBe('_\r\n')
    await app.set('job:1', 'x')
    expect(await reader.next().then(String)).toBe(invalidated('job:1'))

    expect(await reader.ask('CLIENT', 'CACHING', 'YES')).toBe('+OK\r\n')
    const commands = [['MULTI'], ['EVALSHA_RO', whole, '1', 'job:2'], ['GET', 'job:3'], ['EXEC']]
    reader.send(Buffer.concat(commands.map((command) => encodeCommand(command))))
    expect((await reader.take(4)).at(-1)).toBe('*2\r\n_\r\n_\r\n')
    await app.set('job:2', 'x')
    expect(await reader.next().then(String)).toBe(invalidated('job:2'))
    await app.set('job:3', 'x')
    expect(await reader.next().then(String)).toBe(invalidated('job:3'))

    await reader.ask('WATCH', 'job:4')
    expect(await reader.ask('CLIENT', 'CACHING', 'YES')).toBe('+OK\r\n')
    expect(await reader.ask('EVALSHA_RO', watching, 1, 'job:5')).toBe('_\r\n')
    await app.set('job:5', 'x')
    expect(await reader.next().then(String)).toBe(invalidated('job:5'))
  })
})
