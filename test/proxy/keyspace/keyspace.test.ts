import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Phase } from '../../../src/config/config.ts'
import { decodeReply } from '../../../src/resp/decode.ts'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { Glob } from '../../../src/routing/glob.ts'
import { type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

let one: RedisServer
let two: RedisServer
let path: DataPathUnderTest
let client: RawClient

beforeEach(async () => {
  ;[one, two] = await Promise.all([startRedis({ args: ['--enable-debug-command', 'yes'] }), startRedis()])
})
afterEach(async () => {
  await path?.stop()
  await Promise.all([one.stop(), two.stop()])
})

const options = (phase: Phase, target: 'one' | 'two'): DataPathOptions => ({
  stores: { one, two },
  routes: [
    {
      name: 'jobs',
      keys: ['job:{id}', 'worker:{id}:jobs'],
      source: 'one',
      target: { store: target, keys: { 'job:{id}': 'step:{id}', 'worker:{id}:jobs': 'worker:{id}:steps' } },
      phase,
    },
    { name: 'rest', source: 'one' },
  ],
})
const start = async (of: DataPathOptions): Promise<void> => {
  path = await startDataPath(of)
  client = await path.raw()
}
const ask = async (...args: (string | number)[]): Promise<unknown> => {
  client.command(...args)
  const frame = await client.next()
  return decodeReply(frame, 0, frame.length)
}
const texts = (list: unknown): string[] => (list as Buffer[]).map((key) => key.toString('latin1')).sort()
const keys = async (pattern = '*'): Promise<string[]> => texts(await ask('KEYS', pattern))

test('KEYS names a key once, however many patterns of a store match it, beside a store that none is asked of', async () => {
  const jobs = { 'job:{id}': 'step:{id}', 'job:{id}:progress': 'step:{id}:progress' }
  await start({
    stores: { one, two },
    routes: [
      { name: 'jobs', keys: Object.keys(jobs), source: 'one', target: { store: 'one', keys: jobs }, phase: 'switched' },
      {
        name: 'carts',
        keys: ['cart:{user}'],
        source: 'one',
        target: { store: 'two', keys: { 'cart:{user}': 'basket:{user}' } },
        phase: 'switched',
      },
      { name: 'rest', source: 'one' },
    ],
  })
  await ask('MSET', 'job:1', 'x', 'job:1:progress', 'y')
  await ask('SET', 'cart:1', 'z')
  for (const pattern of ['job:1', '\\job:1']) expect(await keys(pattern)).toEqual(['job:1'])
  expect(await keys()).toEqual(['cart:1', 'job:1', 'job:1:progress'])
})

/** A whole scan; `between` is called after so many pages. */
async function scan(
  args: (string | number)[] = [],
  between: (page: number) => Promise<void> = async () => {},
): Promise<string[]> {
  const found: string[] = []
  let cursor = '0'
  for (let page = 0; page === 0 || cursor !== '0'; page++) {
    const [next, list] = (await ask('SCAN', cursor, ...args)) as [Buffer, Buffer[]]
    // As clients keep it that have doubles for all numbers.
    cursor = String(Number(next.toString()))
    found.push(...list.map((key) => key.toString('latin1')))
    await between(page)
  }
  return found.sort()
}

const OWN = ['job:1', 'job:2', 'other', 'worker:7:jobs']
const fill = async (): Promise<void> => {
  client.send(Buffer.from('MSET job:1 a job:2 b other c\r\nRPUSH worker:7:jobs 1\r\n'))
  await client.take(2)
  await settled(path)
}

describe.each(['one', 'two'] as const)(
  'the application sees its own keys and no others (target on store %s)',
  (target) => {
    test.each(['mirror', 'read-target', 'switched', 'done'] as const)('in %s', async (phase) => {
      await start(options('mirror', target))
      await fill()
      if (phase !== 'mirror') await path.apply(options(phase === 'read-target' ? phase : 'switched', target))
      if (phase === 'done') await path.apply(options('done', target))
      for (const protocol of [2, 3]) {
        await client.ask('HELLO', protocol)
        expect(await keys()).toEqual(OWN)
        expect(await keys('job:*')).toEqual(['job:1', 'job:2'])
        expect(await keys('*:[17]*')).toEqual(['job:1', 'worker:7:jobs'])
        expect(await keys('step:*')).toEqual([])
        expect(await scan()).toEqual(OWN)
        expect(await scan(['COUNT', 1, 'MATCH', 'job:*'])).toEqual(['job:1', 'job:2'])
        expect(await scan(['match', 'w*', 'TYPE', 'list'])).toEqual(['worker:7:jobs'])
        expect(await scan(['TYPE', 'list'])).toEqual(['worker:7:jobs'])
        const random = new Set<string>()
        for (let i = 0; i < 100; i++) random.add(String(await ask('RANDOMKEY')))
        expect([...random].sort()).toEqual(OWN)
      }
      expect(await ask('DBSIZE')).toBe(OWN.length)
    })
  },
)

test('in MULTI as outside of it', async () => {
  for (const phase of ['mirror', 'switched'] as const) {
    if (phase === 'mirror') {
      await start(options('mirror', 'one'))
      await fill()
    } else await path.apply(options(phase, 'one'))
    for (const way of ['in one packet', 'one by one']) {
      const commands = ['MULTI', 'KEYS job:*', 'SCAN 0 COUNT 1000', 'DBSIZE', 'RANDOMKEY', 'EXEC']
      if (way === 'in one packet') {
        client.send(commands.map((command) => `${command}\r\n`).join(''))
        await client.take(5)
      } else for (const command of commands.slice(0, 5)) await client.ask(...command.split(' '))
      if (way === 'one by one') client.command('EXEC')
      const frame = await client.next()
      const [listed, page, size, random] = decodeReply(frame, 0, frame.length) as unknown as [
        Buffer[],
        [Buffer, Buffer[]],
        number,
        Buffer,
      ]
      expect(size).toBe(OWN.length)
      expect(OWN).toContain(random.toString())
      expect(texts(listed)).toEqual(['job:1', 'job:2'])
      expect(page[0].toString()).toBe('0')
      expect(texts(page[1])).toEqual(OWN)
    }
    for (const wrong of ['KEYS', 'KEYS job:* x', 'RANDOMKEY x', 'DBSIZE x', 'SCAN']) {
      client.send(Buffer.concat(['MULTI', wrong, 'EXEC'].map((command) => encodeCommand(command.split(' ')))))
      expect([wrong, await client.take(3)]).toEqual([
        wrong,
        ['+OK\r\n', expect.stringMatching(/^-ERR wrong number of arguments/), expect.stringMatching(/^-EXECABORT/)],
      ])
    }
  }
})

test.each(['one', 'two'] as const)(
  'a SCAN is complete and without duplicates while routes are switched there and back (target on store %s)',
  async (target) => {
    await start(options('mirror', target))
    const expected: string[] = []
    for (let i = 0; i < 300; i++) {
      const key = i % 3 === 0 ? `other:${i}` : `job:${i}`
      expected.push(key)
      client.command('SET', key, i)
    }
    await client.take(300)
    await settled(path)
    let phase: Phase = 'mirror'
    const found = await scan(['COUNT', 7], async (page) => {
      if (page % 5 !== 4) return
      phase = phase === 'mirror' ? 'switched' : 'mirror'
      await path.apply(options(phase, target))
    })
    expect(found).toEqual(expected.sort())
  },
)

test('a SCAN goes on inside MULTI, too, over switches of names on one server', async () => {
  await start(options('mirror', 'one'))
  const expected = Array.from({ length: 200 }, (_, i) => (i % 3 === 0 ? `other:${i}` : `job:${i}`))
  for (const key of expected) client.command('SET', key, 1)
  await client.take(expected.length)
  await settled(path)
  let phase: Phase = 'mirror'
  const found: string[] = []
  let cursor = '0'
  for (let page = 0; page === 0 || cursor !== '0'; page++) {
    // By turns in a transaction that arrives whole, one that is typed, and outside.
    const commands = [['MULTI'], ['SCAN', cursor, 'COUNT', 7], ['EXEC']]
    if (page % 3 === 0) client.send(Buffer.concat(commands.map((command) => encodeCommand(command))))
    else for (const command of page % 3 === 1 ? commands : []) client.command(...command)
    if (page % 3 < 2) await client.take(2)
    else client.command('SCAN', cursor, 'COUNT', 7)
    const frame = await client.next()
    const reply = decodeReply(frame, 0, frame.length) as unknown[]
    const [next, list] = (page % 3 < 2 ? reply[0] : reply) as [Buffer, Buffer[]]
    cursor = next.toString()
    found.push(...list.map(String))
    if (page % 5 === 4) await path.apply(options((phase = phase === 'mirror' ? 'switched' : 'mirror'), 'one'))
  }
  expect(found.sort()).toEqual(expected.sort())
})

test('inside MULTI so many names are looked through and no more; an empty database has no random key', async () => {
  await start(options('mirror', 'one'))
  for (const command of [['MULTI'], ['DBSIZE'], ['RANDOMKEY'], ['EXEC']]) client.command(...command)
  expect((await client.take(4)).at(-1)).toBe('*2\r\n:0\r\n$-1\r\n')
  const filling = one.client()
  await filling.mset(Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`step:left-over-${i}`, 'x'])))
  await filling.call('DEBUG', 'POPULATE', 99_001, 'other')
  for (const command of [['MULTI'], ['RANDOMKEY'], ['DBSIZE'], ['SET', 'done', 1], ['EXEC']]) client.command(...command)
  expect((await client.take(5)).at(-1)).toMatch(
    /^\*3\r\n(-ERR Understudy does not look through more than .*\r\n){2}\+OK\r\n$/,
  )
  expect(await ask('DBSIZE')).toBe(99_002)
})

