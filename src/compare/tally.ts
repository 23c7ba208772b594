import { COMMAND_DURATION_BOUNDS } from '../observability/bounds.ts'
import { Histogram, type HistogramSnapshot } from '../observability/histogram.ts'
import { RateWindow, type WindowCounts, type WindowName } from './rate-window.ts'

/** Why a sample was dropped. */
export const SKIP_MEANINGS = {
  disturbed: 'writes of another connection to its keys came across: the read has no one place in the history',
  dirty: 'a key is known to differ, or about to be copied: its difference is no news',
  shadow: 'the shadow (for a second look the primary) is not there, or its connection was lost',
  busy: 'the comparer or a store has enough to do, or a store says that it does not serve at the moment (BUSY, LOADING)',
  large: 'command and answer together are larger than 1 MB',
  split: 'its keys lie on several shadows',
  arbitrary: 'the answer to such a call is arbitrary, or depends on the moment or on keys that it does not name',
  altered: 'a cleanup or restore has changed keys of the shadow since it was last equal: what differs was meant to',
  moved: 'a switch or a reload came between',
  script: 'a script that the shadow does not have, or whose answers differ over keys that are the same',
} as const
export type SkipReason = keyof typeof SKIP_MEANINGS

/** What became of samples. `compared` is the sum of `matched`, `transient`, `mismatched` and `acknowledged`. */
export interface Verdicts {
  compared: number
  matched: number
  /** Gone when looked at again. */
  transient: number
  /** Confirmed. */
  mismatched: number
  /** Confirmed, known, and to be ignored. */
  acknowledged: number
  /** Of the matched: different but for what the route ignores or decodes. */
  ignored: number
}

export type Verdict = 'matched' | 'ignored' | 'transient' | 'mismatched' | 'acknowledged'

export interface CommandComparison extends Verdicts {
  readonly windows: Readonly<Record<WindowName, WindowCounts>>
}

export interface RouteComparison {
  readonly windows: Readonly<Record<WindowName, WindowCounts>>
  readonly commands: Readonly<Record<string, CommandComparison>>
  readonly skipped: Readonly<Record<SkipReason, number>>
  readonly acknowledged: number
  readonly ignored: number
  /** Keys made dirty by `compare.repair`. */
  readonly repaired: number
  /** Differences that are being looked at again. */
  readonly rechecking: number
  /** Samples whose first answer from the shadow has not come. */
  readonly underWay: number
  /** `compare.baseline`: the primary asked twice. */
  readonly baseline: { readonly compared: number; readonly differed: number }
  /** Of the same sampled reads. */
  readonly primaryTimes: HistogramSnapshot
  readonly shadowTimes: HistogramSnapshot
}

class CommandTally {
  readonly verdicts: Verdicts = { compared: 0, matched: 0, transient: 0, mismatched: 0, acknowledged: 0, ignored: 0 }
  readonly window: RateWindow = new RateWindow()
}

/** The counts of one route, kept over reloads. */
export class RouteTally {
  readonly #commands = new Map<string, CommandTally>()
  readonly #window = new RateWindow()
  readonly skipped: Record<SkipReason, number> = Object.fromEntries(
    Object.keys(SKIP_MEANINGS).map((reason) => [reason, 0]),
  ) as Record<SkipReason, number>
  readonly primaryTimes: Histogram = new Histogram(COMMAND_DURATION_BOUNDS)
  readonly shadowTimes: Histogram = new Histogram(COMMAND_DURATION_BOUNDS)
  repaired = 0
  rechecking = 0
  underWay = 0
  readonly baseline = { compared: 0, differed: 0 }

  /** `count` samples of `command` (a name of the command table) have come to their end. */
  count(command: string, verdict: Verdict, count: number, nowMs: number): void {
    let tally = this.#commands.get(command)
    if (tally === undefined) this.#commands.set(command, (tally = new CommandTally()))
    const { verdicts } = tally
    verdicts.compared += count
    verdicts[verdict] += count
    if (verdict === 'ignored') verdicts.matched += count
    const mismatched = verdict === 'mismatched' ? count : 0
    tally.window.record(nowMs, count, mismatched)
    this.#window.record(nowMs, count, mismatched)
  }

  snapshot(nowMs: number): RouteComparison {
    let acknowledged = 0
    let ignored = 0
    const commands: Record<string, CommandComparison> = {}
    for (const [name, { verdicts, window }] of this.#commands) {
      acknowledged += verdicts.acknowledged
      ignored += verdicts.ignored
      commands[name] = { ...verdicts, windows: window.sums(nowMs) }
    }
    return {
      windows: this.#window.sums(nowMs),
      commands,
      skipped: { ...this.skipped },
      acknowledged,
      ignored,
      repaired: this.repaired,
      rechecking: this.rechecking,
      underWay: this.underWay,
      baseline: { ...this.baseline },
      primaryTimes: this.primaryTimes.snapshot(),
      shadowTimes: this.shadowTimes.snapshot(),
    }
  }
}
