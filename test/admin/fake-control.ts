import type {
  AcknowledgementView,
  Comparison,
  Control,
  ControlEvent,
  JobControl,
  Mismatch,
  MismatchAccess,
  PhaseRequest,
  PhaseResult,
  PhasesResult,
  ReloadRequest,
  ReloadResult,
} from '../../src/admin/control.ts'
import type { History, HistoryQuery } from '../../src/admin/history.ts'
import { problemsOf } from '../../src/admin/route-problems.ts'
import type { RouteStatus, Status } from '../../src/admin/status.ts'
import { UnderstudyError } from '../../src/base/errors.ts'
import type { Job, JobKey } from '../../src/jobs/runner/job.ts'

/** The inside as the outside sees it, with answers that a test sets and a record of what was asked. */
export class FakeControl implements Control {
  readonly asked: unknown[] = []
  readonly listeners = new Set<(event: ControlEvent) => void>()
  statusReads = 0
  /** Thrown by every method that can fail, while set. */
  failure: Error | null = null
  isStopping = false
  notReady: string[] = []
  closedGates: string[] = []
  openGates: string[] = []
  needsRestart: string[] = []
  jobList: Job[] = [job()]
  listedKeys: JobKey[] = [{ seq: 1, database: 0, key: 'job:1', class: 'value', detail: 'The values differ.' }]
  known: AcknowledgementView[] = []
  compared: Comparison = { routes: {} }
  found: Mismatch[] = [mismatch({ id: 2, class: 'ttl' }), mismatch({ id: 1 })]

  async status(): Promise<Status> {
    this.statusReads++
    this.#fail()
    return {
      version: '0.1.0',
      configHash: 'c0ffee',
      epoch: 7,
      uptimeSeconds: 90061,
      lastReload: { successful: true, at: '2026-01-01T00:00:00.000Z', error: null },
      needsRestart: [],
      stores: {
        old: {
          up: true,
          latencyMs: 0.21,
          version: '7.0.15',
          valkeyVersion: null,
          role: 'master',
          error: null,
          clockOffsetMs: 0,
          sentinel: null,
          cluster: null,
        },
        new: {
          up: false,
          latencyMs: null,
          version: null,
          valkeyVersion: null,
          role: null,
          error: 'connect refused',
          clockOffsetMs: null,
          sentinel: {
            name: 'mymaster',
            primary: '10.0.0.7:6379',
            sentinels: 3,
            answering: 2,
            failovers: 1,
            lastFailoverAt: '2026-11-21T10:00:00.000Z',
            error: null,
          },
          cluster: null,
        },
      },
      routes: {
        jobs: routeStatus({
          phase: 'shadow',
          primary: 'old',
          shadow: 'new',
          crossSlots: [],
          mirror: {
            lagMs: 12,
            backlog: 3,
            backlogBytes: 2048,
            mirrored: 100,
            dropped: 0,
            dirtyKeys: 4,
            hotKeys: 1,
            dirtyReasons: { overlap: 1, 'shadow-down': 3 },
            oldestDirtyMs: 61_000,
            needsVerify: true,
            verifyCauses: ['overflow'],
            refusedLibraries: [],
            refusedBecause: null,
            scriptsInDoubt: ['c9de48fe8f60d116de68a05101deb9f683108802'],
            scriptsAstray: 'names',
            unsettledVerify: null,
            incompleteEnd: null,
            strandedDatabases: [],
            strandedBecause: null,
            repair: 'paused',
            refusedCopy: null,
          },
          compare: compareStatus({ compared: 200, matched: 190, mismatched: 5, transient: 3, skipped: 2 }),
        }),
        rest: routeStatus({
          phase: 'passthrough',
          primary: 'old',
          shadow: null,
          crossSlots: [],
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
          compare: compareStatus({}),
        }),
      },
      clients: { connected: 11 },
      application: { served: true, reasons: [] },
      durability: { intact: true, intentLogBytes: 4096 },
    }
  }

  async routes() {
    this.#fail()
    return [
      { name: 'jobs', phase: 'shadow' as const, keys: ['job:{id}'], source: { store: 'old', keys: {} }, target: null },
    ]
  }

  redactedConfig() {
    return { admin: { token: '***' } }
  }

  async reload(request: ReloadRequest = {}): Promise<ReloadResult> {
    this.asked.push(Object.keys(request).length === 0 ? 'reload' : { reload: request })
    this.#fail()
    const { dryRun = false } = request
    const moves = ["route 'all': their primary stays store 'old'; nothing is mirrored"]
    return {
      configHash: 'c0ffee',
      epoch: 8,
      changed: true,
      dryRun,
      pauseMs: 1,
      moves,
      closedGates: [],
      gates: [],
      needsRestart: this.needsRestart,
    }
  }