test('a SCAN outlives a restart before or after a switch', async () => {
  await start(options('mirror', 'one'))
  const expected = Array.from({ length: 60 }, (_, i) => (i % 3 === 0 ? `other:${i}` : `job:${i}`))
  for (const key of expected) await client.ask('SET', key, 1)
  await settled(path)
  let phase: Phase = 'mirror'
  const found = await scan(['COUNT', 7], async (page) => {
    if (page % 2 === 0) await path.apply(options((phase = phase === 'mirror' ? 'switched' : 'mirror'), 'one'))
    else {
      await path.stop()
      await start(options(phase, 'one'))
    }
  })
  expect(found).toEqual(expected.sort())
})

test.each([
  ['mirror', 'one'],
  ['switched', 'two'],
] as const)(
  'cursors that are none of ours, and arguments that make no sense (%s, target on store %s)',
  async (phase, target) => {
    await start(options('mirror', target))
    await fill()
    if (phase !== 'mirror') await path.apply(options(phase, target))
    const direct = await RawClient.open(one.port)
    for (const command of [
      ['SCAN', 'x'],
      ['SCAN'],
      ['SCAN', 0, 'COUNT', 0],
      ['SCAN', 0, 'MATCH'],
      ['SCAN', 0, 'X', 1],
      ['KEYS'],
      ['RANDOMKEY', 1],
      ['SCAN', 0, 'COUNT', 'x'],
    ]) {
      expect([command, await client.ask(...command)]).toEqual([command, await direct.ask(...command)])
    }
    direct.destroy()
    expect(await client.ask('SCAN', String((1n << 52n) + (7n << 15n) + (5n << 4n)))).toMatch(
      /^-ERR Understudy: this SCAN began under a configuration/,
    )
    // Of those that nobody gave a server takes what its number type holds.
    for (const cursor of ['-1', '+0', String(2n ** 64n - 1n)]) expect(await client.ask('SCAN', cursor)).toMatch(/^\*2/)
    expect(await client.ask('SCAN', String(2n ** 64n))).toBe('-ERR invalid cursor\r\n')
  },
)

