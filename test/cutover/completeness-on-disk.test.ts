import type { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Config } from '../../src/config/config.ts'
import { parseConfig } from '../../src/config/file/load.ts'
import { Completeness } from '../../src/cutover/completeness.ts'
import { keyRegions } from '../../src/cutover/key-regions.ts'
import { OwedWrites } from '../../src/cutover/owed-writes.ts'
import { openStateDatabase } from '../../src/state/state-database.ts'
import { LogLines } from '../support/log-lines.ts'

const config = (phase: string, fresh = 'redis://10.0.0.2'): Config =>
  parseConfig(
    `
listen: [{ url: "redis://127.0.0.1:6380" }]
stores: { old: { url: "redis://10.0.0.1" }, new: { url: "${fresh}" } }
routes: [{ name: all, keys: ["*"], source: { store: old }, target: { store: new }, phase: ${phase} }]
`,
    { path: 'test.yaml', env: {} },
  ).config

const MIRROR = config('mirror')
const ELSEWHERE = config('mirror', 'redis://10.0.0.3')
const PASSTHROUGH = config('passthrough')

let database: DatabaseSync
let owed: OwedWrites
beforeEach(() => {
  database = openStateDatabase('', () => {})
})
afterEach(() => {
  owed.stop()
  database.close()
})

/** No write succeeds, as on a disk that is full: each throws. */
const disk = (takes: boolean): void => database.exec(`PRAGMA query_only = ${takes ? 'OFF' : 'ON'}`)

/** A process begins with `first`: what another has left in the database is what it knows. No store is empty. */
async function begin(first: Config): Promise<Completeness> {
  owed = new OwedWrites(new LogLines())
  const completeness = new Completeness(
    database,
    owed,
    async () => 'some',
    () => null,
  )
  await completeness.approaching(first)
  await completeness.inForce(first, Date.now())
  return completeness
}

/** A backfill and a verify have made both ends complete. */
async function beginComplete(): Promise<Completeness> {
  const completeness = await begin(MIRROR)
  for (const by of ['backfill', 'verify'] as const)
    completeness.completed(MIRROR.routes[0]!, by, Date.now() + 1, Date.now())
  expect(await lacking(completeness, MIRROR)).toBeNull()
  return completeness
}

const lacking = (completeness: Completeness, of: Config): Promise<string | null> =>
  completeness.lacking(of, of.routes[0]!, 'target')

const regions = (old: Config, next: Config) => keyRegions(old, next, new Map())

test('where the primary may be the side that lacks something, nothing is advised that copies from it', async () => {
  const completeness = await begin(MIRROR)
  const advised = (causes: string[]) => completeness.lacking(MIRROR, MIRROR.routes[0]!, 'target', causes)
  expect(await advised(['shadow-restarted'])).toContain("run 'understudy backfill")
  const settled = await advised(['shadow-restarted', 'primary-restarted'])
  expect(settled).toMatch(/may lack what .*: settle first what .* may lack itself/)
  expect(settled).not.toContain("'understudy ")
})

test('a primary that lacks what the shadow held before is not complete, nor is anything advised that copies from it, until both are equal', async () => {
  const completeness = await begin(MIRROR)
  const later = () => Date.now() + 1
  expect(completeness.completePrimaries(MIRROR)).toEqual(['all'])
  const forced = config('switched')
  await completeness.approaching(forced, regions(MIRROR, forced))
  await completeness.inForce(forced, Date.now(), regions(MIRROR, forced))
  expect(completeness.completePrimaries(forced)).toEqual([])
  // Keys of a backup are put back into the source meanwhile.
  completeness.restored(forced.routes[0]!, 'source', Date.now())
  const back = await completeness.lacking(forced, forced.routes[0]!, 'source')
  expect(back).toMatch(/settle first what 'new', the primary, may lack itself/)
  expect(back).not.toContain('repair')
  completeness.completed(forced.routes[0]!, 'backfill', later(), Date.now())
  expect(completeness.completePrimaries(forced)).toEqual([])
  completeness.completed(forced.routes[0]!, 'verify', later(), Date.now())
  expect(completeness.completePrimaries(forced)).toEqual(['all'])
  expect(await completeness.lacking(forced, forced.routes[0]!, 'source')).toBeNull()
  expect(completeness.completePrimaries(PASSTHROUGH)).toEqual([])
})

