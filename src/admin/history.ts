import type { DatabaseSync } from 'node:sqlite'
import type { Log } from '../observability/log.ts'
import { errorFields } from '../observability/log-error.ts'
import type { Stats } from '../proxy/messages.ts'
import { diskTrouble } from '../state/database.ts'
import { HistoryStore, type Point, RESOLUTIONS } from '../state/history-store.ts'
import { type ClosedStep, SampleWindow } from './sample-window.ts'

type Resolution = (typeof RESOLUTIONS)[number]

/** The name under which all routes together are kept. No route can have it: names are not empty. */
const ALL_ROUTES = ''

export interface HistorySample {
  /** ISO 8601: the end of the time that the numbers are of. */
  at: string
  stepSeconds: number
  /** By route; '' is all of them together. */
  routes: Record<string, Point>
}

export interface HistoryQuery {
  route?: string
  range: Resolution['range']
  /** ms since the epoch. */
  since?: number
}

export interface History {
  route: string
  range: string
  stepSeconds: number
  /** Seconds since the epoch, ascending; a gap is a time when nothing ran. */
  at: number[]
  /** One list a series, each as long as `at`. */
  series: Record<string, (number | null)[]>
  /** Newest first; of this route, or of all. */
  switches: { at: string; route: string; from: string; to: string; pauseMs: number }[]
}

export interface HistoryOptions {
  readonly store: HistoryStore
  readonly readStats: () => Promise<Stats>
  /** Each reading, every two seconds. */
  readonly onStats?: (stats: Stats) => void
  readonly onSample: (sample: HistorySample) => void
  /** Writing failed (a full disk): history has a gap, nothing else is touched. */
  readonly onError: (error: unknown) => void
  /** Wall clock, ms since the epoch. */
  readonly now?: () => number
}

/**
 * Keeps the main series of the last 24 hours in `state.db`, at falling resolution, and tells each finest sample as it is taken.
 *
 *     stats, every 2 s ──┬─▶ window of 2 s   ──▶ kept for 10 min, told to listeners
 *                        ├─▶ window of 30 s  ──▶ kept for 3 h
 *                        └─▶ window of 5 min ──▶ kept for 24 h
 *
 * Every window takes its own differences of the same counters, so that a rate or a percentile of five minutes is exactly that, and not an average of
 * averages. A window ends at a multiple of its step on the wall clock; what is under way at the end of the process is written as it stands.
 */
export class HistoryRecorder {
  readonly #options: HistoryOptions
  readonly #now: () => number
  readonly #windows = RESOLUTIONS.map((resolution) => ({ resolution, window: new SampleWindow(resolution.stepMs) }))
  #timer: NodeJS.Timeout | null = null
  #stopped = false
  #failing = false

  constructor(options: HistoryOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
  }

  start(): void {
    void this.#tell(this.tick())
    this.#schedule()
  }

  stop(): void {
    this.#stopped = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    for (const { resolution, window } of this.#windows) {
      if (resolution !== RESOLUTIONS[0]) this.#write(() => this.#append(resolution, window.end(this.#now())))
    }
  }

  /** Takes one sample. */
  async tick(): Promise<void> {
    let stats: Stats
    try {
      stats = await this.#options.readStats()
    } catch {
      // The data path's thread is gone or ending: that is told elsewhere.
      return
    }
    if (this.#stopped) return
    this.#options.onStats?.(stats)
    for (const { resolution, window } of this.#windows) {
      const closed = window.add(stats, this.#now())
      if (closed === null) continue
      this.#write(() => this.#append(resolution, closed))
      if (resolution !== RESOLUTIONS[0]) continue
      this.#options.onSample({
        at: new Date(closed.atMs).toISOString(),
        stepSeconds: resolution.stepMs / 1000,
        routes: Object.fromEntries(closed.points),
      })
    }
  }

  switched(route: string, from: string, to: string, pauseMs: number): void {
    this.#write(() => this.#options.store.appendSwitch({ atMs: this.#now(), route, from, to, pauseMs }))
  }

  /** Routes that the configuration no longer has are forgotten. */
  routesAre(names: readonly string[]): void {
    this.#write(() => this.#options.store.keepRoutes([ALL_ROUTES, ...names]))
  }

  read({ route = ALL_ROUTES, range, since = 0 }: HistoryQuery): History {
    const resolution = RESOLUTIONS.find((other) => other.range === range) ?? RESOLUTIONS[0]
    const sinceMs = Math.max(since, this.#now() - resolution.keepMs)
    const rows = this.#options.store.read(resolution.stepMs, route, sinceMs)
    const names = new Set(rows.flatMap(({ point }) => Object.keys(point)))
    return {
      route,
      range,
      stepSeconds: resolution.stepMs / 1000,
      at: rows.map(({ atMs }) => atMs / 1000),
      series: Object.fromEntries([...names].map((name) => [name, rows.map(({ point }) => point[name] ?? null)])),
      switches: this.#options.store
        .switches(sinceMs)
        .filter((entry) => route === ALL_ROUTES || entry.route === route)
        .map(({ atMs, ...rest }) => ({ at: new Date(atMs).toISOString(), ...rest })),
    }
  }

  #append(resolution: Resolution, closed: ClosedStep | null): void {
    if (closed !== null) this.#options.store.append(resolution, closed.atMs, closed.points)
  }

  /** A disk that is full is told once, not every two seconds. */
  #write(work: () => void): void {
    try {
      work()
      this.#failing = false
    } catch (error) {
      if (!this.#failing) this.#options.onError(error)
      this.#failing = true
    }
  }

  /** A sample that fails is a gap, never the end of the process. */
  #tell(work: Promise<void>): Promise<void> {
    return work.catch((error) => this.#options.onError(error))
  }

  #schedule(): void {
    const { stepMs } = RESOLUTIONS[0]
    this.#timer = setTimeout(
      async () => {
        await this.#tell(this.tick())
        if (!this.#stopped) this.#schedule()
      },
      stepMs - (this.#now() % stepMs),
    )
    this.#timer.unref()
  }
}

/** Begins to keep the history of these routes. */
export function keepHistory({
  database,
  routes,
  log,
  ...options
}: Pick<HistoryOptions, 'readStats' | 'onStats' | 'onSample'> & {
  readonly database: DatabaseSync
  readonly routes: readonly string[]
  readonly log: Log
}): HistoryRecorder {
  const history = new HistoryRecorder({
    ...options,
    store: new HistoryStore(database),
    onError: (error) =>
      log.error('the history could not be written; it will have a gap', errorFields(diskTrouble(error) ?? error)),
  })
  history.routesAre(routes)
  history.start()
  return history
}
