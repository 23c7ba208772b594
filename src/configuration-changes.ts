import { existsSync } from 'node:fs'
import type { PhaseRequest, PhaseResult, PhasesResult, ReloadRequest, ReloadResult, Status } from './admin/control.ts'
import type { SwitchRecord } from './admin/switch-record.ts'
import { hashOfConfig } from './admin/views.ts'
import { UnderstudyError } from './base/errors.ts'
import { stopping } from './base/stop-steps.ts'
import type { ChangeGuards } from './change-guards.ts'
import type { Config } from './config/config.ts'
import { isReadOnce, parseConfig, readConfigFile } from './config/load.ts'
import { phaseChange } from './config/phase-change.ts'
import { mustBeWritable } from './config/replace-file.ts'
import { dataDirsOf, partsThatNeedRestart } from './config/restart-parts.ts'
import { isGated } from './cutover/gates.ts'
import { keyRegions } from './cutover/key-regions.ts'
import { movesIn } from './cutover/move-sentences.ts'
import { closedIn, gatesTold, movingIn, type Prospect, routesIn } from './cutover/prospect.ts'
import { sameKeyspaces } from './cutover/same-keyspaces.ts'
import { consequencesOf, type LeftInStep, leftIn, type Transition, transitions } from './cutover/transition.ts'
import type { Log } from './observability/log.ts'
import { errorFields } from './observability/log-error.ts'
import type { LeftKeys } from './proxy/messages.ts'
import { diskTrouble } from './state/database.ts'
import type { DataPathThread } from './thread.ts'
import type { ProvisionedStores } from './upstream/provision.ts'

export interface ChangesOptions {
  /** null: started from URLs; nothing to reload or edit. */
  readonly configPath: string | null
  readonly config: Config
  readonly env: NodeJS.ProcessEnv
  readonly log: Log
  readonly thread: DataPathThread
  readonly stores: ProvisionedStores
  readonly switches: SwitchRecord
  /** Another configuration is in force. */
  readonly onEntered: (config: Config) => void
  readonly onReloaded: (successful: boolean, error: string | null) => void
}

/**
 * The configuration in force, and every change of it: by its file, or of routes' phases. One change at a time: they queue.
 *
 *   look     what becomes of every key, and which gates there are on the way
 *   approach waits, holding nobody, for gates that may open by themselves
 *   apply    what it needs is provided, what it makes untrue is taken back on disk; the data path holds what is concerned, drains, writes the routes down, swaps. Whatever fails up to here, everything is as before
 *   settle   what is remembered of the routes follows, and whatever becomes of that, the change is in force
 */
export class ConfigurationChanges {
  readonly #options: ChangesOptions
  #guards: ChangeGuards | null = null
  #config: Config
  #generation = 0
  #lastReload: Status['lastReload'] = { successful: true, at: new Date().toISOString(), error: null }
  #moving: ReadonlySet<string> = new Set()
  #changing: Promise<unknown> = Promise.resolve()
  /** What the process was started with, as long as the routes of the last run are in force instead. */
  #awaited: Config | null = null
  /** What the process was started with cannot be read again. */
  readonly #readOnce: boolean
  /** The text of the file that was last put in force, or refused; null: that of the start. */
  #tried: string | null = null
  #isStopping = false
  readonly #stopped = Promise.withResolvers<never>()

  constructor(options: ChangesOptions) {
    this.#stopped.promise.catch(() => {})
    this.#options = options
    this.#config = options.config
    this.#readOnce = options.configPath === null || isReadOnce(options.configPath)
  }

  /** The one in force. */
  get config(): Config {
    return this.#config
  }

  get lastReload(): Status['lastReload'] {
    return this.#lastReload
  }

  /** Parts that the file has changed since the start, and that are not in force before the next one. */
  get needsRestart(): string[] {
    return partsThatNeedRestart(this.#options.config, this.#config, this.#options.stores.dataDirs)
  }

  /** The authority of the route is about to move: nothing may be done to one of its ends alone. */
  isMoving(route: string): boolean {
    return this.#moving.has(route)
  }

  /** To be called before the first change. */
  guardedBy(guards: ChangeGuards): void {
    this.#guards = guards
  }

  /** Before anything runs: `config` is in force first, and not what the process was started with, for this reason. */
  beginWith(config: Config, reason: string): void {
    this.#awaited = this.#config
    this.#config = config
    this.#lastReload = { successful: false, at: new Date().toISOString(), error: reason }
  }

  /** What the process was started with, if it began with something else, is a change like any other now. Resolves when it is in force, or refused: which is told as of any reload. */
  async catchUp(): Promise<void> {
    if (this.#awaited !== null) await this.reload().catch(() => {})
  }

  /** To be called before anything is stopped: what waits is called off (STOPPING), and that is no decision that the next start has to know. */
  stop(): void {
    this.#isStopping = true
    this.#stopped.reject(stopping())
  }

  /** As `Control.reload`. */
  reload(request: ReloadRequest = {}): Promise<ReloadResult> {
    return this.#oneAtATime(() => this.#reload(request))
  }

  async #reload(request: ReloadRequest = {}): Promise<ReloadResult> {
    const { configPath, env } = this.#options
    const awaited = this.#awaited
    const isFile = configPath !== null && existsSync(configPath) && !isReadOnce(configPath)
    if (awaited !== null && this.#readOnce && !isFile) return this.#take(() => awaited, request)
    if (configPath === null)
      throw new UnderstudyError('USAGE', 'started from URLs: there is no configuration file to reload')
    return this.#take(() => {
      const text = readConfigFile(configPath)
      if (!request.dryRun) this.#tried = text
      return parseConfig(text, { path: configPath, env }).config
    }, request)
  }

