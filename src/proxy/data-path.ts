import type { CoarseClock } from '../base/clock.ts'
import type { Turn } from '../base/turn.ts'
import { ReadOnlyScripts } from '../command/scripts/read-only-scripts.ts'
import { ScriptBook } from '../command/scripts/script-book.ts'
import type { CommandSpec } from '../command/spec.ts'
import type { CommandTable } from '../command/table.ts'
import type { Comparer } from '../compare/comparer.ts'
import type { ClientsConfig } from '../config/config.ts'
import type { DataPathContext } from '../mirror/context.ts'
import type { CopyState } from '../mirror/copy/copy-state.ts'
import type { IntentLog } from '../mirror/crash/intent-log.ts'
import type { DirtySet } from '../mirror/dirty/dirty-set.ts'
import { FunctionBook } from '../mirror/functions/function-book.ts'
import { doubtFunctions } from '../mirror/functions/function-changes.ts'
import type { Changes } from '../mirror/functions/function-shelf.ts'
import { doubtUndeclaredKeys } from '../mirror/keys/undeclared-keys.ts'
import type { WriteTickets } from '../mirror/keys/write-tickets.ts'
import type { Mirror } from '../mirror/mirror.ts'
import type { StoreIdentity } from '../mirror/stores/store-identity.ts'
import type { LogLine } from '../observability/log.ts'
import { CommandParser } from '../resp/command-parser.ts'
import { Plan } from '../routing/plan.ts'
import type { Route } from '../routing/route.ts'
import type { RouteTable } from '../routing/route-table.ts'
import { idOfFunction } from '../routing/script-id.ts'
import { ScriptLoads } from '../upstream/pipeline/script-loads.ts'
import type { Store } from '../upstream/store.ts'
import type { BlockedCommand } from './blocking/blocked-command.ts'
import { BusyQueues } from './blocking/busy-queues.ts'
import { ClientPause } from './clients/client-pause.ts'
import { LocalCalls } from './clients/local-calls.ts'
import { OwedUnblocks } from './clients/owed-unblocks.ts'
import { ServerIdentity } from './clients/server-identity.ts'
import { StorePause } from './clients/store-pause.ts'
import { CrossSlots } from './forward/cross-slots.ts'
import { LargeKeys } from './forward/large-reply.ts'
import { Repeat } from './forward/repeat.ts'
import { SlowCommands } from './forward/slow-commands.ts'
import { StoreAdvice } from './forward/store-advice.ts'
import type { SyncReplies } from './forward/sync-replies.ts'
import { ScanTables } from './keyspace/keyspace-commands.ts'
import { HttpClients } from './listen/http.ts'
import { LoginQueue } from './login/login-queue.ts'
import { PendingSubscriptions } from './pubsub/pending-subscriptions.ts'
import { SharedSubscriptions } from './pubsub/shared-subscriptions.ts'
import type { TargetReads } from './reads/target-reads.ts'
import { ScriptDoubts } from './scripts/script-doubts.ts'
import type { ClientReplies } from './session/client-replies.ts'
import { lookAfterSlowClients, lowestLimit } from './session/output-limit.ts'
import type { Pin } from './session/pin.ts'
import type { Session } from './session/session.ts'

/**
 * Everything that the sessions of one thread share. `routes`, `stores` and `commands` are the generation in force; a switch replaces them between two
 * commands.
 */
export class DataPath implements DataPathContext {
  readonly clock: CoarseClock
  readonly turn: Turn
  readonly log: (line: LogLine) => void
  readonly lookFor: (store: string) => void
  commands: CommandTable
  routes: RouteTable
  stores: readonly Store[]
  #clients: ClientsConfig
  /** Of `clients.outputBuffer`. */
  lowestOutputLimit: number
  /** Since when they have been beyond their soft limit. */
  readonly slowClients = new Map<ClientReplies, number>()
  mirror!: Mirror
  identity!: StoreIdentity
  tickets!: WriteTickets
  comparer!: Comparer
  dirty!: DirtySet
  /** Told of every write that is to be mirrored before it is pushed; null: nothing is noted. */
  intents: IntentLog | null = null
  targetReads!: TargetReads
  syncReplies!: SyncReplies

  readonly copies: CopyState

  readonly sessions = new Set<Session>()
  /** Blocking commands that wait at a store. */
  readonly blocked = new Set<BlockedCommand>()
  readonly busyQueues = new BusyQueues()
  /** Subscribers whose new primary has not confirmed everything yet. */
  readonly movingSubscribers = new Set<Pin>()
  /** Shared pipelines that are left because of a large reply, and not empty yet. */
  sidesteps = 0
  readonly largeKeys = new LargeKeys()
  readonly pendingSubscriptions = new PendingSubscriptions()
  /** Subscribers' connections of their own. */
  subscriberConnections = 0
  readonly logins = new LoginQueue()
  readonly unblocks = new OwedUnblocks()
  readonly sharedSubscriptions = new SharedSubscriptions()
  readonly advice = new StoreAdvice(this)
  readonly httpClients = new HttpClients(this)
  /** Kept of all clients whose commands have to wait. */
  stashedBytes = 0
  readonly scans = new ScanTables()
  readonly functions: FunctionBook
  readonly scripts = new ScriptBook()
  /** At primaries. */
  readonly scriptLoads = new ScriptLoads(() => this.resumeWaiting())
  /** Of the command at hand: whatever lets another session go on makes it another one's. */
  readonly plan: Plan
  readonly repeat = new Repeat()
  readonly doubts: ScriptDoubts
  readonly crossSlots: CrossSlots
  readonly server = new ServerIdentity()
  shuttingDown = false
  /** CLIENT PAUSE is in force. */
  pause: ClientPause | null = null
  readonly storePause = new StorePause(this)
  readonly slowCommands = new SlowCommands()
  readonly localCalls = new LocalCalls()
  /** Clients that monitor. */
  readonly monitors = new Set<Session>()
  /** What CLIENT PAUSE WRITE does not hold. */
  readonly readOnlyScripts: ReadOnlyScripts
  #parsers: CommandParser[] = []
  #nextClientId = 1
  readonly #comparable = new Map<CommandSpec, boolean>()
  readonly isComparable: (spec: CommandSpec) => boolean

