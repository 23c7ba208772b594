import type { NodeStates } from './node-states.ts'

/** Where a scan stands: plain JSON, part of checkpoints. */
export interface ScanPosition {
  /** The server's run ID: a cursor means nothing to another one. */
  readonly server: string
  /** As clients count it. */
  readonly database: number
  readonly cursor: string
  /** All of its databases have been listed; the cursor is the beginning of the last one, as older versions know no other place. */
  readonly isListed?: true
  /** How many SWAPDBs the server had executed when it was listed from its beginning. Nothing: a cluster, or of an older version. */
  readonly swaps?: number
  /** Of a cluster: which of its nodes. Nothing: it is one server. */
  readonly cluster?: ClusterRound
}

export interface Page {
  readonly database: number
  /** As the store calls them. SCAN may give one twice. */
  readonly names: readonly Buffer[]
  /** Where the next page begins; null: this was the last (of one server the last one has a place as well: `isListed`). */
  readonly next: ScanPosition | null
}

/** Where the listing of a cluster stands, beside the cursor of one of its nodes: plain JSON, part of checkpoints. */
export interface ClusterRound {
  /** The masters when the round began. */
  readonly nodes: NodeStates
  /** Ids of those that are still to be listed; the cursor is the first one's. */
  readonly left: readonly string[]
  /** Nothing had changed in the round before. */
  readonly isSteady: boolean
}
