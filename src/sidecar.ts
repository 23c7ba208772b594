import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { comparisonOf } from './admin/compare-views.ts'
import type {
  Comparison,
  Control,
  ControlEvent,
  JobControl,
  PhaseRequest,
  PhaseResult,
  Readiness,
  ReloadResult,
  RouteView,
  Status,
} from './admin/control.ts'
import { type History, type HistoryQuery, type HistoryRecorder, keepHistory } from './admin/history.ts'
import { MismatchControl } from './admin/mismatch-control.ts'
import { SwitchRecord } from './admin/switch-record.ts'
import { type Facts, hashOfConfig, metricsOf, readinessOf, routeViews, statusOf } from './admin/views.ts'
import { UnderstudyError } from './base/errors.ts'
import { stopInOrder } from './base/stop-steps.ts'
import type { Config } from './config/config.ts'
import { loadConfig } from './config/load.ts'
import { phaseChange } from './config/phase-change.ts'
import { redactConfig } from './config/redact.ts'
import { mustBeWritable, replaceFile } from './config/replace-file.ts'
import { partsThatNeedRestart } from './config/restart-parts.ts'
import { Completeness } from './cutover/completeness.ts'
import { Gates, sentenceOf } from './cutover/gates.ts'
import { Journal } from './cutover/journal.ts'
import { consequencesOf, transitions } from './cutover/transition.ts'
import { isEmptyEnd } from './jobs/empty-probe.ts'
import type { Job, JobReport } from './jobs/job.ts'
import { jobRunner } from './jobs/jobs.ts'
import type { JobRunner } from './jobs/runner.ts'
import type { Log } from './observability/log.ts'
import { errorFields } from './observability/log-error.ts'
import { Metrics } from './observability/metrics.ts'
import type { Notice } from './proxy/messages.ts'
import { openStateDatabase } from './state/state-database.ts'
import { DataPathThread } from './thread.ts'
import { ProvisionedStores } from './upstream/provision.ts'

export interface SidecarOptions {
  /** null: started from URLs; nothing to reload or edit. */
  readonly configPath: string | null
  readonly config: Config
  readonly version: string
  readonly log: Log
  readonly env: NodeJS.ProcessEnv
  /** The data path's thread died: the process has to end. */
  readonly onDeath: (error: Error) => void
}

/** A part that takes so much longer than it may is left when the process stops. */
const STOP_LIMIT_MS = 5_000

/** Enough to find the newest job of each kind. */
const RECENT_JOBS = 50

