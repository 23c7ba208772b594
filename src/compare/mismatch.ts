import type { MismatchClass, Phase } from '../config/config.ts'
import type { MismatchCause } from './finding.ts'

/** Confirmed differences of one route, command, class, cause and key pattern: one line for what is probably one cause. Plain JSON. */
export interface Mismatch {
  id: number
  route: string
  command: string
  class: MismatchClass
  cause: MismatchCause | null
  /** Of keys, with digits, UUIDs and long hexadecimal numbers folded: `user:<n>:cart`. */
  pattern: string
  /** ISO 8601. */
  firstSeen: string
  lastSeen: string
  /** Reads that showed it. */
  count: number
  /** Keys that show it and are still remembered. */
  keys: number
  /** The latest one: database, printable key, phase, what differs (one sentence, without values), JSON paths that differ. */
  database: number
  key: string
  phase: Phase
  detail: string
  paths: string[]
  /** Masked (`type, length, hash`) unless the route's compare.reveal is `values`. */
  primary: string
  shadow: string
  /** Known, and no part of a mismatch rate; null: not acknowledged. */
  acknowledged: { until: string | null; reason: string } | null
}

/** One key of a mismatch: a line of the export. */
export interface MismatchKey {
  /** Of the mismatch it belongs to. */
  mismatch: number
  route: string
  command: string
  class: MismatchClass
  cause: MismatchCause | null
  database: number
  key: string
  phase: Phase
  firstSeen: string
  lastSeen: string
  count: number
  detail: string
  paths: string[]
  primary: string
  shadow: string
}

/** A standing acknowledgement as the outside sees it. */
export interface AcknowledgementView {
  /** null: it stands in the configuration file, and is changed there. */
  id: number | null
  route: string
  pattern: string | null
  command: string | null
  class: MismatchClass | null
  /** ISO 8601; null: for ever. */
  until: string | null
  reason: string
  createdAt: string | null
}

export interface MismatchFilter {
  readonly route?: string | undefined
  readonly class?: MismatchClass | undefined
  readonly command?: string | undefined
  /** Only acknowledged ones, or only the others. */
  readonly acknowledged?: boolean | undefined
  readonly limit?: number | undefined
}
