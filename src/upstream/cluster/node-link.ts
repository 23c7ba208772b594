import { Pipeline } from '../pipeline.ts'
import type { PipelineOptions } from '../pipeline-options.ts'
import type { Debtor } from './reply-places.ts'
import { LAG_MS } from './slot-flow.ts'
import type { NodeAddress } from './topology.ts'

/** The connection of a pipeline to one node of its cluster. */
export class NodeLink implements Debtor {
  readonly node: NodeAddress
  readonly pipeline: Pipeline
  /** Since when the topology does not name the node; null: it does. */
  #goneSinceMs: number | null = null

  constructor(node: NodeAddress, options: PipelineOptions) {
    this.node = node
    this.pipeline = new Pipeline(options)
  }

  lags(): boolean {
    return this.pipeline.oldestAgeMs() > LAG_MS
  }

  /** `isKnown`: the topology names the node. `isRelaying`: messages come from there. True: it does not, and nothing will come from there any more. */
  isOver(isKnown: boolean, isRelaying: boolean, nowMs: number): boolean {
    if (isKnown) this.#goneSinceMs = null
    else this.#goneSinceMs ??= nowMs
    if (this.#goneSinceMs === null) return false
    if (isRelaying) return nowMs - this.#goneSinceMs > LEFT_MS
    return this.pipeline.quiet || nowMs - this.#goneSinceMs > GONE_MS
  }
}

/** A node that is no master any more says so of every command, at once. One that is silent has gone. */
const GONE_MS = 1_000
/** One that becomes a replica is not named before it has the data of its new master, and gets every message meanwhile. One that has left the cluster gets none, and says nothing of it. */
const LEFT_MS = 10_000
