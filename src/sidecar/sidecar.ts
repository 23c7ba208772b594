import type { DatabaseSync } from 'node:sqlite'
import { comparisonOf } from '../admin/compare-views.ts'
import type {
  Comparison,
  Control,
  ControlEvent,
  JobControl,
  PhaseRequest,
  PhaseResult,
  PhasesResult,
  Readiness,
  ReloadRequest,
  ReloadResult,
  RouteView,
} from '../admin/control.ts'
import { type History, type HistoryQuery, type HistoryRecorder, keepHistory } from '../admin/history.ts'
import { MismatchControl } from '../admin/mismatch-control.ts'
import { RecentAnswers } from '../admin/recent-answers.ts'
import type { Status } from '../admin/status.ts'
import { SwitchRecord } from '../admin/switch-record.ts'
import { type Facts, hashOfConfig, metricsOf, readinessOf, routeViews, statusOf } from '../admin/views.ts'
import { UnderstudyError } from '../base/errors.ts'
import { stopInOrder } from '../base/stop-steps.ts'
import type { Config } from '../config/config.ts'
import { redactConfig } from '../config/redact.ts'
import { inForceSince } from '../config/restart-parts.ts'
import type { Completeness } from '../cutover/completeness.ts'
import { OwedWrites } from '../cutover/owed-writes.ts'
import type { JobRunner } from '../jobs/runner/runner.ts'
import type { Log } from '../observability/log.ts'
import { errorFields } from '../observability/log-error.ts'
import { Metrics } from '../observability/metrics.ts'
import type { Notice } from '../proxy/messages.ts'
import { openStateDatabase } from '../state/state-database.ts'
import { ProvisionedStores } from '../upstream/provision.ts'
import { type ChangeGuards, changeGuards } from './change-guards.ts'
import { ConfigurationChanges } from './configuration-changes.ts'
import { chooseFirstRoutes } from './first-routes.ts'
import { sidecarJobs } from './jobs.ts'
import { DataPathThread } from './thread.ts'

export interface SidecarOptions {
  /** null: started from URLs; nothing to reload or edit. */
  readonly configPath: string | null
  readonly config: Config
  readonly version: string
  readonly log: Log
  readonly env: NodeJS.ProcessEnv
  /** The data path's thread died: the process has to end. */
  readonly onDeath: (error: Error) => void
  /** Another configuration is in force. */
  readonly onEntered: (config: Config) => void
}

/** A part that takes so much longer than it may is left when the process stops. */
const STOP_LIMIT_MS = 5_000

/**
 * The running product, seen from the main thread: the data path's thread, managed servers, health probes, and every change of configuration.
 */
export class Sidecar implements Control {
  readonly #options: SidecarOptions
  readonly #log: Log
  readonly #thread: DataPathThread
  readonly #stores: ProvisionedStores
  readonly mismatches: MismatchControl
  readonly #switches: SwitchRecord
  readonly #listeners = new Set<(event: ControlEvent) => void>()
  readonly #metrics: Metrics
  readonly #startedMs = performance.now()
  readonly #changes: ConfigurationChanges
  /** `state.db`; null until started. */
  #state: DatabaseSync | null = null
  /** Null until started; what follows too. */
  #jobs: JobRunner | null = null
  #completeness: Completeness | null = null
  #unsettled: ChangeGuards['unsettled'] = () => null
  #incompleteEnd: Facts['incompleteEnd'] = () => null
  /** To the state database. */
  #owed: OwedWrites | null = null
  #history: HistoryRecorder | null = null
  readonly #answers = new RecentAnswers()
  #isStopping = false

