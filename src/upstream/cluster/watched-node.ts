import type { Pipeline } from '../pipeline/pipeline.ts'
import type { Redirect } from './topology.ts'

/**
 * The node at which keys are watched on a connection of its own. A transaction that goes anywhere else, or over another connection to the same node, would not know that they have changed: it is not executed.
 *
 *   WATCH k ─▶ node of k's slot ──────────┐ the very connection
 *   MULTI ... EXEC ─▶ the same, or: nil ◀─┘
 */
export class WatchedNode {
  #pipeline: Pipeline | null = null
  /** Where that is, said as the node's own redirection would. */
  #redirect: Redirect | null = null
  #isParted = false
  readonly #all = new Set<Pipeline>()

  /** Something is watched. */
  get isAny(): boolean {
    return this.#pipeline !== null
  }

  /** Where the transaction has to go; null: what was watched may have changed unseen. */
  get place(): Redirect | null {
    return this.#isParted || this.#pipeline?.state === 'closed' ? null : this.#redirect
  }

  /** WATCH leaves for a node. */
  sent(pipeline: Pipeline, redirect: Redirect): void {
    // The slot has moved between two WATCHes.
    if (this.#pipeline !== null && this.#pipeline !== pipeline) this.#isParted = true
    this.#pipeline = pipeline
    this.#redirect = redirect
    this.#all.add(pipeline)
  }

  /** The node has not executed it. */
  refused(pipeline: Pipeline): void {
    this.#all.delete(pipeline)
    if (this.#all.size === 0) this.clear()
    else this.#isParted = true
  }

  /** Nothing is watched any more. Gives the connections on which something was. */
  clear(): Pipeline[] {
    const all = [...this.#all]
    this.#all.clear()
    this.#pipeline = null
    this.#redirect = null
    this.#isParted = false
    return all
  }
}
