import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { FAILED } from '../../../src/mirror/copy/copy-batch.ts'
import { copyAsJob } from '../../support/copy-as-job.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

async function start(
  shadowArgs: readonly string[],
  primaryArgs: readonly string[] = [],
): Promise<{ old: RedisServer; fresh: RedisServer; path: DataPathUnderTest }> {
  const [old, fresh] = await Promise.all([startRedis({ args: primaryArgs }), startRedis({ args: shadowArgs })])
  running.push(old, fresh)
  const path = await startDataPath({
    stores: { old, new: fresh },
    routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
  })
  running.push(path)
  await path.client().set('first', 1)
  await settled(path)
  return { old, fresh, path }
}

const statsOf = (path: DataPathUnderTest) => path.runtime.stats().routes['all']!
const saidBy = (path: DataPathUnderTest) => JSON.stringify(path.notices)

describe('a shadow with a smaller proto-max-bulk-len than the primary', () => {
  test('gets what it takes, in pieces; what it cannot take stays dirty, and nothing else is lost for it', async () => {
    const { old, fresh, path } = await start(['--proto-max-bulk-len', '1mb'])
    const app = path.client()
    await app.set('string', randomBytes(2_000_000))
    await app.rpush('list', ...Array.from({ length: 60 }, () => randomBytes(50_000)))
    await app.hset('hash', 'field', randomBytes(1_500_000))
    await app.multi().set('other', 1).hset('unit', 'field', randomBytes(1_200_000)).exec()
    for (let i = 0; i < 100; i++) await app.incr('counter')
    await eventually(() => expect(saidBy(path)).toContain('TOOLONG'))
    await eventually(async () => {
      expect(statsOf(path)).toMatchObject({ dirtyKeys: 3, backlogCommands: 0 })
      expect((await driftBetween(old, fresh)).map(({ key }) => key).sort()).toEqual(['hash', 'string', 'unit'])
    })
    expect(statsOf(path).counters.shadowLost).toBe(0)
    await app.hset('hash', 'field', 'short')
    await app.del('unit', 'string')
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
  }, 180_000)

  test('and does not say so: what one such value has taken along is copied, and none is sent again', async () => {
    const { old, fresh, path } = await start([])
    // Set behind the back of the mirror, which has asked already.
    await fresh.client().config('SET', 'proto-max-bulk-len', '1mb')
    const app = path.client()
    await app.rpush('list', ...Array.from({ length: 60 }, () => randomBytes(50_000)))
    await app.hset('hash', 'field', randomBytes(1_500_000))
    for (let i = 0; i < 100; i++) await app.set(`key:${i}`, i)
    await eventually(() => expect(statsOf(path)).toMatchObject({ dirtyKeys: 1, backlogCommands: 0 }), {
      timeoutMs: 20_000,
    })
    await eventually(async () => expect((await driftBetween(old, fresh)).map(({ key }) => key)).toEqual(['hash']))
    await app.del('hash')
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
  }, 180_000)
})

test('a shadow without the database: its keys stay dirty, that is said once, and it is not asked all the time', async () => {
  const { fresh, path } = await start([], ['--databases', '100'])
  const app = path.client({ db: 50 })
  await app.set('k', 1)
  await eventually(() => expect(saidBy(path)).toContain('refuses a connection for good'))
  const received = async (): Promise<number> =>
    Number(/total_connections_received:(\d+)/.exec(await fresh.client().info('stats'))![1])
  await eventually(() => expect(statsOf(path).dirtyKeys).toBe(1))
  const before = await received()
  for (let i = 0; i < 200; i++) await app.set('k', i)
  // One of the test's own for each question.
  expect((await received()) - before).toBeLessThan(10)
  expect(saidBy(path).split('refuses a connection for good')).toHaveLength(2)
  expect(statsOf(path)).toMatchObject({ dirtyKeys: 1, backlogCommands: 0, dirtyReasons: { 'shadow-error': 1 } })
})

test('a shadow without the database is told as that and not as down, also of keys that a job finds, until it has one', async () => {
  const { old, fresh, path } = await start([], ['--databases', '100'])
  await old.client({ db: 50 }).mset('a', 1, 'b', 1)
  const because = 'the shadow refuses database 50 (ERR DB index is out of range)'
  const copied = async () => copyAsJob(path, 'all', ['a', 'b'], { database: 50, window: 2 })
  await eventually(async () => expect((await copied()).outcomes).toEqual(Uint8Array.of(FAILED, FAILED)))
  expect((await copied()).reasons.map(([, reason]) => reason)).toEqual([because, because])
  const read = { before: ['TYPE'], after: [] }
  expect(await path.runtime.jobs.readPairs(50, [{ key: Buffer.from('b'), reads: [read] }])).toEqual([
    { ok: false, reason: because },
  ])
  expect(statsOf(path)).toMatchObject({ dirtyKeys: 1, strandedDatabases: [50], strandedBecause: because })
  await fresh.stop()
  const larger = await startRedis({ port: fresh.port, args: ['--databases', '100'] })
  running.push(larger)
  await settled(path, 30_000)
  expect(await larger.client({ db: 50 }).dbsize()).toBe(1)
  expect(statsOf(path)).toMatchObject({ strandedDatabases: [], strandedBecause: null })
}, 90_000)