test('DBSIZE counts the application’s keys over many pages, for several who ask at once, each with what it wrote before', async () => {
  await start(options('mirror', 'one'))
  const filling = one.client()
  await filling.mset(Object.fromEntries(Array.from({ length: 4_000 }, (_, i) => [`step:left-over-${i}`, 'x'])))
  await filling.mset(Object.fromEntries(Array.from({ length: 3_000 }, (_, i) => [`other:${i}`, 'x'])))
  const clients = await Promise.all([2, 3, 2].map(() => path.raw()))
  for (const [i, each] of clients.entries()) {
    each.send(Buffer.concat([['SET', `job:${i}`, 'x'], ['DBSIZE'], ['PING']].map((args) => encodeCommand(args))))
  }
  const gone = await path.raw()
  gone.command('DBSIZE')
  gone.destroy()
  for (const each of clients) {
    const [set, size, ping] = await each.take(3)
    expect([set, ping]).toEqual(['+OK\r\n', '+PONG\r\n'])
    const counted = Number(size!.slice(1))
    expect([3_001, 3_002, 3_003]).toContain(counted)
  }
  expect(await ask('DBSIZE')).toBe(3_003)
  await one.kill9()
  expect(await client.ask('DBSIZE')).toMatch(/^-/)
})

test('a switch does not wait for the end of a count, which begins anew behind it', async () => {
  await start(options('mirror', 'one'))
  const filling = one.client()
  // As many as take longer to count than the switch below may take to drain.
  await ask('SET', 'job:0', 'x')
  for (let at = 0; at < 30; at++) {
    await filling.mset(Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`other:${at}:${i}`, 'x'])))
  }
  await settled(path)
  client.command('DBSIZE')
  await eventually(async () => expect(await filling.info('commandstats')).toMatch(/cmdstat_scan:calls=\d\d/))
  const stat = async (): Promise<number> =>
    Number(/cmdstat_scan:calls=(\d+)/.exec(await filling.info('commandstats'))?.[1])
  const scansPerCount = 600
  await path.apply(options('switched', 'one'))
  expect(await stat()).toBeLessThan(scansPerCount)
  expect(await client.next().then((frame) => decodeReply(frame, 0, frame.length))).toBe(300_001)
  expect(await stat()).toBeGreaterThan(scansPerCount)
})

