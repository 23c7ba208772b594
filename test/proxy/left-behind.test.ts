import { afterEach, expect, test } from 'vitest'
import type { ApplyResult } from '../../src/proxy/messages.ts'
import { changeBetween } from '../support/change.ts'
import { type DataPathUnderTest, startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { HoldingNetwork } from '../support/holding-network.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

interface Setup {
  readonly old: RedisServer
  readonly fresh: RedisServer
  readonly path: DataPathUnderTest
  readonly network: HoldingNetwork
  force(holdTimeoutMs: number): Promise<ApplyResult>
}

/** A route that is mirrored over a network which can hold what the shadow is told. */
async function start(): Promise<Setup> {
  const [old, fresh] = [await startRedis(), await startRedis()]
  const network = await new HoldingNetwork(fresh).start()
  const path = await startDataPath({
    stores: { old, new: { port: network.port } },
    routes: [{ name: 'all', source: 'old', target: 'new', phase: 'mirror' }],
  })
  running.push(old, fresh, network, path)
  const { config } = path
  const next = { ...config, routes: config.routes.map((route) => ({ ...route, phase: 'switched' as const })) }
  return {
    old,
    fresh,
    path,
    network,
    force: (holdTimeoutMs) => path.runtime.apply({ ...changeBetween(config, next, 1), holdTimeoutMs, force: true }),
  }
}

test('a forced switch waits for what is on its way to the new primary', async () => {
  const { fresh, path, network, force } = await start()
  const app = path.client()
  await app.set('k', 'first')
  await settled(path)
  network.hold()
  await app.set('k', 'on its way')
  await eventually(() => expect(network.holds('on its way')).toBe(true))
  const switched = force(30_000)
  const last = app.set('k', 'last')
  network.pass()
  expect(await switched).toMatchObject({ ok: true })
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
  expect(await force(50)).toMatchObject({ ok: true })
  await app.set('k', 'last')
  network.pass()
  await settled(path)
  await eventually(async () => expect(await old.client().get('k')).toBe('last'))
  expect(await fresh.client().mget('k', 'left')).toEqual(['last', 'first'])
  // Which of the two is right is for people to say.
  expect(await old.client().get('left')).toBe('on its way')
  expect(path.runtime.stats().routes['all']).toMatchObject({ dirtyKeys: 0, verifyCauses: ['turned'] })
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
