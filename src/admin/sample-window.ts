import { Histogram, type HistogramSnapshot } from '../observability/histogram.ts'
import { quantile } from '../observability/quantile.ts'
import type { RouteCounter, RouteStats, Stats } from '../proxy/messages.ts'
import type { Point } from '../state/history-store.ts'

/** What a window needs of a route's numbers: counters and histograms only grow, gauges are of this moment. */
interface Reading {
  readonly counters: Readonly<Record<RouteCounter, number>>
  readonly primaryTimes: HistogramSnapshot
  readonly shadowTimes: HistogramSnapshot
  readonly lagMs: number
  readonly backlog: number
  readonly dirtyKeys: number
}

/** Of more routes than these only all together are kept besides: rows and events are bounded. */
const MAX_ROUTES = 200

type Peak = { -readonly [Name in 'lagMs' | 'backlog' | 'dirtyKeys']: number }

/** One point a route, of the step that ended at `atMs`. */
export interface ClosedStep {
  readonly atMs: number
  readonly points: ReadonlyMap<string, Point>
}

/**
 * Turns readings of growing counters into one point per route and step: rates per second and percentiles of what happened since the step began,
 * and the highest of what goes up and down. The first reading only says where counting begins.
 */
export class SampleWindow {
  readonly #stepMs: number
  #base: { atMs: number; slot: number; readings: Map<string, Reading> } | null = null
  #latest: Map<string, Reading> | null = null
  readonly #peaks = new Map<string, Peak>()

  constructor(stepMs: number) {
    this.#stepMs = stepMs
  }

  /** Gives the points of the step that this reading ends, if it ends one. */
  add(stats: Stats, nowMs: number): ClosedStep | null {
    const readings = readingsOf(stats)
    this.#latest = readings
    for (const [route, reading] of readings) this.#raise(route, reading)
    const slot = Math.floor(nowMs / this.#stepMs)
    if (this.#base?.slot === slot) return null
    // The clock may have been set back: what is then measured begins anew.
    const closed = this.#base === null || slot < this.#base.slot ? null : this.#close(slot * this.#stepMs, nowMs)
    this.#base = { atMs: nowMs, slot, readings }
    this.#peaks.clear()
    return closed
  }

  /** The points of a step that will not be finished; null when it has not begun or is too short to tell a rate. */
  end(nowMs: number): ClosedStep | null {
    return this.#base === null || nowMs - this.#base.atMs < 1000 ? null : this.#close(nowMs, nowMs)
  }

  #close(atMs: number, nowMs: number): ClosedStep {
    const { readings, atMs: sinceMs } = this.#base!
    const seconds = (nowMs - sinceMs) / 1000
    const points = new Map<string, Point>()
    for (const [route, now] of this.#latest!) {
      const before = readings.get(route)
      if (before !== undefined) points.set(route, pointOf(before, now, this.#peaks.get(route) ?? now, seconds))
    }
    return { atMs, points }
  }

  #raise(route: string, { lagMs, backlog, dirtyKeys }: Reading): void {
    const peak = this.#peaks.get(route)
    if (peak === undefined) this.#peaks.set(route, { lagMs, backlog, dirtyKeys })
    else {
      peak.lagMs = Math.max(peak.lagMs, lagMs)
      peak.backlog = Math.max(peak.backlog, backlog)
      peak.dirtyKeys = Math.max(peak.dirtyKeys, dirtyKeys)
    }
  }
}

function readingsOf(stats: Stats): Map<string, Reading> {
  const all = Object.entries(stats.routes).map(([name, route]) => [name, readingOf(route)] as const)
  const readings = new Map<string, Reading>(all.slice(0, MAX_ROUTES))
  if (all.length > 0) readings.set('', togetherOf(all.map(([, reading]) => reading)))
  return readings
}

function readingOf(route: RouteStats): Reading {
  const { counters, primaryTimes, shadowTimes, lagMs, backlogCommands, dirtyKeys } = route
  return { counters, primaryTimes, shadowTimes, lagMs, backlog: backlogCommands, dirtyKeys }
}

/** All routes as if they were one: counts are added, the lag is the longest. */
function togetherOf(readings: readonly Reading[]): Reading {
  const [first] = readings as [Reading]
  const counters = { ...first.counters }
  const primaryTimes = new Histogram(first.primaryTimes.bounds)
  const shadowTimes = new Histogram(first.shadowTimes.bounds)
  for (const reading of readings) {
    primaryTimes.merge(reading.primaryTimes)
    shadowTimes.merge(reading.shadowTimes)
    if (reading === first) continue
    for (const name of Object.keys(counters) as RouteCounter[]) counters[name] += reading.counters[name]
  }
  return {
    counters,
    primaryTimes: primaryTimes.snapshot(),
    shadowTimes: shadowTimes.snapshot(),
    lagMs: Math.max(...readings.map(({ lagMs }) => lagMs)),
    backlog: readings.reduce((sum, { backlog }) => sum + backlog, 0),
    dirtyKeys: readings.reduce((sum, { dirtyKeys }) => sum + dirtyKeys, 0),
  }
}

/** The main series. Rates are per second, times in ms; null: nothing was measured in this step. */
function pointOf(before: Reading, now: Reading, peak: Peak, seconds: number): Point {
  // A route that went away and came back counts from nothing.
  const grown = (name: RouteCounter): number => Math.max(0, now.counters[name] - before.counters[name])
  const rate = (...names: RouteCounter[]): number =>
    rounded(names.reduce((sum, name) => sum + grown(name), 0) / seconds)
  const compared = grown('matched') + grown('mismatched')
  return {
    primaryRequests: rate('primaryOk', 'primaryError', 'primaryTimeout', 'primaryLost'),
    // Answered ones: what waits for a shadow that hangs is the backlog's, and is answered, or lost, once.
    shadowRequests: rate('shadowOk', 'shadowError'),
    mirrored: rate('applied', 'copied'),
    compared: rate('compared'),
    mismatchRate: compared === 0 ? null : grown('mismatched') / compared,
    errors: rate('primaryError'),
    timeouts: rate('primaryTimeout', 'primaryLost'),
    fallbacks: rate('fallbackMiss', 'fallbackError', 'fallbackTimeout', 'fallbackOpen'),
    primaryP50Ms: percentile(before.primaryTimes, now.primaryTimes, 0.5),
    primaryP99Ms: percentile(before.primaryTimes, now.primaryTimes, 0.99),
    shadowP50Ms: percentile(before.shadowTimes, now.shadowTimes, 0.5),
    shadowP99Ms: percentile(before.shadowTimes, now.shadowTimes, 0.99),
    lagMs: rounded(peak.lagMs),
    backlog: peak.backlog,
    dirtyKeys: peak.dirtyKeys,
  }
}

function percentile(before: HistogramSnapshot, now: HistogramSnapshot, share: number): number | null {
  const counts = now.counts.map((count, i) => Math.max(0, count - (before.counts[i] ?? 0)))
  const seconds = quantile({ bounds: now.bounds, counts }, share)
  return seconds === null ? null : rounded(seconds * 1000)
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000
}
