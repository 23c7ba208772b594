import { addressOf, type NodeAddress } from './topology.ts'

/**
 * What all pipelines' connections to the nodes of one cluster have come to know of these: for who has none yet and is to choose a node for the first one. It is a preference and no more. What turns out wrong costs an attempt, or
 * goes unused where others do as well.
 */
export class NodeStandings {
  /** By address: the last connection that was tried has not come up, or was lost. */
  readonly #unreached = new Set<string>()
  /** By address: when one that clients share last waited long for an answer. */
  readonly #laggedMs = new Map<string, number>()

  reached(node: NodeAddress): void {
    this.#unreached.delete(addressOf(node))
  }

  unreached(node: NodeAddress): void {
    this.#unreached.add(addressOf(node))
  }

  /** It owes an answer for long. Said again for as long as it does. */
  lags(node: NodeAddress, nowMs: number): void {
    this.#laggedMs.set(addressOf(node), nowMs)
  }

  isUnreached(address: string): boolean {
    return this.#unreached.has(address)
  }

  /** What speaks against a first connection there, as bad as having owed an answer for so many milliseconds on one that is open. */
  doubtMs(address: string, nowMs: number): number {
    if (this.isUnreached(address)) return Number.MAX_VALUE
    const laggedMs = this.#laggedMs.get(address) ?? Number.NEGATIVE_INFINITY
    return nowMs - laggedMs < LATELY_MS ? LAGS_MS : UNTRIED_MS
  }
}

const LATELY_MS = 1_000
const UNTRIED_MS = 1_000
const LAGS_MS = 60_000
