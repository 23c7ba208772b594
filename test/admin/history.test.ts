import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { HistoryRecorder, type HistorySample, keepHistory } from '../../src/admin/history.ts'
import { COMMAND_DURATION_BOUNDS } from '../../src/observability/bounds.ts'
import { Histogram } from '../../src/observability/histogram.ts'
import type { Log } from '../../src/observability/log.ts'
import { ROUTE_COUNTERS, type RouteCounter, type RouteStats, type Stats } from '../../src/proxy/messages.ts'
import { IN_MEMORY, openDatabase } from '../../src/state/database.ts'
import { HistoryStore, RESOLUTIONS } from '../../src/state/history-store.ts'
import { STATE_MIGRATIONS } from '../../src/state/migrations.ts'

/** A data path whose numbers the test sets. */
class FakeStats {
  readonly counters = Object.fromEntries(ROUTE_COUNTERS.map((name) => [name, 0])) as Record<RouteCounter, number>
  readonly primaryTimes = new Histogram(COMMAND_DURATION_BOUNDS)
  readonly shadowTimes = new Histogram(COMMAND_DURATION_BOUNDS)
  lagMs = 0
  dirtyKeys = 0

  read(): RouteStats {
    return {
      lagMs: this.lagMs,
      backlogCommands: 0,
      backlogBytes: 0,
      dirtyKeys: this.dirtyKeys,
      counters: { ...this.counters },
      primaryTimes: this.primaryTimes.snapshot(),
      shadowTimes: this.shadowTimes.snapshot(),
    } as unknown as RouteStats
  }
}

const START = 1_700_000_100_000 // a multiple of every step
let now: number
let database: ReturnType<typeof openDatabase>
let routes: Record<string, FakeStats>
let told: HistorySample[]
let failures: unknown[]

beforeEach(() => {
  now = START
  database = openDatabase(IN_MEMORY, STATE_MIGRATIONS)
  routes = { jobs: new FakeStats(), rest: new FakeStats() }
  told = []
  failures = []
})
afterEach(() => {
  if (database.isOpen) database.close()
})

function recorder(): HistoryRecorder {
  return new HistoryRecorder({
    store: new HistoryStore(database),
    readStats: async () =>
      ({
        routes: Object.fromEntries(Object.entries(routes).map(([name, route]) => [name, route.read()])),
      }) as unknown as Stats,
    onSample: (sample) => told.push(sample),
    onError: (error) => failures.push(error),
    now: () => now,
  })
}

/** Lets time pass in the recorder's steps, or longer ones; `each` is what happens in every one of them. */
async function pass(
  history: HistoryRecorder,
  seconds: number,
  each: (step: number) => void = () => {},
  everySeconds = 2,
): Promise<void> {
  for (let step = 0; step < seconds / everySeconds; step++) {
    each(step)
    now += everySeconds * 1000
    await history.tick()
  }
}

