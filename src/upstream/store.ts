import type { CoarseClock } from '../base/clock.ts'
import type { Turn } from '../base/turn.ts'
import type { CommandTable } from '../command/table.ts'
import { type UnservedDatabases, unservedError } from '../config/checks/unserved-databases.ts'
import type { Endpoint, StoreConfig } from '../config/config.ts'
import { BusyWatch } from './busy-watch.ts'
import { Cluster } from './cluster/cluster.ts'
import type { StoreUser } from './connection/handshake.ts'
import { OwnConnections, type Run } from './connection/own-connections.ts'
import { DedicatedConnections } from './dedicated-connections.ts'
import { ByDatabase } from './pipeline/by-database.ts'
import { PIPELINE_LIMIT_BYTES, Pipeline } from './pipeline/pipeline.ts'
import type { PipelineState } from './pipeline/pipeline-options.ts'
import { ShadowPipelines } from './shadow-pipelines.ts'
import { StoreUsers } from './store-users.ts'

export interface StoreOptions {
  readonly config: StoreConfig
  /** Where it is now. A text: not known, and why. */
  readonly endpoint: () => Endpoint | string
  /** Databases that no client can have. */
  readonly unserved: () => UnservedDatabases
  /** The commands as they are known at the moment. */
  readonly commands: () => CommandTable
  readonly turn: Turn
  readonly clock: CoarseClock
  readonly onState: (store: Store, pipeline: Pipeline, error: string | null) => void
  /** A shared pipeline that was full has room again. */
  readonly onDrain: () => void
  readonly run: () => Run
  /** A server of the store has said which it is (INFO server) to a new connection that is shared (one with a client's own login is asked only where no other can be); a text: it must not be used, and why. */
  readonly met: (store: Store, forMirror: boolean, address: string, info: string) => string | null
  /** The store does not let us end connections that are lost, in its words. Told once. */
  readonly onUnendable: (store: Store, text: string) => void
}

/**
 * A configured store as one thread sees it: every connection to it.
 *
 *   shared    one pipeline per (database, protocol): all ordinary commands of all clients. Clients that log in at the store themselves: one more per user
 *   shadow    one pipeline per database: effects, sampled reads, copies; they wait while the store is down
 *   dedicated lent to one session at a time: transactions that wait, blocking commands, subscribers
 */