test('a prefix of its own on a shared server: nothing of the neighbours is seen or flushed', async () => {
  await start({ stores: { one }, routes: [{ name: 'app', source: { store: 'one', keys: { '*': 'app1:*' } } }] })
  const neighbour = await RawClient.open(one.port)
  await neighbour.ask('MSET', 'app2:x', 'n', 'plain', 'n')
  await client.ask('MSET', 'x', 1, 'y', 2)
  expect(
    texts(decodeReply(Buffer.from(await neighbour.ask('KEYS', '*')), 0, (await neighbour.ask('KEYS', '*')).length)),
  ).toEqual(['app1:x', 'app1:y', 'app2:x', 'plain'])
  expect(await keys()).toEqual(['x', 'y'])
  expect(await keys('app*')).toEqual([])
  expect(await scan(['COUNT', 1])).toEqual(['x', 'y'])
  expect(await client.ask('DBSIZE')).toBe(':2\r\n')
  await client.ask('DEL', 'x', 'y')
  expect(await client.ask('RANDOMKEY')).toBe('$-1\r\n')
  const listener = await path.raw()
  await neighbour.ask('CONFIG', 'SET', 'notify-keyspace-events', 'KEA')
  await listener.ask('PSUBSCRIBE', '__key*__:*')
  await neighbour.ask('SET', 'app2:x', 'seen by its owner only')
  await client.ask('SET', 'z', 1)
  const [space, event] = await listener.take(2)
  expect(space).toContain('__keyspace@0__:z\r\n$3\r\nset')
  expect(event).toContain('__keyevent@0__:set\r\n$1\r\nz')
  await client.ask('DEL', 'z')
  expect(await client.ask('SWAPDB', 0, 1)).toMatch(/^-ERR Understudy refuses/)
  expect(await neighbour.ask('DBSIZE')).toBe(':2\r\n')
  neighbour.destroy()
})

