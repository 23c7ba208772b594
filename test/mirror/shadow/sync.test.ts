import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, type RouteOptions, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

let old: RedisServer
let fresh: RedisServer
let path: DataPathUnderTest
beforeAll(async () => {
  ;[old, fresh] = await Promise.all([startRedis(), startRedis()])
})
afterAll(() => Promise.all([old.stop(), fresh.stop()]))
beforeEach(() => Promise.all([old.client().flushall(), fresh.client().flushall()]))
afterEach(() => path.stop())

async function start(mirror: object = {}, phase: 'mirror' | 'switched' = 'mirror'): Promise<void> {
  const shared = { phase, mirror: { mode: 'sync', timeoutMs: 20_000, ...mirror } } as RouteOptions
  path = await startDataPath({
    stores: { old, new: fresh },
    routes: [
      {
        ...shared,
        name: 'jobs',
        keys: ['job:{id}'],
        source: 'old',
        target: { store: 'new', keys: { 'job:{id}': 'step:{id}' } },
      },
      { ...shared, name: 'rest', source: 'old', target: 'new' },
    ],
  })
}

/** What it has written by then stands. */
const FAILING = "redis.call('set', KEYS[1], ARGV[1]) return redis.error_reply('half-way')"

function packet(...commands: string[]): Buffer {
  return Buffer.concat(commands.map((words) => encodeCommand(words.split(' '))))
}