export class Store {
  readonly options: StoreOptions
  readonly name: string
  readonly #shared2 = new ByDatabase()
  readonly #shared3 = new ByDatabase()
  readonly users: StoreUsers
  /** Null: one server. */
  readonly cluster: Cluster | null
  /** Of the mirror. */
  readonly shadows: ShadowPipelines
  readonly dedicated: DedicatedConnections
  /** By which number those who use a connection that is shared call its database: that of the URL is 0, but for a client that has said its number. */
  readonly #databases = new Map<Pipeline, number>()
  /** Of those with the configuration's credentials, which clients share: they have said which server it is, and will when they come up again. */
  readonly #telling = new Set<Pipeline>()
  readonly #ownConnections: OwnConnections
  readonly #retiring = new Map<Pipeline, () => void>()
  readonly #busyWatch = new BusyWatch(
    () => this.dedicated.borrow(0, 2),
    (pipeline) => this.dedicated.release(pipeline, 0),
  )
  #backMs = Number.NEGATIVE_INFINITY
  /** The state that was logged last. */
  lastSaid: PipelineState | null = null
  /** When it was logged last that the connection was lost. */
  lossSaidMs = Number.NEGATIVE_INFINITY
  /** Why nothing connects to it any more; null: it is open. */
  #closedFor: string | null = null
  /** A longer value makes the store close the connection. */
  maxBulkBytes = Number.POSITIVE_INFINITY

  constructor(options: StoreOptions) {
    this.options = options
    this.name = options.config.name
    this.#ownConnections = new OwnConnections(options.run, (text) => options.onUnendable(this, text))
    this.cluster = options.config.kind === 'cluster' ? new Cluster(options) : null
    this.shadows = new ShadowPipelines(options.clock, (database) => this.#open(database, 2, null, 'wait', false))
    this.dedicated = new DedicatedConnections(options.clock, ({ database, protocol, user }) =>
      this.#open(database, protocol, user, 'fail', true),
    )
    this.users = new StoreUsers({
      clock: options.clock,
      open: (database, protocol, user) => this.#open(database, protocol, user, 'fail', false),
      onGone: (user) => this.dedicated.closeIdleOf(user, 'its user has not been here for a while'),
    })
  }

  /** The shared pipeline of a client's database, protocol and user (null: the credentials of the configuration), opened on first use. */
  shared(database: number, protocol: 2 | 3, user: StoreUser | null = null): Pipeline {
    if (user !== null) return this.users.shared(user, database, protocol)
    const list = protocol === 2 ? this.#shared2 : this.#shared3
    const found = list.get(database)
    if (found !== undefined && found.state !== 'closed') return found
    const made = this.#open(database, protocol, null, 'fail', false)
    list.set(database, made)
    return made
  }

  /**
   * The shared pipeline is busy with one reply for long: what comes from now on goes down a new one, and the old one is closed when all that is in flight on it has been answered (`done`).
   * Whoever has something in flight on it waits for that first, or its commands could overtake each other.
   */
  sidestep(database: number, protocol: 2 | 3, user: StoreUser | null, done: () => void): void {
    const old = this.shared(database, protocol, user)
    this.#retiring.set(old, done)
    const made = this.#open(database, protocol, user, 'fail', false)
    if (user !== null) this.users.replace(user, database, protocol, made)
    else (protocol === 2 ? this.#shared2 : this.#shared3).set(database, made)
    made.connect()
  }

  #closeRetired(): void {
    for (const [pipeline, done] of this.#retiring) {
      if (!pipeline.quiet && pipeline.state === 'up') continue
      this.#retiring.delete(pipeline)
      pipeline.close('another connection has taken its place')
      done()
    }
  }

  /** The shared pipeline of a database that carries more: the one to read in, when it must not be overtaken by writes. */
  busiest(database: number): Pipeline {
    const resp2 = this.#shared2.get(database)
    const resp3 = this.#shared3.get(database)
    if (resp3 !== undefined && resp3.state === 'up' && resp3.totalBytes > (resp2?.totalBytes ?? 0)) return resp3
    return this.shared(database, 2)
  }

  /** Nobody waits for anything here. */
  get quiet(): boolean {
    if (this.dedicated.size > 0) return false
    for (const pipeline of this.sharedPipelines()) if (!pipeline.quiet) return false
    return true
  }

  /** Every open pipeline that is shared (clients' and the mirror's). */
  *sharedPipelines(): Generator<Pipeline> {
    yield* this.#shared2.all()
    yield* this.#shared3.all()
    yield* this.shadows.all()
    yield* this.#retiring.keys()
    yield* this.users.pipelines()
  }

  /** Every open pipeline that carries clients' commands, lent ones too. */
  *clientPipelines(): Generator<Pipeline> {
    yield* this.#shared2.all()
    yield* this.#shared3.all()
    yield* this.#retiring.keys()
    yield* this.users.pipelines()
    yield* this.dedicated.lent()
  }

  /** What clients wait for is told as lost, except where they wait for something to happen. */
  giveUpClients(reason: string): void {
    for (const pipeline of [...this.clientPipelines()])
      if (!pipeline.quiet && !pipeline.blocks) pipeline.reconnect(reason)
  }

  /** Other databases are served now: connections to those that are not any more end, and what is on its way there is told as lost. */
  leaveUnserved(): void {
    const unserved = this.options.unserved()
    for (const [pipeline, database] of [...this.#databases, ...this.dedicated.lentWithDatabases()])
      if (unserved.has(database)) pipeline.close(`database ${database} is not served any more`)
    this.dedicated.closeIdle('other databases are served now')
  }

  /** It takes the place of `former` for some keys: what has been given up there ends before anything is said here. */
  succeed(former: Store): void {
    const endpoint = this.cluster === null ? this.options.endpoint() : null
    this.#ownConnections.succeed(former.#ownConnections, typeof endpoint === 'string' ? null : endpoint)
  }

  /** As its connections see it: the clients' before the mirror's. */
  state(): { state: PipelineState; error: string | null } {
    const pipeline = this.#shared2.get(0) ?? this.#shared3.get(0) ?? this.shadows.usual
    return { state: pipeline?.state ?? 'idle', error: pipeline?.error ?? null }
  }

  /** As `Pipeline.lastReadMs`, of all its connections. */
  get lastReadMs(): number {
    let latest = this.dedicated.lastReadMs
    for (const pipeline of this.sharedPipelines()) latest = Math.max(latest, pipeline.lastReadMs)
    return latest
  }

  tick(nowMs: number): void {
    for (const pipeline of this.sharedPipelines()) {
      pipeline.tick(nowMs)
      if (this.cluster === null && pipeline.options.whenDown === 'fail') this.#busyWatch.look(pipeline, nowMs)
    }
    this.dedicated.tick(nowMs)
    if (this.users.size > 0) this.users.tick(nowMs)
    if (this.#retiring.size > 0) this.#closeRetired()
  }

  /** After a change of address: every connection goes to the new one, and what is lent ends, as when its connection is lost. */
  move(reason: string): void {
    this.dedicated.closeIdle(reason)
    for (const pipeline of this.sharedPipelines()) pipeline.move(reason)
    for (const pipeline of [...this.dedicated.lent()]) pipeline.move(reason)
  }

  /** For good: whoever still asks for a connection is given one that is closed. */
  close(reason: string): void {
    this.#closedFor = reason
    this.cluster?.close()
    for (const pipeline of this.sharedPipelines()) pipeline.close(reason)
    this.#closeRetired()
    this.dedicated.closeIdle(reason)
    for (const pipeline of this.dedicated.lent()) pipeline.close(reason)
  }

  get isClosed(): boolean {
    return this.#closedFor !== null
  }

  /** Where one connection gets through, the others need not wait out their pauses. */
  #isBack(through: Pipeline): void {
    const { clock } = this.options
    // At most so often: a store that lets in and closes at once must not have them wake each other for ever.
    if (clock.nowMs - this.#backMs < BACK_MS) return
    this.#backMs = clock.nowMs
    for (const pipeline of this.sharedPipelines()) {
      if (pipeline !== through && pipeline.state === 'down') pipeline.connect()
    }
  }

  #met(pipeline: Pipeline, address: string, info: string): string | null {
    const forMirror = pipeline.options.whenDown === 'wait'
    if (pipeline.options.identity.user === null && !forMirror) this.#telling.add(pipeline)
    return this.options.met(this, forMirror, this.cluster === null ? '' : address, info)
  }

  #open(
    database: number,
    protocol: 2 | 3,
    user: StoreUser | null,
    whenDown: 'fail' | 'wait',
    dedicated: boolean,
  ): Pipeline {
    const { config, endpoint, unserved, turn, clock, onState, onDrain } = this.options
    const pipeline = new Pipeline({
      store: config,
      endpoint,
      connection: this.cluster?.connection,
      // Database 0 of a client is the one in the store's URL; every other is itself.
      identity: { database: database === 0 ? config.database : database, protocol, user },
      refused: unservedError(unserved(), database),
      turn,
      clock,
      whenDown,
      batchMs: whenDown === 'wait' ? SHADOW_BATCH_MS : 0,
      dedicated,
      limitBytes: PIPELINE_LIMIT_BYTES,
      ownConnections: this.#ownConnections,
      met: dedicated ? undefined : (address, info) => this.#met(pipeline, address, info),
      // A client's user need not have the right to it, and the store's ACL LOG would tell of it.
      asksWhoItIs: user === null ? undefined : () => this.#telling.size === 0,
      onState: (changed, error) => {
        if (changed.state === 'closed') {
          this.#databases.delete(changed)
          // Nobody gives back what is gone; and a database that the store does not have leaves nothing behind, however many clients ask for it.
          if (whenDown === 'wait') this.shadows.closed(database, changed)
          else if (dedicated) this.dedicated.forget(changed)
          else if (user !== null) this.users.forget(user, database, changed)
          else for (const list of [this.#shared2, this.#shared3]) list.forget(database, changed)
        }
        if (changed.state === 'down' || changed.state === 'closed') this.#telling.delete(changed)
        if (changed.state === 'up') {
          if (whenDown === 'wait') this.shadows.opened(database)
          this.#isBack(changed)
        }
        onState(this, changed, error)
      },
    })
    if (!dedicated) this.#databases.set(pipeline, database)
    // Before anybody is told of room: a command may be under way to it.
    if (this.#closedFor !== null) pipeline.close(this.#closedFor)
    if (!dedicated) pipeline.onDrain = onDrain
    return pipeline
  }
}

const BACK_MS = 200
const SHADOW_BATCH_MS = 1
