import { afterEach, expect, test } from 'vitest'
import { packBytes } from '../../../src/base/packed-bytes.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { HoldingNetwork } from '../../support/holding-network.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

const KEYS = ['p:1', 'k']
const packed = () => packBytes(KEYS.map((key) => Buffer.from(key)))
const MIRROR = { source: 'old', target: 'new', phase: 'mirror' } as const

/** A job has noted keys and written them to their primary. Gives the number of its note. */
async function writing(): Promise<{ old: RedisServer; fresh: RedisServer; path: DataPathUnderTest; number: number }> {
  const [old, fresh] = [await startRedis(), await startRedis()]
  const path = await startDataPath({ stores: { old, new: fresh }, routes: [MIRROR] })
  running.push(old, fresh, path)
  const number = await path.runtime.jobs.writing('old', 0, packed())
  await old.client().mset(...KEYS.flatMap((key) => [key, 'written']))
  return { old, fresh, path, number: number! }
}

test('what a job has written is copied when it ends, also where its primary is called otherwise by then', async () => {
  const { old, fresh, path, number } = await writing()
  await path.apply({ stores: { other: old, new: fresh }, routes: [{ ...MIRROR, source: 'other' }] })
  await path.runtime.jobs.wrote(number, packed())
  await settled(path)
  expect(await fresh.client().mget(KEYS)).toEqual(['written', 'written'])
  expect(path.runtime.stats().routes['all']!.needsVerify).toBe(false)
})

test('is in doubt where it is not known whether the primary is the same', async () => {
  const { old, fresh, path, number } = await writing()
  const network = await new HoldingNetwork(old).start()
  running.push(network)
  // At another address; as the sidecar finds out that it is the same server.
  const change = path.change({ stores: { old: { port: network.port }, new: fresh }, routes: [MIRROR] })
  expect(await path.runtime.apply({ ...change, needsEqual: [], forget: [] })).toMatchObject({ ok: true })
  expect(path.runtime.stats().routes['all']!.verifyCauses).toContain('turned')
  expect(await path.runtime.jobs.wrote(number, packed())).toBe(false)
  await settled(path)
  expect(await old.client().mget(KEYS)).toEqual(['written', 'written'])
  expect(await fresh.client().mget(KEYS)).toEqual([null, null])
})

test('is waited for by a switch of a route that has got the keys meanwhile', async () => {
  const { old, fresh, path, number } = await writing()
  const stores = { old, new: fresh }
  const part = { ...MIRROR, name: 'part', keys: ['p:*'] }
  await path.apply({ stores, routes: [part, MIRROR] })
  await settled(path)
  const change = path.change({ stores, routes: [{ ...part, phase: 'switched' }, MIRROR] })
  const refused = await path.runtime.apply({ ...change, holdTimeoutMs: 50 })
  expect(refused).toMatchObject({ ok: false, reason: expect.stringContaining("writes keys of route 'part'") })
  const switched = path.runtime.apply(change)
  expect(await path.runtime.jobs.wrote(number, packed())).toBe(true)
  expect(await switched).toMatchObject({ ok: true })
  expect(await path.client().mget(KEYS)).toEqual(['written', 'written'])
})
