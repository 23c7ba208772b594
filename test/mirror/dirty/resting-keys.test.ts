import { afterEach, describe, expect, test } from 'vitest'
import { MOVED } from '../../../src/mirror/copy/copied-key.ts'
import { COPIED, type CopyOrigin } from '../../../src/mirror/copy/copy-batch.ts'
import { changeBetween } from '../../support/change.ts'
import { copyAsJob } from '../../support/copy-as-job.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { HoldingNetwork } from '../../support/holding-network.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'
import { shadowUp } from '../../support/shadow-up.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

interface Setup {
  readonly old: RedisServer
  readonly fresh: RedisServer
  readonly path: DataPathUnderTest
}

async function start(): Promise<Setup> {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  const path = await startDataPath({
    stores: { old, new: fresh },
    routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
  })
  running.push(old, fresh, path)
  await shadowUp(path)
  return { old, fresh, path }
}

const statsOf = (path: DataPathUnderTest) => path.runtime.stats().routes['all']!

/** The verify that is asked for has found no difference. */
async function verified({ runtime }: DataPathUnderTest): Promise<void> {
  await runtime.jobs.verified('all', await runtime.jobs.verifyTicket('all'))
}

const LISTS = Array.from({ length: 20 }, (_, i) => `list:${i}`)

/** The primary has been killed while writes to all lists were on their way, and has come back empty. */
async function lostInFlight({ old, path }: Setup): Promise<void> {
  const app = path.client()
  for (const name of LISTS) await app.rpush(name, 'a', 'b')
  await settled(path)
  old.pause()
  const lost = LISTS.map((name) => app.rpush(name, 'c').catch(String))
  await eventually(() => expect(statsOf(path).inFlight).toBe(LISTS.length))
  await old.restart()
  await Promise.all(lost)
  await eventually(() => expect(statsOf(path).verifyCauses).toContain('primary-restarted'))
}

