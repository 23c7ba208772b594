import { isDeepStrictEqual } from 'node:util'
import { CoarseClock } from '../base/clock.ts'
import { Turn } from '../base/turn.ts'
import type { CommandSpec } from '../command/spec.ts'
import { CommandTable } from '../command/table.ts'
import type { Acknowledgement } from '../compare/acknowledgement.ts'
import { Comparer } from '../compare/comparer.ts'
import type { Config, Endpoint } from '../config/config.ts'
import { sayClockJumped } from '../mirror/clock-jump.ts'
import { type CopyLimits, CopyState } from '../mirror/copy-state.ts'
import { exchangedRoutes, primariesOf } from '../mirror/crash-recovery.ts'
import { DirtyReport, sayInDoubt } from '../mirror/dirty-report.ts'
import { DirtySet } from '../mirror/dirty-set.ts'
import { Durability } from '../mirror/durability.ts'
import { FunctionSync } from '../mirror/function-sync.ts'
import { Mirror } from '../mirror/mirror.ts'
import { OverlapTable } from '../mirror/overlap.ts'
import { primaryPipeline } from '../mirror/primary-pipeline.ts'
import { Rehoming } from '../mirror/rehoming.ts'
import { Repairer } from '../mirror/repairer.ts'
import { mannerOf } from '../mirror/resting-keys.ts'
import { SameServers } from '../mirror/same-servers.ts'
import { ShadowLimits } from '../mirror/shadow-limits.ts'
import { storeFacts } from '../mirror/store-facts.ts'
import { StoreIdentity } from '../mirror/store-identity.ts'
import { isOfFunctions, type VerifyCause } from '../mirror/verify-marks.ts'
import { WriteTickets } from '../mirror/write-tickets.ts'
import type { LogLine } from '../observability/log.ts'
import { noteKeptUp } from '../routing/kept-up.ts'
import type { Route, RouteState } from '../routing/route.ts'
import { RouteTable } from '../routing/route-table.ts'
import type { Run } from '../upstream/own-connections.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import type { Store } from '../upstream/store.ts'
import { ConfiguredStores } from './configured-stores.ts'
import { DataPath } from './data-path.ts'
import { Fence } from './fence.ts'
import { JobRequests } from './job-requests.ts'
import { LeftBehind } from './left-behind.ts'
import { Listeners, type PreparedListeners } from './listeners.ts'
import type { ApplyResult, Change, Notice, Stats } from './messages.ts'
import { PrimaryCommands } from './primary-commands.ts'
import { becomeQuiet, type QuietParts } from './quiet.ts'
import { statsOf } from './runtime-stats.ts'
import { moveStore, StorePlaces } from './store-places.ts'
import { succeedStores } from './successors.ts'
import { SyncReplies } from './sync-replies.ts'
import { TargetReads } from './target-reads.ts'

const TICK_MS = 20
const DIRTY_LIMIT = 4_000_000
/** Without a state directory nothing is known of earlier runs. */
const NAMELESS: Run = { name: 'understudy', former: new Set() }

/**
 * The data path of one thread: builds its parts from a configuration, swaps them when it changes, and tells how it is doing. Knows nothing of threads: `worker.ts` carries its
 * requests and notices.
 */
export class Runtime {
  readonly #clock = new CoarseClock()
  readonly #turn = new Turn()
  readonly #states = new Map<string, RouteState>()
  readonly #places: StorePlaces
  readonly #stores: ConfiguredStores
  readonly #path: DataPath
  readonly #dirty: DirtySet
  readonly #mirror: Mirror
  readonly #comparer: Comparer
  readonly #repairer: Repairer
  readonly #rehoming: Rehoming
  readonly #functions: FunctionSync
  readonly #limits: ShadowLimits
  readonly #report: DirtyReport
  readonly #identity: StoreIdentity
  readonly #sameServers: SameServers
  /** What the main thread's jobs ask for. */
  readonly jobs: JobRequests
  readonly #overlap: OverlapTable
  /** Null: nothing is kept (`stateDir: ''`). */
  #durability: Durability | null = null
  readonly #commands: PrimaryCommands
  readonly #listeners: Listeners

