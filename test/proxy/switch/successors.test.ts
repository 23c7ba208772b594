import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Change } from '../../../src/proxy/messages.ts'
import {
  type DataPathOptions,
  type DataPathUnderTest,
  type StoreOptions,
  startDataPath,
} from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { HoldingNetwork } from '../../support/holding-network.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'
import { writeOnItsWay } from '../../support/write-on-its-way.ts'

let old: RedisServer
let fresh: RedisServer
let network: HoldingNetwork
let path: DataPathUnderTest

const mirrored = (stores: Record<string, StoreOptions>, routes: DataPathOptions['routes'] = undefined) => ({
  stores: { old, ...stores },
  routes: routes ?? [{ name: 'all', source: 'old', target: Object.keys(stores)[0]!, phase: 'mirror' as const }],
})

/** A route that is mirrored over a network which can hold what the shadow is told. */
beforeEach(async () => {
  ;[old, fresh] = [await startRedis(), await startRedis()]
  network = await new HoldingNetwork(fresh).start()
  path = await startDataPath(mirrored({ new: { port: network.port } }))
})
afterEach(async () => {
  await path.stop()
  await network.stop()
  await Promise.all([old.stop(), fresh.stop()])
})

describe('what is on its way to a shadow is never executed behind newer writes when another store takes its place', () => {
  test.each<[what: string, next: () => DataPathOptions, change?: Partial<Change>]>([
    ['with other settings', () => mirrored({ new: { port: network.port, timeoutMs: 30_000 } })],
    ['under another name', () => mirrored({ valkey: { port: network.port } })],
    // As the sidecar finds out that it is the same server.
    ['at another address', () => mirrored({ new: { port: fresh.port } }), { forget: [] }],
    [
      'which its keys come to with another route',
      () =>
        mirrored({ new: { port: network.port }, other: { port: network.port } }, [
          { name: 'all', keys: ['rest:*'], source: 'old', target: 'new', phase: 'mirror' },
          { name: 'some', keys: ['*'], source: 'old', target: 'other', phase: 'mirror' },
        ]),
    ],
  ])('%s', async (_what, next, change = {}) => {
    const app = path.client()
    await app.mset('k', 'first', 'left', 'first')
    await settled(path)
    network.hold()
    await app.mset('k', 'on its way', 'left', 'on its way')
    await app.incr('n')
    await eventually(() => expect(network.holds('on its way')).toBe(true))
    // Held no longer than it takes: nothing arrives meanwhile.
    expect(await path.runtime.apply({ ...path.change(next()), ...change })).toMatchObject({ ok: true })
    await app.set('k', 'last')
    await settled(path)
    network.pass()
    // What was held is behind these, if it has not been ended.
    await app.incr('n')
    await settled(path)
    for (const server of [old, fresh])
      expect(await server.client().mget('k', 'left', 'n')).toEqual(['last', 'on its way', '2'])
    expect(Object.values(path.runtime.stats().routes)).toMatchObject(
      Object.keys(path.runtime.stats().routes).map(() => ({ dirtyKeys: 0, needsVerify: false })),
    )
    expect(JSON.stringify(path.notices)).not.toContain('store connection lost')
  })

  test('with other settings, in the same change as a forced switch to it', async () => {
    const app = await writeOnItsWay(path, network, 'on its way')
    const next = mirrored({ new: { port: network.port, timeoutMs: 30_000 } })
    const switched = { ...next, routes: next.routes.map((route) => ({ ...route, phase: 'switched' as const })) }
    const change = { ...path.change(switched), holdTimeoutMs: 50, force: true }
    expect(await path.runtime.apply(change)).toMatchObject({ ok: true })
    await app.set('k', 'last')
    network.pass()
    await settled(path)
    for (const server of [old, fresh]) expect(await server.client().get('k')).toBe('last')
  })
})

test('what is on its way to a shadow that is kept up no more arrives', async () => {
  await writeOnItsWay(path, network, 'on its way')
  await path.apply({ stores: { old }, routes: [{ name: 'all', source: 'old' }] })
  expect(path.runtime.stats().routes['all']).toMatchObject({ counters: { shadowLost: 0 } })
  network.pass()
  await eventually(async () => expect(await fresh.client().get('k')).toBe('on its way'))
})

test('both stores of a route get other settings under load: every client keeps its order, and both sides are equal', async () => {
  const counts = Array.from({ length: 4 }, () => 0)
  const answers: number[][] = []
  let going = true
  const loads = counts.map(async (_, n) => {
    const app = path.client()
    while (going) {
      const own = app.incr(`own:${n}`)
      const [count] = await Promise.all([own, app.incr('shared'), app.rpush('list', `${n} ${counts[n]}`)])
      answers.push([count, ++counts[n]!])
    }
  })
  for (let i = 1; i <= 6; i++) {
    const seen = answers.length
    await eventually(() => expect(answers.length).toBeGreaterThan(seen + 50))
    await path.apply({ ...mirrored({ new: { port: network.port } }), store: { timeoutMs: 20_000 + i } })
  }
  going = false
  await Promise.all(loads)
  await settled(path)
  for (const [count, expected] of answers) expect(count).toBe(expected)
  const [ours, its] = [old.client(), fresh.client()]
  const names = ['shared', ...counts.map((_, n) => `own:${n}`)]
  expect(await ours.mget(names)).toEqual([answers.length, ...counts].map(String))
  expect(await its.mget(names)).toEqual(await ours.mget(names))
  expect(await its.lrange('list', 0, -1)).toEqual(await ours.lrange('list', 0, -1))
})