test('keys that the shadow does not let be written stay dirty until it does', async () => {
  const { old, fresh, path } = await start([])
  await fresh.client().call('ACL', 'SETUSER', 'default', 'resetkeys', '~ok:*')
  const app = path.client()
  await app.mset('ok:1', 1, 'ok:3', 1)
  await app.set('no:1', 1)
  await app.multi().set('ok:2', 1).set('no:2', 1).exec()
  await eventually(() => expect(statsOf(path).dirtyKeys).toBe(2))
  await eventually(() => expect(saidBy(path)).toContain('NOPERM'))
  await fresh.client().call('ACL', 'SETUSER', 'default', 'allkeys')
  await settled(path, 20_000)
  expect(await driftBetween(old, fresh)).toEqual([])
})

describe('a shadow that evicts keys', () => {
  const EVICTING = ['--maxmemory', '4mb', '--maxmemory-policy', 'allkeys-random']

  async function fill(path: DataPathUnderTest): Promise<void> {
    const app = path.client()
    for (let i = 0; i < 3_000; i += 100)
      await app.mset(Object.fromEntries(Array.from({ length: 100 }, (_, j) => [`key:${i + j}`, 'v'.repeat(2_000)])))
  }

  /** Somebody else writes there until keys are evicted; no more of them afterwards. */
  async function evictOthers(server: RedisServer): Promise<void> {
    const others = server.client()
    for (let i = 0; i < 3_000; i += 100)
      await others.mset(
        Object.fromEntries(Array.from({ length: 100 }, (_, j) => [`other:${i + j}`, 'v'.repeat(2_000)])),
      )
    await others.config('SET', 'maxmemory', '0')
  }

  /** `over`: it has been asked how many keys it has evicted. By hand: ioredis ends a monitor whose first line comes together with its `+OK`. */
  async function nextLook({ port }: RedisServer): Promise<{ over: Promise<void> }> {
    const monitor = connect(port, '127.0.0.1')
    running.push({ stop: async () => void monitor.destroy() })
    let told = ''
    monitor.on('data', (chunk: Buffer) => {
      told += chunk.toString('latin1')
    })
    monitor.write('MONITOR\r\n')
    await eventually(() => expect(told).toContain('+OK'))
    return { over: eventually(() => expect(told.toLowerCase()).toContain('"info" "stats"')) }
  }

  test('needs a verify: it lacks what the primary has', async () => {
    const { path } = await start(EVICTING)
    // Its count is known.
    await eventually(async () => {
      await fill(path)
      expect(statsOf(path).verifyCauses).toEqual(['shadow-evicts'])
    })
    expect(saidBy(path)).toContain('the shadow evicts keys for want of memory')
  })

  test('while nothing ran, or a moment before the end: the next start finds it', async () => {
    const stateDir = mkdtempSync(join(tmpdir(), 'evicted-'))
    running.push({ stop: async () => rmSync(stateDir, { recursive: true }) })
    const [old, fresh] = await Promise.all([startRedis(), startRedis({ args: EVICTING })])
    running.push(old, fresh)
    const begin = async (): Promise<DataPathUnderTest> => {
      const stores = { old, new: fresh }
      const path = await startDataPath({
        stores,
        routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
        stateDir,
      })
      running.push(path)
      return path
    }
    const look = await nextLook(fresh)
    const first = await begin()
    await look.over
    await first.client().set('first', 1)
    await settled(first)
    await first.stop()
    await evictOthers(fresh)
    const again = await begin()
    await eventually(() => expect(statsOf(again).verifyCauses).toEqual(['shadow-evicts']))
    // Told once: what is known then is known to the next one as well.
    await again.runtime.jobs.verified('all', await again.runtime.jobs.verifyTicket('all'))
    await again.stop()
    const lastLook = await nextLook(fresh)
    const third = await begin()
    await lastLook.over
    await third.client().set('last', 1)
    await settled(third)
    expect(statsOf(third).verifyCauses).toEqual([])
  })

  test('as the primary, for a while: it lacks what the other has when it is the shadow again', async () => {
    const stateDir = mkdtempSync(join(tmpdir(), 'evicted-'))
    running.push({ stop: async () => rmSync(stateDir, { recursive: true }) })
    const [old, fresh] = await Promise.all([startRedis(), startRedis({ args: EVICTING })])
    running.push(old, fresh)
    const inPhase = (phase: 'mirror' | 'switched') => {
      return { stores: { old, new: fresh }, routes: [{ source: 'old', target: 'new', phase } as const], stateDir }
    }
    const look = await nextLook(fresh)
    const path = await startDataPath(inPhase('mirror'))
    running.push(path)
    await look.over
    await path.client().set('first', 1)
    await settled(path)
    const lookBack = await nextLook(old)
    await path.apply(inPhase('switched'))
    await lookBack.over
    await evictOthers(fresh)
    await path.apply(inPhase('mirror'))
    await eventually(() => expect(statsOf(path).verifyCauses).toContain('shadow-evicts'))
  })

  test.each(['goes on', 'is started again'])(
    'for others, before mirroring begins anew, is nothing: Understudy %s',
    async (meanwhile) => {
      const stateDir = mkdtempSync(join(tmpdir(), 'evicted-'))
      running.push({ stop: async () => rmSync(stateDir, { recursive: true }) })
      const [old, fresh] = await Promise.all([startRedis(), startRedis({ args: EVICTING })])
      running.push(old, fresh)
      const inPhase = (phase: 'mirror' | 'passthrough') => {
        return { stores: { old, new: fresh }, routes: [{ source: 'old', target: 'new', phase } as const], stateDir }
      }
      const begin = async (phase: 'mirror' | 'passthrough'): Promise<DataPathUnderTest> => {
        const path = await startDataPath(inPhase(phase))
        running.push(path)
        return path
      }
      const look = await nextLook(fresh)
      let path = await begin('mirror')
      await look.over
      await path.client().set('first', 1)
      await settled(path)
      await path.apply(inPhase('passthrough'))
      await evictOthers(fresh)
      if (meanwhile === 'is started again') {
        await path.stop()
        path = await begin('passthrough')
      }
      const again = await nextLook(fresh)
      await path.apply(inPhase('mirror'))
      await again.over
      await path.client().set('last', 1)
      await settled(path)
      expect(statsOf(path).verifyCauses).toEqual([])
    },
  )

  test('while nothing was to be mirrored there by the file: the start that mirrors again does not find it', async () => {
    const stateDir = mkdtempSync(join(tmpdir(), 'evicted-'))
    running.push({ stop: async () => rmSync(stateDir, { recursive: true }) })
    const [old, fresh] = await Promise.all([startRedis(), startRedis({ args: EVICTING })])
    running.push(old, fresh)
    const begin = async (phase: 'mirror' | 'passthrough'): Promise<DataPathUnderTest> => {
      const routes = [{ source: 'old', target: 'new', phase } as const]
      const path = await startDataPath({ stores: { old, new: fresh }, routes, stateDir })
      running.push(path)
      return path
    }
    const look = await nextLook(fresh)
    const first = await begin('mirror')
    await look.over
    await first.client().set('first', 1)
    await settled(first)
    await first.stop()
    await (await begin('passthrough')).stop()
    await evictOthers(fresh)
    const lastLook = await nextLook(fresh)
    const third = await begin('mirror')
    await lastLook.over
    await third.client().set('last', 1)
    await settled(third)
    expect(statsOf(third).verifyCauses).toEqual([])
  })

  test('a moment before a switch: the last look finds it, and the switch is called off', async () => {
    const { old, fresh, path } = await start(EVICTING)
    const app = path.client()
    // The look that comes by itself is over, and the next one is two seconds away.
    await (await nextLook(fresh)).over
    const pipeline = app.pipeline()
    for (let i = 0; i < 3_000; i++) pipeline.set(`key:${i}`, 'v'.repeat(2_000))
    await pipeline.exec()
    const route = { source: 'old', target: 'new', phase: 'switched' } as const
    const switched = path.change({ stores: { old, new: fresh }, routes: [route] })
    expect(await path.runtime.apply(switched)).toEqual({
      ok: false,
      reason: "route 'all' needs a verify since a moment ago (shadow-evicts)",
    })
    expect(await fresh.client().dbsize()).toBeLessThan(await old.client().dbsize())
  })

  test('as the primary does: that is said', async () => {
    const { path } = await start(EVICTING, EVICTING)
    await eventually(async () => {
      await fill(path)
      expect(saidBy(path)).toContain('both stores evict keys')
    })
    expect(statsOf(path).verifyCauses).toEqual([])
  })
})
