import type { WindowName } from '../compare/rate-window.ts'
import type { Phase } from '../config/config.ts'
import type { ScriptsAstray } from '../cutover/scripts-gate.ts'
import type { UnsettledVerify } from '../jobs/runner/unsettled-keys.ts'
import type { CrossSlotCount } from '../proxy/messages.ts'
import type { ClusterView } from '../upstream/cluster-watch.ts'
import type { SentinelView } from '../upstream/sentinel/sentinel-watch.ts'

/** `GET /api/v1/status`: how everything is at the moment. Plain JSON, as the rest of what `control.ts` gives. */
export interface Status {
  version: string
  configHash: string
  epoch: number
  uptimeSeconds: number
  lastReload: { successful: boolean; at: string; error: string | null }
  /** Parts of the configuration that were changed since the start and take effect at the next one. */
  needsRestart: string[]
  stores: Record<string, StoreStatus>
  routes: Record<string, RouteStatus>
  clients: { connected: number }
  /** Whether the application gets its answers; `reasons`: what it suffers from, each to be read behind "The application suffers: ". */
  application: { served: boolean; reasons: string[] }
  /** Whether what is in doubt would be known after a crash now; and the size of the log that tells. */
  durability: { intact: boolean; intentLogBytes: number }
}

export interface StoreStatus {
  up: boolean
  /** Round trip of the last PING; null: none yet. */
  latencyMs: number | null
  /** As Redis counts them; Valkey says 7.2.4 there. */
  version: string | null
  /** Valkey's own; null: it is none, or not known. */
  valkeyVersion: string | null
  /** `master`, `slave` as the server says it; `cluster`; null: unknown. */
  role: string | null
  error: string | null
  clockOffsetMs: number | null
  /** How its primary is found; null: it is no store behind Sentinels. */
  sentinel: SentinelView | null
  /** Its nodes; null: it is no cluster, or none of its nodes has said what it is like. */
  cluster: ClusterView | null
}

export interface RouteStatus {
  phase: Phase
  primary: string
  shadow: string | null
  /** Commands, since the start, whose keys lie in several slots of the cluster at the route's other end: it would answer them CROSSSLOT. */
  crossSlots: CrossSlotCount[]
  /** What else may be unequal on both sides, the worst first. */
  problems: RouteProblem[]
  mirror: {
    /** Age of the oldest write not yet acknowledged by the shadow. */
    lagMs: number
    backlog: number
    backlogBytes: number
    mirrored: number
    dropped: number
    dirtyKeys: number
    /** Of them, those that are written faster than they can be copied: the shadow has them as they were a moment ago. */
    hotKeys: number
    /** Dirty keys by reason; what is 0 is left out. */
    dirtyReasons: Record<string, number>
    /** Age of the oldest dirty key; 0: none. */
    oldestDirtyMs: number
    /** Keys may differ that nobody can name: only a verify of the whole route can tell. */
    needsVerify: boolean
    /** Why; empty when none is needed. `shadow-restarted`, `shadow-replica`, `shadow-evicts`, `primary-restarted`, `primary-clock`, `failed-over`, `shadow-failed-over`, `overflow`, `state-lost`, `server-wide`, `script`, `functions`, `functions-removed`, `turned`, `turned-back`, `rerouted`. */
    verifyCauses: string[]
    /** Libraries of functions that the shadow does not take: somebody has to load there what does the same. */
    refusedLibraries: string[]
    /** The code of the error with which it does not (`NOPERM`: its user lacks the right), or does not let those be deleted that the primary has no more; null: there is none. */
    refusedBecause: string | null
    /** Scripts (their SHA-1) and functions (`function NAME`, or `unread function NAME` where the store does not let it be read), seen since the start, that use keys which they do not declare and may reach the route's under the wrong names. */
    scriptsInDoubt: string[]
    /** Why that would be so. `names`: keys of the route have other names at one of its stores; `primaries`: keys are at several primaries; null: neither, or `scripts: warn` says that it does not matter, or the route is in `done`. */
    scriptsAstray: ScriptsAstray | null
    /** The last verify of the route that has listed keys which no repair and no later verify has settled; null: there is none. `extra`: the shadow alone has some of them. */
    unsettledVerify: UnsettledVerify | null
    /** The end that may lack what the other held before mirroring began, or what a cleanup has deleted there; null: neither, or the route is not mirrored. */
    incompleteEnd: 'source' | 'target' | null
    /** Databases with dirty keys that the shadow does not have, or refuses: they are not copied. A backfill makes one key of such a database dirty. */
    strandedDatabases: number[]
    /** Why, of the first of them; null: there is none. */
    strandedBecause: string | null
    /** How the copying of dirty keys goes. `paused`: a store is not connected. `tripped`: copies keep failing, a few are tried now and then. */
    repair: 'idle' | 'copying' | 'paused' | 'resting' | 'tripped'
    /** Why the last copy of a dirty key failed: the code of the error (`OOM`); null: copies succeed, or there is nothing to copy. */
    refusedCopy: string | null
  }
  compare: {
    compared: number
    matched: number
    mismatched: number
    transient: number
    skipped: number
    /** Confirmed, known, and no part of a rate. */
    acknowledged: number
    /** Matched but for what the route ignores or decodes. */
    ignored: number
    /** Keys made dirty by `compare.repair`. */
    repaired: number
    rates: Record<WindowName, MismatchRate>
    /** Of the same sampled reads; null: none yet. */
    latencyMs: { primary: Latency | null; shadow: Latency | null }
  }
}

/** A sentence that can be read behind the route's name. */
export interface RouteProblem {
  level: 'bad' | 'warn'
  text: string
  /** A verify settles it. */
  verify: boolean
}

/** `mismatched` of `compared`; `rate` is null when nothing was compared. */
export interface MismatchRate {
  compared: number
  mismatched: number
  rate: number | null
}

/** Upper bounds of the histogram's buckets that hold the percentiles. */
export interface Latency {
  count: number
  mean: number
  p50: number
  p95: number
  p99: number
}
