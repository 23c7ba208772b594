import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Config } from '../../../src/config/config.ts'
import { changeBetween } from '../../support/change.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { HoldingNetwork } from '../../support/holding-network.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'
import { writeOnItsWay } from '../../support/write-on-its-way.ts'

const running: { stop(): Promise<unknown> }[] = []
let dir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'former-doubts-'))
})
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
  rmSync(dir, { recursive: true })
})

/** The directory as a crash in this very moment would leave it: nothing else runs in this thread meanwhile. */
function crashCopy(): string {
  const copy = mkdtempSync(join(dir, 'crash-'))
  cpSync(join(dir, 'state'), copy, { recursive: true })
  return copy
}

/** Where the keys of the route are to be copied from, as the next start will find it. */
function primaryIn(stateDir: string, route = 'all'): string {
  const database = new DatabaseSync(join(stateDir, 'dirty.db'), { readOnly: true })
  const { primary_end: end } = database.prepare('SELECT primary_end FROM primaries WHERE route = ?').get(route) as {
    primary_end: string
  }
  database.close()
  return end
}

const MIRRORED = { name: 'all', source: 'old', target: 'new', phase: 'mirror' } as const
const SWITCHED = { ...MIRRORED, phase: 'switched' } as const

/** A forced change (a switch of all routes, or what `next` makes of them) has left `k` behind: its last value is in the old store alone. `stores`: further ones, by the route whose primary each is; they hang. */
async function switched(
  routes: Parameters<typeof startDataPath>[0]['routes'] = [MIRRORED],
  next = (before: Config['routes']): Config['routes'] => before.map((one) => ({ ...one, phase: 'switched' as const })),
  stores: Record<string, RedisServer> = {},
): Promise<{ old: RedisServer; fresh: RedisServer; path: DataPathUnderTest; config: Config }> {
  const [old, fresh] = [await startRedis(), await startRedis()]
  const network = await new HoldingNetwork(fresh).start()
  const path = await startDataPath({
    stores: { old, new: { port: network.port }, ...stores },
    routes,
    stateDir: join(dir, 'state'),
  })
  running.push(old, fresh, network, path)
  await writeOnItsWay(path, network, 'last')
  for (const [name, server] of Object.entries(stores)) {
    server.pause()
    void path
      .client()
      .get(`${name}:1`)
      .catch(() => {})
    await eventually(() => expect(path.runtime.stats().routes[name]!.inFlight).toBe(1))
  }
  const config = { ...path.config, routes: next(path.config.routes) }
  const change = { ...changeBetween(path.config, config, 1), holdTimeoutMs: 50, force: true }
  expect(await path.runtime.apply(change)).toMatchObject({ ok: true })
  return { old, fresh, path, config }
}

/** Understudy begins with what a crash has left, and is at rest. */
async function startAgain(
  stores: { old: RedisServer; fresh: RedisServer },
  stateDir: string,
  routes: Parameters<typeof startDataPath>[0]['routes'] = [SWITCHED],
): Promise<DataPathUnderTest> {
  const path = await startDataPath({ stores: { old: stores.old, new: stores.fresh }, routes, stateDir })
  running.push(path)
  await settled(path)
  return path
}

test('a process that is killed right behind a forced switch has not lost what that has left behind', async () => {
  const { old, fresh, path } = await switched()
  const state = crashCopy()
  await path.stop()
  const again = await startAgain({ old, fresh }, state)
  expect(again.runtime.stats().routes['all']).toMatchObject({
    dirtyKeys: 0,
    verifyCauses: expect.arrayContaining(['turned']),
  })
  expect(await old.client().get('k')).toBe('last')
  expect(await fresh.client().get('k')).toBe('first')
})

test('nor where the route is gone, and another one that has its keys by then has the other store for its primary', async () => {
  const single = { ...MIRRORED, name: 'single', keys: ['k'] }
  const { old, fresh, path } = await switched([single, SWITCHED], (routes) =>
    routes.filter(({ name }) => name === 'all'),
  )
  const state = crashCopy()
  await path.stop()
  const again = await startAgain({ old, fresh }, state)
  expect(again.runtime.stats().routes['all']).toMatchObject({ dirtyKeys: 0, needsVerify: true })
  expect(await old.client().get('k')).toBe('last')
})

describe('nor where another route has its keys by then', () => {
  async function isAsItWas(
    stores: { old: RedisServer; fresh: RedisServer },
    state: string,
    name = 'other',
  ): Promise<void> {
    const again = await startAgain(stores, state, [{ ...SWITCHED, name }])
    expect(again.runtime.stats().routes[name]).toMatchObject({
      dirtyKeys: 0,
      verifyCauses: expect.arrayContaining(['turned']),
    })
    expect(await stores.old.client().get('k')).toBe('last')
    expect(await stores.fresh.client().get('k')).toBe('first')
  }

  test('by a reload before', async () => {
    // What is in flight there holds the log's segments up.
    const hung = await startRedis()
    running.push(hung)
    const { old, fresh, path, config } = await switched(
      [MIRRORED, { name: 'hung', keys: ['hung:*'], source: 'hung' }],
      ([all, ...others]) => [{ ...all!, phase: 'switched' }, ...others],
      { hung },
    )
    const [all, ...others] = config.routes
    const next = { ...config, routes: [{ ...all!, name: 'other' }, ...others] }
    expect(await path.runtime.apply(changeBetween(config, next, 2))).toMatchObject({ ok: true })
    const state = crashCopy()
    expect(primaryIn(state, 'other')).toBe('')
    await path.stop()
    await isAsItWas({ old, fresh }, state)
  })

  test('by a file that was changed while nothing ran', async () => {
    const { old, fresh, path } = await switched()
    const state = crashCopy()
    await path.stop()
    await isAsItWas({ old, fresh }, state)
  })

  test('by such a file, in which a route has them that was there before', async () => {
    const { old, fresh, path } = await switched([{ ...MIRRORED, name: 'single', keys: ['k'] }, SWITCHED])
    const state = crashCopy()
    expect(primaryIn(state)).toBe('target new')
    await path.stop()
    await isAsItWas({ old, fresh }, state, 'all')
  })
})

test('what is written once nothing of that is on disk any more is known to the next start, and copied', async () => {
  const { old, fresh, path } = await switched()
  expect(primaryIn(crashCopy())).toBe('')
  await eventually(() => expect(primaryIn(crashCopy())).toBe('target new'))
  old.pause()
  await path.client().set('after', 'v')
  const state = crashCopy()
  await path.stop()
  old.resume()
  await old.client().del('after')
  await startAgain({ old, fresh }, state)
  expect(await old.client().mget('k', 'after')).toEqual(['last', 'v'])
})

test('a stop right behind a forced switch leaves nothing of that on disk', async () => {
  const { old, fresh, path } = await switched()
  await path.stop()
  expect(primaryIn(join(dir, 'state'))).toBe('target new')
  await startAgain({ old, fresh }, join(dir, 'state'))
  expect(await old.client().get('k')).toBe('last')
})
