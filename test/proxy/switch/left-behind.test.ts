import { afterEach, describe, expect, test } from 'vitest'
import type { ApplyResult } from '../../../src/proxy/messages.ts'
import { changeBetween } from '../../support/change.ts'
import { type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { HoldingNetwork } from '../../support/holding-network.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'
import { writeOnItsWay } from '../../support/write-on-its-way.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

interface Setup {
  readonly old: RedisServer
  readonly fresh: RedisServer
  readonly path: DataPathUnderTest
  /** On the way to the primary, and to the shadow. */
  readonly toOld: HoldingNetwork
  readonly network: HoldingNetwork
  force(holdTimeoutMs: number): Promise<ApplyResult>
}

/** A route that is mirrored over networks which can hold what its stores are told. */
async function start(options: Partial<DataPathOptions> = {}): Promise<Setup> {
  const [old, fresh] = [await startRedis(), await startRedis()]
  const [toOld, network] = [await new HoldingNetwork(old).start(), await new HoldingNetwork(fresh).start()]
  const path = await startDataPath({
    stores: { old: { port: toOld.port }, new: { port: network.port } },
    routes: [{ name: 'all', source: 'old', target: 'new', phase: 'mirror' }],
    ...options,
  })
  running.push(old, fresh, toOld, network, path)
  const { config } = path
  const next = { ...config, routes: config.routes.map((route) => ({ ...route, phase: 'switched' as const })) }
  return {
    old,
    fresh,
    path,
    toOld,
    network,
    force: (holdTimeoutMs) => path.runtime.apply({ ...changeBetween(config, next, 1), holdTimeoutMs, force: true }),
  }
}

test('a forced switch waits for what is on its way to the new primary', async () => {
  const { fresh, path, network, force } = await start()
  const app = await writeOnItsWay(path, network, 'on its way')
  const switched = force(30_000)
  const last = app.set('k', 'last')
  network.pass()
  expect(await switched).toMatchObject({ ok: true, left: [] })
  await last
  await settled(path)
  expect(await fresh.client().get('k')).toBe('last')
  expect(path.runtime.stats().routes['all']).toMatchObject({ dirtyKeys: 0, needsVerify: false })
})

test('what does not arrive in time is never executed behind newer writes, and the route needs a verify', async () => {
  const { old, fresh, path, network, force } = await start()
  const app = path.client()
  await app.mset('k', 'first', 'left', 'first')
  await settled(path)
  network.hold()
  await app.mset('k', 'on its way', 'left', 'on its way')
  await eventually(() => expect(network.holds('on its way')).toBe(true))
  expect(await force(50)).toMatchObject({ ok: true, left: [{ route: 'all', keys: 2 }] })
  await app.set('k', 'last')
  network.pass()
  await settled(path)
  await eventually(async () => expect(await old.client().get('k')).toBe('last'))
  expect(await fresh.client().mget('k', 'left')).toEqual(['last', 'first'])
  // Which of the two is right is for people to say.
  expect(await old.client().get('left')).toBe('on its way')
  expect(path.runtime.stats().routes['all']).toMatchObject({ dirtyKeys: 0, verifyCauses: ['turned'] })
})

test('nor is a flush that would have come behind others, on a connection that there was not yet', async () => {
  const { old, fresh, path, network, force } = await start()
  const app = path.client()
  await app.set('k', 'first')
  await settled(path)
  network.hold()
  await app.set('k', 'on its way')
  await app.flushall()
  const others = [1, 2, 3].map((db) => path.client({ db }))
  for (const other of others) await other.flushdb()
  network.holdFrom('FLUSH')
  expect(await force(50)).toMatchObject({ ok: true })
  for (const other of others) await other.set('k', 'last')
  network.pass()
  await settled(path)
  for (const other of others) expect(await other.get('k')).toBe('last')
  expect(await fresh.client().get('k')).toBe('first')
  expect(await old.client().get('k')).toBeNull()
  expect(path.runtime.stats().routes['all']!.verifyCauses).toContain('turned')
})

test('thousands of flushes that wait for the new primary are given up as well', async () => {
  const { fresh, path, network, force } = await start()
  const app = await writeOnItsWay(path, network, 'on its way')
  const flushes = app.pipeline()
  for (let i = 0; i < 20_000; i++) flushes.flushall()
  await flushes.exec()
  expect(await force(50)).toMatchObject({ ok: true })
  await app.set('last', '1')
  network.pass()
  await settled(path)
  expect(await fresh.client().mget('k', 'last')).toEqual(['first', '1'])
})

test('keys of a primary that is gone are not waited for, for nothing can be copied from there', async () => {
  const { old, path, force } = await start()
  const app = path.client()
  await app.set('k', '1')
  await settled(path)
  old.pause()
  const lost = app.set('k', '2').catch(String)
  await eventually(() => expect(path.runtime.stats().routes['all']!.inFlight).toBe(1))
  await old.kill9()
  expect(await lost).toContain('connection')
  await eventually(() => expect(path.runtime.stats().routes['all']!.dirtyKeys).toBe(1))
  expect(await force(60_000)).toMatchObject({ ok: true })
  expect(await app.get('k')).toBe('1')
  expect(path.runtime.stats().routes['all']).toMatchObject({ dirtyKeys: 0, verifyCauses: ['turned'] })
})

describe('what becomes known after a forced switch is copied neither way', () => {
  test('what a write has left, of which the former primary is asked', async () => {
    const { old, fresh, path, toOld, network, force } = await start()
    const app = path.client()
    for (let i = 0; i < 3; i++) await app.xadd('s', 'MAXLEN', '~', 1_000, '*', 'n', i)
    await settled(path)
    network.hold()
    toOld.holdFrom('XRANGE')
    await app.xadd('s', 'MAXLEN', '~', 1_000, '*', 'n', 'last')
    await eventually(() => expect(toOld.holdsAny).toBe(true))
    expect(await force(50)).toMatchObject({ ok: true })
    toOld.pass()
    await settled(path)
    expect([await old.client().xlen('s'), await fresh.client().xlen('s')]).toEqual([4, 3])
    expect(path.runtime.stats().routes['all']).toMatchObject({ dirtyKeys: 0, verifyCauses: ['turned'] })
  })

  test('a key that was being rebuilt in pieces, and written meanwhile', async () => {
    const { old, fresh, path, toOld, force } = await start({ copyLimits: { bigKeyBytes: 1_000, pieceBytes: 1_000 } })
    const fields = Array.from({ length: 2_000 }, (_, i) => [`field:${i}`, 'x'.repeat(20)]).flat()
    await old.client().hset('h', 'n', 1, ...fields)
    const writer = await path.raw()
    // By another connection than the one that reads.
    await writer.ask('HELLO', 3)
    toOld.holdFrom('HSCAN')
    // The shadow has another number: the key is dirty.
    await writer.ask('HINCRBY', 'h', 'n', 1)
    await eventually(() => expect(toOld.holdsAny).toBe(true))
    expect(await writer.ask('HSET', 'h', 'last', 1)).toBe(':1\r\n')
    expect(await force(50)).toMatchObject({ ok: true })
    toOld.pass()
    await settled(path)
    expect(await old.client().hlen('h')).toBe(2_002)
    expect(await fresh.client().hlen('h')).toBe(1)
    expect(path.runtime.stats().routes['all']).toMatchObject({ dirtyKeys: 0, verifyCauses: ['turned'] })
  })

  test('a difference that is found afterwards, whatever `compare.repair` says', async () => {
    const compare = { sample: 1, repair: true }
    const { old, fresh, path, network, force } = await start({
      routes: [{ name: 'all', source: 'old', target: 'new', phase: 'shadow', compare }],
    })
    const app = await writeOnItsWay(path, network, 'last')
    expect(await force(50)).toMatchObject({ ok: true })
    await eventually(async () => {
      expect(await app.get('k')).toBe('first')
      expect(path.runtime.stats().routes['all']!.counters.mismatched).toBeGreaterThan(0)
    })
    await settled(path)
    expect([await old.client().get('k'), await fresh.client().get('k')]).toEqual(['last', 'first'])
    expect(path.runtime.stats().routes['all']!.compare.repaired).toBe(0)
  })
})

test('a forced change that also gives the new primary another name copies nothing the other way round', async () => {
  const { old, fresh, path, toOld, network } = await start()
  const app = await writeOnItsWay(path, network, 'last')
  const change = path.change({
    stores: { old: { port: toOld.port }, other: { port: network.port } },
    routes: [{ name: 'all', source: 'old', target: 'other', phase: 'switched' }],
  })
  expect(await path.runtime.apply({ ...change, holdTimeoutMs: 50, force: true })).toMatchObject({ ok: true })
  expect(await app.get('k')).toBe('first')
  network.pass()
  await settled(path)
  expect([await old.client().get('k'), await fresh.client().get('k')]).toEqual(['last', 'first'])
  expect(path.runtime.stats().routes['all']).toMatchObject({ dirtyKeys: 0, verifyCauses: ['turned'] })
})