test('FLUSHDB and FLUSHALL of a namespace delete what is the application’s own, in one database or in all, and what comes behind them finds them done', async () => {
  await start({ stores: { one }, routes: [{ name: 'app', source: { store: 'one', keys: { '*': 'app1:*' } } }] })
  const neighbour = one.client()
  const others = Object.fromEntries(Array.from({ length: 700 }, (_, i) => [`app2:${i}`, 'n']))
  for (const database of [0, 5]) {
    await neighbour.select(database)
    await neighbour.mset(others)
    await client.ask('SELECT', database)
    await client.ask('MSET', ...Array.from({ length: 1_200 }, (_, i) => [`key:${i}`, 'x']).flat())
  }
  // In database 5.
  for (const command of [['FLUSHDB'], ['DBSIZE'], ['SET', 'kept', 1], ['SELECT', 0], ['DBSIZE']])
    client.command(...command)
  expect(await client.take(5)).toEqual(['+OK\r\n', ':0\r\n', '+OK\r\n', '+OK\r\n', ':1200\r\n'])
  for (const command of [['FLUSHALL', 'sync'], ['DBSIZE'], ['SELECT', 5], ['DBSIZE']]) client.command(...command)
  expect(await client.take(4)).toEqual(['+OK\r\n', ':0\r\n', '+OK\r\n', ':0\r\n'])
  for (const wrong of [['NOW'], ['SYNC', 'ASYNC']])
    expect(await client.ask('FLUSHDB', ...wrong)).toBe('-ERR syntax error\r\n')
  for (const database of [0, 5]) {
    await neighbour.select(database)
    expect(await neighbour.dbsize()).toBe(700)
  }
  await one.kill9()
  expect(await client.ask('FLUSHALL')).toMatch(/^-/)
})

test('FLUSHDB and FLUSHALL of a namespace inside MULTI delete what is its own at their place in the transaction', async () => {
  const keys = { '*': 'app1:*', 'job:{id}': 'step:{id}:of-app1' }
  await start({ stores: { one }, routes: [{ name: 'app', keys: ['*', 'job:{id}'], source: { store: 'one', keys } }] })
  const neighbour = one.client()
  const fill = async (): Promise<void> => {
    for (const database of [0, 5]) {
      await neighbour.select(database)
      await neighbour.mset('app2:x', 1, 'x', 1, 'app1:job:7', 'of nobody', 'step:7', 1)
      await client.ask('SELECT', database)
      await client.ask('MSET', ...Array.from({ length: 2_500 }, (_, i) => [`key:${i}`, 'x', `job:${i}`, 'x']).flat())
    }
  }
  await fill()
  // The client is in database 5.
  const whole = [['MULTI'], ['DBSIZE'], ['FLUSHDB'], ['SET', 'kept', 1], ['DBSIZE'], ['EXEC']]
  client.send(Buffer.concat(whole.map((args) => encodeCommand(args))))
  expect((await client.take(6)).at(-1)).toBe('*4\r\n:5000\r\n+OK\r\n+OK\r\n:1\r\n')
  await client.ask('SELECT', 0)
  expect(await client.ask('DBSIZE')).toBe(':5000\r\n')
  await client.ask('WATCH', 'key:1')
  const stepwise = [['MULTI'], ['SELECT', 5], ['FLUSHALL', 'sync'], ['DBSIZE'], ['FLUSHALL', 'NOW'], ['EXEC']]
  for (const command of stepwise) client.command(...command)
  expect((await client.take(6)).at(-1)).toBe('*4\r\n+OK\r\n+OK\r\n:0\r\n-ERR syntax error\r\n')
  for (const database of [0, 5]) {
    await neighbour.select(database)
    expect((await neighbour.keys('*')).sort()).toEqual(['app1:job:7', 'app2:x', 'step:7', 'x'])
  }
  await client.ask('SET', 'a', 1)
  await client.ask('WATCH', 'a')
  expect([await client.ask('FLUSHDB'), await client.ask('DBSIZE'), await client.ask('UNWATCH')]).toEqual([
    '+OK\r\n',
    ':0\r\n',
    '+OK\r\n',
  ])
})

