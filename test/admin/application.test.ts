import { afterEach, describe, expect, test } from 'vitest'
import { applicationOf, RecentAnswers } from '../../src/admin/application.ts'
import type { RouteStatus, Status, StoreStatus } from '../../src/admin/control.ts'
import { parseConfig } from '../../src/config/load.ts'
import { eventually } from '../support/eventually.ts'
import { type Migration, mirroredRoute, startMigration } from '../support/migration.ts'

const running: Migration[] = []
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop()
})

describe('whether the application is served', () => {
  /** A write a moment, answered by whatever, until the status says so; gives the reasons. */
  async function reasonsWhileWriting({ understudy }: Migration, expected: RegExp): Promise<string[]> {
    const app = understudy.client()
    return eventually(async () => {
      await app.set('k', 'v').catch(() => {})
      const { application } = (await understudy.admin<Status>('/api/v1/status')).body
      expect(application.reasons.join()).toMatch(expected)
      expect(application.served).toBe(false)
      return application.reasons
    })
  }

  test('not by a primary that is full, nor by one that has become a replica', async () => {
    const migration = await startMigration()
    running.push(migration)
    const { understudy, source } = migration
    await understudy.client().set('k', 'v')
    const { application } = (await understudy.admin<Status>('/api/v1/status')).body
    expect(application).toEqual({ served: true, reasons: [] })
    await source.client().config('SET', 'maxmemory', 1)
    const says = /^the primary of every route answered \d+ of \d+ commands with an error in the last half minute$/
    expect(await reasonsWhileWriting(migration, says)).toHaveLength(1)
    await source.client().replicaof('127.0.0.1', 1)
    const replica = 'the primary of every route is a replica, which refuses writes'
    expect(await reasonsWhileWriting(migration, /replica/)).toEqual([replica])
  }, 60_000)

  test('not while its writes are to fail with a shadow that is down', async () => {
    const mirror = { mode: 'sync', onShadowError: 'fail', timeout: '50ms' }
    const migration = await startMigration([mirroredRoute({ mirror })])
    running.push(migration)
    await migration.target.kill9()
    await expect(migration.understudy.client().set('k', 'v')).rejects.toThrow(/the shadow/)
    expect(await reasonsWhileWriting(migration, /./)).toEqual([
      'writes of every route are answered with an error while the shadow is down (mirror.onShadowError: fail)',
    ])
  }, 60_000)

  test('by one whose errors are few, of long ago, or those of the shadow; a route is named for the worst', () => {
    const names = ['a', 'b', 'c', 'd', 'e']
    const { routes: configured } = parseConfig(
      `
stores: { old: { url: redis://127.0.0.1:1 }, new: { url: redis://127.0.0.1:2 } }
routes: [${names.map((name) => `{ name: ${name}, keys: ["${name}:*"], source: old, target: new, phase: mirror }`).join(', ')}, { name: rest, keys: ["*"], source: old }]
`,
      { path: 'understudy.yaml', env: {} },
    ).config
    const route = { primary: 'old', shadow: 'new' } as RouteStatus
    const routes = Object.fromEntries(configured.map(({ name }) => [name, route]))
    const store = (up: boolean) => ({ up, role: up ? 'master' : null }) as StoreStatus
    const stores = { old: store(true), new: store(false) }
    const recent = new RecentAnswers()
    const add = (points: Record<string, object>) =>
      recent.add({ at: '', stepSeconds: 2, routes: points as Record<string, Record<string, number>> })
    const reasons = () => applicationOf(configured, stores, routes, recent).reasons
    expect(reasons()).toEqual([])
    add({ a: { primaryRequests: 100, errors: 5, timeouts: 0 } })
    expect(reasons()).toEqual([])
    add({ a: { primaryRequests: 100, errors: 6, timeouts: 0 }, b: { primaryRequests: 1, errors: 1, timeouts: 0.5 } })
    expect(reasons()).toEqual([
      'the primary of b does not answer',
      'the primary of a answered 22 of 400 commands with an error in the last half minute',
    ])
    for (let i = 0; i < 15; i++) add({ a: { primaryRequests: 1, errors: 0, timeouts: 0 } })
    expect(reasons()).toEqual([])
    add(Object.fromEntries(names.map((name) => [name, { primaryRequests: 1, errors: 1, timeouts: 0 }])))
    expect(reasons()).toEqual([
      'the primary of a, b, c and 2 more answered 10 of 38 commands with an error in the last half minute',
    ])
    stores.old = store(false)
    expect(reasons()).toEqual(['the primary of every route does not answer'])
  })
})
