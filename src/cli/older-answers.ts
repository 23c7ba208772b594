import type { Comparison, PhaseResult, PhaseStep, PhasesResult, ReloadResult } from '../admin/control.ts'
import type { RouteStatus, Status, StoreStatus } from '../admin/status.ts'
import type { Mismatch } from '../compare/mismatch.ts'
import type { Job, JobKey } from '../jobs/runner/job.ts'

/**
 * Answers of a sidecar of another version. The command line and the sidecar are not always updated together: what an older one does not say yet counts as what it stood for, nothing of it; what a later one says
 * as well is passed over.
 */
export function statusOf(answer: unknown): Status {
  const status = filled<Status>(STATUS, answer)
  return { ...status, stores: each(status.stores, STORE), routes: each(status.routes, ROUTE) }
}

export function jobOf(answer: unknown): Job {
  const job = filled<Job>(JOB, answer)
  return job.report === null ? job : { ...job, report: filled(REPORT, job.report) }
}

export function jobKeyOf(answer: unknown): JobKey {
  return filled<JobKey>({ seq: 0, database: 0, key: '', class: '', detail: '' }, answer)
}

export function mismatchOf(answer: unknown): Mismatch {
  return filled<Mismatch>(MISMATCH, answer)
}

export function phaseResultOf(answer: unknown): PhaseResult {
  return filled<PhaseResult>(PHASE_RESULT, answer)
}

export function phasesResultOf(answer: unknown): PhasesResult {
  const { routes, ...taken } = filled<PhasesResult>({ ...PHASE_RESULT, routes: [] }, answer)
  return { ...taken, routes: listOf(routes, (step) => filled<PhaseStep>(PHASE_RESULT, step)) }
}

export function reloadResultOf(answer: unknown): ReloadResult {
  return filled<ReloadResult>(RELOAD_RESULT, answer)
}

export function comparisonOf(answer: unknown): Comparison {
  const routes = each(filled<Comparison>({ routes: {} }, answer).routes, COMPARED_ROUTE)
  return {
    routes: Object.fromEntries(
      Object.entries(routes).map(([name, route]) => [name, { ...route, commands: each(route.commands, COMMAND) }]),
    ),
  }
}

export function listOf<T>(answer: unknown, of: (entry: unknown) => T): T[] {
  return Array.isArray(answer) ? answer.map(of) : []
}

const NO_RATE = { compared: 0, mismatched: 0, rate: null }
const NO_RATES = { '1m': NO_RATE, '10m': NO_RATE, '1h': NO_RATE }

const STATUS = {
  version: '(unknown)',
  configHash: '',
  epoch: 0,
  uptimeSeconds: 0,
  lastReload: { successful: true, at: '', error: null },
  needsRestart: [],
  stores: {},
  routes: {},
  clients: { connected: 0 },
  application: { served: true, reasons: [] },
  durability: { intact: true, intentLogBytes: 0 },
}

const STORE: StoreStatus = {
  up: false,
  latencyMs: null,
  version: null,
  valkeyVersion: null,
  role: null,
  error: null,
  clockOffsetMs: null,
  sentinel: null,
  cluster: null,
}

const ROUTE: RouteStatus = {
  phase: 'passthrough',
  primary: '?',
  shadow: null,
  crossSlots: [],
  problems: [],
  mirror: {
    lagMs: 0,
    backlog: 0,
    backlogBytes: 0,
    mirrored: 0,
    dropped: 0,
    dirtyKeys: 0,
    hotKeys: 0,
    dirtyReasons: {},
    oldestDirtyMs: 0,
    needsVerify: false,
    verifyCauses: [],
    refusedLibraries: [],
    refusedBecause: null,
    scriptsInDoubt: [],
    scriptsAstray: null,
    unsettledVerify: null,
    incompleteEnd: null,
    strandedDatabases: [],
    strandedBecause: null,
    repair: 'idle',
    refusedCopy: null,
  },
  compare: {
    compared: 0,
    matched: 0,
    mismatched: 0,
    transient: 0,
    skipped: 0,
    acknowledged: 0,
    ignored: 0,
    repaired: 0,
    rates: NO_RATES,
    latencyMs: { primary: null, shadow: null },
  },
}

const JOB = {
  id: 0,
  kind: 'job',
  route: '?',
  state: 'running',
  createdAt: '',
  startedAt: null,
  finishedAt: null,
  options: {},
  progress: {
    done: 0,
    total: null,
    rate: 0,
    etaSeconds: null,
    copied: 0,
    skipped: 0,
    failed: 0,
    compared: 0,
    different: 0,
    repaired: 0,
    deleted: 0,
  },
  throttle: null,
  error: null,
  report: null,
}

const REPORT = { summary: '', clean: false, notes: [], classes: {} }

const MISMATCH = {
  id: 0,
  route: '?',
  command: '?',
  class: 'value',
  cause: null,
  pattern: '',
  firstSeen: '',
  lastSeen: '',
  count: 1,
  keys: 1,
  database: 0,
  key: '',
  phase: 'passthrough',
  detail: '',
  paths: [],
  primary: '',
  shadow: '',
  acknowledged: null,
}

const PHASE_RESULT = {
  route: '?',
  from: '?',
  to: '?',
  dryRun: false,
  pauseMs: null,
  consequences: [],
  closedGates: [],
  gates: [],
}

const RELOAD_RESULT = {
  configHash: '',
  epoch: 0,
  changed: true,
  dryRun: false,
  pauseMs: null,
  moves: [],
  closedGates: [],
  gates: [],
  needsRestart: [],
}

const COMPARED_ROUTE = {
  rates: NO_RATES,
  commands: {},
  skipped: {},
  repaired: 0,
  baseline: { compared: 0, differed: 0 },
}

const COMMAND = { compared: 0, matched: 0, transient: 0, mismatched: 0, acknowledged: 0, ignored: 0, rates: NO_RATES }

/** `answer` with what it lacks of `defaults`, also inside of it. */
function filled<T>(defaults: object, answer: unknown): T {
  const given = isRecord(answer) ? answer : {}
  const all: Record<string, unknown> = { ...given }
  for (const [name, value] of Object.entries(defaults)) {
    if (isRecord(value)) all[name] = filled(value, given[name])
    else all[name] = given[name] ?? value
  }
  return all as T
}

function each<T>(entries: Readonly<Record<string, T>>, defaults: object): Record<string, T> {
  return Object.fromEntries(Object.entries(entries).map(([name, entry]) => [name, filled<T>(defaults, entry)]))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
