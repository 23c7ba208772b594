import type { MismatchClass, Phase } from '../config/config.ts'

/** What lies behind a difference, where something other than lost or wrong data is known to. */
export const CAUSE_MEANINGS = {
  eviction:
    'the key lacks on a store that evicts such keys (`maxmemory-policy`) and has evicted some: it may have thrown this one out',
  'same-data': 'both stores hold the same in every key of the command, and answer it differently',
  baseline: 'the primary was compared with itself (`compare.baseline`): noise, not drift',
} as const
export type MismatchCause = keyof typeof CAUSE_MEANINGS

/** A difference that survived every re-check: what the data path reports to the main thread. Plain data. */
export interface Finding {
  readonly route: string
  readonly phase: Phase
  readonly command: string
  readonly database: number
  /** The key that differs, else the first one, by the application's name. */
  readonly key: Buffer
  readonly class: MismatchClass
  readonly cause: MismatchCause | null
  /** The side that has no such key where the other has one; null: both have it, or neither, or it is not known. */
  readonly lackingOn: 'primary' | 'shadow' | null
  /** One sentence, without values. */
  readonly detail: string
  /** JSON paths that differ, where the values are JSON; at most a few. */
  readonly paths: readonly string[]
  /** Masked, unless the route reveals values. */
  readonly primary: string
  readonly shadow: string
  /** Reads of clients that showed it: those that came while it was re-checked count. */
  readonly count: number
  /** Known, and to be ignored: see `Acknowledgement`. */
  readonly acknowledged: boolean
  /** Wall clock, ms since the epoch. */
  readonly atMs: number
}