  async setPhases(routes: readonly string[], request: PhaseRequest): Promise<PhasesResult> {
    this.asked.push({ routes, ...request })
    const steps = routes.map((route) => this.#step(route, request))
    const { consequences, from, to, route, ...taken } = steps[0]!
    return { routes: steps.map((step) => ({ route: step.route, from, to, consequences })), ...taken }
  }

  async setPhase(route: string, request: PhaseRequest): Promise<PhaseResult> {
    this.asked.push({ route, ...request })
    return this.#step(route, request)
  }

  #step(route: string, request: PhaseRequest): PhaseResult {
    this.#fail()
    const dryRun = request.dryRun ?? false
    if (route !== 'jobs' && route !== 'rest')
      throw new UnderstudyError('NOT_FOUND', `no route named ${route}; there are: jobs`)
    if (this.closedGates.length > 0 && !dryRun && !request.force) {
      throw new UnderstudyError('GATE_CLOSED', `route jobs stays in shadow: ${this.closedGates.join('; ')}`)
    }
    return {
      route,
      from: 'shadow',
      to: request.phase,
      dryRun,
      pauseMs: dryRun ? null : 4.2,
      consequences: ['Reads are answered by new.', 'Writes go to new, then to old.'],
      closedGates: request.force ? [] : this.closedGates,
      gates: [
        ...this.openGates.map((reason) => ({ route, open: true, reason })),
        ...this.closedGates.map((reason) => ({ route, open: false, reason })),
      ],
    }
  }

  readonly mismatches: MismatchAccess = {
    list: async (query) => {
      this.asked.push(query)
      this.#fail()
      return this.found
    },
    keys: async (query) => {
      this.asked.push(query)
      return this.found.map(({ id: mismatch, keys, pattern, acknowledged, ...rest }) => ({ mismatch, ...rest }))
    },
    acknowledgements: async () => this.known,
    acknowledge: async (request) => {
      this.asked.push(request)
      this.#fail()
      return acknowledgement({ reason: request.reason })
    },
    revoke: async (id) => {
      this.asked.push({ revoke: id })
      this.#fail()
    },
  }

  async comparison(): Promise<Comparison> {
    this.#fail()
    return this.compared
  }

  readonly jobs: JobControl = {
    start: async (request) => {
      this.asked.push(request)
      this.#fail()
      return job(request)
    },
    steer: async (id, action) => {
      this.asked.push({ id, action })
      this.#fail()
      return job({ id, state: action === 'pause' ? 'paused' : action === 'resume' ? 'running' : 'cancelled' })
    },
    list: async (query) => {
      this.asked.push(query)
      this.#fail()
      return this.jobList
    },
    get: async (id) => {
      this.#fail()
      const found = this.jobList.find((other) => other.id === id)
      if (found === undefined) throw new UnderstudyError('NOT_FOUND', `there is no job ${id}`)
      return found
    },
    keys: async (id, query) => {
      this.asked.push({ id, ...query })
      this.#fail()
      return this.listedKeys
    },
  }

  async history(query: HistoryQuery): Promise<History> {
    this.asked.push(query)
    this.#fail()
    return {
      route: query.route ?? '',
      range: query.range,
      stepSeconds: 2,
      at: [1],
      series: { lagMs: [12] },
      switches: [],
    }
  }

  async ready() {
    return { ready: this.notReady.length === 0, reasons: this.notReady, degraded: [] }
  }

  subscribe(listener: (event: ControlEvent) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  async metrics() {
    this.#fail()
    return { contentType: 'text/plain; version=0.0.4; charset=utf-8', body: 'understudy_config_epoch 7\n' }
  }

  emit(event: ControlEvent): void {
    for (const listener of this.listeners) listener(event)
  }

  #fail(): void {
    if (this.failure !== null) throw this.failure
  }
}

const NO_RATE = { compared: 0, mismatched: 0, rate: null }

function compareStatus(changes: Partial<RouteStatus['compare']>): RouteStatus['compare'] {
  return {
    compared: 0,
    matched: 0,
    mismatched: 0,
    transient: 0,
    skipped: 0,
    acknowledged: 0,
    ignored: 0,
    repaired: 0,
    rates: { '1m': NO_RATE, '10m': NO_RATE, '1h': NO_RATE },
    latencyMs: { primary: null, shadow: null },
    ...changes,
  }
}

export function mismatch(changes: Partial<Mismatch> = {}): Mismatch {
  return {
    id: 1,
    route: 'jobs',
    command: 'GET',
    class: 'value',
    cause: null,
    pattern: 'job:<n>',
    firstSeen: '2026-01-01T11:00:00.000Z',
    lastSeen: '2026-01-01T12:00:00.000Z',
    count: 1,
    keys: 1,
    database: 0,
    key: 'job:1',
    phase: 'shadow',
    detail: 'the values differ',
    paths: [],
    primary: 'string, 3 bytes, a1b2',
    shadow: 'string, 4 bytes, c3d4',
    acknowledged: null,
    ...changes,
  }
}

export function acknowledgement(changes: Partial<AcknowledgementView> = {}): AcknowledgementView {
  return {
    id: 1,
    route: 'jobs',
    pattern: 'job:<n>',
    command: null,
    class: null,
    until: null,
    reason: 'known',
    createdAt: '2026-01-01T12:00:00.000Z',
    ...changes,
  }
}

export function job(changes: Partial<Job> = {}): Job {
  return {
    id: 1,
    kind: 'backfill',
    route: 'jobs',
    state: 'running',
    createdAt: '2026-01-01T12:00:00.000Z',
    startedAt: '2026-01-01T12:00:00.000Z',
    finishedAt: null,
    options: {},
    progress: {
      done: 250,
      total: 1000,
      rate: 50,
      etaSeconds: 15,
      copied: 240,
      skipped: 8,
      failed: 2,
      compared: 0,
      different: 0,
      repaired: 0,
      deleted: 0,
    },
    throttle: null,
    error: null,
    report: null,
    ...changes,
  }
}

/** With the sentences that the sidecar makes of it. */
export function routeStatus(of: Omit<RouteStatus, 'problems'>): RouteStatus {
  return { ...of, problems: problemsOf(of) }
}
