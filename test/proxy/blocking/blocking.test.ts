import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

let store: RedisServer
let other: RedisServer
let admin: RawClient

beforeAll(async () => {
  ;[store, other] = await Promise.all([startRedis(), startRedis()])
  admin = await RawClient.open(store.port)
})
afterAll(async () => {
  admin.destroy()
  await Promise.all([store.stop(), other.stop()])
})
beforeEach(async () => {
  await admin.ask('FLUSHALL')
})

/** Resolves when so many clients are blocked at the store. */
const blocked = (count: number): Promise<void> =>
  eventually(async () => expect(await admin.ask('INFO', 'clients')).toContain(`blocked_clients:${count}\r\n`))

const bulk = (...values: string[]) => `*${values.length}\r\n${values.map((v) => `$${v.length}\r\n${v}\r\n`).join('')}`

// Without a shadow and with one: there, takes of a busy key are first tried on the shared connection.
describe.each(['passthrough', 'mirror'] as const)('blocking commands in %s', (phase) => {
  let path: DataPathUnderTest
  beforeAll(async () => {
    path = await startDataPath({
      stores: { one: store, two: other },
      routes: [{ source: 'one', phase, ...(phase === 'mirror' ? { target: 'two' } : {}) }],
    })
  })
  afterAll(() => path.stop())

  test('give at once what is there', async () => {
    const client = await path.raw()
    await client.ask('RPUSH', 'l', 'a', 'b', 'c', 'd', 'e')
    await client.ask('ZADD', 'z', 1, 'x', 2, 'y')
    await client.ask('XADD', 's', '1-1', 'f', 'v')
    await client.ask('XGROUP', 'CREATE', 's', 'g', 0)
    const entries = '*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n'
    expect(await client.ask('BLPOP', 'none', 'l', 0)).toBe(bulk('l', 'a'))
    expect(await client.ask('BRPOP', 'l', 0)).toBe(bulk('l', 'e'))
    expect(await client.ask('BLMOVE', 'l', 'm', 'LEFT', 'RIGHT', 0)).toBe('$1\r\nb\r\n')
    expect(await client.ask('BRPOPLPUSH', 'l', 'm', 0)).toBe('$1\r\nd\r\n')
    expect(await client.ask('BLMPOP', 0, 2, 'none', 'l', 'LEFT')).toBe('*2\r\n$1\r\nl\r\n*1\r\n$1\r\nc\r\n')
    expect(await client.ask('BZPOPMIN', 'z', 0)).toBe(bulk('z', 'x', '1'))
    expect(await client.ask('BZMPOP', 0, 1, 'z', 'MAX')).toBe('*2\r\n$1\r\nz\r\n*1\r\n*2\r\n$1\r\ny\r\n$1\r\n2\r\n')
    expect(await client.ask('XREAD', 'BLOCK', 0, 'STREAMS', 's', 0)).toBe(entries)
    expect(await client.ask('XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', 0, 'STREAMS', 's', '>')).toBe(entries)
  })

  test('wait for what comes', async () => {
    const takes: readonly [take: (string | number)[], give: (string | number)[], reply: string][] = [
      [['BLPOP', 'none', 'l', 0], ['RPUSH', 'l', 'x'], bulk('l', 'x')],
      [['BRPOP', 'l', 0], ['RPUSH', 'l', 'x'], bulk('l', 'x')],
      [['BLMOVE', 'l', 'm', 'LEFT', 'RIGHT', 0], ['RPUSH', 'l', 'x'], '$1\r\nx\r\n'],
      [['BLMPOP', 0, 1, 'l', 'LEFT'], ['RPUSH', 'l', 'x'], '*2\r\n$1\r\nl\r\n*1\r\n$1\r\nx\r\n'],
      [['BZPOPMIN', 'z', 0], ['ZADD', 'z', 1, 'x'], bulk('z', 'x', '1')],
      [
        ['XREAD', 'BLOCK', 0, 'STREAMS', 's', '$'],
        ['XADD', 's', '5-5', 'f', 'v'],
        '*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n5-5\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n',
      ],
      [
        ['XREAD', 'BLOCK', 0, 'STREAMS', 's', '5-5'],
        ['XADD', 's', '6-6', 'f', 'v'],
        '*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n6-6\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n',
      ],
      [
        ['XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', 0, 'STREAMS', 'grouped', '>'],
        ['XADD', 'grouped', '7-7', 'f', 'v'],
        '*1\r\n*2\r\n$7\r\ngrouped\r\n*1\r\n*2\r\n$3\r\n7-7\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n',
      ],
    ]
    const [taker, giver] = [await path.raw(), await path.raw()]
    await giver.ask('XGROUP', 'CREATE', 'grouped', 'g', '$', 'MKSTREAM')
    for (const [take, give, reply] of takes) {
      taker.command(...take)
      await blocked(1)
      giver.command(...give)
      expect([take, await taker.text()]).toEqual([take, reply])
      await giver.text()
    }
  })

  test('give up after their timeout', async () => {
    const client = await path.raw()
    await client.ask('XADD', 's', '1-1', 'f', 'v')
    for (const command of [
      ['BLPOP', 'none', '0.01'],
      ['BLMOVE', 'none', 'm', 'LEFT', 'RIGHT', '0.01'],
      ['BZPOPMAX', 'none', '0.01'],
      ['BLMPOP', '0.01', 1, 'none', 'LEFT'],
      ['XREAD', 'BLOCK', 10, 'STREAMS', 's', '$'],
    ]) {
      expect([command, await client.ask(...command)]).toEqual([command, '*-1\r\n'])
      expect([command, await admin.ask(...command)]).toEqual([command, '*-1\r\n'])
    }
    expect(await client.ask('HELLO', 3)).toMatch(/^%7/)
    expect(await client.ask('BLPOP', 'none', '0.01')).toBe('_\r\n')
  })

  test('are refused as by the server', async () => {
    const client = await path.raw()
    await client.ask('SET', 'text', 'x')
    for (const command of [
      ['BLPOP', 'l'],
      ['BLPOP', 'l', 'soon'],
      ['BLPOP', 'l', -1],
      ['BLPOP', 'text', 0],
      ['BLMOVE', 'l', 'm', 'UP', 'DOWN', 0],
      ['BLMPOP', 0, 0, 'l', 'LEFT'],
      ['XREAD', 'BLOCK', 0],
      ['XREAD', 'BLOCK', 'x', 'STREAMS', 's', '$'],
      ['XREADGROUP', 'GROUP', 'none', 'c', 'BLOCK', 0, 'STREAMS', 's', '>'],
      ['WAIT', 'x', 0],
    ]) {
      expect([command, await client.ask(...command)]).toEqual([command, await admin.ask(...command)])
    }
  })

  test('hold back what was sent behind them, and only that', async () => {
    const [taker, giver] = [await path.raw(), await path.raw()]
    taker.send(
      Buffer.concat([
        encodeCommand(['SET', 'before', 1]),
        encodeCommand(['BLPOP', 'l', 0]),
        encodeCommand(['SET', 'behind', 1]),
        encodeCommand(['BLPOP', 'm', 0]),
        encodeCommand(['GET', 'behind']),
      ]),
    )
    await blocked(1)
    expect(await giver.ask('MGET', 'before', 'behind')).toBe('*2\r\n$1\r\n1\r\n$-1\r\n')
    await giver.ask('RPUSH', 'l', 'x')
    await blocked(1)
    await giver.ask('RPUSH', 'm', 'y')
    expect(await taker.take(5)).toEqual(['+OK\r\n', bulk('l', 'x'), '+OK\r\n', bulk('m', 'y'), '$1\r\n1\r\n'])
  })

  test('are served in the order in which they came, each once', async () => {
    const takers = await Promise.all(Array.from({ length: 40 }, () => path.raw()))
    for (const [i, taker] of takers.entries()) {
      taker.command('BLPOP', 'l', 0)
      await blocked(i + 1)
    }
    const giver = await path.raw()
    for (let i = 0; i < takers.length; i++) await giver.ask('RPUSH', 'l', i)
    for (const [i, taker] of takers.entries()) expect(await taker.text()).toBe(bulk('l', `${i}`))
    expect(await giver.ask('LLEN', 'l')).toBe(':0\r\n')
  })

  test.each(['destroy', 'end'] as const)('take nothing for a client that is gone (%s)', async (way) => {
    const giver = await path.raw()
    const others = path.runtime.stats().clients
    for (let round = 0; round < 20; round++) {
      const taker = await path.raw()
      taker.command('BLPOP', 'l', 0)
      await blocked(1)
      if (way === 'destroy') taker.destroy()
      else await taker.end()
      await eventually(() => expect(path.runtime.stats().clients).toBe(others))
      expect(await giver.ask('RPUSH', 'l', round)).toBe(':1\r\n')
      expect(await giver.ask('LPOP', 'l')).toBe(`$${`${round}`.length}\r\n${round}\r\n`)
      await blocked(0)
    }
  })

  test('end by CLIENT UNBLOCK, as if their time was over or with an error', async () => {
    const [taker, other] = [await path.raw(), await path.raw()]
    const id = (await taker.ask('CLIENT', 'ID')).slice(1).trim()
    expect(await other.ask('CLIENT', 'UNBLOCK', id)).toBe(':0\r\n')
    for (const [more, reply] of [
      [[], '*-1\r\n'],
      [['TIMEOUT'], '*-1\r\n'],
      [['ERROR'], '-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n'],
    ] as const) {
      taker.command('BLPOP', 'l', 0)
      await blocked(1)
      expect(await other.ask('CLIENT', 'UNBLOCK', id, ...more)).toBe(':1\r\n')
      expect(await taker.text()).toBe(reply)
    }
    for (const command of [
      ['CLIENT', 'UNBLOCK', 'x'],
      ['CLIENT', 'UNBLOCK', 999_999],
      ['CLIENT', 'UNBLOCK', 1, 'PERHAPS'],
    ]) {
      expect([command, await other.ask(...command)]).toEqual([command, await admin.ask(...command)])
    }
  })

  test('hold back megabytes, and lose none of them', async () => {
    const [taker, giver] = [await path.raw(), await path.raw()]
    taker.command('BLPOP', 'l', 0)
    for (let i = 0; i < 50; i++) taker.command('ECHO', `${i}`.padEnd(100_000, '.'))
    await blocked(1)
    await giver.ask('RPUSH', 'l', 'x')
    expect(await taker.text()).toBe(bulk('l', 'x'))
    for (let i = 0; i < 50; i++) expect((await taker.text()).slice(9, 12)).toBe(`${i}`.padEnd(3, '.'))
    expect(await taker.ask('PING')).toBe('+PONG\r\n')
  })

  test('take nothing for a client that leaves in the very moment', async () => {
    const giver = await path.raw()
    const others = path.runtime.stats().clients
    for (let round = 0; round < 50; round++) {
      const taker = await path.raw()
      await taker.sendApart(encodeCommand(['BLPOP', 'l', 0]))
      taker.destroy()
      await eventually(() => expect(path.runtime.stats().clients).toBe(others), { intervalMs: 1 })
      expect(await giver.ask('RPUSH', 'l', 'x')).toBe(':1\r\n')
      expect(await giver.ask('DEL', 'l')).toBe(':1\r\n')
      await blocked(0)
    }
  })

  test('end with the words of the server when the key goes, and are counted once', async () => {
    const ways: readonly (readonly (string | number)[])[] = [
      ['DEL', 'going'],
      ['SET', 'going', 'x'],
      ['FLUSHALL'],
      ['XGROUP', 'DESTROY', 'going', 'g'],
    ]
    const read = ['XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', 0, 'STREAMS', 'going', '>']
    const direct = await RawClient.open(store.port)
    for (const way of ways) {
      const ends: string[] = []
      for (const client of [direct, await path.raw()]) {
        await admin.ask('FLUSHALL')
        await admin.ask('XGROUP', 'CREATE', 'going', 'g', '$', 'MKSTREAM')
        await admin.ask('CONFIG', 'RESETSTAT')
        client.command(...read)
        await blocked(1)
        await admin.ask(...way)
        ends.push(
          `${await client.text()}${/cmdstat_xreadgroup:calls=\d+/.exec(await admin.ask('INFO', 'commandstats'))}`,
        )
      }
      expect([way, ends[1]]).toEqual([way, ends[0]])
    }
    direct.destroy()
  })

  test('lose nothing between givers and takers who work as fast as they can', async () => {
    const takers = await Promise.all(Array.from({ length: 10 }, () => path.raw()))
    const givers = await Promise.all(Array.from({ length: 3 }, () => path.raw()))
    const taken: string[] = []
    const perGiver = 200
    const work = takers.map(async (taker) => {
      for (;;) {
        const [, , , , value] = (await taker.ask('BLPOP', 'l', 0)).split('\r\n')
        if (value === 'stop') return
        taken.push(value!)
      }
    })
    await Promise.all(
      givers.map(async (giver, g) => {
        for (let i = 0; i < perGiver; i++) await giver.ask('RPUSH', 'l', `${g}:${i}`)
      }),
    )
    for (const _ of takers) await givers[0]!.ask('RPUSH', 'l', 'stop')
    await Promise.all(work)
    const given = givers.flatMap((_, g) => Array.from({ length: perGiver }, (_, i) => `${g}:${i}`))
    expect(taken.sort()).toEqual(given.sort())
  })
})