describe('a primary that comes back without its data', () => {
  test('many keys that rest keep no write waiting that is mirrored by a copy', async () => {
    const { old, path, fresh } = await start()
    const app = path.client()
    const keys = Array.from({ length: 20_000 }, (_, i) => `list:${i}`)
    const pushed = async (): Promise<void> => {
      const pipeline = app.pipeline()
      for (const key of keys) pipeline.rpush(key, 'a')
      await pipeline.exec()
      await eventually(() => expect(statsOf(path)).toMatchObject({ inFlight: 0, backlogCommands: 0 }))
    }
    await pushed()
    await settled(path)
    await old.kill9()
    await old.restart()
    await eventually(() => expect(statsOf(path).verifyCauses).toContain('primary-restarted'))
    await pushed()
    expect(statsOf(path).dirtyReasons).toMatchObject({ 'shadow-differs': keys.length })
    const copied = statsOf(path).counters.copied
    await app.eval("return redis.call('set', KEYS[1], redis.call('time')[1])", 1, 'fresh')
    await eventually(async () => expect(await fresh.client().exists('fresh')).toBe(1))
    // Counted when the shadow has answered.
    await eventually(() => expect(statsOf(path).counters.copied).toBe(copied + 1))
    expect(statsOf(path).dirtyKeys).toBe(keys.length)
  })

  test('what was being written has its last copy on the shadow, where nothing deletes it', async () => {
    const setup = await start()
    await lostInFlight(setup)
    const { fresh, path } = setup
    const direct = fresh.client()
    await eventually(() => expect(statsOf(path)).toMatchObject({ dirtyKeys: LISTS.length, repair: 'resting' }))
    // What is copied meanwhile goes past them.
    const app = path.client()
    await app.eval("redis.call('TIME') redis.call('SET', KEYS[1], 1)", 1, 'seen')
    await eventually(async () => expect(await direct.get('seen')).toBe('1'))
    expect(await direct.exists(...LISTS)).toBe(LISTS.length)
    // To a verify they are keys as any other: it is to find them.
    const asked = [{ key: Buffer.from(LISTS[0]!), reads: [{ before: ['EXISTS'], after: [] }] }]
    expect(await path.runtime.jobs.readPairs(0, asked)).toMatchObject([{ ok: true }])
    await verified(path)
    await eventually(() => expect(statsOf(path)).toMatchObject({ dirtyKeys: 0, needsVerify: false }), {
      timeoutMs: 20_000,
    })
    expect(await direct.exists(...LISTS)).toBe(0)
  })

  test('a write that is mirrored by a copy is what the client has made of its key: it is copied, and so is that it is gone', async () => {
    const setup = await start()
    await lostInFlight(setup)
    const { fresh, path } = setup
    const app = path.client()
    await app.mset('kept', 1, 'gone', 1)
    await app.eval("redis.call('TIME') redis.call('SET', KEYS[1], 2) redis.call('DEL', KEYS[2])", 2, 'kept', 'gone')
    await eventually(() => expect(statsOf(path).dirtyKeys).toBe(LISTS.length))
    expect(await fresh.client().mget('kept', 'gone')).toEqual(['2', null])
  })

  test('a job that has seen keys before deletes none of them, unless it was asked to', async () => {
    const { old, fresh, path } = await start()
    await path.client().mset(LISTS.flatMap((name) => [name, 1]))
    await settled(path)
    await old.restart()
    await eventually(() => expect(statsOf(path).verifyCauses).toContain('primary-restarted'))
    const direct = fresh.client()
    // What only the moment forbids a job tries again.
    const copied = (deletes: CopyOrigin['deletes']) =>
      eventually(async () => {
        const { outcomes } = await copyAsJob(path, 'all', LISTS, { deletes })
        expect(outcomes.every((outcome) => outcome === COPIED)).toBe(true)
      })
    for (const deletes of ['never', 'unless-lost'] as const) {
      await copied(deletes)
      expect(await direct.exists(...LISTS)).toBe(LISTS.length)
    }
    await copied('always')
    expect(await direct.exists(...LISTS)).toBe(0)
  })

  test('keys that wait meanwhile for others of a job, which the shadow keeps waiting, are not deleted though it was asked to', async () => {
    const [old, fresh] = await Promise.all([startRedis(), startRedis()])
    const network = await new HoldingNetwork(fresh).start()
    const path = await startDataPath({
      stores: { old, new: { port: network.port } },
      routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
    })
    running.push(old, fresh, network, path)
    await shadowUp(path)
    // It does not come back empty: then the shadow would be asked what it has.
    await old.client().set('saved', 'v')
    await old.client().save()
    const values = LISTS.flatMap((name) => [name, 'v'])
    await old.client().mset(values)
    await fresh.client().mset(values)
    network.hold()
    // One at a time.
    const copying = copyAsJob(path, 'all', LISTS, { deletes: 'always' })
    await eventually(() => expect(network.holds('list:0')).toBe(true))
    await old.restart()
    await eventually(() => expect(statsOf(path).verifyCauses).toContain('primary-restarted'))
    network.pass()
    const { reasons } = await copying
    expect(reasons.map(([, reason]) => reason)).toEqual(LISTS.slice(1).map(() => MOVED))
    await settled(path)
    expect(await fresh.client().exists(...LISTS)).toBe(LISTS.length)
  })

  test('a copy in pieces that was begun before does not end with what is there then', async () => {
    const [old, fresh] = await Promise.all([startRedis(), startRedis()])
    const network = await new HoldingNetwork(fresh).start()
    const path = await startDataPath({
      stores: { old, new: { port: network.port } },
      routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
      copyLimits: { bigKeyBytes: 1_000, pieceBytes: 1_000 },
    })
    running.push(old, fresh, network, path)
    await shadowUp(path)
    const fields = Array.from({ length: 2_000 }, (_, i) => [`field:${i}`, 'x'.repeat(20)]).flat()
    await old.client().hset('h', ...fields)
    await fresh.client().hset('h', 'of', 'before')
    network.hold()
    const copying = copyAsJob(path, 'all', ['h'], { deletes: 'always' })
    await eventually(() => expect(network.holds('field:')).toBe(true))
    await old.restart()
    const app = path.client()
    await eventually(async () => expect(await app.dbsize().catch(String)).toBe(0))
    network.pass()
    expect((await copying).reasons).toEqual([[0, MOVED]])
    await settled(path)
    expect(await fresh.client().hgetall('h')).toEqual({ of: 'before' })
  })
})