test.each([
  ['mirroring had ended', PASSTHROUGH],
  ['another target was mirrored to', ELSEWHERE],
])('a process that ends before it could write down that %s leaves nothing that counts as complete', async (_, next) => {
  const completeness = await beginComplete()
  await completeness.approaching(next, regions(MIRROR, next))
  disk(false)
  await completeness.inForce(next, Date.now(), regions(MIRROR, next))
  disk(true)
  expect(await lacking(await begin(MIRROR), MIRROR)).toContain('may lack what')
})

test('a change that is called off leaves known what was', async () => {
  const completeness = await beginComplete()
  await completeness.approaching(ELSEWHERE, regions(MIRROR, ELSEWHERE))
  completeness.calledOff(MIRROR)
  expect(await lacking(completeness, MIRROR)).toBeNull()
  expect(await lacking(await begin(MIRROR), MIRROR)).toBeNull()
})

test('what a cleanup makes untrue while a change is on its way is so also where that is called off', async () => {
  const completeness = await beginComplete()
  await completeness.approaching(PASSTHROUGH, regions(MIRROR, PASSTHROUGH))
  completeness.cleaned('all', 'target', Date.now())
  completeness.calledOff(MIRROR)
  expect(await lacking(completeness, MIRROR)).toContain('may lack what')
})

test('nothing is approached while the disk takes no writes, and nothing decided on what it has not taken', async () => {
  const completeness = await beginComplete()
  disk(false)
  const switched = config('switched')
  await expect(completeness.approaching(switched, regions(MIRROR, switched))).rejects.toThrow(/readonly/)
  disk(true)
  await completeness.approaching(ELSEWHERE, regions(MIRROR, ELSEWHERE))
  disk(false)
  await completeness.inForce(ELSEWHERE, Date.now(), regions(MIRROR, ELSEWHERE))
  await expect(lacking(completeness, ELSEWHERE)).rejects.toThrow(/readonly/)
  expect(() => completeness.completed(ELSEWHERE.routes[0]!, 'backfill', Date.now(), Date.now())).toThrow(/readonly/)
  expect(() => completeness.cleaned('all', 'source', Date.now())).toThrow(/readonly/)
  disk(true)
  expect(await lacking(completeness, ELSEWHERE)).toContain('may lack what')
})

test('a database that was not served, and is now, was not brought over: neither for a reload nor for the next start', async () => {
  const route = (name: string, store: string) => ({ name, keys: [`${name}:*`], source: store })
  const all = { name: 'all', keys: ['*'], source: 'old', target: 'new', phase: 'mirror' }
  const stores = { old: 'redis://10.0.0.1', new: 'redis://10.0.0.2', third: 'redis://10.0.0.3/5' }
  const of = (...routes: object[]): Config =>
    parseConfig(JSON.stringify({ stores, routes: [all, ...routes] }), { path: 'test.yaml', env: {} }).config
  // What comes in beside it takes nothing away, and neither does a database that is served no longer.
  const [served, without] = [of(route('x', 'old')), of(route('x', 'third'))]
  let completeness = await begin(served)
  for (const by of ['backfill', 'verify'] as const)
    completeness.completed(served.routes[0]!, by, Date.now() + 1, Date.now())
  await completeness.approaching(without, regions(served, without))
  await completeness.inForce(without, Date.now(), regions(served, without))
  expect(await lacking(completeness, without)).toBeNull()
  completeness = await begin(without)
  expect(await lacking(completeness, without)).toBeNull()
  completeness = await begin(served)
  expect(await lacking(completeness, served)).toContain('may lack what')
  completeness = await begin(without)
  for (const by of ['backfill', 'verify'] as const)
    completeness.completed(without.routes[0]!, by, Date.now() + 1, Date.now())
  expect(await lacking(completeness, without)).toBeNull()
  await completeness.approaching(served, regions(without, served))
  await completeness.inForce(served, Date.now(), regions(without, served))
  expect(await lacking(completeness, served)).toContain('may lack what')
})
