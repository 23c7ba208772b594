import type { AcknowledgementView, Mismatch, MismatchFilter, MismatchKey } from '../compare/mismatch.ts'
import type { WindowName } from '../compare/rate-window.ts'
import type { SkipReason, Verdicts } from '../compare/tally.ts'
import type { MismatchClass, Phase } from '../config/config.ts'
import type { GateView } from '../cutover/gates.ts'
import type { ScriptsAstray } from '../cutover/scripts-gate.ts'
import type { Job, JobAction, JobKey, JobKeyQuery, JobQuery, JobRequest } from '../jobs/job.ts'
import type { UnsettledVerify } from '../jobs/unsettled-keys.ts'
import type { HistogramSnapshot } from '../observability/histogram.ts'
import type { CrossSlotCount } from '../proxy/messages.ts'
import type { ClusterView } from '../upstream/cluster-watch.ts'
import type { SentinelView } from '../upstream/sentinel-watch.ts'
import type { History, HistoryQuery, HistorySample } from './history.ts'

export type { AcknowledgementView, Mismatch, MismatchKey } from '../compare/mismatch.ts'
export { MISMATCH_CLASSES, type MismatchClass } from '../config/config.ts'

/**
 * What the admin server may ask of the running sidecar: the seam between the outside (HTTP, dashboard, CLI) and the inside.
 * `app.ts` implements it. Every shape is plain JSON, as `/api/v1` gives it.
 */
export interface Control {
  /** It is being stopped: nothing may be changed any more, and what was under way may end early. */
  readonly isStopping: boolean
  status(): Promise<Status>
  /** Route table as configured, with each route's phase in force. */
  routes(): Promise<RouteView[]>
  /** The configuration in force, secrets replaced by `***`. */
  redactedConfig(): unknown
  /** Reads the file again; all or nothing. Resolves when it is in force (or says what would happen, for a dry run). Rejects with UnderstudyError CONFIG_INVALID, GATE_CLOSED, SWITCH_CALLED_OFF. */
  reload(request?: ReloadRequest): Promise<ReloadResult>
  /** Edits the file (comments kept), reloads, and resolves when the phase is in force (or says what would happen, for a dry run). */
  setPhase(route: string, request: PhaseRequest): Promise<PhaseResult>
  /** The same for several routes, of which all or none are changed, at the same moment. */
  setPhases(routes: readonly string[], request: PhaseRequest): Promise<PhasesResult>
  readonly jobs: JobControl
  /** What the comparer found. */
  readonly mismatches: MismatchAccess
  /** How the comparison goes, by route and command. */
  comparison(): Promise<Comparison>
  /** The main series of the last 24 hours, and the switches. Rejects with NOT_FOUND for a route that is not. */
  history(query: HistoryQuery): Promise<History>
  /** True when the primary of every route answers. */
  ready(): Promise<Readiness>
  /** Calls back with each event until the returned function is called. */
  subscribe(listener: (event: ControlEvent) => void): () => void
  /** Prometheus text format. */
  metrics(): Promise<{ contentType: string; body: string }>
}

