import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Config, Phase } from '../../../src/config/config.ts'
import { keyspaceOf } from '../../../src/config/keyspace.ts'
import { routingOf, withRouting } from '../../../src/config/routing.ts'
import { lastRunIn } from '../../../src/mirror/crash/last-run.ts'
import { changeBetween } from '../../support/change.ts'
import { configOf, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

const running: { stop(): Promise<unknown> }[] = []
let dir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'last-run-'))
})
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
  rmSync(dir, { recursive: true })
})

async function start(): Promise<{ old: RedisServer; fresh: RedisServer; path: DataPathUnderTest; stateDir: string }> {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  running.push(old, fresh)
  const stateDir = join(dir, 'state')
  const routes = [{ name: 'all', source: 'old', target: 'new', phase: 'mirror' } as const]
  const path = await startDataPath({ stores: { old, new: fresh }, routes, stateDir })
  running.push(path)
  return { old, fresh, path, stateDir }
}

/** The directory as a crash in this very moment would leave it: nothing else runs in this thread meanwhile. */
function crashCopy(stateDir: string): string {
  const copy = mkdtempSync(join(dir, 'crash-'))
  cpSync(stateDir, copy, { recursive: true })
  return copy
}

const inPhase = (config: Config, phase: Phase): Config => ({
  ...config,
  routes: config.routes.map((route) => ({ ...route, phase })),
})

test('the routes in force are on disk before the first command goes by them', async () => {
  const { path, stateDir } = await start()
  expect(lastRunIn(crashCopy(stateDir))!.routing).toEqual(routingOf(path.config))
  const next = inPhase(path.config, 'switched')
  await eventually(() => expect(path.runtime.stats().routes['all']!.verifyCauses).toEqual([]))
  let atTheSwap = null
  const apply = path.runtime.apply(changeBetween(path.config, next, 1))
  const { ok } = await apply.then((result) => {
    atTheSwap = lastRunIn(crashCopy(stateDir))
    return result
  })
  expect(ok).toBe(true)
  expect(atTheSwap).toMatchObject({ routing: routingOf(next), ended: 'crashed' })
})

test('what was in doubt is told by route', async () => {
  const { fresh, path, stateDir } = await start()
  const app = path.client()
  await app.set('a', 1)
  await eventually(async () => expect(await fresh.client().get('a')).toBe('1'))
  await fresh.kill9()
  await app.mset('a', 2, 'b', 2)
  await path.stop()
  const last = lastRunIn(stateDir)!
  expect(last.ended).toBe('stopped')
  expect(last.dirtyKeys).toEqual(new Map([['all', 2]]))
  const file = new DatabaseSync(join(stateDir, 'dirty.db'))
  file.exec(`INSERT INTO verify_causes VALUES ('all', 'script'), ('all', 'overflow')`)
  file.close()
  expect(lastRunIn(stateDir)!.verifyCauses).toEqual(new Map([['all', ['overflow', 'script']]]))
  rmSync(join(stateDir, 'intent'), { recursive: true })
  expect(lastRunIn(stateDir)!.ended).toBe('unknown')
})

test('nothing is known where there is no file, where it is damaged, and where an older version wrote it', async () => {
  const stateDir = join(dir, 'state')
  expect(lastRunIn(stateDir)).toBeNull()
  const { path } = await start()
  await path.stop()
  const file = new DatabaseSync(join(stateDir, 'dirty.db'))
  file.exec(
    'DROP TABLE routing; DROP TABLE store_epochs; DROP TABLE removed_libraries; DROP TABLE evicted_keys; PRAGMA user_version = 4',
  )
  file.close()
  expect(lastRunIn(stateDir)).toBeNull()
  writeFileSync(join(stateDir, 'dirty.db'), 'not a database')
  expect(lastRunIn(stateDir)).toBeNull()
})

test('no secret is kept, and a store that is known by name has its own again', () => {
  const options = { routes: [{ name: 'all', source: 'old', target: 'new', phase: 'mirror' } as const] }
  const was = configOf({
    ...options,
    stores: { old: { port: 1, password: 'xyzzy' }, new: { port: 2 }, spare: { port: 3 } },
  })
  const text = JSON.stringify(routingOf(was))
  expect(text).not.toContain('xyzzy')
  expect(text).not.toContain('spare')
  const now = configOf({ ...options, stores: { old: { port: 9, password: 'plugh' }, other: { port: 2 } } })
  const { stores, routes } = withRouting(now, JSON.parse(text))
  expect([keyspaceOf(stores['old']!), stores['old']!.password]).toEqual([keyspaceOf(was.stores['old']!), 'plugh'])
  expect(stores['new']).toMatchObject({ name: 'new', endpoints: was.stores['new']!.endpoints })
  expect(routes).toEqual(was.routes)
})
