import { steadyNowMs } from '../../base/clock.ts'
import { hashBytes } from '../../base/hash.ts'
import type { KeyRule, Route } from '../../routing/route.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { DataPathContext } from '../context.ts'
import type { OverlapTable } from '../keys/overlap.ts'
import { isStillAt, nameOnPrimary, nameOnShadow } from './copied-key.ts'
import type { ServerSpan } from './copy-state.ts'
import { primaryPipeline } from './primary-pipeline.ts'

/** The two ends of a key that is being rebuilt, as they were when that began. */
export class RebuildEnds {
  readonly hash: number
  readonly onPrimary: Buffer
  readonly onShadow: Buffer
  readonly #context: DataPathContext
  readonly #rule: KeyRule
  readonly #key: Buffer
  /** Of the primary. */
  readonly #server: ServerSpan

  constructor(context: DataPathContext, rule: KeyRule, key: Buffer) {
    this.#context = context
    this.#rule = rule
    this.#key = key
    this.hash = hashBytes(key, 0, key.length)
    this.onPrimary = nameOnPrimary(rule, key)
    this.onShadow = nameOnShadow(rule, key)
    this.#server = context.copies.serverOf(rule.route.primary.storeName)
  }

  get #route(): Route {
    return this.#rule.route
  }

  /** Both are where they were, under the same names, and the primary is the same server. */
  areStill(): boolean {
    const now = this.#context.routes.find(this.#key, 0, this.#key.length)
    return (
      isStillAt(this.#rule, now, this.#key) &&
      now.route.shadow!.store === this.#route.shadow!.store &&
      nameOnShadow(now, this.#key).equals(this.onShadow) &&
      this.isSameServer()
    )
  }

  /** What the primary of before was asked, another server cannot answer. */
  isSameServer(): boolean {
    return this.#context.copies.serverOf(this.#route.primary.storeName) === this.#server
  }

  /** The connection whose order the copy keeps. */
  primary(overlap: OverlapTable, database: number): Pipeline {
    return primaryPipeline(this.#context, overlap, this.#route, database, this.hash)
  }

  primaryRefuses(command: string): boolean {
    return this.#context.copies.refuses(this.#route.primary.storeName, command, this.#context.clock.nowMs)
  }

  primaryRefused(command: string): void {
    this.#context.copies.refused(this.#route.primary.storeName, command, this.#context.clock.nowMs)
  }

  /** ms since the epoch, by the primary's clock. */
  primaryNowMs(): number {
    return Math.round(steadyNowMs()) + this.#context.copies.factsOf(this.#route.primary.storeName).clockOffsetMs
  }
}
