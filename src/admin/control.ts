import type { AcknowledgementView, Mismatch, MismatchFilter, MismatchKey } from '../compare/mismatch.ts'
import type { WindowName } from '../compare/rate-window.ts'
import type { SkipReason, Verdicts } from '../compare/tally.ts'
import type { MismatchClass, Phase } from '../config/config.ts'
import type { GateView } from '../cutover/gates.ts'
import type { Job, JobAction, JobKey, JobKeyQuery, JobQuery, JobRequest } from '../jobs/runner/job.ts'
import type { HistogramSnapshot } from '../observability/histogram.ts'
import type { History, HistoryQuery, HistorySample } from './history.ts'
import type { MismatchRate, Status } from './status.ts'

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
  /** Parts that the file changes and that take effect at the next start only. */
  needsRestart: string[]
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
