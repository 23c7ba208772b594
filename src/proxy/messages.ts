import type { Acknowledgement } from '../compare/acknowledgement.ts'
import type { Finding } from '../compare/finding.ts'
import type { RouteComparison } from '../compare/tally.ts'
import type { Config, Endpoint } from '../config/config.ts'
import type { KeyReads } from '../mirror/copy/aligned-reads.ts'
import type { CopyOrigin } from '../mirror/copy/copy-batch.ts'
import type { RepairState } from '../mirror/copy/repairer.ts'
import type { DirtyReason } from '../mirror/dirty/dirty-key.ts'
import type { VerifyCause } from '../mirror/dirty/verify-marks.ts'
import type { HistogramSnapshot } from '../observability/histogram.ts'
import type { LogLine } from '../observability/log.ts'

/** What the main thread asks of the data path's thread. Plain data both ways. */
export type Request =
  | { readonly kind: 'start'; readonly config: Config; readonly endpoints: Readonly<Record<string, Endpoint>> }
  | ({ readonly kind: 'apply' } & Change)
  | { readonly kind: 'stats' }
  /** Answered when nothing is connected any more to a store that had this name and was dropped or changed. */
  | { readonly kind: 'left'; readonly store: string }
  /** Where a store is now; a text: nowhere, and why. `failedOver`: another server is the primary of the store, and may lack what the one before had acknowledged. `epoch`: number of its last failover, as Sentinels count; null: not known. */
  | {
      readonly kind: 'endpoint'
      readonly store: string
      readonly endpoint: Endpoint | string
      readonly failedOver: boolean
      readonly epoch: number | null
    }
  | {
      readonly kind: 'facts'
      readonly store: string
      readonly offsetMs: number
      readonly version: string | null
      readonly valkeyVersion: string | null
      readonly clockJumped: boolean
    }
  | { readonly kind: 'acknowledgements'; readonly list: readonly Acknowledgement[] }
  /** State copies of keys (application names, packed; the memory is handed over), `window` at a time, as long as the routes are those of `origin`. Answer: `BatchResult`. */
  | {
      readonly kind: 'copy'
      readonly origin: CopyOrigin
      readonly database: number
      readonly keys: Uint8Array<ArrayBuffer>
      readonly window: number
    }
  /** A job is about to write keys (application names, packed; the memory is handed over) to their primary, `store`, by a connection of its own. Answer: a number; null: it is not their primary. */
  | {
      readonly kind: 'writing'
      readonly store: string
      readonly database: number
      readonly keys: Uint8Array<ArrayBuffer>
    }
  /** It has, and these (packed) of them are in doubt: dirty, from now on. Answer: whether the store still is the primary of all. */
  | { readonly kind: 'wrote'; readonly number: number; readonly doubtful: Uint8Array<ArrayBuffer> }
  /** All routes of whose source a job has deleted keys, or put some back there, by a connection of its own, or is about to, and that was not made good since. */
  | { readonly kind: 'altered-sources'; readonly routes: readonly string[] }
  /** All routes whose shadow holds every key that the primary holds, but for dirty ones, in the configuration of this generation. Until told so, none does. */
  | { readonly kind: 'complete-shadows'; readonly routes: readonly string[]; readonly generation: number }
  /** The same of those whose primary lacks nothing that the shadow held before mirroring began. */
  | { readonly kind: 'complete-primaries'; readonly routes: readonly string[]; readonly generation: number }
  /** The same reads of both stores at one place of history. Answer: `PairOfReplies[]`. */
  | { readonly kind: 'read-pairs'; readonly database: number; readonly list: readonly KeyReads[] }
  /** Answer: a text that changes with everything that asks for a verify of the route. */
  | { readonly kind: 'verify-ticket'; readonly route: string }
  /** A verify that began at `ticket` has looked at every key of the route and found no difference. */
  | { readonly kind: 'verified'; readonly route: string; readonly ticket: string }
  /** At most so many of a route's dirty keys. Answer: `DirtyKeys[]`. */
  | { readonly kind: 'dirty-keys'; readonly route: string; readonly limit: number }
  | { readonly kind: 'stop'; readonly graceMs: number }

/** Dirty keys of one database. */
export interface DirtyKeys {
  readonly database: number
  /** Application names, packed. */
  readonly keys: Uint8Array<ArrayBuffer>
}

/** A new configuration and how careful to be on the way to it. */
export interface Change {
  readonly config: Config
  readonly endpoints: Readonly<Record<string, Endpoint>>
  readonly generation: number
  /** Routes, of either table, whose commands are held and drained while the table is swapped. */
  readonly hold: readonly string[]
  /** Of these, the ones whose blocked commands are called back; left out: all. Those of the others wait on where they are: sent again, one may be answered otherwise. */
  readonly recall?: readonly string[]
  /** Routes of which the second gets keys of the first, whether that holds anybody or not; left out: there are none. */
  readonly rerouted?: readonly (readonly [from: string, to: string])[]
  /** Of these, the ones whose stores must be equal first: the authority moves. */
  readonly needsEqual: readonly string[]
  /** Where a primary does not answer in time, or they do not become equal, the change is made all the same (`Fence`, `left-behind.ts`). */
  readonly force?: boolean
  /** Routes whose target holds nothing that is kept up any more: their dirty keys are forgotten. */
  readonly forget: readonly string[]
  readonly holdTimeoutMs: number
}

