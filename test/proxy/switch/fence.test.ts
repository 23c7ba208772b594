import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ApplyResult } from '../../../src/proxy/messages.ts'
import { type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

let old: RedisServer
let fresh: RedisServer
let path: DataPathUnderTest

/** Two routes at one source, whose commands may take as long as they like: silence alone gives up no connection. */
const options = (phase: 'mirror' | 'switched'): DataPathOptions => ({
  stores: { old, new: fresh },
  store: { timeoutMs: 0 },
  routes: [
    { name: 'all', source: 'old', target: 'new', phase },
    { name: 'rest', keys: ['rest:*'], source: 'old' },
  ],
})
const switching = (holdTimeoutMs: number): Promise<ApplyResult> =>
  path.runtime.apply({ ...path.change(options('switched')), holdTimeoutMs, force: true })
const inFlight = (): number => path.runtime.stats().routes['all']!.inFlight
const blockedAt = (count: number) =>
  eventually(async () => expect(await old.client().info('clients')).toContain(`blocked_clients:${count}\r\n`))

beforeEach(async () => {
  ;[old, fresh] = [await startRedis(), await startRedis()]
  path = await startDataPath(options('mirror'))
})
afterEach(async () => {
  await path.stop()
  await Promise.all([old.stop(), fresh.stop()])
})

describe('a forced switch away from a primary that hangs', () => {
  const LOST = /^-ERR Understudy: the connection to store 'old' was lost .*; the command may have been executed/

  test('gives up what is in flight there when the hold is over, whichever connection it is on', async () => {
    const [plain, taker, watcher, neighbour] = [await path.raw(), await path.raw(), await path.raw(), await path.raw()]
    await plain.ask('SET', 'k', '1')
    await settled(path)
    taker.command('BLPOP', 'l', 0)
    neighbour.command('BLPOP', 'rest:l', 0)
    await blockedAt(2)
    await watcher.ask('WATCH', 'w')
    old.pause()
    plain.command('INCR', 'k')
    watcher.command('GET', 'w')
    await eventually(() => expect(inFlight()).toBe(2))
    expect(await switching(50)).toMatchObject({ ok: true })
    for (const client of [plain, taker, watcher]) expect(await client.text()).toMatch(LOST)
    expect(await plain.ask('SET', 'k', 'last')).toBe('+OK\r\n')
    expect(path.runtime.stats().routes['all']!.verifyCauses).toContain('turned')
    old.resume()
    await settled(path)
    for (const server of [old, fresh]) expect(await server.client().get('k')).toBe('last')
    // That of another route waits on.
    await old.client().rpush('rest:l', 'x')
    expect(await neighbour.text()).toContain('rest:l')
  })

  test('waits for what comes until then', async () => {
    const app = path.client()
    await app.set('k', 1)
    await settled(path)
    old.pause()
    const slow = app.incr('k')
    await eventually(() => expect(inFlight()).toBe(1))
    const switched = switching(30_000)
    old.resume()
    expect(await switched).toMatchObject({ ok: true })
    expect(await slow).toBe(2)
    expect(await app.incr('k')).toBe(3)
    expect(path.runtime.stats().routes['all']).toMatchObject({ dirtyKeys: 0, needsVerify: false })
  })
})
