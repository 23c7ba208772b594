import { Pipeline } from '../pipeline/pipeline.ts'
import type { PipelineOptions } from '../pipeline/pipeline-options.ts'
import type { Debtor } from './reply-places.ts'
import { LAG_MS } from './slot-flow.ts'
import type { NodeAddress } from './topology.ts'

/** The connection of a pipeline to one node of its cluster. */
export class NodeLink implements Debtor {
  readonly node: NodeAddress
  readonly pipeline: Pipeline
  /** The topology names the node, or has done so. */
  #wasKnown: boolean
  /** Since when it does not; null: it does. */
  #goneSinceMs: number | null = null

  /** `isKnown`: the topology names the node; else a redirection has led there. */
  constructor(node: NodeAddress, options: PipelineOptions, isKnown: boolean) {
    this.node = node
    this.#wasKnown = isKnown
    this.pipeline = new Pipeline(options)
  }

  lags(): boolean {
    return this.pipeline.oldestAgeMs() > LAG_MS
  }

  /** `isKnown`: the topology names the node. `isRelaying`: messages come from there. True: it does not, and nothing will come from there any more. */
  isOver(isKnown: boolean, isRelaying: boolean, nowMs: number): boolean {
    if (isKnown) {
      this.#wasKnown = true
      this.#goneSinceMs = null
      return false
    }
    this.#goneSinceMs ??= nowMs
    const goneMs = nowMs - this.#goneSinceMs
    if (isRelaying) return goneMs > LEFT_MS
    // One that has not been named yet may be getting its first slots, for as long as that takes.
    return this.#wasKnown ? this.pipeline.quiet || goneMs > GONE_MS : this.pipeline.quiet && goneMs > LEFT_MS
  }
}

/** A node that is no master any more says so of every command, at once. One that is silent has gone. */
const GONE_MS = 1_000
/** One that becomes a replica is not named before it has the data of its new master, and gets every message meanwhile. One that has left the cluster gets none, and says nothing of it. */
const LEFT_MS = 10_000