  constructor(parts: {
    clock: CoarseClock
    turn: Turn
    log: (line: LogLine) => void
    lookFor: (store: string) => void
    commands: CommandTable
    routes: RouteTable
    stores: readonly Store[]
    clients: ClientsConfig
    isComparable: (spec: CommandSpec) => boolean
    copies: CopyState
  }) {
    this.copies = parts.copies
    this.clock = parts.clock
    this.turn = parts.turn
    this.log = parts.log
    this.lookFor = parts.lookFor
    this.doubts = new ScriptDoubts(parts.log)
    this.functions = new FunctionBook(this, {
      told: (store) => this.doubts.forgetUnread(this.routes, store),
      read: () => this.resumeWaiting(),
      changed: (store, changes) => this.#functionsChanged(store, changes),
    })
    this.plan = new Plan(this.scans, this.functions, this.scripts)
    this.readOnlyScripts = new ReadOnlyScripts((name) => this.functions.isReadOnly(name))
    this.crossSlots = new CrossSlots(parts.log)
    this.commands = parts.commands
    this.routes = parts.routes
    this.stores = parts.stores
    this.#clients = parts.clients
    this.lowestOutputLimit = lowestLimit(parts.clients.outputBuffer)
    this.isComparable = (spec) => {
      let known = this.#comparable.get(spec)
      if (known === undefined) this.#comparable.set(spec, (known = parts.isComparable(spec)))
      return known
    }
  }

  get clients(): ClientsConfig {
    return this.#clients
  }

  set clients(clients: ClientsConfig) {
    this.#clients = clients
    this.lowestOutputLimit = lowestLimit(clients.outputBuffer)
  }

  nextClientId(): number {
    return this.#nextClientId++
  }

  /** A parser for one frame or, when the frame is not whole, for as long as it takes. Whole frames are nearly all, so a handful serve all clients. */
  takeParser(): CommandParser {
    const parser = this.#parsers.pop() ?? new CommandParser()
    parser.quotesWithin = this.server.valkey >= 9.1
    return parser
  }

  giveParser(parser: CommandParser): void {
    // One that has grown with a huge command would hold on to that memory.
    if (!parser.partial && this.#parsers.length < 64 && parser.start.length <= 4096) this.#parsers.push(parser)
  }

  primaryOf(route: Route): Store {
    return this.stores[route.primary.store]!
  }

  /** Sessions that wait for room in a pipeline, or for the end of a switch, look again. Their commands are planned here and now (`plan`): never call this between `planCommand` and the use of what it has planned. */
  resumeWaiting(): void {
    for (const session of this.sessions) session.wake()
  }

  /** CLIENT PAUSE begins here. The function takes it back. */
  pauseClients(ms: number, all: boolean): () => void {
    const { nowMs } = this.clock
    return this.#pause().begin(nowMs + ms, all, nowMs)
  }

  unpause(): void {
    const { pause } = this
    if (pause === null) return
    pause.end()
    if (!pause.isPrepared) this.pause = null
    this.resumeWaiting()
  }

  /** The client's EXEC is to begin a pause: others' writes wait for it. */
  preparePause(session: Session): void {
    this.#pause().prepare(session, this.clock.nowMs)
  }

  /** It has been answered, or never will be. */
  pausePrepared(session: Session): void {
    const { pause } = this
    pause?.prepared(session)
    if (pause?.isOver(this.clock.nowMs)) this.unpause()
  }

  #pause(): ClientPause {
    return (this.pause ??= new ClientPause(this.server.redis < 7))
  }

  /** A function that does no harm any more is in doubt no more; any other one is judged anew when it is called. Where somebody else has changed it, nobody has told the shadow; and what it did before that was noticed may not have been mirrored. */
  #functionsChanged(store: string, { libraries, harmless, misjudged }: Changes): void {
    const { routes, fallback } = this.routes
    if (!routes.some(({ primary }) => primary.storeName === store)) return
    this.doubts.forget(
      this.routes,
      store,
      harmless.map((name) => idOfFunction(name)),
    )
    if (misjudged) doubtUndeclaredKeys(this, this.dirty, null)
    if (libraries.length > 0 && store === fallback.primary.storeName) doubtFunctions(this, this.dirty, null)
  }

  onTick(nowMs: number): void {
    if (this.pause?.isOver(nowMs) && !this.pause.isPrepared) this.unpause()
    if (this.pause !== null || !this.storePause.isQuiet) this.storePause.run(nowMs)
    for (const store of this.stores) store.tick(nowMs)
    this.functions.tick(nowMs)
    this.targetReads.tick(nowMs)
    this.syncReplies.tick(nowMs)
    this.logins.tick(nowMs)
    this.unblocks.tick(nowMs)
    this.comparer.run(nowMs)
    if (this.slowClients.size > 0) lookAfterSlowClients(this)
  }
}