/** What a forced change has left behind of a route of before: how many keys were dirty. There may be none, when what was on its way has no key by name. */
export interface LeftKeys {
  readonly route: string
  readonly keys: number
}

export type ApplyResult =
  | { readonly ok: true; readonly pauseMs: number; readonly left: readonly LeftKeys[] }
  | { readonly ok: false; readonly reason: string }

/** What the data path's thread says unasked. */
export type Notice =
  | { readonly kind: 'log'; readonly line: LogLine }
  | { readonly kind: 'finding'; readonly finding: Finding }
  /** A store behind Sentinels is gone, or answers as a replica: it may be somewhere else now. */
  | { readonly kind: 'look-for'; readonly store: string }

/** How often a command came whose keys lie in several slots of the cluster at the other end. */
export interface CrossSlotCount {
  /** `MULTI`: transactions of which that is so. */
  readonly command: string
  readonly count: number
  /** How long ago the last one came. */
  readonly lastAgoMs: number
}

export interface RouteStats {
  /** The store whose answers `counters` counts as the primary's, from now on. */
  readonly primary: string
  readonly lagMs: number
  readonly backlogCommands: number
  readonly backlogBytes: number
  readonly dirtyKeys: number
  /** Of them, those that are written faster than they can be copied: the shadow is some milliseconds behind, and they are equal as soon as their writes are held. */
  readonly hotKeys: number
  readonly dirtyReasons: Readonly<Partial<Record<DirtyReason, number>>>
  /** Age of the oldest mark; 0: no key is dirty. */
  readonly oldestDirtyMs: number
  readonly needsVerify: boolean
  readonly verifyCauses: readonly VerifyCause[]
  /** Libraries of functions that the shadow does not take; none where it has what stands for them. */
  readonly refusedLibraries: readonly string[]
  /** The code of the error with which it does not, or does not let those be deleted that the primary has no more; null: there is none. */
  readonly refusedBecause: string | null
  /** Functions that are called for keys of the route, and that its shadow lacks. */
  readonly missingFunctions: readonly string[]
  /** Scripts (their SHA-1) and functions (`function NAME`, or `unread function NAME` where the store does not let it be read) that make names of keys themselves and may reach the route's. */
  readonly scriptsInDoubt: readonly string[]
  /** Databases with dirty keys that the shadow does not have, or refuses. */
  readonly strandedDatabases: readonly number[]
  /** Why, of the first of them; null: there is none. */
  readonly strandedBecause: string | null
  /** Commands, since the start, that the cluster at the other end would answer CROSSSLOT. */
  readonly crossSlots: readonly CrossSlotCount[]
  readonly repair: RepairState
  /** As `Repairer.refusedCopyOf`. */
  readonly refusedCopy: string | null
  readonly inFlight: number
  readonly counters: Readonly<Record<RouteCounter, number>>
  /** As `RouteState.primaryErrorCodes`. */
  readonly errorCodes: Readonly<Record<string, number>>
  readonly primaryTimes: HistogramSnapshot
  readonly shadowTimes: HistogramSnapshot
  readonly compare: RouteComparison
}

export const ROUTE_COUNTERS = [
  'primaryOk',
  'primaryError',
  'primaryOrdinaryError',
  'primaryTimeout',
  'primaryLost',
  'shadowOk',
  'shadowError',
  'shadowTimeout',
  'shadowLost',
  'applied',
  'failed',
  'copied',
  'dirtied',
  'dropped',
  'keyHolds',
  'keyHoldsInVain',
  'keyHeldMs',
  'undeclared',
  'compared',
  'matched',
  'mismatched',
  'transient',
  'skipped',
  'fallbackMiss',
  'fallbackError',
  'fallbackTimeout',
  'fallbackOpen',
] as const
export type RouteCounter = (typeof ROUTE_COUNTERS)[number]

export interface StoreStats {
  /** Of the connections on which commands travel. */
  readonly state: string
  readonly error: string | null
  /** When something came from it last (`steadyNowMs`); of a cluster this tells nothing. */
  readonly lastReadMs: number
  /** The primary of one of its routes that is the same server under another address, so that nothing is mirrored; null: there is none. */
  readonly sameAs: string | null
}

export interface Stats {
  readonly generation: number
  readonly routes: Readonly<Record<string, RouteStats>>
  readonly stores: Readonly<Record<string, StoreStats>>
  readonly clients: number
  /** False: a crash now would leave keys in doubt that nobody knows of. */
  readonly durable: boolean
  /** Of the intent log on disk. */
  readonly intentBytes: number
  /** Writes without a known effect, by command. */
  readonly unknownWrites: Readonly<Record<string, number>>
}