test('what is taken from a backlog is mirrored, and the stores are equal however takes and writes meet', async () => {
  await other.client().flushall()
  const path = await startDataPath({
    stores: { one: store, two: other },
    routes: [{ source: 'one', phase: 'mirror', target: 'two' }],
  })
  try {
    const [giver, taker] = [await path.raw(), await path.raw()]
    const values = Array.from({ length: 100 }, (_, i) => `${i}`)
    await giver.ask('RPUSH', 'l', ...values)
    for (const value of values) expect(await taker.ask('BLMOVE', 'l', 'm', 'LEFT', 'RIGHT', 0)).toContain(value)
    await settled(path)
    expect(await driftBetween(store, other)).toEqual([])
    // Everybody at once.
    const takers = await Promise.all(Array.from({ length: 4 }, () => path.raw()))
    for (let round = 0; round < 100; round++) {
      for (const one of takers) one.command('BLMOVE', 'm', 'l', 'RIGHT', 'LEFT', 0)
      giver.command('RPUSH', 'm', `${round}`, 'x', 'y', 'z')
      await Promise.all([giver, ...takers].map((one) => one.next()))
    }
    await settled(path)
    expect(await driftBetween(store, other)).toEqual([])
  } finally {
    await path.stop()
  }
})

test('a blocking command whose time is over after it was called back is answered once, however often phases change then', async () => {
  const options = (phase: 'passthrough' | 'mirror') => ({
    stores: { one: store, two: other },
    routes: [{ source: 'one', target: 'two', phase }],
  })
  const path = await startDataPath(options('passthrough'))
  try {
    const client = await path.raw()
    client.command('BLPOP', 'l', '0.5')
    await blocked(1)
    await path.apply(options('mirror'))
    expect(await client.text()).toBe('*-1\r\n')
    await path.apply(options('passthrough'))
    // Nothing waits for its turn to be said to it.
    expect(await client.ask('CLIENT', 'INFO')).toMatch(/ obl=0 oll=0 /)
  } finally {
    await path.stop()
  }
})

