import { existsSync } from 'node:fs'
import type { PhaseRequest, PhaseResult, PhasesResult, ReloadRequest, ReloadResult } from '../admin/control.ts'
import type { Status } from '../admin/status.ts'
import { hashOfConfig } from '../admin/views.ts'
import { UnderstudyError } from '../base/errors.ts'
import { stopping } from '../base/stop-steps.ts'
import type { Config } from '../config/config.ts'
import { isReadOnce, parseConfig, readConfigFile } from '../config/file/load.ts'
import { mustBeWritable } from '../config/file/replace-file.ts'
import { phaseChange } from '../config/phase-change.ts'
import { isGated } from '../cutover/gates.ts'
import { movesIn } from '../cutover/move-sentences.ts'
import { closedIn, gatesTold } from '../cutover/prospect.ts'
import { consequencesOf, type LeftInStep, leftIn } from '../cutover/transition.ts'
import { diskTrouble } from '../state/database.ts'
import { ConfigurationInForce, type InForceOptions, leftOf } from './configuration-in-force.ts'

export interface ChangesOptions extends InForceOptions {
  /** null: started from URLs; nothing to reload or edit. */
  readonly configPath: string | null
  readonly env: NodeJS.ProcessEnv
  readonly onReloaded: (successful: boolean, error: string | null) => void
}

/** Every change of the configuration in force: by its file, or of routes' phases. One change at a time: they queue. */
export class ConfigurationChanges {
  readonly #options: ChangesOptions
  readonly inForce: ConfigurationInForce
  #lastReload: Status['lastReload'] = { successful: true, at: new Date().toISOString(), error: null }
  #changing: Promise<unknown> = Promise.resolve()
  /** What the process was started with, as long as the routes of the last run are in force instead. */
  #awaited: Config | null = null
  /** What the process was started with cannot be read again. */
  readonly #readOnce: boolean
  /** The text of the file that was last put in force, or refused; null: that of the start. */
  #tried: string | null = null
  #isStopping = false

  constructor(options: ChangesOptions) {
    this.#options = options
    const onEntered = (config: Config): void => {
      this.#awaited = null
      options.onEntered(config)
    }
    this.inForce = new ConfigurationInForce({ ...options, onEntered })
    this.#readOnce = options.configPath === null || isReadOnce(options.configPath)
  }

  get lastReload(): Status['lastReload'] {
    return this.#lastReload
  }

  /** Before anything runs: `config` is in force first, and not what the process was started with, for this reason. */
  beginWith(config: Config, reason: string): void {
    this.#awaited = this.inForce.config
    this.inForce.beginWith(config)
    this.#lastReload = { successful: false, at: new Date().toISOString(), error: reason }
  }

  /** What the process was started with, if it began with something else, is a change like any other now. Resolves when it is in force, or refused: which is told as of any reload. */
  async catchUp(): Promise<void> {
    if (this.#awaited !== null) await this.reload().catch(() => {})
  }

  /** To be called before anything is stopped: what waits is called off (STOPPING), and that is no decision that the next start has to know. */
  stop(): void {
    this.#isStopping = true
    this.inForce.stop()
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
      const old = this.inForce.config
      next = read()
      const changed = hashOfConfig(next) !== hashOfConfig(old)
      const prospect = await this.inForce.look(next)
      const moves = [
        ...movesIn(prospect.steps, old, next),
        ...prospect.warnings.map(({ route, text }) => `route '${route}': ${text}`),
      ]
      let pauseMs: number | null = null
      if (changed && !dryRun) {
        const applied = await this.inForce.apply(prospect, force)
        pauseMs = applied.pauseMs
        for (const { route, keys } of applied.left) {
          const before = old.routes.find(({ name }) => name === route)!
          moves.push(`route '${route}': ${leftIn(before, before.phase, keys)}`)
        }
        if (force) this.inForce.journalForced(prospect.steps.filter(isGated), closedIn(prospect), reason ?? '')
      } else if (!dryRun) this.inForce.journal.entered()
      if (!dryRun && !changed && !this.#lastReload.successful)
        this.#options.log.info('the configuration file holds again what is in force')
      if (!dryRun) this.#reloaded(true, null)
      return {
        configHash: hashOfConfig(dryRun ? next : this.inForce.config),
        epoch: this.inForce.generation,
        changed,
        dryRun,
        pauseMs,
        moves,
        ...gatesTold(prospect, dryRun, force),
        needsRestart: this.inForce.needsRestartFor(next),
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
        this.inForce.config,
        configPath,
        env,
        [...new Set(names)],
        request.phase,
      )
      const prospect = await this.inForce.look(next)
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
      const { pauseMs, left } = await this.inForce.apply(prospect, force)
      for (const { name: route, phase: from } of force ? routes : []) {
        const forced = { from, to, reason: reason ?? '', closedGates: closedIn(prospect) }
        this.inForce.journal.forced(route, forced, Date.now())
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

  /** `next`: null: the file holds none. A start that finds it there has to know. */
  #refused(next: Config | null, error: unknown): void {
    this.#reloaded(false, error)
    if (next !== null) this.inForce.journal.refused(hashOfConfig(next), messageOf(error), Date.now())
  }

  #reloaded(successful: boolean, error: unknown): void {
    const text = error === null ? null : messageOf(error)
    this.#lastReload = { successful, at: new Date().toISOString(), error: text }
    if (!successful)
      this.#options.log.error('the configuration was not reloaded; the last good one stays', { error: text })
    this.#options.onReloaded(successful, text)
  }

  #oneAtATime<T>(change: () => Promise<T>): Promise<T> {
    const begin = (): Promise<T> => (this.#isStopping ? Promise.reject(stopping()) : change())
    const result = this.#changing.then(begin, begin)
    this.#changing = result.catch(() => {})
    return result
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