/**
 * The running product, seen from the main thread: the data path's thread, managed servers, health probes, and every change of configuration. One change at a time: they queue.
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
  #config: Config
  #generation = 0
  #lastReload: Status['lastReload'] = { successful: true, at: new Date().toISOString(), error: null }
  #changing: Promise<unknown> = Promise.resolve()
  /** `state.db`; null until started. */
  #state: DatabaseSync | null = null
  /** Null until started; what follows too. */
  #jobs: JobRunner | null = null
  #completeness: Completeness | null = null
  #gates: Gates | null = null
  #journal: Journal | null = null
  #history: HistoryRecorder | null = null

  constructor(options: SidecarOptions) {
    this.#options = options
    this.#config = options.config
    this.#log = options.log
    this.#thread = new DataPathThread((notice) => this.#noticed(notice), options.onDeath)
    this.#stores = new ProvisionedStores(options.log, {
      onFacts: (store, { clockOffsetMs, version }) =>
        this.#thread.tell({ kind: 'facts', store, offsetMs: clockOffsetMs ?? 0, version }),
      onPlace: (store, endpoint, failedOver) => this.#thread.tell({ kind: 'endpoint', store, endpoint, failedOver }),
    })
    this.mismatches = new MismatchControl(options.config, options.log, (list) =>
      this.#thread.tell({ kind: 'acknowledgements', list }),
    )
    this.#switches = new SwitchRecord({
      log: options.log,
      emit: (event) => this.#emit(event),
      history: () => this.#history,
    })
    this.#metrics = new Metrics(async () => metricsOf(await this.#facts()))
  }

  get config(): Config {
    return this.#config
  }

  get jobs(): JobControl {
    if (this.#jobs === null) throw new UnderstudyError('STATE_UNUSABLE', 'jobs are run while Understudy runs')
    return this.#jobs
  }

  /** Resolves with the listeners' ports when clients can connect. */
  async start(): Promise<number[]> {
    this.#state = openStateDatabase(this.#config.stateDir, (error, setAside) =>
      this.#log.error('state.db is damaged; it was set aside and an empty one takes its place', {
        error: error.message,
        path: setAside,
      }),
    )
    this.mismatches.open(this.#state)
    await this.#stores.provide(this.#config)
    this.#guard(this.#state)
    await this.#completeness!.approaching(this.#config)
    if (!existsSync(join(this.#config.stateDir, 'dirty.db')) && this.#completeness!.forgetAll())
      this.#log.error(
        'what was known of unequal keys is gone from the state directory: no shadow is taken for complete',
        {
          path: this.#config.stateDir,
        },
      )
    await this.#completeness!.inForce(this.#config, Date.now())
    const ports = await this.#thread.start(this.#config, this.#stores.endpoints)
    this.mismatches.configure(this.#config)
    await this.#stores.settle(this.#config)
    this.#jobs = this.#runJobs(this.#state)
    this.#jobs.goOn()
    this.#history = keepHistory({
      database: this.#state,
      routes: this.#config.routes.map(({ name }) => name),
      readStats: () => this.#thread.stats(),
      onSample: (data) => this.#emit({ type: 'sample', data }),
      log: this.#log,
    })
    return ports
  }

  /**
   * Ends every part, in the opposite order of their start, whatever becomes of the others. `graceMs`: how long commands under way and the backlog may take. False: something did not end as it
   * should, and the log says what.
   */
  stop(graceMs: number): Promise<boolean> {
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
        { part: 'state database', stop: () => state?.close() },
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
    return routeViews(this.#config)
  }

  redactedConfig(): unknown {
    return redactConfig(this.#config)
  }

  async comparison(): Promise<Comparison> {
    return comparisonOf(this.#config, await this.#thread.stats())
  }

  async history(query: HistoryQuery): Promise<History> {
    if (query.route !== undefined && !this.#config.routes.some(({ name }) => name === query.route))
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

  reload(): Promise<ReloadResult> {
    return this.#oneAtATime(async () => {
      const { configPath, env } = this.#options
      if (configPath === null)
        throw new UnderstudyError('USAGE', 'started from URLs: there is no configuration file to reload')
      try {
        const { config } = await loadConfig(configPath, env)
        const changed = hashOfConfig(config) !== hashOfConfig(this.#config)
        if (changed) await this.#apply(config, false)
        this.#reloaded(true, null)
        return { configHash: hashOfConfig(this.#config), epoch: this.#generation, changed }
      } catch (error) {
        this.#reloaded(false, error)
        throw error
      }
    })
  }

  setPhase(name: string, request: PhaseRequest): Promise<PhaseResult> {
    return this.#oneAtATime(async () => {
      const { configPath, env } = this.#options
      const { route, next, edited } = await phaseChange(this.#config, configPath, env, name, request.phase)
      const gates = await this.#gates!.all(this.#config, next)
      const closedGates = gates.filter((gate) => !gate.open).map(sentenceOf)
      const result: PhaseResult = {
        route: name,
        from: route.phase,
        to: request.phase,
        dryRun: request.dryRun ?? false,
        pauseMs: null,
        consequences: consequencesOf(route, request.phase),
        closedGates: request.force ? [] : closedGates,
        gates,
      }
      if (request.dryRun) return result
      if (configPath !== null) await mustBeWritable(configPath)
      if (request.force || request.reason !== undefined)
        this.#log.warn(request.force ? 'a phase change is forced' : 'a phase change is asked for', {
          route: name,
          from: route.phase,
          to: request.phase,
          reason: request.reason ?? null,
        })
      const pauseMs = await this.#apply(next, request.force ?? false)
      if (request.force) {
        const { from, to } = result
        this.#journal!.forced(name, { from, to, reason: request.reason ?? '', closedGates }, Date.now())
      }
      if (edited !== null) await replaceFile(configPath!, edited)
      this.#reloaded(true, null)
      // Those that were closed have opened while it waited for them.
      return request.force
        ? { ...result, pauseMs }
        : { ...result, pauseMs, closedGates: [], gates: gates.filter(({ open }) => open) }
    })
  }

  /** Puts `next` in force or throws; gives the pause in ms. */
  async #apply(next: Config, force: boolean): Promise<number> {
    const steps = transitions(this.#config, next)
    const holding = steps.filter((step) => step.holds)
    const moving = force ? [] : holding.filter((step) => step.movesPrimary)
    if (!force) {
      const closed = await this.#gates!.approach(this.#config, next)
      if (closed.length > 0) throw new UnderstudyError('GATE_CLOSED', closed.join('; '))
    }
    await this.#stores.provide(next)
    await this.#completeness!.approaching(next)
    const result = await this.#thread.apply({
      config: next,
      endpoints: this.#stores.endpoints,
      generation: this.#generation + 1,
      hold: holding.map((step) => step.route),
      needsEqual: moving.map((step) => step.route),
      forget: steps.filter((step) => step.forgetsShadow).map((step) => step.route),
      holdTimeoutMs: next.cutover.holdTimeoutMs,
    })
    if (!result.ok) {
      // Addresses of what is not in force after all.
      await this.#stores.provide(this.#config)
      throw new UnderstudyError(
        'SWITCH_CALLED_OFF',
        `${result.reason}; the switch was called off and everything goes on as before`,
      )
    }
    this.#generation++
    const needRestart = partsThatNeedRestart(this.#config, next)
    if (needRestart.length > 0)
      this.#log.warn('a part of the configuration that was changed takes effect at the next start only', {
        reason: needRestart.join(', '),
      })
    this.#config = next
    this.mismatches.configure(next)
    for (const step of holding) this.#switches.inForce(step, next, result.pauseMs)
    this.#history?.routesAre(next.routes.map(({ name }) => name))
    await this.#completeness!.inForce(next, Date.now())
    await this.#stores.settle(next)
    return result.pauseMs
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

  #guard(database: DatabaseSync): void {
    const completeness = new Completeness(database, (config, route, end) =>
      isEmptyEnd(config, (store) => this.#stores.endpoints[store] ?? null, route, end),
    )
    this.#completeness = completeness
    this.#journal = new Journal(database)
    this.#gates = new Gates({
      stats: () => this.#thread.stats(),
      isUp: (store) => this.#stores.health.get(store)?.up ?? false,
      completeness,
      isCleaning: (route) => this.#jobs?.isRunning('cleanup', route) ?? false,
      openMismatches: (route) => this.mismatches.unresolved(route),
    })
  }

  #runJobs(database: DatabaseSync): JobRunner {
    return jobRunner({
      state: database,
      environment: {
        config: () => this.#config,
        endpoint: (store) => this.#stores.endpoints[store] ?? null,
        version: (store) => this.#stores.health.get(store)?.version ?? null,
        ailment: (store) => this.#stores.clusters.get(store)?.error ?? null,
        dataPath: this.#thread,
        cleaning: (route) => this.#completeness!.cleaned(route, 'source'),
        mismatchedKeys: (route) => this.mismatches.keysOf(route),
        mended: (route, database, keys, sinceMs) => this.mismatches.mended(route, database, keys, sinceMs),
      },
      onDone: async (job, report) => this.#jobDone(job, report),
      onChange: (job) => this.#emit({ type: 'job', data: job }),
      log: this.#log,
    })
  }

  #jobDone({ kind, route: name, createdAt }: Job, report: JobReport): void {
    const route = this.#config.routes.find((other) => other.name === name)
    if (route === undefined || !report.clean || (kind !== 'backfill' && kind !== 'verify')) return
    this.#completeness!.completed(route, kind, Date.parse(createdAt), Date.now())
  }

  async #facts(): Promise<Facts> {
    const stats = await this.#thread.stats()
    return {
      config: this.#config,
      configHash: hashOfConfig(this.#config),
      stats,
      health: this.#stores.health,
      clusters: this.#stores.clusters,
      sentinels: this.#stores.sentinels,
      version: this.#options.version,
      uptimeSeconds: Math.round((performance.now() - this.#startedMs) / 1000),
      lastReload: this.#lastReload,
      mismatchTotals: (route) => this.mismatches.totals(route),
      pauses: (route) => this.#switches.pausesOf(route),
      jobs: (route) => this.#jobs?.recent(route, RECENT_JOBS) ?? [],
      jobKeys: (route) => this.#jobs?.totals(route) ?? [],
    }
  }

  #reloaded(successful: boolean, error: unknown): void {
    const text = error === null ? null : error instanceof Error ? error.message : String(error)
    this.#lastReload = { successful, at: new Date().toISOString(), error: text }
    if (!successful) this.#log.error('the configuration was not reloaded; the last good one stays', { error: text })
    this.#emit({ type: 'reload', data: { successful, error: text } })
  }

  #emit(event: ControlEvent): void {
    for (const listener of this.#listeners) listener(event)
  }

  #oneAtATime<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#changing.then(change, change)
    this.#changing = result.catch(() => {})
    return result
  }
}
