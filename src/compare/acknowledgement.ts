import type { MismatchClass } from '../config/config.ts'

/** "Known, ignore until ...": differences that it covers are recorded and counted apart, and are no part of any mismatch rate. */
export interface Acknowledgement {
  readonly route: string
  /** Of folded keys (`user:<n>`); null: every key of the route. */
  readonly pattern: string | null
  /** null: every command. */
  readonly command: string | null
  /** null: every class. */
  readonly class: MismatchClass | null
  /** ms since the epoch; null: for ever. */
  readonly untilMs: number | null
}

/** What of a difference decides whether it is covered. */
export interface Acknowledgeable {
  readonly route: string
  readonly pattern: string
  readonly command: string
  readonly class: MismatchClass
}

/** The first that covers `found` at `nowMs` (wall clock); undefined: none does. */
export function coveredBy<T extends Acknowledgement>(
  acknowledgements: readonly T[],
  found: Acknowledgeable,
  nowMs: number,
): T | undefined {
  return acknowledgements.find(
    (known) =>
      known.route === found.route &&
      (known.pattern === null || known.pattern === found.pattern) &&
      (known.command === null || known.command === found.command) &&
      (known.class === null || known.class === found.class) &&
      (known.untilMs === null || known.untilMs > nowMs),
  )
}
