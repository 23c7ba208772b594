import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Change } from '../../../src/proxy/messages.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { HoldingNetwork } from '../../support/holding-network.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

/** Keys go to a route of their own while something of them is on its way, which holds nobody; then that route is switched. */

const ENDS = { source: 'old', target: 'new', phase: 'mirror' } as const
const PART = { ...ENDS, name: 'part', keys: ['p:*'] }
let old: RedisServer
let fresh: RedisServer
let network: HoldingNetwork
let path: DataPathUnderTest

beforeEach(async () => {
  ;[old, fresh] = [await startRedis(), await startRedis()]
  network = await new HoldingNetwork(fresh).start()
  path = await startDataPath({ stores: stores(), routes: [ENDS] })
})
afterEach(async () => {
  await path.stop()
  await network.stop()
  await Promise.all([old.stop(), fresh.stop()])
})

const stores = () => ({ old, new: { port: network.port } })

/** Gives the switch. */
async function split(): Promise<Change> {
  await path.apply({ stores: stores(), routes: [PART, ENDS] })
  return path.change({ stores: stores(), routes: [{ ...PART, phase: 'switched' }, ENDS] })
}

async function refusedNow(change: Change): Promise<void> {
  const result = await path.runtime.apply({ ...change, holdTimeoutMs: 50 })
  expect(result).toMatchObject({ ok: false, reason: expect.stringContaining("route 'part' still wait") })
}

describe('a switch waits for what the route had on its way from which it has got its keys', () => {
  test('writes that the shadow has not acknowledged, of whichever database', async () => {
    const app = path.client({ db: 1 })
    await app.set('p:1', 'first')
    await settled(path)
    network.hold()
    await app.set('p:1', 'second')
    await eventually(() => expect(network.holds('second')).toBe(true))
    const change = await split()
    await refusedNow(change)
    const switched = path.runtime.apply(change)
    const read = app.get('p:1')
    const last = app.append('p:1', ' last')
    network.pass()
    expect(await switched).toMatchObject({ ok: true })
    expect(await read).toBe('second')
    await last
    await settled(path)
    for (const server of [old, fresh]) expect(await server.client({ db: 1 }).get('p:1')).toBe('second last')
  })

  test('commands that the primary has not answered', async () => {
    const app = path.client()
    await app.set('p:1', 1)
    await settled(path)
    old.pause()
    const slow = app.incr('p:1')
    await eventually(() => expect(path.runtime.stats().routes['all']!.inFlight).toBe(1))
    const change = await split()
    await refusedNow(change)
    const switched = path.runtime.apply(change)
    old.resume()
    expect(await switched).toMatchObject({ ok: true })
    expect([await slow, await app.incr('p:1')]).toEqual([2, 3])
    await settled(path)
    for (const server of [old, fresh]) expect(await server.client().get('p:1')).toBe('3')
  })

  test('and for nothing that came after: the other keys may be written all the time', async () => {
    const app = path.client()
    await app.set('p:1', 1)
    await settled(path)
    let writing = true
    const writer = (async () => {
      while (writing) await Promise.all(Array.from({ length: 50 }, () => app.incr('n')))
    })()
    try {
      expect(await path.runtime.apply(await split())).toMatchObject({ ok: true })
    } finally {
      writing = false
      await writer
    }
  })
})