describe('the history', () => {
  test('says in words that the disk takes nothing', () => {
    const said: object[] = []
    const log = { error: (msg: string, fields: object) => said.push({ msg, ...fields }) } as unknown as Log
    database.exec('PRAGMA query_only = 1')
    const history = keepHistory({ database, routes: [], readStats: () => new Promise(() => {}), onSample() {}, log })
    history.switched('jobs', 'mirror', 'shadow', 1)
    history.stop()
    expect(said[0]).toEqual({
      msg: 'the history could not be written; it will have a gap',
      code: 'STATE_UNUSABLE',
      error: expect.stringMatching(/^stateDir cannot be written .*: look at the disk of /),
    })
  })

  test('has rates of each step, the highest of what goes up and down, and percentiles of that step alone', async () => {
    const history = recorder()
    await history.tick()
    routes['jobs']!.primaryTimes.record(5)
    await pass(history, 2, () => {
      routes['jobs']!.counters.primaryOk += 100
    })
    await pass(history, 2, () => {
      routes['jobs']!.counters.primaryOk += 300
      routes['jobs']!.counters.matched += 3
      routes['jobs']!.counters.mismatched += 1
      routes['jobs']!.lagMs = 12
      for (let i = 0; i < 100; i++) routes['jobs']!.primaryTimes.record(0.0009)
    })
    const { at, series, stepSeconds } = history.read({ route: 'jobs', range: '10m' })
    expect(stepSeconds).toBe(2)
    expect(at).toEqual([START / 1000 + 2, START / 1000 + 4])
    expect(series['primaryRequests']).toEqual([50, 150])
    expect(series['mismatchRate']).toEqual([null, 0.25])
    expect(series['lagMs']).toEqual([0, 12])
    expect(series['primaryP99Ms']![0]).toBeGreaterThan(2500)
    expect(series['primaryP99Ms']![1]).toBeLessThanOrEqual(1)
    expect(told.map(({ routes: points }) => points['jobs']?.['primaryRequests'])).toEqual([50, 150])
  })

  test('has all routes together: counts added, the longest lag', async () => {
    const history = recorder()
    await history.tick()
    await pass(history, 2, () => {
      routes['jobs']!.counters.primaryOk += 10
      routes['rest']!.counters.primaryOk += 30
      routes['jobs']!.lagMs = 7
      routes['rest']!.lagMs = 3
    })
    const { series } = history.read({ range: '10m' })
    expect(series['primaryRequests']).toEqual([20])
    expect(series['lagMs']).toEqual([7])
  })

  test('of five minutes is measured over five minutes, and keeps the short peak', async () => {
    const history = recorder()
    await history.tick()
    await pass(history, 300, (step) => {
      routes['jobs']!.counters.primaryOk += step === 10 ? 3000 : 0
      routes['jobs']!.dirtyKeys = step === 10 ? 5 : 0
    })
    expect(history.read({ route: 'jobs', range: '24h' }).series).toMatchObject({
      primaryRequests: [10],
      dirtyKeys: [5],
    })
    expect(history.read({ route: 'jobs', range: '3h' }).at).toHaveLength(10)
  })

  test('of two days with a restart in every hour is a whole day at falling resolution, in a file that has stopped growing', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'understudy-history-'))
    const path = join(directory, 'state.db')
    /** One life of the process: it is told to stop, or dies, and is gone for some seconds. */
    const live = async (seconds: number, everySeconds: number, dies: boolean): Promise<void> => {
      database = openDatabase(path, STATE_MIGRATIONS)
      routes = { jobs: new FakeStats(), rest: new FakeStats() }
      const history = recorder()
      await history.tick()
      await pass(
        history,
        seconds,
        () => {
          routes['jobs']!.counters.primaryOk += 10 * everySeconds
        },
        everySeconds,
      )
      if (!dies) history.stop()
      database.close()
      now += 4_000
    }
    try {
      for (let hour = 0; hour < 44; hour++) await live(3600, 300, hour % 3 === 0)
      for (let hour = 0; hour < 4; hour++) await live(3600, 30, hour % 3 === 0)
      await live(700, 2, false)
      // 1,000 points of each of three routes, some 400 bytes each.
      expect(statSync(path).size).toBeLessThan(2_000_000)
      database = openDatabase(path, STATE_MIGRATIONS)
      const { rows } = database.prepare('SELECT count(*) AS rows FROM history').get() as { rows: number }
      expect(rows).toBeLessThan(3 * RESOLUTIONS.reduce((sum, { keepMs, stepMs }) => sum + keepMs / stepMs + 50, 0))
      const history = recorder()
      for (const { range, stepMs, keepMs } of RESOLUTIONS) {
        const { at, series } = history.read({ route: 'jobs', range })
        // Restarts cut steps in two; a death costs the one that was under way.
        expect(at.length / (keepMs / stepMs)).toBeGreaterThan(0.9)
        expect(at.length / (keepMs / stepMs)).toBeLessThan(1.2)
        expect(now / 1000 - at[0]!).toBeLessThanOrEqual(keepMs / 1000)
        expect(now / 1000 - at[0]!).toBeGreaterThan(keepMs / 1000 - (2 * stepMs) / 1000 - 10)
        expect(new Set(series['primaryRequests'])).toEqual(new Set([10]))
      }
    } finally {
      if (database.isOpen) database.close()
      rmSync(directory, { recursive: true, force: true })
    }
  })

  test('outlives a restart, with the unfinished steps as far as they went and no jump of counters', async () => {
    const before = recorder()
    await before.tick()
    await pass(before, 20, () => {
      routes['jobs']!.counters.primaryOk += 20
    })
    before.stop()
    now += 60_000
    routes['jobs'] = new FakeStats()
    const after = recorder()
    await after.tick()
    await pass(after, 2)
    const { at, series } = after.read({ route: 'jobs', range: '10m' })
    expect(at).toHaveLength(11)
    expect(series['primaryRequests']!.at(0)).toBe(10)
    expect(series['primaryRequests']!.at(-1)).toBe(0)
    expect(after.read({ route: 'jobs', range: '24h' }).series['primaryRequests']).toEqual([10])
  })

  test('is stopped at any moment, also between the end of a step and the next sample', async () => {
    for (const extraMs of [0, 500, 1500, 1999]) {
      now = START
      const history = recorder()
      await history.tick()
      await pass(history, 30)
      now += extraMs
      history.stop()
    }
    expect(failures).toEqual([])
  })

  test('of very many routes is kept for the first ones, and for all together', async () => {
    routes = Object.fromEntries(Array.from({ length: 250 }, (_, i) => [`route-${i}`, new FakeStats()]))
    const history = recorder()
    await history.tick()
    await pass(history, 2, () => {
      for (const route of Object.values(routes)) route.counters.primaryOk += 2
    })
    expect(history.read({ range: '10m' }).series['primaryRequests']).toEqual([250])
    expect(history.read({ route: 'route-199', range: '10m' }).at).toHaveLength(1)
    expect(history.read({ route: 'route-200', range: '10m' }).at).toEqual([])
  })

  test('is of the routes that there are: one that is gone is forgotten', async () => {
    const history = recorder()
    await history.tick()
    await pass(history, 4)
    history.routesAre(['rest'])
    expect(history.read({ route: 'jobs', range: '10m' }).at).toEqual([])
    expect(history.read({ route: 'rest', range: '10m' }).at).toHaveLength(2)
    expect(history.read({ range: '10m' }).at).toHaveLength(2)
  })

  test('knows the switches and how long they held commands', () => {
    const history = recorder()
    history.switched('jobs', 'read-target', 'switched', 4.2)
    now += 1000
    history.switched('rest', 'shadow', 'mirror', 0.3)
    expect(history.read({ range: '10m' }).switches.map(({ route, pauseMs }) => [route, pauseMs])).toEqual([
      ['rest', 0.3],
      ['jobs', 4.2],
    ])
    expect(history.read({ route: 'jobs', range: '10m' }).switches).toHaveLength(1)
    now += 25 * 3_600_000
    history.switched('rest', 'mirror', 'shadow', 1)
    expect(history.read({ range: '24h' }).switches).toHaveLength(1)
  })

  test('a clock that is set back neither stops it nor leaves points of the future', async () => {
    const history = recorder()
    await history.tick()
    await pass(history, 20)
    now -= 3_600_000
    await history.tick()
    await pass(history, 6)
    const { at } = history.read({ range: '10m' })
    expect(Math.max(...at) * 1000).toBeLessThanOrEqual(now)
    expect(at).toHaveLength(3)
  })

  test('a database that cannot be written is told once, and costs nothing else', async () => {
    const history = recorder()
    await history.tick()
    database.exec('DROP TABLE history')
    await pass(history, 6)
    expect(failures).toHaveLength(1)
    expect(told).toHaveLength(3)
  })
})