describe('WAIT', () => {
  test('ends by CLIENT UNBLOCK as at the server', async () => {
    const path = await startDataPath({ stores: { one: store } })
    const direct = await RawClient.open(store.port)
    try {
      const proxied = [await path.raw(), await path.raw()] as const
      for (const reason of ['TIMEOUT', 'ERROR']) {
        const ends: string[] = []
        for (const [client, asking] of [[direct, admin] as const, proxied]) {
          const id = (await client.ask('CLIENT', 'ID')).slice(1).trim()
          client.command('WAIT', 1, 0)
          await blocked(1)
          ends.push((await asking.ask('CLIENT', 'UNBLOCK', id, reason)) + (await client.text()))
        }
        expect([reason, ends[1]]).toEqual([reason, ends[0]])
      }
    } finally {
      direct.destroy()
      await path.stop()
    }
  })

  test('for ever waits on when a phase or the primary changes', async () => {
    const options = (phase: 'mirror' | 'shadow' | 'switched') => ({
      stores: { one: store, two: other },
      routes: [{ source: 'one', target: 'two', phase }],
    })
    const path = await startDataPath(options('mirror'))
    try {
      const [client, another] = [await path.raw(), await path.raw()]
      await client.ask('SET', 'k', 'v')
      await settled(path)
      const id = (await client.ask('CLIENT', 'ID')).slice(1).trim()
      client.command('WAIT', 1, 0)
      await blocked(1)
      for (const phase of ['shadow', 'switched', 'mirror'] as const) await path.apply(options(phase))
      await blocked(1)
      expect(await another.ask('CLIENT', 'UNBLOCK', id, 'ERROR')).toBe(':1\r\n')
      expect(await client.text()).toBe('-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n')
    } finally {
      await path.stop()
    }
  })

  test('tells how many replicas there are when its time is over after a phase has changed', async () => {
    await admin.ask('CONFIG', 'SET', 'repl-diskless-sync-delay', 0)
    const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', `${store.port}`] })
    const options = (phase: 'passthrough' | 'mirror') => ({
      stores: { one: store, two: other },
      routes: [{ source: 'one', target: 'two', phase }],
    })
    const path = await startDataPath(options('passthrough'))
    try {
      const client = await path.raw()
      await client.ask('SET', 'k', 'v')
      expect(await client.ask('WAIT', 1, 20_000)).toBe(':1\r\n')
      client.command('WAIT', 2, 800)
      await blocked(1)
      await path.apply(options('mirror'))
      expect(await client.text()).toBe(':1\r\n')
    } finally {
      await path.stop()
      await replica.stop()
    }
  })

  test('counts the replicas that have what the client wrote, not those that have nothing to have', async () => {
    await admin.ask('CONFIG', 'SET', 'repl-diskless-sync-delay', 0)
    const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', `${store.port}`] })
    const path = await startDataPath({ stores: { one: store } })
    try {
      const client = await path.raw()
      await eventually(async () => expect(await admin.ask('INFO', 'replication')).toContain('state=online'))
      await client.ask('SET', 'k', 'v')
      expect(await client.ask('WAIT', 1, 20_000)).toBe(':1\r\n')
      replica.pause()
      await client.ask('SET', 'k', 'w')
      expect(await client.ask('WAIT', 1, 20)).toBe(':0\r\n')
      replica.resume()
      expect(await client.ask('WAIT', 1, 20_000)).toBe(':1\r\n')
    } finally {
      await path.stop()
      await replica.stop()
    }
  })
})
