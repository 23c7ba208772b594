import { CoarseClock } from '../base/clock.ts'
import { Turn } from '../base/turn.ts'
import type { CommandSpec } from '../command/spec.ts'
import { CommandTable } from '../command/table.ts'
import { Comparer } from '../compare/comparer.ts'
import type { Config, Endpoint } from '../config/config.ts'
import { type CopyLimits, CopyState } from '../mirror/copy/copy-state.ts'
import { primaryPipeline } from '../mirror/copy/primary-pipeline.ts'
import { Repairer } from '../mirror/copy/repairer.ts'
import type { Durability } from '../mirror/crash/durability.ts'
import { DirtyReport, sayInDoubt } from '../mirror/dirty/dirty-report.ts'
import { DirtySet } from '../mirror/dirty/dirty-set.ts'
import { Rehoming } from '../mirror/dirty/rehoming.ts'
import { mannerOf } from '../mirror/dirty/resting-keys.ts'
import { isOfFunctions, type VerifyCause } from '../mirror/dirty/verify-marks.ts'
import { FunctionSync } from '../mirror/functions/function-sync.ts'
import { OverlapTable } from '../mirror/keys/overlap.ts'
import { WriteTickets } from '../mirror/keys/write-tickets.ts'
import { Mirror } from '../mirror/mirror.ts'
import { ShadowLimits } from '../mirror/shadow/shadow-limits.ts'
import { CompletePrimaries } from '../mirror/stores/complete-primaries.ts'
import { CompleteShadows } from '../mirror/stores/complete-shadows.ts'
import { SameServers } from '../mirror/stores/same-servers.ts'
import { StoreIdentity } from '../mirror/stores/store-identity.ts'
import type { LogLine } from '../observability/log.ts'
import type { Route, RouteState } from '../routing/route.ts'
import { RouteTable } from '../routing/route-table.ts'
import type { Run } from '../upstream/connection/own-connections.ts'
import type { Pipeline } from '../upstream/pipeline/pipeline.ts'
import type { Store } from '../upstream/store.ts'
import { PrimaryCommands } from './clients/primary-commands.ts'
import { DataPath } from './data-path.ts'
import { SyncReplies } from './forward/sync-replies.ts'
import { JobRequests } from './job-requests.ts'
import { Listeners } from './listen/listeners.ts'
import { endClientsOf } from './login/store-login.ts'
import type { Notice } from './messages.ts'
import { TargetReads } from './reads/target-reads.ts'
import { ConfiguredStores } from './switch/configured-stores.ts'
import { StorePlaces } from './switch/store-places.ts'

const DIRTY_LIMIT = 4_000_000
/** Without a state directory nothing is known of earlier runs. */
const NAMELESS: Run = { name: 'understudy', former: new Set() }

/** For tests, which have no big keys and do not last. */
export interface RuntimeLimits {
  readonly copyLimits?: Partial<CopyLimits>
  /** As `OverlapTable`. */
  readonly calm?: number
  /** As `OverlapTable`. */
  readonly quietMs?: number
}

/** What the data path of one thread is made of, each part wired to those that it needs. `Runtime` runs it, `putInForce` changes its configuration. */
export class RuntimeParts {
  readonly clock = new CoarseClock()
  readonly turn = new Turn()
  readonly states = new Map<string, RouteState>()
  readonly places: StorePlaces
  readonly stores: ConfiguredStores
  readonly path: DataPath
  readonly dirty: DirtySet
  readonly mirror: Mirror
  readonly comparer: Comparer
  readonly repairer: Repairer
  readonly rehoming: Rehoming
  readonly completeShadows: CompleteShadows
  readonly completePrimaries: CompletePrimaries
  readonly functions: FunctionSync
  readonly limits: ShadowLimits
  readonly report: DirtyReport
  readonly identity: StoreIdentity
  readonly sameServers: SameServers
  /** What the main thread's jobs ask for. */
  readonly jobs: JobRequests
  readonly overlap: OverlapTable
  /** Null: nothing is kept (`stateDir: ''`). */
  durability: Durability | null = null
  readonly commands: PrimaryCommands
  readonly listeners: Listeners

