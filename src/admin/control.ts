import type { Phase } from '../config/config.ts'
import type { Job, JobAction, JobKey, JobKind, JobOptions, JobState } from '../jobs/job.ts'

/** How two answers can differ. */
export const MISMATCH_CLASSES = ['missing', 'extra', 'type', 'value', 'length', 'order', 'ttl', 'error'] as const
export type MismatchClass = (typeof MISMATCH_CLASSES)[number]

/**
 * What the admin server may ask of the running sidecar: the seam between the outside (HTTP, dashboard, CLI) and the inside.
 * `app.ts` implements it. Every shape is plain JSON, as `/api/v1` gives it.
 */
export interface Control {
  status(): Promise<Status>
  /** Route table as configured, with each route's phase in force. */
  routes(): Promise<RouteView[]>
  /** The configuration in force, secrets replaced by `***`. */
  redactedConfig(): unknown
  /** Reads the file again; all or nothing. Resolves when it is in force. Rejects with UnderstudyError CONFIG_INVALID, GATE_CLOSED, SWITCH_CALLED_OFF. */
  reload(): Promise<ReloadResult>
  /** Edits the file (comments kept), reloads, and resolves when the phase is in force (or says what would happen, for a dry run). */
  setPhase(route: string, request: PhaseRequest): Promise<PhaseResult>
  mismatches(query: MismatchQuery): Promise<Mismatch[]>
  /** Starts a job. Rejects with NOT_FOUND (no such route), JOB_REFUSED. */
  startJob(request: JobRequest): Promise<Job>
  /** Rejects with NOT_FOUND, JOB_REFUSED. Resolves when the job has paused, or has ended. */
  steerJob(id: number, action: JobAction): Promise<Job>
  /** The newest first. */
  jobs(query: JobQuery): Promise<Job[]>
  /** Rejects with NOT_FOUND. */
  job(id: number): Promise<Job>
  /** The keys that a job lists: those that failed or differ. Rejects with NOT_FOUND. */
  jobKeys(id: number, query: JobKeyQuery): Promise<JobKey[]>
  /** True when the primary of every route answers. */
  ready(): Promise<Readiness>
  /** Calls back with each event until the returned function is called. */
  subscribe(listener: (event: ControlEvent) => void): () => void
  /** Prometheus text format. */
  metrics(): Promise<{ contentType: string; body: string }>
}

export interface StoreStatus {
  up: boolean
  /** Round trip of the last PING; null: none yet. */
  latencyMs: number | null
  version: string | null
  /** `master`, `slave` as the server says it; null: unknown. */
  role: string | null
  error: string | null
  clockOffsetMs: number | null
}

export interface RouteStatus {
  phase: Phase
  primary: string
  shadow: string | null
  mirror: {
    /** Age of the oldest write not yet acknowledged by the shadow. */
    lagMs: number
    backlog: number
    backlogBytes: number
    mirrored: number
    dropped: number
    dirtyKeys: number
  }
  compare: { compared: number; matched: number; mismatched: number; transient: number; skipped: number }
}

export interface Status {
  version: string
  configHash: string
  epoch: number
  uptimeSeconds: number
  lastReload: { successful: boolean; at: string; error: string | null }
  stores: Record<string, StoreStatus>
  routes: Record<string, RouteStatus>
  clients: { connected: number }
}

export interface RouteView {
  name: string
  phase: Phase
  keys: string[]
  source: { store: string; keys: Record<string, string> }
  target: { store: string; keys: Record<string, string> } | null
}

export interface ReloadResult {
  configHash: string
  epoch: number
  changed: boolean
}

export interface PhaseRequest {
  phase: Phase
  dryRun?: boolean
  force?: boolean
  reason?: string
}

export interface PhaseResult {
  route: string
  from: Phase
  to: Phase
  dryRun: boolean
  /** How long commands of the route were held; null on a dry run. */
  pauseMs: number | null
  /** What the change means, in sentences (who answers reads, who gets writes, how to go back). */
  consequences: string[]
  /** Gates that are closed; empty when the way is free (or `force` was given). */
  closedGates: string[]
}

export interface MismatchQuery {
  route?: string
  class?: MismatchClass
  limit?: number
}

export interface Mismatch {
  id: number
  /** ISO 8601. */
  at: string
  route: string
  phase: Phase
  command: string
  key: string
  class: MismatchClass
  /** One sentence: what differs, without values. */
  detail: string
  /** Masked (`type, length, hash`) unless the route's compare.reveal is `values`. */
  primary: string
  shadow: string
  count: number
}

export interface JobRequest {
  kind: JobKind
  route: string
  options: JobOptions
}

export interface JobQuery {
  route?: string | undefined
  state?: JobState | undefined
  limit: number
}

export interface JobKeyQuery {
  /** Only keys with a greater `seq`. */
  after: number
  limit: number
}

export interface Readiness {
  ready: boolean
  reasons: string[]
}

export type ControlEvent =
  | { type: 'status'; data: Status }
  | { type: 'mismatch'; data: Mismatch }
  | { type: 'phase'; data: PhaseResult }
  | { type: 'job'; data: Job }
  | { type: 'reload'; data: { successful: boolean; error: string | null } }
