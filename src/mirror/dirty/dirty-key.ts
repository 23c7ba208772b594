/** Why a key is known or feared to differ on the shadow. */
export const DIRTY_REASONS = [
  'shadow-down',
  'shadow-error',
  /** The shadow's answer to a write was not the primary's. */
  'shadow-differs',
  'backlog-full',
  'primary-lost',
  'overlap',
  'unknown-effect',
  'state-copy',
  'read-miss',
  'mismatch',
  /** It was being written when the process ended without being asked to. */
  'crash',
  /** A write to it reached the shadow so late that it may have expired there before. */
  'shadow-late',
] as const
export type DirtyReason = (typeof DIRTY_REASONS)[number]

/** A dirty key as it was when it was asked for; that of `take` follows the set until `copied` or `postpone`. */
export interface DirtyKey {
  readonly route: string
  readonly database: number
  /** The application's name of it. */
  readonly key: Buffer
  readonly reason: DirtyReason
  /** Coarse clock, of the first mark. */
  readonly sinceMs: number
  /** Counts marks: a copy clears the key only if none came after it had been begun. */
  version: number
  /** Copies that failed. */
  attempts: number
  /** Not in the set any more. */
  gone: boolean
}

/** A dirty key as it is written to disk. */
export interface DirtyRow {
  readonly route: string
  readonly database: number
  /** A view, valid until the set changes. */
  readonly key: Uint8Array
  readonly reason: DirtyReason
  readonly sinceMs: number
}

/** Told of what has to be written to disk. */
export interface DirtyChanges {
  keyChanged(id: number): void
  routeChanged(): void
}