  constructor(options: SidecarOptions) {
    this.#options = options
    this.#log = options.log
    this.#thread = new DataPathThread((notice) => this.#noticed(notice), options.onDeath)
    this.#stores = new ProvisionedStores(options.log, {
      onFacts: (store, { clockOffsetMs, version, valkeyVersion }, clockJumped) =>
        this.#thread.tell({ kind: 'facts', store, offsetMs: clockOffsetMs ?? 0, version, valkeyVersion, clockJumped }),
      onPlace: (store, endpoint, failedOver, epoch) =>
        this.#thread.tell({ kind: 'endpoint', store, endpoint, failedOver, epoch }),
      left: (store) => this.#thread.left(store),
    })
    this.mismatches = new MismatchControl(options.config, options.log, (list) =>
      this.#thread.tell({ kind: 'acknowledgements', list }),
    )
    this.#switches = new SwitchRecord({
      log: options.log,
      emit: (event) => this.#emit(event),
      history: () => this.#history,
    })
    this.#changes = new ConfigurationChanges({
      ...options,
      thread: this.#thread,
      stores: this.#stores,
      switches: this.#switches,
      onEntered: (config) => {
        options.onEntered(config)
        this.mismatches.configure(config)
        this.#history?.routesAre(config.routes.map(({ name }) => name))
      },
      onReloaded: (successful, error) => this.#emit({ type: 'reload', data: { successful, error } }),
    })
    this.#metrics = new Metrics(async () => metricsOf(await this.#facts()))
  }

  get config(): Config {
    return this.#changes.inForce.config
  }

  get isStopping(): boolean {
    return this.#isStopping
  }

  get jobs(): JobControl {
    if (this.#jobs === null) throw new UnderstudyError('STATE_UNUSABLE', 'jobs are run while Understudy runs')
    return this.#jobs
  }

  /** Resolves with the listeners' ports when clients can connect. */
  async start(): Promise<number[]> {
    this.#state = openStateDatabase(this.config.stateDir, (error, setAside) =>
      this.#log.error('state.db is damaged; it was set aside and an empty one takes its place', {
        error: error.message,
        path: setAside,
      }),
    )
    this.mismatches.open(this.#state)
    await this.#stores.provide(this.config)
    await chooseFirstRoutes({
      changes: this.#changes,
      guards: this.#guard(this.#state),
      mismatches: this.mismatches,
      stores: this.#stores,
      log: this.#log,
    })
    const ports = await this.#thread.start(this.config, this.#stores.endpointsOf(this.config))
    // Nobody waits for it: what is being compared by then is dropped when it is known, and until then no shadow counts as complete.
    this.#changes.inForce.tellEnds().catch(() => {})
    this.mismatches.configure(this.config)
    await this.#stores.settle(this.config)
    this.#jobs = sidecarJobs({
      state: this.#state,
      inForce: this.#changes.inForce,
      completeness: this.#completeness!,
      mismatches: this.mismatches,
      thread: this.#thread,
      stores: this.#stores,
      onChange: (job) => this.#emit({ type: 'job', data: job }),
      log: this.#log,
    })
    this.#jobs.goOn()
    this.#history = keepHistory({
      database: this.#state,
      routes: this.config.routes.map(({ name }) => name),
      readStats: () => this.#thread.stats(),
      onStats: (stats) => this.#answers.add(stats),
      onSample: (data) => this.#emit({ type: 'sample', data }),
      log: this.#log,
    })
    void this.#changes.catchUp()
    return ports
  }

  /**
   * Ends every part, in the opposite order of their start, whatever becomes of the others. `graceMs`: how long commands under way and the backlog may take. False: something did not end as it
   * should, and the log says what.
   */
  stop(graceMs: number): Promise<boolean> {
    this.#isStopping = true
    this.#changes.stop()
    const history = this.#history
    const state = this.#state
    this.#history = null
    this.#state = null
    return stopInOrder(
      [
        { part: 'jobs', stop: () => this.#jobs?.stop() },
        { part: 'history', stop: () => history?.stop() },
        { part: 'health probes', stop: () => this.#stores.stopProbes() },
        { part: 'data path', stop: () => this.#thread.stop(graceMs) },
        { part: 'managed servers', stop: () => this.#stores.stopServers() },
        {
          part: 'state database',
          stop: () => {
            this.#owed?.stop()
            state?.close()
          },
        },
      ],
      graceMs + STOP_LIMIT_MS,
      (part, error) => this.#log.error('a part did not stop as it should', { part, ...errorFields(error) }),
    )
  }

  // --- reading

  async status(): Promise<Status> {
    return statusOf(await this.#facts())
  }

  async routes(): Promise<RouteView[]> {
    return routeViews(this.config)
  }

  redactedConfig(): unknown {
    return redactConfig(inForceSince(this.#options.config, this.config, this.#stores.dataDirs))
  }

  async comparison(): Promise<Comparison> {
    return comparisonOf(this.config, await this.#thread.stats())
  }

  async history(query: HistoryQuery): Promise<History> {
    if (query.route !== undefined && !this.config.routes.some(({ name }) => name === query.route))
      throw new UnderstudyError('NOT_FOUND', `no route is called '${query.route}'`)
    if (this.#history === null) throw new UnderstudyError('STATE_UNUSABLE', 'the history is kept while Understudy runs')
    return this.#history.read(query)
  }

  async ready(): Promise<Readiness> {
    return readinessOf(await this.#facts())
  }

  subscribe(listener: (event: ControlEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  metrics(): Promise<{ contentType: string; body: string }> {
    return this.#metrics.render()
  }

  // --- changing

  reload(request?: ReloadRequest): Promise<ReloadResult> {
    return this.#changes.reload(request)
  }

  setPhase(name: string, request: PhaseRequest): Promise<PhaseResult> {
    return this.#changes.setPhase(name, request)
  }

  setPhases(names: readonly string[], request: PhaseRequest): Promise<PhasesResult> {
    return this.#changes.setPhases(names, request)
  }

  // --- bookkeeping

  #noticed(notice: Notice): void {
    switch (notice.kind) {
      case 'log':
        this.#log.write(notice.line)
        return
      case 'look-for':
        this.#stores.lookFor(notice.store)
        return
      case 'finding': {
        const mismatch = this.mismatches.record(notice.finding)
        if (mismatch !== null) this.#emit({ type: 'mismatch', data: mismatch })
      }
    }
  }

  #guard(state: DatabaseSync): ChangeGuards {
    const owed = new OwedWrites(this.#log)
    const guards = changeGuards({
      state,
      owed,
      thread: this.#thread,
      stores: this.#stores,
      config: () => this.config,
      jobs: () => this.#jobs,
      openMismatches: (route) => this.mismatches.unresolved(route),
    })
    this.#owed = owed
    this.#completeness = guards.completeness
    this.#unsettled = guards.unsettled
    this.#incompleteEnd = (route) => guards.completeness.of(route)?.incomplete ?? null
    this.#changes.inForce.guardedBy(guards)
    return guards
  }

  async #facts(): Promise<Facts> {
    const stats = await this.#thread.stats()
    return {
      config: this.config,
      configHash: hashOfConfig(this.config),
      stats,
      health: this.#stores.health,
      clusters: this.#stores.clusters,
      sentinels: this.#stores.sentinels,
      version: this.#options.version,
      uptimeSeconds: Math.round((performance.now() - this.#startedMs) / 1000),
      lastReload: this.#changes.lastReload,
      needsRestart: this.#changes.inForce.needsRestart,
      answers: this.#answers,
      mismatchTotals: (route) => this.mismatches.totals(route),
      pauses: (route) => this.#switches.pausesOf(route),
      jobs: (route) => this.#jobs?.newest(route) ?? [],
      unsettled: (route) => this.#unsettled(route),
      incompleteEnd: (route) => this.#incompleteEnd(route),
      jobKeys: (route) => this.#jobs?.totals.of(route) ?? [],
    }
  }

  #emit(event: ControlEvent): void {
    for (const listener of this.#listeners) listener(event)
  }
}
