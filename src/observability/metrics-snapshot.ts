import type { HistogramSnapshot } from './histogram.ts'

type Role = 'primary' | 'shadow'
type CommandOutcome = 'ok' | 'error' | 'timeout' | 'lost'
type MirrorOutcome = 'applied' | 'error' | 'copied' | 'dirty'
type CompareResult = 'match' | 'mismatch' | 'transient' | 'acknowledged' | 'skipped'
type FallbackReason = 'miss' | 'error' | 'timeout' | 'open'

/**
 * Every number behind `/metrics` at one moment, as plain data: the data path counts in plain numbers and posts them when
 * somebody scrapes. Counters are totals since the process started and never go down.
 */
export interface MetricsSnapshot {
  readonly routes: Readonly<Record<string, RouteMetrics>>
  readonly stores: Readonly<Record<string, StoreMetrics>>
  /** Writes whose effect is in no table, by command: a name of the command table, never what a client made up. */
  readonly unknownWrites: Readonly<Record<string, number>>
  readonly clients: { readonly connected: number }
  readonly durability: { readonly intact: boolean; readonly intentLogBytes: number }
  readonly config: { readonly lastReloadSuccessful: boolean; readonly epoch: number }
}

export interface StoreMetrics {
  readonly up: boolean
  /** Null: it is no store behind Sentinels. */
  readonly sentinel: { readonly answering: number; readonly failovers: number } | null
  /** Of a cluster. */
  readonly nodes: readonly { readonly address: string; readonly role: string; readonly up: boolean }[]
}

export interface RouteMetrics {
  /** The phase in force. */
  readonly phase: string
  readonly commands: Readonly<Record<Role, Readonly<Record<CommandOutcome, number>>>>
  /** Store round trips; the bounds are COMMAND_DURATION_BOUNDS. */
  readonly durations: Readonly<Record<Role, HistogramSnapshot>>
  readonly mirror: {
    /** Age of the oldest write not yet acknowledged by the shadow; 0: none waits. */
    readonly lagSeconds: number
    readonly backlogBytes: number
    readonly backlogCommands: number
    readonly writes: Readonly<Record<MirrorOutcome, number>>
  }
  readonly dirtyKeys: number
  /** Of them: written faster than they can be copied. */
  readonly hotKeys: number
  readonly keyHolds: { readonly outcomes: Readonly<Record<'read' | 'called-off', number>>; readonly seconds: number }
  readonly dirtyReasons: Readonly<Record<string, number>>
  readonly oldestDirtySeconds: number
  readonly needsVerify: boolean
  readonly scriptsInDoubt: number
  readonly crossSlots: readonly { readonly command: string; readonly count: number }[]
  readonly repair: string
  readonly compare: Readonly<Record<CompareResult, number>>
  readonly comparison: {
    readonly skipped: Readonly<Record<string, number>>
    readonly ignored: number
    readonly repaired: number
    readonly baseline: { readonly compared: number; readonly differed: number }
    /** Of the same reads; the bounds are COMMAND_DURATION_BOUNDS. */
    readonly durations: Readonly<Record<Role, HistogramSnapshot>>
  }
  /** Confirmed ones; `command` is a name of the command table, never what a client made up. */
  readonly mismatches: readonly { readonly class: string; readonly command: string; readonly count: number }[]
  readonly fallbackReads: Readonly<Record<FallbackReason, number>>
  /** Of each kind of job the newest. */
  readonly jobs: readonly {
    readonly job: string
    readonly running: boolean
    readonly failed: boolean
    /** Keys that it has looked at so far. */
    readonly done: number
  }[]
  readonly jobKeys: readonly { readonly job: string; readonly outcome: string; readonly count: number }[]
  /** The bounds are CUTOVER_PAUSE_BOUNDS. */
  readonly cutoverPauses: HistogramSnapshot
}
