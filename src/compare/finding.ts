import type { Phase } from '../config/config.ts'

/** A difference that survived every re-check: what the data path reports to the main thread. Plain data. */
export interface Finding {
  readonly route: string
  readonly phase: Phase
  readonly command: string
  readonly database: number
  /** The first key, by the application's name. */
  readonly key: Buffer
  readonly class: 'missing' | 'extra' | 'type' | 'value' | 'length' | 'order' | 'ttl' | 'error'
  readonly detail: string
  /** Masked, unless the route reveals values. */
  readonly primary: string
  readonly shadow: string
  /** Wall clock, ms since the epoch. */
  readonly atMs: number
}
