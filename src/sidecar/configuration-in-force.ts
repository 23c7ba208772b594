import type { SwitchRecord } from '../admin/switch-record.ts'
import { UnderstudyError } from '../base/errors.ts'
import { stopping } from '../base/stop-steps.ts'
import type { Config } from '../config/config.ts'
import { dataDirsOf, partsThatNeedRestart } from '../config/restart-parts.ts'
import { keyRegions } from '../cutover/key-regions.ts'
import { movesIn } from '../cutover/move-sentences.ts'
import { movingIn, type Prospect, routesIn } from '../cutover/prospect.ts'
import { sameKeyspaces } from '../cutover/same-keyspaces.ts'
import { type LeftInStep, type Transition, transitions } from '../cutover/transition.ts'
import type { Log } from '../observability/log.ts'
import { errorFields } from '../observability/log-error.ts'
import type { LeftKeys } from '../proxy/messages.ts'
import type { ProvisionedStores } from '../upstream/provision.ts'
import type { ChangeGuards } from './change-guards.ts'
import type { DataPathThread } from './thread.ts'

export interface InForceOptions {
  readonly config: Config
  readonly log: Log
  readonly thread: DataPathThread
  readonly stores: ProvisionedStores
  readonly switches: SwitchRecord
  /** Another configuration is in force. */
  readonly onEntered: (config: Config) => void
}

/** How long commands were held, in ms, and what was left behind of the routes of before. */
export interface Applied {
  readonly pauseMs: number
  readonly left: readonly LeftKeys[]
}

/**
 * The configuration in force, and how another one takes its place.
 *
 *   look     what becomes of every key, and which gates there are on the way
 *   approach waits, holding nobody, for gates that may open by themselves
 *   apply    what it needs is provided, what it makes untrue is taken back on disk; the data path holds what is concerned, drains, writes the routes down, swaps. Whatever fails up to here, everything is as before
 *   settle   what is remembered of the routes follows, and whatever becomes of that, the change is in force
 *
 * One at a time: its caller sees to that.
 */
export class ConfigurationInForce {
  readonly #options: InForceOptions
  #guards: ChangeGuards | null = null
  #config: Config
  #generation = 0
  #moving: ReadonlySet<string> = new Set()
  readonly #stopped = Promise.withResolvers<never>()

  constructor(options: InForceOptions) {
    this.#stopped.promise.catch(() => {})
    this.#options = options
    this.#config = options.config
  }

  get config(): Config {
    return this.#config
  }

  /** How many changes there have been since the start. */
  get generation(): number {
    return this.#generation
  }

  get journal(): ChangeGuards['journal'] {
    return this.#guards!.journal
  }

  /** Parts that the file has changed since the start, and that are not in force before the next one. */
  get needsRestart(): string[] {
    return this.needsRestartFor(this.#config)
  }

  needsRestartFor(config: Config): string[] {
    return partsThatNeedRestart(this.#options.config, config, this.#options.stores.dataDirs)
  }

  /** The authority of the route is about to move: nothing may be done to one of its ends alone. */
  isMoving(route: string): boolean {
    return this.#moving.has(route)
  }

  /** To be called before the first change. */
  guardedBy(guards: ChangeGuards): void {
    this.#guards = guards
  }

  /** Before anything runs: this one is in force first, and not what the process was started with. */
  beginWith(config: Config): void {
    this.#config = config
  }

  /** What jobs and changes have made of the ends of routes is known to the data path when this resolves. */
  async tellEnds(): Promise<void> {
    const { thread } = this.#options
    const { completeness } = this.#guards!
    await Promise.all([
      thread.setAlteredSources(completeness.alteredSources()),
      thread.setCompleteShadows(completeness.completeShadows(this.#config), this.#generation),
      thread.setCompletePrimaries(completeness.completePrimaries(this.#config), this.#generation),
    ])
  }

  /** What waits is called off (STOPPING). */
  stop(): void {
    this.#stopped.reject(stopping())
  }

  /** What would become of every key. */
  async look(next: Config): Promise<Prospect> {
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
  async apply(prospect: Prospect, force: boolean): Promise<Applied> {
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

  /** A reload was forced: the journal keeps it. */
  journalForced(steps: readonly Transition[], closedGates: readonly string[], reason: string): void {
    for (const { route, from, to } of steps) {
      this.#options.log.warn('a reload that moves keys is forced', { route, from, to, reason })
      this.#guards!.journal.forced(route, { from, to, reason, closedGates }, Date.now())
    }
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
    await this.tellEnds()
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

  /** Throws STOPPING as soon as the process stops. */
  #unlessStopped<T>(step: Promise<T>): Promise<T> {
    return Promise.race([this.#stopped.promise, step])
  }
}

/** What was left behind of `route`. */
export function leftOf(left: readonly LeftKeys[], route: string): LeftInStep {
  return left.find((one) => one.route === route) ?? 'nothing'
}