  /** `copyLimits`, `calm` and `quietMs` (`OverlapTable`): for tests, which have no big keys and do not last. */
  constructor(
    config: Config,
    endpoints: Readonly<Record<string, Endpoint>>,
    notify: (notice: Notice) => void,
    { copyLimits = {}, calm, quietMs }: { copyLimits?: Partial<CopyLimits>; calm?: number; quietMs?: number } = {},
  ) {
    const builtin = CommandTable.builtin()
    const places = new StorePlaces(endpoints, (store) => notify({ kind: 'look-for', store }))
    this.#places = places
    const log = (line: LogLine): void => notify({ kind: 'log', line })
    this.#stores = new ConfiguredStores({
      places,
      commands: () => path.commands,
      turn: this.#turn,
      clock: this.#clock,
      log,
      onState: (store, pipeline, error) => this.#onState(store, pipeline, error),
      onDrain: () => path.resumeWaiting(),
      run: () => this.#durability?.run ?? NAMELESS,
      met: (store, forMirror, address, info) => {
        if (store.cluster === null) this.#identity.met(store.name, info)
        return this.#sameServers.met(store, forMirror, address, info)
      },
    })
    const path = new DataPath({
      clock: this.#clock,
      turn: this.#turn,
      log,
      lookFor: (store) => places.lookFor(store),
      commands: builtin,
      routes: this.#table(config, 0),
      stores: this.#stores.of(config, []),
      clients: config.clients,
      isComparable,
      copies: new CopyState(copyLimits),
    })
    this.#path = path
    this.#commands = new PrimaryCommands(path, builtin)
    this.#listeners = new Listeners(path)
    this.#dirty = new DirtySet(DIRTY_LIMIT, (route, cause) => this.#inDoubt(route, cause))
    const overlap = new OverlapTable(this.#clock, undefined, calm, quietMs)
    this.#overlap = overlap
    this.#sameServers = new SameServers(path)
    this.#identity = new StoreIdentity(path, this.#dirty, (runs, epochs) =>
      this.#durability?.setStoreRuns(runs, epochs),
    )
    this.#mirror = new Mirror(path, this.#dirty, overlap)
    const mirrorView = {
      has: (route: string, database: number, key: Buffer) => this.#mirror.has(route, database, key),
      look: (hash: number, lane: number) => overlap.look(hash, lane),
      traffic: (hash: number, lane: number) => overlap.traffic(hash, lane),
      writes: (hash: number) => overlap.writes(hash),
      loadForRead: this.#mirror.loadForRead.bind(this.#mirror),
      primaryPipeline: (route: Route, database: number, hash: number) =>
        primaryPipeline(path, overlap, route, database, hash),
    }
    this.#comparer = new Comparer(path, mirrorView, (finding, route) => {
      notify({ kind: 'finding', finding })
      if (!route.config.compare.repair || finding.cause === 'baseline' || finding.cause === 'same-data') return
      // What the primary lacks may be the last copy of it: only people delete that. So may be what differs where it is not known what it has lost.
      if (finding.lackingOn === 'primary' || this.#dirty.toVerify.mayPrimaryLack(route.name)) return
      this.#mirror.mark(this.#mirror.refOf(finding.key, finding.database), 'mismatch')
      this.#comparer.tallyOf(route.state).repaired++
    })
    this.#repairer = new Repairer(path, this.#dirty, overlap, () => path.resumeWaiting())
    this.#rehoming = new Rehoming(path, this.#dirty, () => overlap.sweeping)
    this.#limits = new ShadowLimits(path, this.#dirty)
    this.#functions = new FunctionSync(path, this.#dirty, this.#mirror.functions)
    this.#report = new DirtyReport(path, this.#dirty)
    const isBeingMended = (route: string, database: number, key: Buffer): boolean => {
      const entry = this.#dirty.find(route, database, key)
      return entry === null ? mirrorView.has(route, database, key) : mannerOf(path, this.#dirty, entry) === 'at-once'
    }
    this.jobs = new JobRequests(path, this.#dirty, overlap, isBeingMended, () => path.intents)
    path.mirror = this.#mirror
    path.identity = this.#identity
    path.tickets = new WriteTickets(overlap)
    path.dirty = this.#dirty
    path.comparer = this.#comparer
    path.targetReads = new TargetReads(path, overlap)
    path.syncReplies = new SyncReplies(path)
  }

  /** Opens the listeners; resolves with their ports in the order of the configuration. */
  async start(config: Config): Promise<number[]> {
    if (config.stateDir !== '') this.#openState(config)
    this.#clock.start(TICK_MS, (nowMs) => this.#tick(nowMs))
    this.#connectAll()
    return this.#listeners.start(config.listen)
  }

  /** Before the first client: what the last run left in doubt is dirty. */
  #openState(config: Config): void {
    const path = this.#path
    this.#durability = new Durability({
      stateDir: config.stateDir,
      context: path,
      dirty: this.#dirty,
      stores: () => [...path.stores, ...this.#stores.retiring],
      sweeping: () => this.#overlap.sweeping,
      noteBlocked: (log) => {
        for (const command of path.blocked) command.noteIntent()
        this.jobs.writes.noteAgain(log)
      },
      logged: config.intentLog,
    })
    // Before what is in doubt of routes that are gone is forgotten.
    this.#functions.recover(this.#durability.formerFunctionPlaces)
    this.#rehoming.recover(this.#durability.formerPrimaries)
    this.#identity.restore(this.#durability.storeRuns, this.#durability.storeEpochs)
    this.#identity.routesChanged()
    path.intents = this.#durability.log
    this.#turn.ahead = this.#durability.log
  }

  /** Puts a new configuration in force, or nothing of it. */
  async apply(change: Change): Promise<ApplyResult> {
    const path = this.#path
    let listeners: PreparedListeners
    try {
      listeners = await this.#listeners.prepare(change.config.listen)
    } catch (error) {
      return { ok: false, reason: error instanceof Error ? error.message : String(error) }
    }
    const fence = new Fence(path, this.jobs.writes)
    const held = new Set(change.hold)
    const startedMs = performance.now()
    if (held.size > 0) fence.hold(held)
    const busy = held.size > 0 ? await becomeQuiet(this.#quietParts, fence, change) : null
    const leftBehind = new LeftBehind(path, this.jobs.writes, fence, change)
    const rerouted = change.rerouted ?? []
    const reason = busy ?? this.#durability?.entering(change.config, leftBehind.names, rerouted) ?? null
    if (reason !== null) {
      fence.release()
      listeners.cancel()
      return { ok: false, reason }
    }
    const exchanged = exchangedRoutes(primariesOf(path.routes.config), change.config)
    for (const name of exchanged) this.#dirty.toVerify.exchange(name)
    const left = leftBehind.leave()
    const old = path.stores
    const stores = this.#stores.of(change.config, old)
    for (const store of old) if (!stores.includes(store)) this.#places.leave(store.options.config)
    // Not before: what is called off must not find its stores elsewhere when it connects again.
    this.#places.learn(change.endpoints)
    const former = { routes: path.routes, stores: old }
    path.routes = this.#table(change.config, change.generation)
    noteKeptUp(former.routes, path.routes, (route) => this.#dirty.toVerify.ofKeys(route))
    path.stores = stores
    // Before anything wakes those who wait: routes that have come with the table are held as the others.
    fence.entered(rerouted.flat())
    succeedStores(former, path, change)
    if (!isDeepStrictEqual(path.routes.unserved, former.routes.unserved)) {
      for (const store of stores) store.leaveUnserved()
      // Connections of their own may have been led there by SELECT.
      for (const session of path.sessions)
        if (session.own !== null && path.routes.unserved.has(session.database)) session.end()
    }
    path.clients = change.config.clients
    // Before the mirror writes to what was a primary.
    path.storePause.run(this.#clock.nowMs)
    // What goes with keys to another route has to be found there first.
    for (const route of change.forget) if (!rerouted.some(([from]) => from === route)) this.#dirty.forget(route)
    this.#functions.routesChanged()
    this.#rehoming.begin(rerouted, former.routes)
    this.jobs.writes.routesChanged()
    this.#durability?.entered()
    this.#identity.routesChanged()
    this.#sameServers.look()
    await fence.moveSubscribers()
    fence.release()
    const pauseMs = performance.now() - startedMs
    listeners.commit()
    for (const store of old) if (!stores.includes(store)) this.#stores.retire(store)
    this.#connectAll()
    return { ok: true, pauseMs: held.size > 0 ? pauseMs : 0, left }
  }

  /** As `Request` 'endpoint' says. */
  setEndpoint(name: string, endpoint: Endpoint | string, failedOver: boolean, epoch: number | null = null): void {
    if (epoch !== null) this.#identity.elected(name, epoch, failedOver)
    if (!this.#places.set(name, endpoint) && !failedOver) return
    // Before a connection comes up there: its `run_id` says only what is known already.
    if (failedOver) this.#identity.failedOver(name)
    moveStore(this.#path, name)
  }

  /** Resolves when nothing is connected any more to a store that had this name and was dropped or changed. */
  left(store: string): Promise<void> {
    return this.#stores.left(store)
  }

  /** `setFacts` will be called for each store: until then its clock is not known. */
  expectFacts(): void {
    this.#path.copies.expectFacts(performance.now())
  }

  /** What the health probe found out about a store. `clockJumped`: somebody has set its clock since it was last asked. */
  setFacts(
    store: string,
    offsetMs: number,
    version: string | null,
    clockJumped = false,
    valkeyVersion: string | null = null,
  ): void {
    this.#path.copies.learn(store, storeFacts(offsetMs, version, valkeyVersion))
    if (clockJumped) sayClockJumped(this.#path, this.#dirty, store)
    if (version !== null && this.#path.routes.fallback.primary.storeName === store)
      this.#path.server.redisVersion = version
  }

  /** Routes whose source a job has altered, or is about to, past the mirror. */
  setAlteredSources(routes: readonly string[]): void {
    for (const [name, state] of this.#states) state.setSourceAltered(routes.includes(name))
  }

  setAcknowledgements(list: readonly Acknowledgement[]): void {
    this.#comparer.acknowledgements = list
  }

  stats(): Stats {
    return statsOf({
      path: this.#path,
      dirty: this.#dirty,
      mirror: this.#mirror,
      comparer: this.#comparer,
      repairer: this.#repairer,
      durability: this.#durability,
      sameServers: this.#sameServers,
      functions: this.#functions,
    })
  }

  /** No new clients; commands under way are answered, the backlog goes out, then every connection closes. At most `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    const path = this.#path
    path.shuttingDown = true
    this.#listeners.close()
    path.unpause()
    for (const session of [...path.sessions]) session.lastWord.spoken()
    const isBusy = (): boolean => path.sessions.size > 0 || this.#backlog() > 0 || !path.storePause.isQuiet
    const deadline = performance.now() + graceMs
    while (performance.now() < deadline && isBusy()) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    try {
      for (const session of [...path.sessions]) session.socket.destroy()
      this.#clock.stop()
      for (const store of [...path.stores, ...this.#stores.retiring]) store.close('Understudy is stopping')
    } finally {
      path.intents = null
      this.#turn.ahead = null
      this.jobs.writes.stop()
      this.#durability?.stop()
      this.#durability = null
    }
  }

  #inDoubt(route: string, cause: VerifyCause): void {
    const state = this.#states.get(route)
    if (state !== undefined && !isOfFunctions(cause)) state.shadowKeptUp = false
    sayInDoubt(this.#path, route, cause)
  }

  get #quietParts(): QuietParts {
    return { path: this.#path, dirty: this.#dirty, identity: this.#identity, sameServers: this.#sameServers }
  }

  #tick(nowMs: number): void {
    const path = this.#path
    path.onTick(nowMs)
    this.#rehoming.run()
    this.#repairer.run(nowMs)
    this.jobs.run()
    this.#durability?.tick(nowMs)
    this.#functions.run(nowMs)
    this.#mirror.undeclared.tick(nowMs)
    this.#limits.run(nowMs)
    this.#report.run(nowMs)
    for (const session of path.sessions) if (session.waiting === 'room') session.wake()
  }

  /** Writes that a shadow which is there has not acknowledged yet; one that is down is not waited for. */
  #backlog(): number {
    let total = 0
    for (const { shadow, state } of this.#path.routes.routes) {
      if (shadow !== null && this.#path.stores[shadow.store]!.shadow(0).state === 'up') total += state.backlogCommands
    }
    return total
  }

  #table(config: Config, generation: number): RouteTable {
    return new RouteTable(config, generation, this.#stores.namesWith(config), this.#states)
  }

  #onState(store: Store, pipeline: Pipeline, error: string | null): void {
    const { state } = pipeline
    if (state === 'up') {
      if (pipeline.options.whenDown === 'fail') this.#commands.connected(store, pipeline)
      else this.#limits.connected(store, pipeline)
      const { dedicated, identity } = pipeline.options
      if (!dedicated && identity.user === null) this.#path.functions.connected(store.name)
      this.#identity.connected(store.name, pipeline)
    }
    if (state === 'closed' && pipeline.options.whenDown === 'wait') this.#limits.refused(store, error)
  }

  /** Connections that are surely needed are opened before somebody waits for them. */
  #connectAll(): void {
    const { routes, stores } = this.#path
    for (const route of routes.routes) {
      stores[route.primary.store]!.shared(0, 2).connect()
      if (route.shadow !== null) stores[route.shadow.store]!.shadow(0).connect()
    }
    this.#commands.routesChanged()
  }
}

function isComparable(spec: CommandSpec): boolean {
  return spec.compare !== null && spec.compare.kind !== 'skipped'
}
