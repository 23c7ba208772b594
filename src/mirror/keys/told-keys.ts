import type { Route } from '../../routing/route.ts'
import type { Store } from '../../upstream/store.ts'
import type { DataPathContext } from '../context.ts'
import { Ear, type ToldKeysOutcome } from './told-keys-ear.ts'

/**
 * Names the keys that scripts write without declaring them: the primary itself tells which keys are written (`CLIENT TRACKING ON BCAST`), on a connection that is open for as long as such scripts are
 * used.
 *
 *   primary's pipelines   script ─────────▶ reply                                 leaves, ended
 *   this connection              a  b  c         PING PING ─▶ d  pong pong
 *                         └── everything told from here to the last pong ──┘      is to be copied
 *
 * What other clients write meanwhile is told too, and copied for nothing. A key is told after it was written, so a copy that begins then has what the script has left.
 */
export class ToldKeys {
  readonly #context: DataPathContext
  readonly #outcome: ToldKeysOutcome
  readonly #ears = new Map<Store, Ear>()

  constructor(context: DataPathContext, outcome: ToldKeysOutcome) {
    this.#context = context
    this.#outcome = outcome
  }

  /** Whether such a script may leave for the store: what it writes will be told, or there is no use in waiting for that. */
  ready(store: Store): boolean {
    return this.#earOf(store).ready(this.#context.clock.nowMs)
  }

  /** Such a script is about to be pushed. `ended` follows. */
  leaves(store: Store, databases: readonly number[]): void {
    this.#earOf(store).leaves(databases, this.#context.clock.nowMs)
  }

  /** It has been answered, or lost. `mayHaveRun`: it was not refused as a whole; `own`: as `missed` is told. */
  ended(store: Store, mayHaveRun: boolean, own: Route | null): void {
    this.#ears.get(store)?.ended(mayHaveRun, own)
  }

  /** What such scripts write there at the moment is told in full. */
  covers(store: Store): boolean {
    return this.#ears.get(store)?.covers === true
  }

  /** A number for `isTold`: of what such scripts have written there that have ended by now. */
  endedUntil(store: Store): number {
    return this.#ears.get(store)?.endedUntil ?? 0
  }

  /** All of that has been told, or missed. */
  isTold(store: Store, endedUntil: number): boolean {
    return this.#ears.get(store)?.isTold(endedUntil) ?? true
  }

  /** Whether what such scripts have written there by now is told, or missed, to be asked until it is; null: it is already. */
  catchUp(store: Store): (() => boolean) | null {
    return this.#ears.get(store)?.catchUp() ?? null
  }

  /** Such scripts that have ended there and of which not all has been told: of each, what `ended` was given as `own`. */
  owed(store: Store): ReadonlySet<Route | null> | undefined {
    return this.#ears.get(store)?.owed
  }

  /** There are some, at whatever store. */
  get areOwed(): boolean {
    for (const ear of this.#ears.values()) if (ear.owed.size > 0) return true
    return false
  }

  /** A connection tracks every key there (`BCAST`, no prefix). */
  listensTo(store: Store): boolean {
    return this.#ears.get(store)?.listens === true
  }

  /** A client's FLUSHALL or FLUSHDB is about to be pushed, which the store tells, too, if it is asked to by then. `flushed` follows. */
  flushes(store: Store): void {
    this.#earOf(store).flushes()
  }

  /** It has been answered, or lost. */
  flushed(store: Store, mayHaveRun: boolean): void {
    this.#ears.get(store)?.flushed(mayHaveRun)
  }

  tick(nowMs: number): void {
    for (const [store, ear] of this.#ears) {
      if (!ear.isUnused(nowMs)) continue
      ear.close()
      this.#ears.delete(store)
    }
  }

  #earOf(store: Store): Ear {
    let ear = this.#ears.get(store)
    if (ear === undefined) this.#ears.set(store, (ear = new Ear(store, this.#context, this.#outcome)))
    return ear
  }
}
