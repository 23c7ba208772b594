import type { WindowCounts, WindowName } from '../compare/rate-window.ts'
import type { RouteComparison } from '../compare/tally.ts'
import type { Config } from '../config/config.ts'
import type { HistogramSnapshot } from '../observability/histogram.ts'
import type { RouteStats, Stats } from '../proxy/messages.ts'
import type { Comparison } from './control.ts'
import type { Latency, MismatchRate, RouteStatus } from './status.ts'

/** `GET /api/v1/compare`. */
export function comparisonOf(config: Config, stats: Stats): Comparison {
  return {
    routes: Object.fromEntries(
      config.routes.flatMap(({ name, phase, compare }) => {
        const of = stats.routes[name]?.compare
        if (of === undefined) return []
        const { commands, skipped, repaired, baseline, primaryTimes, shadowTimes } = of
        const view = {
          phase,
          sample: compare.sample,
          rates: ratesOf(of.windows),
          commands: Object.fromEntries(
            Object.entries(commands).map(([command, { windows, ...verdicts }]) => [
              command,
              { ...verdicts, rates: ratesOf(windows) },
            ]),
          ),
          skipped,
          repaired,
          baseline,
          latency: { primary: primaryTimes, shadow: shadowTimes },
        }
        return [[name, view]]
      }),
    ),
  }
}

/** The `compare` of a route in `GET /api/v1/status`. */
export function compareStatus(stats: RouteStats | undefined): RouteStatus['compare'] {
  const count = (name: keyof RouteStats['counters']): number => stats?.counters[name] ?? 0
  const of = stats?.compare
  return {
    compared: count('compared'),
    matched: count('matched'),
    mismatched: count('mismatched'),
    transient: count('transient'),
    skipped: count('skipped'),
    acknowledged: of?.acknowledged ?? 0,
    ignored: of?.ignored ?? 0,
    repaired: of?.repaired ?? 0,
    rates: ratesOf(of?.windows),
    latencyMs: { primary: latencyOf(of?.primaryTimes), shadow: latencyOf(of?.shadowTimes) },
  }
}

function ratesOf(windows: RouteComparison['windows'] | undefined): Record<WindowName, MismatchRate> {
  const rate = (counts: WindowCounts = { compared: 0, mismatched: 0 }): MismatchRate => ({
    compared: counts.compared,
    mismatched: counts.mismatched,
    rate: counts.compared === 0 ? null : counts.mismatched / counts.compared,
  })
  return { '1m': rate(windows?.['1m']), '10m': rate(windows?.['10m']), '1h': rate(windows?.['1h']) }
}

/** A percentile is the upper bound of the bucket that it falls into: never less than the truth. */
function latencyOf(times: HistogramSnapshot | undefined): Latency | null {
  const count = times?.counts.reduce((sum, n) => sum + n, 0) ?? 0
  if (times === undefined || count === 0) return null
  const percentile = (share: number): number => {
    let seen = 0
    for (const [i, n] of times.counts.entries()) {
      seen += n
      if (seen >= share * count) return (times.bounds[i] ?? times.bounds.at(-1)!) * 1000
    }
    return times.bounds.at(-1)! * 1000
  }
  return {
    count,
    mean: (times.sum / count) * 1000,
    p50: percentile(0.5),
    p95: percentile(0.95),
    p99: percentile(0.99),
  }
}