export interface MismatchAccess {
  /** Confirmed differences by route, command, class, cause and key pattern, the latest first. */
  list(query: MismatchFilter): Promise<Mismatch[]>
  /** Every key of them, the latest first. */
  keys(query: Pick<MismatchFilter, 'route' | 'class' | 'command'>): Promise<Iterable<MismatchKey>>
  acknowledgements(): Promise<AcknowledgementView[]>
  /** Rejects with NOT_FOUND for a mismatch or route that there is not. */
  acknowledge(request: AcknowledgeRequest): Promise<AcknowledgementView>
  /** Rejects with NOT_FOUND. */
  revoke(id: number): Promise<void>
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
    /** Why; empty when none is needed. `shadow-restarted`, `shadow-replica`, `shadow-evicts`, `primary-restarted`, `primary-clock`, `failed-over`, `shadow-failed-over`, `overflow`, `state-lost`, `server-wide`, `script`, `functions`, `functions-removed`, `turned`, `rerouted`. */
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
    /** Databases with dirty keys that the shadow does not have, or refuses: they are not copied. A backfill makes one key of such a database dirty. */
    strandedDatabases: number[]
    /** Why, of the first of them; null: there is none. */
    strandedBecause: string | null
    /** How the copying of dirty keys goes. `paused`: a store is not connected. `tripped`: copies keep failing, a few are tried now and then. */
    repair: 'idle' | 'copying' | 'paused' | 'resting' | 'tripped'
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

/** `GET /api/v1/compare`. */
export interface Comparison {
  routes: Record<string, RouteComparisonView>
}

export interface RouteComparisonView {
  phase: Phase
  /** Share of keys, 0 .. 1. */
  sample: number
  rates: Record<WindowName, MismatchRate>
  /** Commands that were compared, by name. */
  commands: Record<string, Verdicts & { rates: Record<WindowName, MismatchRate> }>
  /** Samples dropped, by reason. */
  skipped: Record<SkipReason, number>
  repaired: number
  baseline: { compared: number; differed: number }
  latency: { primary: HistogramSnapshot; shadow: HistogramSnapshot }
}

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

export interface RouteView {
  name: string
  phase: Phase
  keys: string[]
  source: { store: string; keys: Record<string, string> }
  target: { store: string; keys: Record<string, string> } | null
}

export interface ReloadRequest {
  dryRun?: boolean
  force?: boolean
  reason?: string
}

export interface ReloadResult {
  configHash: string
  epoch: number
  /** The file is not what is in force (was not, when it has been reloaded). */
  changed: boolean
  dryRun: boolean
  /** How long commands were held; null: nothing was put in force. */
  pauseMs: number | null
  /** Which keys go to another route or get another primary, in sentences; then what speaks against that and closes no gate, and what a forced change has left behind. */
  moves: string[]
  /** Gates that are closed; empty when the way is free (or `force` was given). */
  closedGates: string[]
  /** Every condition of the moves, open or closed. */
  gates: GateView[]
}

export interface PhaseRequest {
  phase: Phase
  dryRun?: boolean
  force?: boolean
  reason?: string
}

/** What a change of phases is for one route. */
export interface PhaseStep {
  route: string
  from: Phase
  to: Phase
  /** What the change means, in sentences (who answers reads, who gets writes, what a forced one has left behind, how to go back); then what speaks against it, or against the way back, and closes no gate. */
  consequences: string[]
}

interface StepsTaken {
  dryRun: boolean
  /** How long commands of the routes were held; null on a dry run. */
  pauseMs: number | null
  /** Gates that are closed; empty when the way is free (or `force` was given). */
  closedGates: string[]
  /** Every condition, open or closed. */
  gates: GateView[]
}

export interface PhaseResult extends PhaseStep, StepsTaken {}

export interface PhasesResult extends StepsTaken {
  routes: PhaseStep[]
}

/** What to acknowledge: a mismatch by its number, or whatever matches the fields. */
export interface AcknowledgeRequest {
  mismatch?: number
  route?: string
  pattern?: string
  command?: string
  class?: MismatchClass
  /** ms since the epoch. */
  until?: number
  reason: string
}

/** Jobs: start, look at, steer. */
export interface JobControl {
  /** Rejects with NOT_FOUND (no such route), JOB_REFUSED. */
  start(request: JobRequest): Promise<Job>
  /** Rejects with NOT_FOUND, JOB_REFUSED. Resolves when the job has paused, or has ended. */
  steer(id: number, action: JobAction): Promise<Job>
  /** The newest first. Rejects with NOT_FOUND for a route that there is not, and that no job is of. */
  list(query: JobQuery): Promise<Job[]>
  /** Rejects with NOT_FOUND. */
  get(id: number): Promise<Job>
  /** The keys that a job lists: those that failed or differ. Rejects with NOT_FOUND. */
  keys(id: number, query: JobKeyQuery): Promise<JobKey[]>
}

export interface Readiness {
  ready: boolean
  reasons: string[]
  /** Parts of primaries that cannot be reached: nodes of clusters. No reason to send clients elsewhere: another Understudy would not reach them either. */
  degraded: string[]
}

export type ControlEvent =
  | { type: 'status'; data: Status }
  | { type: 'sample'; data: HistorySample }
  | { type: 'mismatch'; data: Mismatch }
  | { type: 'phase'; data: PhaseResult }
  | { type: 'job'; data: Job }
  | { type: 'reload'; data: { successful: boolean; error: string | null } }