describe('mirror.mode: sync', () => {
  test.each([
    ['SKIP', ['$2\r\nin\r\n', '$6\r\nbehind\r\n']],
    ['OFF', []],
    ['ON', ['+OK\r\n', '$2\r\nin\r\n', '$4\r\nnext\r\n', '$6\r\nbehind\r\n']],
  ])('CLIENT REPLY %s inside EXEC silences nothing that was said before', async (mode, told) => {
    await start()
    await path.client().set('the shadow', 'is up')
    const [client, looker] = [await path.raw(), await path.raw()]
    let heard = ''
    client.socket.on('data', (bytes: Buffer) => {
      heard += bytes.toString('latin1')
    })
    process.kill(fresh.pid, 'SIGSTOP')
    try {
      client.send(
        packet('WATCH k', 'SET a 1', 'MULTI', `CLIENT REPLY ${mode}`, 'PING in', 'EXEC', 'PING next', 'PING behind'),
      )
      await eventually(async () => expect(await looker.ask('CLIENT', 'LIST')).toMatch(/ multi=2 .*qbuf=[1-9]/))
    } finally {
      process.kill(fresh.pid, 'SIGCONT')
    }
    const all = ['+OK\r\n', '+OK\r\n', '+OK\r\n', '+QUEUED\r\n', '+QUEUED\r\n', '*2\r\n', ...told].join('')
    await eventually(() => expect(heard).toBe(all))
  })

  test('a reply comes when the shadow has the write, whatever kind of write it is', async () => {
    await start()
    const app = path.client()
    const there = fresh.client()
    for (let i = 0; i < 30; i++) {
      await app.set('job:s', i)
      expect(await there.get('step:s')).toBe(String(i))
      await app.set('timed', i, 'EX', 100)
      expect(await there.get('timed')).toBe(String(i))
      await app.eval("redis.call('set', KEYS[1], ARGV[1])", 1, 'scripted', i)
      expect(await there.get('scripted')).toBe(String(i))
      await expect(app.eval(FAILING, 1, 'job:failed', i)).rejects.toThrow('half-way')
      expect(await there.get('step:failed')).toBe(String(i))
      await app.multi().set('t1', i).eval("redis.call('time') redis.call('set', KEYS[1], ARGV[1])", 1, 't2', i).exec()
      expect(await there.mget('t1', 't2')).toEqual([String(i), String(i)])
      await app.rpush('q', 'a', 'b')
      await app.blpop('q', 1)
      expect(await there.lrange('q', 0, -1)).toEqual(['b'])
      await app.lpop('q')
      expect(await there.exists('q')).toBe(0)
    }
  })

  test('a take that had to wait is on the shadow when it is answered', async () => {
    await start()
    const waiting = path.client().blpop('job:q', 0)
    await expect.poll(async () => (await old.client().info('clients')).match(/blocked_clients:(\d+)/)?.[1]).toBe('1')
    await path.client().rpush('job:q', 'a', 'b')
    expect(await waiting).toEqual(['job:q', 'a'])
    expect(await fresh.client().lrange('step:q', 0, -1)).toEqual(['b'])
  })

  test('replies name keys as the application does', async () => {
    await start({}, 'switched')
    const app = path.client()
    await app.rpush('job:q', 'a', 'b')
    expect(await app.call('LMPOP', 1, 'job:q', 'LEFT')).toEqual(['job:q', ['a']])
    expect(await app.multi().lmpop(1, 'job:q', 'LEFT').exec()).toEqual([[null, ['job:q', ['b']]]])
  })

  test('a pipeline keeps its order: errors, reads and writes', async () => {
    await start()
    const app = path.client()
    const results = await app.pipeline().set('a', 1).get('a').lpush('a', 1).incr('a').get('a').exec()
    expect(results!.map(([error, value]) => error?.message.split(' ')[0] ?? value)).toEqual([
      'OK',
      '1',
      'WRONGTYPE',
      2,
      '2',
    ])
  })

  test('beyond the deadline the reply goes out; the shadow gets the write when it can', async () => {
    await start({ timeoutMs: 100 })
    const app = path.client()
    await app.set('k', 'v')
    fresh.pause()
    const startedMs = performance.now()
    expect(await app.set('k', 'w')).toBe('OK')
    const tookMs = performance.now() - startedMs
    fresh.resume()
    expect(tookMs).toBeGreaterThan(95)
    expect(tookMs).toBeLessThan(15_000)
    await settled(path)
    expect(await fresh.client().get('k')).toBe('w')
  })

  test('onShadowError ignore: a shadow that is out of memory is no client’s affair', async () => {
    await start({ timeoutMs: 100 })
    const app = path.client()
    await fresh.client().config('SET', 'maxmemory', '1')
    try {
      expect(await app.set('k', 'v')).toBe('OK')
      expect(await app.eval("return redis.call('set', KEYS[1], 1)", 1, 'scripted')).toBe('OK')
    } finally {
      await fresh.client().config('SET', 'maxmemory', '0')
    }
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
  })

  test('onShadowError fail: the client learns that the write stands on one side only', async () => {
    await start({ timeoutMs: 2_000, onShadowError: 'fail' })
    let app = path.client()
    expect(await app.set('k', 'v')).toBe('OK')
    await fresh.client().config('SET', 'maxmemory', '1')
    try {
      await expect(app.set('k', 'w')).rejects.toThrow("executed on 'old' but failed on the shadow")
      await expect(app.eval("redis.call('time') return redis.call('set', KEYS[1], 1)", 1, 'scripted')).rejects.toThrow(
        'shadow',
      )
      expect(await app.get('k')).toBe('w')
    } finally {
      await fresh.client().config('SET', 'maxmemory', '0')
    }
    await settled(path)
    await path.stop()
    await start({ timeoutMs: 200, onShadowError: 'fail' })
    app = path.client()
    fresh.pause()
    try {
      await expect(app.set('k', 'x')).rejects.toThrow('not acknowledged by the shadow in time')
      await expect(app.eval(FAILING, 1, 'k', 'y')).rejects.toThrow('half-way')
    } finally {
      fresh.resume()
    }
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
  })

  describe('and CLIENT REPLY', () => {
    const subscribe = '*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n'
    const ok = '+OK\r\n'

    test('what an EXEC confirms is told with REPLY OFF, as any command is quiet', async () => {
      await start()
      const client = await path.raw()
      client.send(packet('CLIENT REPLY OFF', 'MULTI', 'SET k v', 'SUBSCRIBE ch', 'EXEC', 'UNSUBSCRIBE', 'SET k w'))
      expect(await client.text()).toBe(subscribe)
      expect(await client.text()).toMatch(/unsubscribe/)
      expect(await client.ask('CLIENT', 'REPLY', 'ON')).toBe(ok)
      expect(await fresh.client().get('k')).toBe('w')
    })

    test('REPLY inside MULTI is about what is behind it there, and SKIP about the next command', async () => {
      await start()
      const client = await path.raw()
      client.send(packet('MULTI', 'SET k v', 'CLIENT REPLY SKIP', 'EXEC', 'CLIENT ID', 'CLIENT GETNAME', 'GET k'))
      for (const reply of [ok, '+QUEUED\r\n', '+QUEUED\r\n']) expect(await client.text()).toBe(reply)
      // One element short, as a server's: so what is read as the second is the reply to GETNAME.
      expect(await client.text()).toBe(`*2\r\n${ok}$-1\r\n`)
      expect(await client.text()).toBe('$1\r\nv\r\n')
      client.send(packet('MULTI', 'SET k w', 'CLIENT REPLY OFF', 'EXEC', 'SET k x', 'CLIENT REPLY ON'))
      for (const reply of [ok, '+QUEUED\r\n', '+QUEUED\r\n']) expect(await client.text()).toBe(reply)
      expect(await client.text()).toBe(`*2\r\n${ok}${ok}`)
    })

    test('a shadow that is late is told to who hears of errors; to another what the EXEC confirms', async () => {
      await start({ timeoutMs: 100, onShadowError: 'fail' })
      const [loud, quiet] = [await path.raw(), await path.raw()]
      for (const client of [loud, quiet])
        await eventually(async () => expect(await client.ask('SET', 'warm', '1')).toBe(ok))
      fresh.pause()
      try {
        loud.send(packet('MULTI', 'SET k v', 'CLIENT REPLY OFF', 'EXEC'))
        for (const reply of [ok, '+QUEUED\r\n', '+QUEUED\r\n']) expect(await loud.text()).toBe(reply)
        expect(await loud.text()).toMatch(/^-ERR Understudy: .* not acknowledged by the shadow in time/)
        quiet.send(packet('CLIENT REPLY OFF', 'SET k w', 'MULTI', 'SET k x', 'SUBSCRIBE ch', 'EXEC'))
        expect(await quiet.text()).toBe(subscribe)
      } finally {
        fresh.resume()
      }
      await settled(path)
    })
  })

  test('messages of a subscription that an EXEC begins come behind its answer', async () => {
    await start()
    const client = await path.raw()
    expect(await client.ask('SET', 'warm', '1')).toBe('+OK\r\n')
    fresh.pause()
    try {
      client.send(packet('MULTI', 'SET k v', 'SUBSCRIBE ch', 'EXEC'))
      for (const reply of ['+OK', '+QUEUED', '+QUEUED']) expect(await client.text()).toBe(`${reply}\r\n`)
      await expect.poll(() => old.client().get('k')).toBe('v')
      expect(await old.client().publish('ch', 'message')).toBe(1)
      // What is behind the message on the way to the proxy is answered.
      expect(await path.client().get('k')).toBe('v')
    } finally {
      fresh.resume()
    }
    expect(await client.text()).toMatch(/^\*2\r\n\+OK\r\n\*3\r\n\$9\r\nsubscribe/)
    expect(await client.text()).toMatch(/message/)
  })

  test('a route that is not mirrored has no say in it', async () => {
    const mirror = { mode: 'sync', timeoutMs: 100, onShadowError: 'fail' } as const
    path = await startDataPath({
      stores: { old, new: fresh },
      routes: [
        { name: 'strict', keys: ['strict:*'], source: 'old', target: 'new', phase: 'passthrough', mirror },
        { name: 'near', source: 'old', target: 'new', phase: 'mirror' },
      ],
    })
    const app = path.client()
    await settled(path)
    fresh.pause()
    try {
      expect(await app.mset('strict:1', 1, 'near', 1)).toBe('OK')
      expect(await app.mset('near', 1, 'strict:1', 1)).toBe('OK')
      expect(await app.multi().set('near', 1).set('strict:1', 1).exec()).toEqual([
        [null, 'OK'],
        [null, 'OK'],
      ])
    } finally {
      fresh.resume()
    }
  })

  test('a write of several routes waits as the strictest of them says, whichever key comes first', async () => {
    path = await startDataPath({
      stores: { old, new: fresh },
      routes: [
        {
          name: 'far',
          keys: ['far:*'],
          source: 'old',
          target: 'new',
          phase: 'mirror',
          mirror: { mode: 'sync', timeoutMs: 100, onShadowError: 'fail' },
        },
        { name: 'near', source: 'old' },
      ],
    })
    const app = path.client()
    const writes: (() => Promise<unknown>)[] = [
      () => app.mset('near', 1, 'far:1', 1),
      () => app.mset('far:1', 1, 'near', 1),
      () => app.rename('near', 'far:2'),
      () => app.smove('near set', 'far:set', 'a'),
      () => app.blmove('near list', 'far:list', 'LEFT', 'LEFT', 1),
      () => app.eval("return redis.call('mset', KEYS[1], 1, KEYS[2], 1)", 2, 'near', 'far:1'),
      () => app.multi().set('near', 1).set('far:1', 1).exec(),
      () => app.multi().ping().set('far:1', 1).exec(),
    ]
    await old.client().sadd('near set', 'a')
    await old.client().rpush('near list', 'a')
    fresh.pause()
    try {
      for (const write of writes) await expect(write()).rejects.toThrow("executed on 'old' but was not acknowledged")
      expect(await app.mset('near', 2, 'nearby', 2)).toBe('OK')
    } finally {
      fresh.resume()
    }
    await settled(path)
    expect(await driftBetween(old, fresh, { onPrimary: (key) => key.startsWith('far:') })).toEqual([])
  })

  test('so does what changes every key, by whichever route it goes', async () => {
    const shared = { source: 'old', target: 'new', phase: 'mirror' } as const
    const mirror = { mode: 'sync', timeoutMs: 100, onShadowError: 'fail' } as const
    path = await startDataPath({
      stores: { old, new: fresh },
      routes: [
        { ...shared, name: 'far', keys: ['far:*'], mirror },
        { ...shared, name: 'near' },
      ],
    })
    const app = path.client()
    await settled(path)
    fresh.pause()
    try {
      await expect(app.flushdb()).rejects.toThrow("executed on 'old' but was not acknowledged")
      await expect(app.multi().flushall().exec()).rejects.toThrow("executed on 'old' but was not acknowledged")
    } finally {
      fresh.resume()
    }
    await settled(path)
  })
})