test('after a forced switch that has left keys behind, writes of these reach the former primary and are not copied over what it has', async () => {
  const { old, fresh, path } = await start()
  const app = path.client()
  await app.rpush('q', 'a')
  await settled(path)
  await fresh.client().config('SET', 'maxmemory', '1')
  await app.rpush('q', 'left')
  await eventually(() => expect(statsOf(path).dirtyKeys).toBe(1))
  const next = { ...path.config, routes: path.config.routes.map((one) => ({ ...one, phase: 'switched' as const })) }
  const forced = { ...changeBetween(path.config, next, 1), holdTimeoutMs: 50, force: true }
  expect(await path.runtime.apply(forced)).toMatchObject({ ok: true, left: [{ route: 'all', keys: 1 }] })
  await fresh.client().config('SET', 'maxmemory', '0')
  expect(await app.rpush('q', 'new')).toBe(2)
  await eventually(() => expect(statsOf(path)).toMatchObject({ dirtyReasons: { 'shadow-differs': 1 } }))
  await app.eval("redis.call('TIME') redis.call('SET', KEYS[1], 1)", 1, 'seen')
  await eventually(async () => expect(await old.client().get('seen')).toBe('1'))
  expect(await old.client().lrange('q', 0, -1)).toEqual(['a', 'left', 'new'])
  await verified(path)
  await eventually(async () => expect(await old.client().lrange('q', 0, -1)).toEqual(['a', 'new']), {
    timeoutMs: 20_000,
  })
})

describe('keys that rest', () => {
  /** They were written while the shadow was away, before the primary came back empty: copying them would delete them on the shadow. `meanwhile`: before the shadow is back, and any of them has been looked at. */
  async function resting(meanwhile: (setup: Setup) => Promise<void> = async () => {}): Promise<Setup> {
    const args = ['--appendonly', 'yes', '--appendfsync', 'always']
    const [old, fresh] = await Promise.all([startRedis(), startRedis({ args })])
    const path = await startDataPath({
      stores: { old, new: fresh },
      routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
    })
    running.push(old, fresh, path)
    await shadowUp(path)
    const app = path.client()
    for (const name of LISTS) await app.rpush(name, 'a')
    await settled(path)
    await fresh.kill9()
    for (const name of LISTS) await app.eval("redis.call('RPUSH', KEYS[1], redis.call('TIME')[2])", 1, name)
    expect(statsOf(path).dirtyReasons).toEqual({ 'state-copy': LISTS.length })
    await old.restart()
    // What that means is not decided before the shadow answers.
    await eventually(() => expect(statsOf(path).backlogCommands).toBeGreaterThan(0))
    await meanwhile({ old, fresh, path })
    await fresh.start()
    await eventually(() => {
      const [route] = Object.values(path.runtime.stats().routes)
      expect(route).toMatchObject({ dirtyKeys: LISTS.length, repair: 'resting' })
    })
    return { old, fresh, path }
  }

  /** What is dirty by now has had its turn. */
  async function passed({ path, fresh }: Setup): Promise<void> {
    await path.client().eval("redis.call('TIME') redis.call('SET', KEYS[1], 1)", 1, 'seen')
    await eventually(async () => expect(await fresh.client().get('seen')).toBe('1'))
  }

  test.each([
    ['the primary', 'first', 'new', 'all'],
    ['the shadow', 'old', 'second', 'all'],
    ['the route', 'old', 'new', 'every'],
  ])('do so when %s gets another name', async (_, source, target, name) => {
    const setup = await resting(({ old, fresh, path }) =>
      path.apply({
        stores: { [source]: old, [target]: fresh },
        routes: [{ name, source, target, phase: 'mirror' }],
      }),
    )
    await passed(setup)
    const { fresh, path } = setup
    expect(path.runtime.stats().routes[name]).toMatchObject({ dirtyKeys: LISTS.length })
    expect(await fresh.client().exists(...LISTS)).toBe(LISTS.length)
  })

  test('do so in the database that SWAPDB takes them to', async () => {
    const setup = await resting()
    const { fresh, path } = setup
    expect(await path.client().call('SWAPDB', '0', '1')).toBe('OK')
    await eventually(() => expect(statsOf(path)).toMatchObject({ backlogCommands: 0 }))
    await path.client({ db: 1 }).eval("redis.call('TIME') redis.call('SET', KEYS[1], 1)", 1, 'seen')
    const direct = fresh.client({ db: 1 })
    await eventually(async () => expect(await direct.get('seen')).toBe('1'))
    expect(await direct.exists(...LISTS)).toBe(LISTS.length)
  })
})
