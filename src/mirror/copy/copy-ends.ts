import { steadyNowMs } from '../../base/clock.ts'
import type { KeyRule } from '../../routing/route.ts'
import type { ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import type { DataPathContext } from '../context.ts'
import type { DirtyKey } from '../dirty/dirty-key.ts'
import type { OverlapTable } from '../keys/overlap.ts'
import { joinBacklog } from '../shadow/shadow-backlog.ts'
import { isStillAt, nameOnPrimary, nameOnShadow, pairOf } from './copied-key.ts'
import type { ServerSpan } from './copy-state.ts'
import { primaryPipeline } from './primary-pipeline.ts'

/** The two ends of the route of a key that is being copied: its names there, what they do not understand, and the ways to them. */
export class CopyEnds {
  readonly #context: DataPathContext
  readonly #overlap: OverlapTable
  readonly #entry: DirtyKey
  readonly #hash: number
  #rule: KeyRule
  readonly #server: ServerSpan

  constructor(context: DataPathContext, overlap: OverlapTable, entry: DirtyKey, hash: number) {
    this.#context = context
    this.#overlap = overlap
    this.#entry = entry
    this.#hash = hash
    this.#rule = context.routes.find(entry.key, 0, entry.key.length)
    this.#server = context.copies.serverOf(this.#rule.route.primary.storeName)
  }

  get rule(): KeyRule {
    return this.#rule
  }

  get onPrimary(): Buffer {
    return nameOnPrimary(this.#rule, this.#entry.key)
  }

  get onShadow(): Buffer {
    return nameOnShadow(this.#rule, this.#entry.key)
  }

  /** In between a switch may have made a primary of the shadow, where a copy would put, or delete, what others have written since; or the primary may be another server by now, which has lost what the copy was begun for: false then. */
  areStill(): boolean {
    const { key } = this.#entry
    const rule = this.#context.routes.find(key, 0, key.length)
    const stay =
      isStillAt(this.#rule, rule, key) && this.#context.copies.serverOf(rule.route.primary.storeName) === this.#server
    if (stay) this.#rule = rule
    return stay
  }

  get shadowStore(): Store {
    return this.#context.stores[this.#rule.route.shadow!.store]!
  }

  /** The connection whose order the copy keeps. */
  primary(): Pipeline {
    return primaryPipeline(this.#context, this.#overlap, this.#rule.route, this.#entry.database, this.#hash)
  }

  primaryRefuses(command: string): boolean {
    return this.#refuses(this.#rule.route.primary.storeName, command)
  }

  primaryRefused(command: string): void {
    this.#refused(this.#rule.route.primary.storeName, command)
  }

  /** The shadow does not take payloads of the primary. */
  get refuseRestore(): boolean {
    return this.#refuses(pairOf(this.#rule.route), 'RESTORE')
  }

  /** True: that is news. */
  restoreRefused(): boolean {
    return this.#refused(pairOf(this.#rule.route), 'RESTORE')
  }

  /** Of a time to live, as the primary counts it; less than 0 stays. 0: it is in its last millisecond. Milliseconds since the epoch. */
  expiresAtMs(ttlMs: number): number {
    if (ttlMs < 0) return ttlMs
    const { clockOffsetMs } = this.#context.copies.factsOf(this.#rule.route.primary.storeName)
    return Math.round(steadyNowMs()) + clockOffsetMs + ttlMs
  }

  pushToShadow(owner: ReplyOwner, bytes: Buffer): void {
    joinBacklog(this.#rule.route, bytes.length)
    this.push(owner, this.shadowStore.shadows.to(this.#entry.database), bytes)
  }

  push(owner: ReplyOwner, pipeline: Pipeline, bytes: Buffer): void {
    const slot = pipeline.push(owner, bytes, 0, bytes.length)
    slot.route = this.#rule.route
    slot.database = this.#entry.database
  }

  #refuses(of: string, what: string): boolean {
    return this.#context.copies.refuses(of, what, this.#context.clock.nowMs)
  }

  #refused(of: string, what: string): boolean {
    return this.#context.copies.refused(of, what, this.#context.clock.nowMs)
  }
}
