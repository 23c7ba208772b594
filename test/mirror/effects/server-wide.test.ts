import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { type DataPathUnderTest, type RouteOptions, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { HoldingNetwork } from '../../support/holding-network.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'
import { Random, Writer } from '../../support/write-load.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

const DATABASES = [0, 1, 2]
const MIRROR: RouteOptions[] = [{ source: 'old', target: 'new', phase: 'mirror' }]

async function start(routes = MIRROR): Promise<{ old: RedisServer; fresh: RedisServer; path: DataPathUnderTest }> {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  const path = await startDataPath({ stores: { old, new: fresh }, routes })
  running.push(old, fresh, path)
  return { old, fresh, path }
}

describe('FLUSHALL, FLUSHDB and SWAPDB', () => {
  test.each([1, 2, 3])(
    'among writes of several clients to several databases leave the stores equal (seed %i)',
    async (seed) => {
      const { old, fresh, path } = await start()
      const random = new Random(seed)
      const sweeper = await path.raw()
      let writing = true
      const sweep = async (): Promise<void> => {
        while (writing) {
          const command = random.pick([
            ['FLUSHALL'],
            ['FLUSHDB', 'ASYNC'],
            ['SELECT', random.below(3)],
            ['SWAPDB', random.below(3), random.below(3)],
            ['SET', 'swept', seed],
          ])
          expect(await sweeper.ask(...command)).toBe('+OK\r\n')
          if (random.below(4) === 0) {
            for (const args of [['MULTI'], ['SET', 'before', 1], ['FLUSHDB'], ['SET', 'after', 1], ['EXEC']]) {
              await sweeper.ask(...args)
            }
          }
        }
      }
      const writers = await Promise.all(
        [2, 3, 2].map((protocol, i) =>
          Writer.open(path.port, protocol as 2 | 3, { seed: seed * 10 + i, databases: DATABASES, prefixes: [''] }),
        ),
      )
      const sweeping = sweep()
      await Promise.all(writers.map((writer) => writer.run(100)))
      writing = false
      await sweeping
      for (const writer of writers) writer.close()
      expect(writers.flatMap((writer) => writer.ownErrors)).toEqual([])
      await settled(path)
      expect(await driftBetween(old, fresh, { databases: DATABASES, ttlSlackMs: 3_000 })).toEqual([])
      expect(path.runtime.stats().routes['all']!.needsVerify).toBe(false)
    },
  )

  test.each(['FLUSHDB', 'FLUSHALL'])(
    '%s has its place among the writes of its connection: none of them is copied',
    async (flush) => {
      const { old, fresh, path } = await start()
      const app = path.client()
      const elsewhere = await path.raw()
      for (const args of [
        ['SELECT', 1],
        ['SET', 'other', 1],
      ])
        expect(await elsewhere.ask(...args)).toBe('+OK\r\n')
      await settled(path)
      for (let round = 0; round < 20; round++) {
        const all = app.pipeline().set('a', round)
        all.call(flush)
        all.set('b', round).incr('n')
        expect((await all.exec())!.map(([error]) => error)).toEqual([null, null, null, null])
        await app.rpush('l', round)
      }
      await settled(path)
      expect(path.runtime.stats().routes['all']!.counters.copied).toBe(0)
      expect(await driftBetween(old, fresh, { databases: DATABASES })).toEqual([])
      expect(await fresh.client().keys('*')).toHaveLength(3)
    },
  )

  test.each(['FLUSHALL', 'FLUSHDB'])(
    'a %s that the shadow did not get before it died is sent again when it is back, ahead of the writes that have not left by then',
    async (flush) => {
      const fresh = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
      const old = await startRedis()
      const path = await startDataPath({ stores: { old, new: fresh }, routes: MIRROR })
      running.push(old, fresh, path)
      const app = path.client()
      await app.mset('a', 1, 'b', 2)
      await settled(path)
      fresh.pause()
      await app.call(flush)
      let going = true
      const writing = (async () => {
        for (let i = 0; going; i++) await app.set(`c:${i}`, i)
      })()
      await fresh.kill9()
      await eventually(() => expect(path.runtime.stats().stores['new']!.state).not.toBe('up'))
      going = false
      await writing
      await fresh.start()
      await settled(path)
      expect(await driftBetween(old, fresh)).toEqual([])
      expect(await fresh.client().exists('a', 'b')).toBe(0)
      expect(path.runtime.stats().routes['all']!.verifyCauses).not.toContain('server-wide')
    },
  )

  test('a FLUSHALL waits for a shadow that still loads its data, and so do the writes behind it', async () => {
    const slowly = ['--loading-process-events-interval-bytes', '1024', '--key-load-delay', '50000']
    const [old, fresh] = await Promise.all([startRedis(), startRedis({ args: slowly })])
    const path = await startDataPath({ stores: { old, new: fresh }, routes: MIRROR })
    running.push(old, fresh, path)
    const app = path.client()
    for (let i = 0; i < 200; i++) await app.set(`a:${i}`, randomBytes(1024))
    await settled(path)
    await fresh.client().save()
    fresh.pause()
    await app.flushall()
    await fresh.kill9()
    const started = fresh.start()
    await eventually(() => expect(path.runtime.stats().stores['new']!.error).toBe('it is loading its data'))
    await app.set('c', 1)
    expect(path.runtime.stats().routes['all']!.backlogCommands).toBe(2)
    await fresh.client({ enableReadyCheck: false }).config('SET', 'key-load-delay', 0)
    await started
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
    const { verifyCauses, counters } = path.runtime.stats().routes['all']!
    expect(verifyCauses).not.toContain('server-wide')
    expect(counters).toMatchObject({ shadowError: 0, copied: 0 })
  })

  test('one whose reply was lost means a verify: nobody knows whether the shadow has too much', async () => {
    const { old, path } = await start()
    const app = path.client()
    await app.set('a', 1)
    old.pause()
    const flushed = app.flushall().catch((error: Error) => error.message)
    await expect.poll(() => path.runtime.stats().routes['all']!.inFlight).toBe(1)
    await old.kill9()
    expect(await flushed).toContain('may have been executed')
    expect(path.runtime.stats().routes['all']!.needsVerify).toBe(true)
  })
})

describe('is refused, with the route that is in the way', () => {
  const refused: [string, RouteOptions[], string][] = [
    [
      'where both sides are on the store',
      [
        {
          name: 'jobs',
          keys: ['job:{id}'],
          source: 'old',
          target: { store: 'old', keys: { 'job:{id}': 'step:{id}' } },
          phase: 'mirror',
        },
        { name: 'rest', source: 'old' },
      ],
      'jobs',
    ],
    [
      'where a route on the store is mirrored and the rest is not',
      [
        { name: 'jobs', keys: ['job:{id}'], source: 'old', target: 'new', phase: 'mirror' },
        { name: 'rest', source: 'old' },
      ],
      'jobs',
    ],
    [
      'where the store is the shadow of a route',
      [
        { name: 'jobs', keys: ['job:{id}'], source: 'old', target: 'new', phase: 'switched' },
        { name: 'rest', source: 'old' },
      ],
      'jobs',
    ],
    [
      'where what it is mirrored to is the primary of another route',
      [
        { name: 'jobs', keys: ['job:{id}'], source: 'new' },
        { name: 'rest', source: 'old', target: 'new', phase: 'mirror' },
      ],
      'jobs',
    ],
  ]
  test.each(refused)('%s', async (_name, routes, route) => {
    const { old, fresh, path } = await start(routes)
    await Promise.all([old.client().set('a', 1), fresh.client().set('a', 1)])
    const app = await path.raw()
    expect(await app.ask('FLUSHALL')).toMatch(new RegExp(`^-ERR Understudy refuses FLUSHALL: .*'${route}'`))
    expect(await app.ask('MULTI')).toBe('+OK\r\n')
    expect(await app.ask('FLUSHDB')).toMatch(/^-ERR Understudy refuses FLUSHDB/)
    expect(await app.ask('EXEC')).toMatch(/^-EXECABORT/)
    expect([await old.client().exists('a'), await fresh.client().exists('a')]).toEqual([1, 1])
  })

  test('where a route has the same database under another name, and mirrors it elsewhere', async () => {
    const [old, fresh, third] = await Promise.all([startRedis(), startRedis(), startRedis()])
    const path = await startDataPath({
      stores: { old, again: old, new: fresh, third },
      routes: [
        { name: 'jobs', keys: ['job:{id}'], source: 'again', target: 'new', phase: 'mirror' },
        { name: 'rest', source: 'old', target: 'third', phase: 'mirror' },
      ],
    })
    running.push(old, fresh, third, path)
    const app = await path.raw()
    for (const words of [['FLUSHALL'], ['FLUSHDB'], ['SWAPDB', 0, 1]])
      expect(await app.ask(...words)).toMatch(/^-ERR Understudy refuses .*'jobs'/)
  })

  test('not where every route mirrors to the same store, or none does', async () => {
    for (const phase of ['mirror', 'passthrough'] as const) {
      const { path } = await start([
        {
          name: 'jobs',
          keys: ['job:{id}'],
          source: 'old',
          target: { store: 'new', keys: { 'job:{id}': 'step:{id}' } },
          phase,
        },
        { name: 'rest', source: 'old', target: 'new', phase },
      ])
      expect(await path.client().flushall()).toBe('OK')
      await settled(path)
    }
  })
})

describe('a flush on its way to the shadow', () => {
  const route = { source: 'old', target: 'new', phase: 'mirror' } as const
  const [part, rest]: RouteOptions[] = [
    { ...route, name: 'part', keys: ['p:*'] },
    { ...route, name: 'all' },
  ]

  /** It is held there. */
  async function flushed(flush: string, routes: readonly RouteOptions[]) {
    const [old, fresh] = [await startRedis(), await startRedis()]
    const network = await new HoldingNetwork(fresh).start()
    const path = await startDataPath({ stores: { old, new: { port: network.port } }, routes })
    running.push(old, fresh, network, path)
    const app = path.client()
    await app.mset('p:1', 'first', 'k', 'first')
    await settled(path)
    network.hold()
    await app.call(flush)
    await eventually(() => expect(network.holds(flush)).toBe(true))
    return { old, fresh, network, path, app }
  }

  test.each(['FLUSHALL', 'FLUSHDB'])('%s is not forgotten when the shadow gets another name', async (flush) => {
    const { old, network, path } = await flushed(flush, [rest!])
    await path.apply({ stores: { old, other: { port: network.port } }, routes: [{ ...rest!, target: 'other' }] })
    network.pass()
    await settled(path)
    expect(path.runtime.stats().routes['all']!.verifyCauses).toEqual(['server-wide'])
  })

  test('nor when its keys go to another route at the same time', async () => {
    const { old, network, path } = await flushed('FLUSHALL', [rest!])
    const routes = [part!, rest!].map((one) => ({ ...one, target: 'other' }))
    await path.apply({ stores: { old, other: { port: network.port } }, routes })
    network.pass()
    await settled(path)
    for (const { verifyCauses } of Object.values(path.runtime.stats().routes))
      expect(verifyCauses).toContain('server-wide')
  })

  test('is waited for by the switch of every route whose keys it deletes', async () => {
    const { old, fresh, network, path, app } = await flushed('FLUSHALL', [part!, rest!])
    const stores = { old, new: { port: network.port } }
    const change = path.change({ stores, routes: [{ ...part!, phase: 'switched' }, rest!] })
    const refused = await path.runtime.apply({ ...change, holdTimeoutMs: 50 })
    expect(refused).toMatchObject({ ok: false, reason: expect.stringContaining("route 'part' still wait") })
    const switched = path.runtime.apply(change)
    const last = app.set('p:1', 'last')
    network.pass()
    expect(await switched).toMatchObject({ ok: true })
    await last
    await settled(path)
    for (const server of [old, fresh]) expect(await server.client().get('p:1')).toBe('last')
  })
})