  async #take(
    read: () => Config,
    { dryRun = false, force = false, reason }: ReloadRequest = {},
  ): Promise<ReloadResult> {
    let next: Config | null = null
    try {
      const old = this.#config
      next = read()
      const changed = hashOfConfig(next) !== hashOfConfig(old)
      const prospect = await this.#look(next)
      const moves = [
        ...movesIn(prospect.steps, old, next),
        ...prospect.warnings.map(({ route, text }) => `route '${route}': ${text}`),
      ]
      let pauseMs: number | null = null
      if (changed && !dryRun) {
        const applied = await this.#apply(prospect, force)
        pauseMs = applied.pauseMs
        for (const { route, keys } of applied.left) {
          const before = old.routes.find(({ name }) => name === route)!
          moves.push(`route '${route}': ${leftIn(before, before.phase, keys)}`)
        }
        if (force) this.#journal(prospect.steps.filter(isGated), closedIn(prospect), reason ?? '')
      } else if (!dryRun) this.#guards!.journal.entered()
      if (!dryRun && !changed && !this.#lastReload.successful)
        this.#options.log.info('the configuration file holds again what is in force')
      if (!dryRun) this.#reloaded(true, null)
      return {
        configHash: hashOfConfig(dryRun ? next : this.#config),
        epoch: this.#generation,
        changed,
        dryRun,
        pauseMs,
        moves,
        ...gatesTold(prospect, dryRun, force),
      }
    } catch (thrown) {
      const error = diskTrouble(thrown) ?? thrown
      if (!dryRun && !this.#isStopping) this.#refused(next, error)
      throw error
    }
  }

  /** As `Control.setPhase`. */
  async setPhase(name: string, request: PhaseRequest): Promise<PhaseResult> {
    const { routes, ...taken } = await this.setPhases([name], request)
    return { ...routes[0]!, ...taken }
  }

  /** As `Control.setPhases`. */
  setPhases(names: readonly string[], request: PhaseRequest): Promise<PhasesResult> {
    return this.#oneAtATime(async () => {
      const { configPath, env, log } = this.#options
      await this.#takeUp()
      const { routes, next, save } = await phaseChange(
        this.#config,
        configPath,
        env,
        [...new Set(names)],
        request.phase,
      )
      const prospect = await this.#look(next)
      const { phase: to, dryRun = false, force = false, reason } = request
      const told = (leftBehind: (route: string) => LeftInStep) =>
        routes.map((route) => {
          const { name, phase: from } = route
          const warnings = prospect.warnings.filter((warning) => warning.route === name).map(({ text }) => text)
          return {
            route: name,
            from,
            to,
            consequences: [...consequencesOf(route, to, from, leftBehind(name)), ...warnings],
          }
        })
      const gates = gatesTold(prospect, dryRun, force)
      if (dryRun) return { routes: told(() => (force ? 'unknown' : 'nothing')), dryRun, pauseMs: null, ...gates }
      if (configPath !== null) await mustBeWritable(configPath)
      for (const { name: route, phase: from } of force || reason !== undefined ? routes : [])
        log.warn(force ? 'a phase change is forced' : 'a phase change is asked for', {
          route,
          from,
          to,
          reason: reason ?? null,
        })
      const { pauseMs, left } = await this.#apply(prospect, force)
      for (const { name: route, phase: from } of force ? routes : []) {
        const forced = { from, to, reason: reason ?? '', closedGates: closedIn(prospect) }
        this.#guards!.journal.forced(route, forced, Date.now())
      }
      await save()
      this.#reloaded(true, null)
      return { routes: told((route) => leftOf(left, route)), dryRun, pauseMs, ...gates }
    })
  }

  /** Who saves the file and changes a phase right behind it means both: what is saved there and has not been looked at yet comes first, as it would by itself a moment later. Where it is refused, that is told as of any reload. */
  async #takeUp(): Promise<void> {
    const { configPath } = this.#options
    if (configPath === null) return
    try {
      if (readConfigFile(configPath) !== this.#tried) await this.#reload()
    } catch {
      // The phase is refused for it, too.
    }
  }

  async #look(next: Config): Promise<Prospect> {
    const same = await sameKeyspaces(this.#config, next)
    const regions = keyRegions(this.#config, next, same)
    const steps = transitions(this.#config, next, same)
    const { gates } = this.#guards!
    const [conditions, warnings] = await Promise.all([
      gates.all(this.#config, next, same),
      gates.warnings(this.#config, next, same),
    ])
    return { next, same, regions, steps, gates: conditions, warnings }
  }

  /** Puts it in force or throws. */
  async #apply(prospect: Prospect, force: boolean): Promise<Applied> {
    const old = this.#config
    await this.#mustBeOpen(prospect, force)
    let applied: Applied
    try {
      await this.#unlessStopped(this.#approach(prospect))
      applied = await this.#swap(prospect, force)
    } catch (error) {
      this.#guards!.completeness.calledOff(old)
      await this.#letGo(old)
      throw error
    } finally {
      this.#moving = new Set()
    }
    await this.#entered(prospect, applied)
    return applied
  }

  async #approach({ next, regions }: Prospect): Promise<void> {
    await this.#options.stores.provide(next)
    await this.#guards!.completeness.approaching(next, regions)
  }

  /** Throws where it is called off. */
  async #swap(prospect: Prospect, force: boolean): Promise<Applied> {
    const { thread, stores } = this.#options
    // From here on nothing can make one end lack what the gates have seen there: what has begun before, while stores were asked, they see now.
    this.#moving = new Set(movingIn(prospect).flatMap(({ before, route }) => [before, route]))
    await this.#mustBeOpen(prospect, force)
    const endpoints = stores.endpointsOf(prospect.next)
    const result = await thread.apply({
      ...routesIn(prospect),
      config: prospect.next,
      endpoints,
      generation: this.#generation + 1,
      force,
      holdTimeoutMs: prospect.next.cutover.holdTimeoutMs,
    })
    if (result.ok) return result
    throw new UnderstudyError(
      'SWITCH_CALLED_OFF',
      `${result.reason}; the switch was called off and everything goes on as before`,
    )
  }

  async #entered({ next, steps, regions }: Prospect, { pauseMs, left }: Applied): Promise<void> {
    const { completeness, journal } = this.#guards!
    const old = this.#config
    this.#generation++
    this.#config = next
    this.#awaited = null
    if (partsThatNeedRestart(old, next, dataDirsOf(old)).length > 0 && this.needsRestart.length > 0)
      this.#options.log.warn('a part of the configuration that was changed takes effect at the next start only', {
        reason: this.needsRestart.join(', '),
      })
    this.#options.onEntered(next)
    const { switches } = this.#options
    for (const step of steps) {
      if (step.keys.length > 0) switches.keysMoved(step, movesIn([step], old, next)[0]!, pauseMs)
      else if (step.holds) switches.inForce(step, next, pauseMs, leftOf(left, step.before))
    }
    await completeness.inForce(next, Date.now(), regions)
    await this.#options.thread.setAlteredSources(completeness.alteredSources())
    journal.entered()
    await this.#letGo(next)
  }

  /** What the configuration in force does not need. */
  async #letGo(config: Config): Promise<void> {
    await this.#options.stores.settle(config).catch((error: unknown) => {
      this.#options.log.error(
        'what the configuration in force does not need any more could not be let go',
        errorFields(error),
      )
    })
  }

  /** Throws GATE_CLOSED, unless it is forced. */
  async #mustBeOpen({ next, same }: Prospect, force: boolean): Promise<void> {
    const closed = force ? [] : await this.#unlessStopped(this.#guards!.gates.approach(this.#config, next, same))
    if (closed.length > 0) throw new UnderstudyError('GATE_CLOSED', closed.join('; '))
  }

  #journal(steps: readonly Transition[], closedGates: readonly string[], reason: string): void {
    for (const { route, from, to } of steps) {
      this.#options.log.warn('a reload that moves keys is forced', { route, from, to, reason })
      this.#guards!.journal.forced(route, { from, to, reason, closedGates }, Date.now())
    }
  }

  /** `next`: null: the file holds none. A start that finds it there has to know. */
  #refused(next: Config | null, error: unknown): void {
    this.#reloaded(false, error)
    if (next !== null) this.#guards!.journal.refused(hashOfConfig(next), messageOf(error), Date.now())
  }

  #reloaded(successful: boolean, error: unknown): void {
    const text = error === null ? null : messageOf(error)
    this.#lastReload = { successful, at: new Date().toISOString(), error: text }
    if (!successful)
      this.#options.log.error('the configuration was not reloaded; the last good one stays', { error: text })
    this.#options.onReloaded(successful, text)
  }

  /** Throws STOPPING as soon as the process stops. */
  #unlessStopped<T>(step: Promise<T>): Promise<T> {
    return Promise.race([this.#stopped.promise, step])
  }

  #oneAtATime<T>(change: () => Promise<T>): Promise<T> {
    const begin = (): Promise<T> => (this.#isStopping ? Promise.reject(stopping()) : change())
    const result = this.#changing.then(begin, begin)
    this.#changing = result.catch(() => {})
    return result
  }
}

/** How long commands were held, in ms, and what was left behind of the routes of before. */
interface Applied {
  readonly pauseMs: number
  readonly left: readonly LeftKeys[]
}

function leftOf(left: readonly LeftKeys[], route: string): LeftInStep {
  return left.find((one) => one.route === route) ?? 'nothing'
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