  constructor(
    config: Config,
    endpoints: Readonly<Record<string, Endpoint>>,
    notify: (notice: Notice) => void,
    { copyLimits = {}, calm, quietMs }: RuntimeLimits = {},
  ) {
    const builtin = CommandTable.builtin()
    const places = new StorePlaces(endpoints, (store) => notify({ kind: 'look-for', store }))
    this.places = places
    const log = (line: LogLine): void => notify({ kind: 'log', line })
    this.stores = new ConfiguredStores({
      places,
      commands: () => path.commands,
      turn: this.turn,
      clock: this.clock,
      log,
      onState: (store, pipeline, error) => this.#onState(store, pipeline, error),
      onUserRefused: (store, user, error) => endClientsOf(path, store, user, error),
      onDrain: () => path.resumeWaiting(),
      run: () => this.durability?.run ?? NAMELESS,
      met: (store, forMirror, address, info) => {
        if (store.cluster === null) this.identity.met(store, info)
        return this.sameServers.met(store, forMirror, address, info)
      },
    })
    const path = new DataPath({
      clock: this.clock,
      turn: this.turn,
      log,
      lookFor: (store) => places.lookFor(store),
      commands: builtin,
      routes: this.table(config, 0),
      stores: this.stores.of(config, []),
      clients: config.clients,
      isComparable,
      copies: new CopyState(copyLimits),
    })
    this.path = path
    this.commands = new PrimaryCommands(path, builtin)
    this.listeners = new Listeners(path)
    this.dirty = new DirtySet(DIRTY_LIMIT, (route, cause) => this.#inDoubt(route, cause))
    const overlap = new OverlapTable(this.clock, undefined, calm, quietMs)
    this.overlap = overlap
    this.sameServers = new SameServers(path)
    this.identity = new StoreIdentity(path, this.dirty, (runs, epochs) => this.durability?.setStoreRuns(runs, epochs))
    this.mirror = new Mirror(path, this.dirty, overlap)
    const mirrorView = {
      has: (route: string, database: number, key: Buffer) => this.mirror.has(route, database, key),
      look: (hash: number, lane: number) => overlap.look(hash, lane),
      traffic: (hash: number, lane: number) => overlap.traffic(hash, lane),
      writes: (hash: number) => overlap.writes(hash),
      told: this.mirror.undeclared.recent,
      catchUp: (route: Route) => this.mirror.undeclared.catchUp(route),
      loadForRead: this.mirror.loadForRead.bind(this.mirror),
      primaryPipeline: (route: Route, database: number, hash: number) =>
        primaryPipeline(path, overlap, route, database, hash),
    }
    this.comparer = new Comparer(path, mirrorView, (finding, route) => {
      notify({ kind: 'finding', finding })
      if (finding.cause === 'baseline' || finding.cause === 'same-data') return
      const ref = this.mirror.refOf(finding.key, finding.database)
      const { config, name, primary } = ref.rule.route
      if (!config.compare.repair) return
      // What the primary lacks may be the last copy of it: only people delete that. So may be what differs where it is not known what it has lost, or has never had; and where it was the shadow when the difference was seen.
      if (finding.lackingOn === 'primary' || this.dirty.toVerify.mayPrimaryLack(name)) return
      if (!this.completePrimaries.has(name) || primary.store !== route.primary.store) return
      this.mirror.mark(ref, 'mismatch')
      this.comparer.tallyOf(route.state).repaired++
    })
    this.repairer = new Repairer(path, this.dirty, overlap, () => path.resumeWaiting())
    this.rehoming = new Rehoming(path, this.dirty, () => overlap.sweeping)
    this.completePrimaries = new CompletePrimaries(path)
    this.completeShadows = new CompleteShadows(path, () => overlap.sweeping)
    this.limits = new ShadowLimits(path, this.dirty, (counts) => this.durability?.setEvictedKeys(counts))
    this.functions = new FunctionSync(path, this.dirty, this.mirror.functions)
    this.report = new DirtyReport(path, this.dirty)
    const isBeingMended = (route: string, database: number, key: Buffer): boolean => {
      const entry = this.dirty.find(route, database, key)
      return entry === null ? mirrorView.has(route, database, key) : mannerOf(path, this.dirty, entry) === 'at-once'
    }
    this.jobs = new JobRequests(path, this.dirty, overlap, this.mirror.undeclared, isBeingMended, () => path.intents)
    path.mirror = this.mirror
    path.identity = this.identity
    path.tickets = new WriteTickets(overlap)
    path.dirty = this.dirty
    path.comparer = this.comparer
    path.targetReads = new TargetReads(path, overlap)
    path.syncReplies = new SyncReplies(path)
  }

  #inDoubt(route: string, cause: VerifyCause): void {
    const state = this.states.get(route)
    if (state !== undefined && !isOfFunctions(cause)) state.shadowKeptUp = false
    sayInDoubt(this.path, route, cause)
  }

  table(config: Config, generation: number): RouteTable {
    return new RouteTable(config, generation, this.stores.namesWith(config), this.states)
  }

  #onState(store: Store, pipeline: Pipeline, error: string | null): void {
    const { state } = pipeline
    if (state === 'up') {
      if (pipeline.options.whenDown === 'fail') this.commands.connected(store, pipeline)
      else this.limits.connected(store, pipeline)
      const { dedicated, identity } = pipeline.options
      if (!dedicated && identity.user === null) this.path.functions.connected(store.name)
      this.identity.connected(store, pipeline)
    }
    if (state === 'closed' && pipeline.options.whenDown === 'wait') this.limits.refused(store, error)
  }

  /** Connections that are surely needed are opened before somebody waits for them. */
  connectAll(): void {
    const { routes, stores } = this.path
    for (const route of routes.routes) {
      stores[route.primary.store]!.shared(0, 2).connect()
      if (route.shadow !== null) stores[route.shadow.store]!.shadows.to(0).connect()
    }
    this.commands.routesChanged()
  }
}

function isComparable(spec: CommandSpec): boolean {
  return spec.compare !== null && spec.compare.kind !== 'skipped'
}
