import type { Acknowledgement } from '../compare/acknowledgement.ts'
import type { Config, Endpoint } from '../config/config.ts'
import { Durability } from '../mirror/crash/durability.ts'
import { sayClockJumped } from '../mirror/stores/clock-jump.ts'
import { storeFacts } from '../mirror/stores/store-facts.ts'
import type { JobRequests } from './job-requests.ts'
import type { ApplyResult, Change, Notice, Stats } from './messages.ts'
import { type RuntimeLimits, RuntimeParts } from './runtime-parts.ts'
import { statsOf } from './runtime-stats.ts'
import { putInForce } from './switch/put-in-force.ts'
import { moveStore } from './switch/store-places.ts'

const TICK_MS = 20

/**
 * The data path of one thread: starts, runs and stops it, and tells how it is doing. Knows nothing of threads: `worker.ts` carries its
 * requests and notices.
 */
export class Runtime {
  readonly #parts: RuntimeParts

  constructor(
    config: Config,
    endpoints: Readonly<Record<string, Endpoint>>,
    notify: (notice: Notice) => void,
    limits: RuntimeLimits = {},
  ) {
    this.#parts = new RuntimeParts(config, endpoints, notify, limits)
  }

  /** What the main thread's jobs ask for. */
  get jobs(): JobRequests {
    return this.#parts.jobs
  }

  /** Opens the listeners; resolves with their ports in the order of the configuration. */
  async start(config: Config): Promise<number[]> {
    if (config.stateDir !== '') this.#openState(config)
    this.#parts.clock.start(TICK_MS, (nowMs) => this.#tick(nowMs))
    this.#parts.connectAll()
    return this.#parts.listeners.start(config.listen)
  }

  /** Before the first client: what the last run left in doubt is dirty. */
  #openState(config: Config): void {
    const { path, dirty, stores, overlap, jobs, functions, rehoming, identity, limits, turn } = this.#parts
    const durability = new Durability({
      stateDir: config.stateDir,
      context: path,
      dirty,
      stores: () => [...path.stores, ...stores.retiring],
      sweeping: () => overlap.sweeping,
      noteBlocked: (log) => {
        for (const command of path.blocked) command.noteIntent()
        jobs.writes.noteAgain(log)
        for (const rebuild of path.copies.rebuilds()) rebuild.noteIntent()
      },
      logged: config.intentLog,
    })
    this.#parts.durability = durability
    // Before what is in doubt of routes that are gone is forgotten.
    functions.recover(durability.formerFunctionPlaces)
    rehoming.recover(durability.formerPrimaries, durability.wasCalled)
    identity.restore(durability.storeRuns, durability.storeEpochs, durability.formerKeyspaces)
    identity.routesChanged()
    limits.restore(durability.evictedKeys)
    path.intents = durability.log
    turn.ahead = durability.log
  }

  /** Puts a new configuration in force, or nothing of it. */
  apply(change: Change): Promise<ApplyResult> {
    return putInForce(this.#parts, change)
  }

  /** As `Request` 'endpoint' says. */
  setEndpoint(name: string, endpoint: Endpoint | string, failedOver: boolean, epoch: number | null = null): void {
    const { path, identity, places } = this.#parts
    if (epoch !== null) identity.elected(name, epoch, failedOver)
    if (!places.set(name, endpoint) && !failedOver) return
    // Before a connection comes up there: its `run_id` says only what is known already.
    if (failedOver) identity.failedOver(name)
    moveStore(path, name)
  }

  /** Resolves when nothing is connected any more to a store that had this name and was dropped or changed. */
  left(store: string): Promise<void> {
    return this.#parts.stores.left(store)
  }

  /** `setFacts` will be called for each store: until then its clock is not known. */
  expectFacts(): void {
    this.#parts.path.copies.expectFacts(performance.now())
  }

  /** What the health probe found out about a store. `clockJumped`: somebody has set its clock since it was last asked. */
  setFacts(
    store: string,
    offsetMs: number,
    version: string | null,
    clockJumped = false,
    valkeyVersion: string | null = null,
  ): void {
    const { path, dirty } = this.#parts
    path.copies.learn(store, storeFacts(offsetMs, version, valkeyVersion))
    if (clockJumped) sayClockJumped(path, dirty, store)
    if (version !== null && path.routes.fallback.primary.storeName === store) path.server.redisVersion = version
  }

  /** Routes whose source a job has altered, or is about to, past the mirror. */
  setAlteredSources(routes: readonly string[]): void {
    for (const [name, state] of this.#parts.states) state.setSourceAltered(routes.includes(name))
  }

  /** Routes whose shadow holds all that the primary holds, by the configuration of that generation. Of another one that says nothing. */
  setCompleteShadows(routes: readonly string[], generation: number): void {
    this.#parts.completeShadows.tell(routes, generation)
  }

  /** Routes whose primary lacks nothing that the shadow held before mirroring began, by the configuration of that generation. */
  setCompletePrimaries(routes: readonly string[], generation: number): void {
    this.#parts.completePrimaries.tell(routes, generation)
  }

  setAcknowledgements(list: readonly Acknowledgement[]): void {
    this.#parts.comparer.acknowledgements = list
  }

  stats(): Stats {
    return statsOf(this.#parts)
  }

  /** No new clients; commands under way are answered, the backlog goes out, then every connection closes. At most `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    const { path, listeners, clock, stores, turn, jobs, mirror } = this.#parts
    path.shuttingDown = true
    listeners.close()
    path.unpause()
    for (const session of [...path.sessions]) session.lastWord.spoken()
    const isBusy = (): boolean =>
      path.sessions.size > 0 || this.#backlog() > 0 || mirror.undeclared.areOwed || !path.storePause.isQuiet
    const deadline = performance.now() + graceMs
    while (performance.now() < deadline && isBusy()) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    try {
      for (const session of [...path.sessions]) session.socket.destroy()
      clock.stop()
      for (const store of [...path.stores, ...stores.retiring]) store.close('Understudy is stopping')
    } finally {
      path.intents = null
      turn.ahead = null
      jobs.writes.stop()
      this.#parts.durability?.stop()
      this.#parts.durability = null
    }
  }

  #tick(nowMs: number): void {
    const { path, rehoming, completeShadows, repairer, jobs, durability, functions, mirror, limits, report } =
      this.#parts
    path.onTick(nowMs)
    rehoming.run()
    completeShadows.run()
    repairer.run(nowMs)
    jobs.run()
    durability?.tick(nowMs)
    functions.run(nowMs)
    mirror.undeclared.tick(nowMs)
    limits.run(nowMs)
    report.run(nowMs)
    for (const session of path.sessions) if (session.waiting === 'room') session.wake()
  }

  /** Writes that a shadow which is there has not acknowledged yet; one that is down is not waited for. */
  #backlog(): number {
    const { path } = this.#parts
    let total = 0
    for (const { shadow, state } of path.routes.routes) {
      if (shadow !== null && path.stores[shadow.store]!.shadows.to(0).state === 'up') total += state.backlogCommands
    }
    return total
  }
}
