import { afterEach, describe, expect, test } from 'vitest'
import { applicationOf } from '../../src/admin/application.ts'
import { RecentAnswers } from '../../src/admin/recent-answers.ts'
import type { Serving } from '../../src/admin/serving.ts'
import type { RouteStatus, Status, StoreStatus } from '../../src/admin/status.ts'
import { parseConfig } from '../../src/config/file/load.ts'
import { ROUTE_COUNTERS, type RouteCounter, type Stats } from '../../src/proxy/messages.ts'
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
    const says =
      /^the primary of every route answered \d+ of \d+ commands with an error, mostly OOM, in the last half minute$/
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

  describe('by what was seen of its routes', () => {
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
    const store = (up: boolean) => ({ up, role: 'master' }) as StoreStatus
    const serves: Serving = { down: null, partly: null }
    const reasonsOf = (recent: RecentAnswers, old = store(true), serving = serves) =>
      applicationOf(configured, { old, new: store(false) }, routes, recent, () => serving).reasons

    test('one that errs seldom, that erred long ago or a few times in all, or whose shadow errs, serves', () => {
      const readings = new Readings()
      const reasons = () => reasonsOf(readings.recent)
      expect(reasons()).toEqual([])
      readings.after({
        a: { primaryOk: 475, primaryError: 25, shadowError: 100 },
        b: { primaryOk: 2, primaryError: 1 },
      })
      expect(reasons()).toEqual([])
      readings.after({ a: { primaryOk: 475, primaryError: 26 }, b: { primaryError: 18 } })
      expect(reasons()).toEqual(['the primary of a answered 51 of 1001 commands with an error in the last half minute'])
      for (let i = 0; i < 15; i++) readings.after({})
      expect(reasons()).toEqual([])
      readings.after({
        c: { primaryError: 30, primaryOrdinaryError: 11 },
        d: { primaryError: 30, primaryOrdinaryError: 10 },
      })
      expect(reasons()).toEqual(['the primary of d answered 20 of 30 commands with an error in the last half minute'])
      readings.after({ d: { primaryError: 1 } }, { MISCONF: 7, OOM: 1 })
      expect(reasons()).toEqual([
        'the primary of d answered 21 of 31 commands with an error, mostly MISCONF, in the last half minute',
      ])
    })

    test('commands without an answer are told as what they are; a route is named once, for the worst', () => {
      const readings = new Readings()
      readings.after({ a: { primaryOk: 20_000, primaryTimeout: 1 }, b: { primaryLost: 2, primaryError: 100 } })
      expect(reasonsOf(readings.recent)).toEqual([
        '3 of 20103 commands to the primary of a, b got no answer in the last half minute',
      ])
      readings.after(Object.fromEntries(names.map((name) => [name, { primaryError: 100 }])))
      expect(reasonsOf(readings.recent)).toEqual([
        '3 of 20303 commands to the primary of a, b got no answer in the last half minute',
        'the primary of c, d, e answered 300 of 300 commands with an error in the last half minute',
      ])
    })

    test('how its primary serves is told before anything else', () => {
      const readings = new Readings()
      expect(reasonsOf(readings.recent, store(false))).toEqual([])
      readings.after({ a: { primaryLost: 1 } })
      expect(reasonsOf(readings.recent, store(false), { down: 'is not connected', partly: null })).toEqual([
        'the primary of every route is not connected',
      ])
      const partly = '1 of 3 masters does not answer: h:1 (5461 slots)'
      expect(reasonsOf(readings.recent, store(false), { down: null, partly })).toEqual([
        `a part of the primary of every route is away: ${partly}`,
      ])
    })

    test('what a store has left unanswered is not said of the one that has taken its place', () => {
      const readings = new Readings()
      readings.after({ a: { primaryOk: 250, primaryLost: 40 }, b: { primaryLost: 3 } })
      readings.primary = 'new'
      const switched = { ...routes, a: { primary: 'new', shadow: 'old' } as RouteStatus }
      const reasons = () =>
        applicationOf(configured, { old: store(false), new: store(true) }, switched, readings.recent, () => serves)
          .reasons
      const ofB = ['3 of 3 commands to the primary of b got no answer in the last half minute']
      expect(reasons()).toEqual(ofB)
      readings.after({ a: { primaryOk: 200 } })
      expect(reasons()).toEqual(ofB)
      readings.after({ a: { primaryOk: 10, primaryTimeout: 1 } })
      expect(reasons()).toEqual(['4 of 14 commands to the primary of a, b got no answer in the last half minute'])
    })

    test('also where there are more routes than the history keeps', () => {
      const readings = new Readings(Array.from({ length: 300 }, (_, i) => `r${i}`))
      readings.after({ r299: { primaryOk: 1, primaryError: 2, primaryTimeout: 3, primaryLost: 4 } })
      expect(readings.recent.of('r299', 'old')).toMatchObject({ requests: 10, errors: 2, unanswered: 7 })
    })

    test('a route that went away and came back counts from nothing', () => {
      const readings = new Readings()
      readings.after({ a: { primaryOk: 10 } })
      readings.forget('a')
      readings.after({ a: { primaryOk: 4 } })
      readings.after({ a: { primaryOk: 3 } })
      expect(readings.recent.of('a', 'old').requests).toBe(13)
    })
  })
})

/** Counters that grow as the test says, read after each step. */
class Readings {
  readonly recent = new RecentAnswers()
  /** Of route a; that of every other one is `old`. */
  primary = 'old'
  readonly #counters: Map<string, Record<RouteCounter, number>>
  #codes: Readonly<Record<string, number>> = {}

  constructor(names: readonly string[] = ['a', 'b', 'c', 'd', 'e', 'rest']) {
    this.#counters = new Map(names.map((name) => [name, zeros()]))
    this.#read()
  }

  /** `codes`: those of all errors of each route so far. */
  after(
    growth: Readonly<Record<string, Partial<Record<RouteCounter, number>>>>,
    codes: Readonly<Record<string, number>> = {},
  ): void {
    this.#codes = codes
    for (const [name, by] of Object.entries(growth)) {
      const counters = this.#counters.get(name)!
      for (const [counter, count] of Object.entries(by)) counters[counter as RouteCounter] += count
    }
    this.#read()
  }

  forget(name: string): void {
    this.#counters.set(name, zeros())
  }

  #read(): void {
    const routes = Object.fromEntries(
      [...this.#counters].map(([name, counters]) => [
        name,
        { primary: name === 'a' ? this.primary : 'old', counters: { ...counters }, errorCodes: this.#codes },
      ]),
    )
    this.recent.add({ routes } as unknown as Stats)
  }
}

function zeros(): Record<RouteCounter, number> {
  return Object.fromEntries(ROUTE_COUNTERS.map((name) => [name, 0])) as Record<RouteCounter, number>
}