test.each(['mirror', 'switched'] as const)(
  'a FLUSHALL of a namespace inside MULTI is mirrored where it stands (%s)',
  async (phase) => {
    await start({
      stores: { one, two },
      routes: [
        {
          name: 'jobs',
          source: { store: 'one', keys: { '*': 'app1:*' } },
          target: { store: 'two', keys: { '*': 'app:*' } },
          phase,
        },
      ],
    })
    const neighbours = [one.client(), two.client()] as const
    for (const neighbour of neighbours) await neighbour.set('neighbour', 'n')
    await client.ask('MSET', ...Array.from({ length: 1_200 }, (_, i) => [`key:${i}`, 'x']).flat())
    await settled(path)
    const commands = [['MULTI'], ['SET', 'key:1', 'new'], ['FLUSHALL'], ['RPUSH', 'key:2', 'kept'], ['EXEC']]
    client.send(Buffer.concat(commands.map((args) => encodeCommand(args))))
    expect((await client.take(5)).at(-1)).toBe('*3\r\n+OK\r\n+OK\r\n:1\r\n')
    await settled(path)
    for (const [i, name] of ['app1:key:2', 'app:key:2'].entries()) {
      expect((await neighbours[i]!.keys('*')).sort()).toEqual([name, 'neighbour'])
      expect(await neighbours[i]!.lrange(name, 0, -1)).toEqual(['kept'])
    }
    expect(path.runtime.stats().routes['jobs']!.verifyCauses).toEqual([])
  },
)

test('inside MULTI a FLUSHDB of a namespace deletes so many keys and no more; over several stores it is refused', async () => {
  const source = { store: 'one', keys: { '*': 'app1:*' } }
  await start({ stores: { one, two }, routes: [{ name: 'app', source }] })
  await one.client().eval("for i=1,100001 do redis.call('SET','app1:'..i,'x') end", 0)
  for (const command of [['MULTI'], ['FLUSHDB'], ['DBSIZE'], ['EXEC']]) client.command(...command)
  expect((await client.take(4)).at(-1)).toMatch(
    /^\*2\r\n-ERR Understudy .*100000 keys .*outside of MULTI\r\n:100001\r\n$/,
  )
  await path.apply({
    stores: { one, two },
    routes: [
      { name: 'app', source },
      { name: 'jobs', keys: ['job:{id}'], source: { store: 'two', keys: { 'job:{id}': 'step:{id}' } } },
    ],
  })
  await client.ask('MULTI')
  expect(await client.ask('FLUSHDB')).toMatch(/^-CROSSROUTE FLUSHDB .* outside of MULTI/)
  expect(await client.ask('EXEC')).toMatch(/^-EXECABORT/)
})

test('FLUSHALL of a namespace that is on the way to another server is mirrored key by key, and goes over a switch', async () => {
  const moving = (phase: Phase): DataPathOptions => ({
    stores: { one, two },
    routes: [
      {
        name: 'jobs',
        source: { store: 'one', keys: { '*': 'app1:*' } },
        target: { store: 'two', keys: { '*': 'app:*' } },
        phase,
      },
    ],
  })
  await start(moving('mirror'))
  await two.client().set('neighbour', 'n')
  await client.ask('MSET', ...Array.from({ length: 20_000 }, (_, i) => [`key:${i}`, 'x']).flat())
  await settled(path)
  client.command('FLUSHALL')
  client.command('DBSIZE')
  const deleted = async (): Promise<number> =>
    Number(/cmdstat_unlink:calls=(\d+)/.exec(await one.client().info('commandstats'))?.[1] ?? 0)
  await eventually(async () => expect(await deleted()).toBeGreaterThan(0))
  await path.apply(moving('switched'))
  expect(await client.take(2)).toEqual(['+OK\r\n', ':0\r\n'])
  await settled(path)
  expect([await one.client().dbsize(), await two.client().dbsize()]).toEqual([0, 1])
})

test('two applications with a prefix each hear nothing of one another: channels, notifications, invalidations, scripts, SORT', async () => {
  const prefixed = (prefix: string): DataPathOptions => ({
    stores: { one },
    routes: [{ name: 'app', source: { store: 'one', keys: { '*': `${prefix}:*` }, channels: { '*': `${prefix}:*` } } }],
  })
  await start(prefixed('app1'))
  const other = await startDataPath(prefixed('app2'))
  try {
    const neighbour = await other.raw()
    await client.ask('CONFIG', 'SET', 'notify-keyspace-events', 'KEA')
    const listener = await path.raw()
    for (const [command, name] of [
      ['SUBSCRIBE', 'news'],
      ['PSUBSCRIBE', 'ne*'],
      ['PSUBSCRIBE', '__keyspace@0__:*'],
    ] as const)
      await listener.ask(command, name)
    const tracking = await path.raw()
    await tracking.ask('HELLO', 3)
    await tracking.ask('CLIENT', 'TRACKING', 'ON')
    await tracking.ask('GET', 'x')
    // All of it the other's, under names that both use.
    await neighbour.ask('SET', 'x', 1)
    await neighbour.ask('MSET', 'w_1', 1, 'w_2', 2)
    expect(await neighbour.ask('PUBLISH', 'news', 'not for you')).toBe(':0\r\n')
    await client.ask('RPUSH', 'l', 1, 2)
    await client.ask('MSET', 'w_1', 2, 'w_2', 1)
    expect(await ask('SORT', 'l', 'BY', 'w_*', 'GET', 'w_*')).toEqual([Buffer.from('1'), Buffer.from('2')])
    expect(await client.ask('EVAL', "return redis.call('EXISTS', KEYS[1])", 1, 'x')).toBe(':0\r\n')
    expect(await client.ask('EVAL', "return redis.call('GET', 'app2:x')", 0)).toMatch(/^-ERR Understudy refuses/)
    expect(await ask('PUBSUB', 'NUMSUB', 'news')).toEqual([Buffer.from('news'), 1])
    await client.ask('SET', 'x', 'mine')
    expect(await client.ask('PUBLISH', 'news', 'for you')).toBe(':2\r\n')
    // Everything that comes is of the application's own doing, and the first of it tells so.
    expect(await tracking.text()).toBe('>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nx\r\n')
    const heard: string[] = []
    while (!heard.at(-1)?.includes('for you')) heard.push(await listener.text())
    expect(
      heard.filter((message) => message.includes('__keyspace@0__:')).map((message) => message.split('\r\n')[6]),
    ).toEqual(['l', 'w_1', 'w_2', 'x'].map((key) => `__keyspace@0__:${key}`))
    expect(heard.join('')).not.toContain('not for you')
  } finally {
    await other.stop()
  }
})

test('patterns match what Redis says they match', async () => {
  await start({ stores: { one } })
  const byte = fc.constantFrom('a', 'b', 'c', '-', ']', '[', '^', '\\', '*', '?')
  const names = fc.sample(fc.string({ unit: byte, minLength: 1, maxLength: 4 }), { numRuns: 150, seed: 7 })
  const patterns = fc.sample(fc.string({ unit: byte, minLength: 1, maxLength: 7 }), { numRuns: 1_500, seed: 8 })
  await client.ask('MSET', ...names.flatMap((name) => [name, '1']))
  for (const pattern of patterns) client.command('KEYS', pattern)
  for (const pattern of patterns) {
    const frame = await client.next()
    const glob = new Glob(Buffer.from(pattern))
    const matching = [...new Set(names)].filter((name) => glob.matches(Buffer.from(name))).sort()
    expect([pattern, matching]).toEqual([pattern, texts(decodeReply(frame, 0, frame.length))])
  }
})
