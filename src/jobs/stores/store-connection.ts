import { isDeepStrictEqual } from 'node:util'
import { CoarseClock } from '../../base/clock.ts'
import { Turn } from '../../base/turn.ts'
import { CommandTable } from '../../command/table.ts'
import { type UnservedDatabases, unservedDatabases, unservedError } from '../../config/checks/unserved-databases.ts'
import type { Config, Endpoint, StoreConfig } from '../../config/config.ts'
import { textOf } from '../../mirror/stores/store-errors.ts'
import { MINUS } from '../../resp/bytes.ts'
import { decodeReply } from '../../resp/decode.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import type { Reply } from '../../resp/reply.ts'
import { Cluster } from '../../upstream/cluster/cluster.ts'
import type { ClusterNode } from '../../upstream/cluster/topology.ts'
import { CHUNK_BYTES } from '../../upstream/pipeline/chunk.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import { PIPELINE_LIMIT_BYTES, Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { PipelineOptions } from '../../upstream/pipeline/pipeline-options.ts'
import { FrameWriter } from './frames.ts'
import { refusalOf } from './refusals.ts'
import { DatabaseRefused, StoreLost } from './store-lost.ts'

const TICK_MS = 100
const COMMANDS = CommandTable.builtin()

/** Connections of one job to stores, one per store and database, apart from the clients'. Closed with the job. */
export class StoreConnections {
  readonly #config: () => Config
  /** As they were known last, where they were when the job began. */
  readonly #stores: Record<string, StoreConfig>
  readonly #endpoint: (store: string) => Endpoint | null
  readonly #unserved: UnservedDatabases
  readonly #clock = new CoarseClock()
  readonly #turn = new Turn()
  readonly #open = new Map<string, StoreConnection>()
  readonly #clusters = new Map<string, Cluster>()
  /** Who waits for the masters of a cluster. */
  readonly #asking = new Set<() => void>()
  #closed = false

  /** `config`: the one in force; `signal`: aborted when nobody waits for answers any more: a job that is paused or cancelled does not wait for a store that hangs. */
  constructor(config: () => Config, endpoint: (store: string) => Endpoint | null, signal?: AbortSignal) {
    this.#config = config
    this.#stores = { ...config().stores }
    this.#endpoint = endpoint
    this.#unserved = unservedDatabases(config())
    signal?.addEventListener('abort', () => this.close(), { once: true })
    this.#clock.start(TICK_MS, (nowMs) => {
      for (const connection of this.#open.values()) {
        if (this.#isOutdated(connection)) connection.close()
        else connection.tick(nowMs, endpoint(connection.store))
      }
    })
  }

  /** It would come back as who we were before: the next one is opened as who we are now. That to a cluster is up while its nodes' may not be. */
  #isOutdated({ config, store, isUp }: StoreConnection): boolean {
    const now = this.#storeOf(store)
    return config !== now && (!isUp || (now.kind === 'cluster' && !isDeepStrictEqual(config, now)))
  }

  /** Passwords and certificates as they are now. One that is at another place now is none of the job's. */
  #storeOf(store: string): StoreConfig {
    const then = this.#stores[store]!
    const now = this.#config().stores[store]
    if (now?.url !== then.url || now.database !== then.database) return then
    this.#stores[store] = now
    return now
  }

  /** `database`: as clients count them. Throws when they are closed. */
  to(store: string, database: number): StoreConnection {
    this.#mustBeOpen()
    const name = `${database} ${store}`
    let connection = this.#open.get(name)
    if (connection === undefined || connection.closed) {
      const config = this.#storeOf(store)
      connection = new StoreConnection(
        config,
        database,
        new Pipeline({
          ...this.#options(config, () => this.#endpoint(store) ?? 'its address is not known yet', database),
          connection: this.#clusterOf(config)?.connection,
        }),
        this.#endpoint(store),
      )
      this.#open.set(name, connection)
    }
    return connection
  }

  /** One node of a cluster, by itself. Throws when they are closed. */
  toNode(store: string, { host, port }: Pick<ClusterNode, 'host' | 'port'>): StoreConnection {
    this.#mustBeOpen()
    const name = `${host}:${port} of ${store}`
    let connection = this.#open.get(name)
    if (connection === undefined || connection.closed) {
      const config = this.#storeOf(store)
      const options = this.#options(config, () => config.endpoints[0]!, 0)
      connection = new StoreConnection(
        config,
        0,
        new Pipeline(this.#clusterOf(config)!.node({ host, port }, options)),
        null,
      )
      this.#open.set(name, connection)
    }
    return connection
  }

  /** The masters of a cluster that serve slots, as one of its nodes says. Rejects with StoreLost. */
  mastersOf(store: string): Promise<readonly ClusterNode[]> {
    const cluster = this.#clusterOf(this.#storeOf(store))!
    if (cluster.topology !== null) return Promise.resolve(cluster.topology.masters)
    return new Promise((resolve, reject) => {
      const answered = (): void => {
        unwatch()
        this.#asking.delete(answered)
        if (cluster.topology === null) reject(new StoreLost(store, cluster.error))
        else resolve(cluster.topology.masters)
      }
      const unwatch = cluster.watch(answered)
      this.#asking.add(answered)
    })
  }

  /** They may be others now. */
  askForMasters(store: string): void {
    this.#clusterOf(this.#storeOf(store))?.ask()
  }

  #options(config: StoreConfig, endpoint: () => Endpoint | string, database: number): PipelineOptions {
    return {
      store: config,
      endpoint,
      identity: { database: database === 0 ? config.database : database, protocol: 2, user: null },
      refused: unservedError(this.#unserved, database),
      turn: this.#turn,
      clock: this.#clock,
      whenDown: 'fail',
      batchMs: 0,
      dedicated: false,
      limitBytes: PIPELINE_LIMIT_BYTES,
    }
  }

  /** Null: it is one server. */
  #clusterOf(config: StoreConfig): Cluster | null {
    if (config.kind !== 'cluster') return null
    this.#mustBeOpen()
    let cluster = this.#clusters.get(config.name)
    if (cluster === undefined || !isDeepStrictEqual(cluster.options.config, config)) {
      cluster?.close()
      for (const answered of [...this.#asking]) answered()
      cluster = new Cluster({ config, turn: this.#turn, clock: this.#clock, commands: () => COMMANDS })
      this.#clusters.set(config.name, cluster)
    }
    return cluster
  }

  /** Of a page whose other keys have failed some may still be under way, and would wait for ever. Not StoreLost: what the job needs is not asked for again. */
  #mustBeOpen(): void {
    if (this.#closed) throw new Error('the job is over')
  }

  close(): void {
    this.#closed = true
    this.#clock.stop()
    for (const connection of this.#open.values()) connection.close()
    for (const cluster of this.#clusters.values()) cluster.close()
    for (const answered of [...this.#asking]) answered()
    this.#clusters.clear()
    this.#open.clear()
  }
}

const writer = new FrameWriter()

/** Called for each reply of a batch: a view, valid during the call. */
export type EachReply = (index: number, buf: Buffer, start: number, end: number) => void

/** One pipelined connection. Whole batches are one slot of it: no promise, closure or object for each key. */
export class StoreConnection {
  readonly store: string
  readonly config: StoreConfig
  readonly #database: number
  readonly #pipeline: Pipeline
  #ended = false
  /** Where the store was when this was last looked at; null: not known. */
  #place: Endpoint | null

  constructor(config: StoreConfig, database: number, pipeline: Pipeline, place: Endpoint | null) {
    this.store = config.name
    this.config = config
    this.#database = database
    this.#pipeline = pipeline
    this.#place = place
  }

  /** Changes when the connection was lost and is another one now: perhaps to another process. */
  get generation(): number {
    return this.#pipeline.generation
  }

  get isUp(): boolean {
    return this.#pipeline.state === 'up'
  }

  get closed(): boolean {
    return this.#pipeline.state === 'closed'
  }

  /** One command. An error reply is a value, unless it is of the store and not of the command. Rejects with StoreLost and DatabaseRefused. */
  ask(args: readonly (Buffer | string | number)[]): Promise<Reply> {
    const bytes = encodeOwn(args)
    return new Promise((resolve, reject) => {
      let reply: Reply = null
      const each: EachReply = (_index, buf, start, end) => {
        reply = decodeReply(buf, start, end)
      }
      this.#push(bytes, bytes.length, 1, each, () => resolve(reply), reject)
    })
  }

  /** The same commands for each key, key by key. Resolves when every reply has come; rejects as `ask`. */
  forEach(commands: readonly (readonly string[])[], names: readonly Buffer[], each: EachReply): Promise<void> {
    if (names.length === 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const total = commands.length * names.length
      let pushed = 0
      let ended = 0
      // In slices of the pipeline's own pieces of memory, so that no page needs memory of its own.
      writer.write(commands, names, CHUNK_BYTES, (buf, length, count) => {
        const from = pushed
        pushed += count
        const end = (): void => {
          ended += count
          if (ended === total) resolve()
        }
        this.#push(
          buf,
          length,
          count,
          (index, reply, start, stop) => each(from + index, reply, start, stop),
          end,
          reject,
        )
      })
    })
  }

  /** `place`: where the store is now. An old primary that lives on after a failover is left: what it says, and what is written there, is worth nothing. */
  tick(nowMs: number, place: Endpoint | null): void {
    if (place !== null && !isDeepStrictEqual(place, this.#place)) {
      if (this.#place !== null) this.#pipeline.move('the store is at another address now')
      this.#place = place
    }
    this.#pipeline.tick(nowMs)
  }

  close(): void {
    this.#ended = true
    this.#pipeline.close('the job is over')
  }

  #push(
    bytes: Buffer,
    length: number,
    count: number,
    each: EachReply,
    resolve: () => void,
    reject: (error: Error) => void,
  ): void {
    let index = 0
    const owner: ReplyOwner = {
      settle: (_slot: InFlight, buf: Buffer, start: number, end: number) => {
        if (buf[start] === MINUS) {
          const text = textOf(buf, start, end)
          if (isOfStore(text)) reject(new StoreLost(this.store, text))
        }
        each(index, buf, start, end)
        if (++index === count) resolve()
      },
      lost: (_slot: InFlight, loss: Loss) => reject(this.#lossOf(loss)),
      timedOut: () => {},
    }
    this.#pipeline.push(owner, bytes, 0, length).replies = count
  }

  #lossOf({ text }: Loss): Error {
    const { error } = this.#pipeline
    // The store itself has closed it for good: it refuses the database that is in the greeting.
    const refused = this.closed && !this.#ended && error !== null && !isOfStore(error)
    return refused ? new DatabaseRefused(this.store, this.#database, error) : new StoreLost(this.store, text, error)
  }
}

/** An error that says nothing of a key. Keys of a slot that is being moved are asked for again, too. */
function isOfStore(text: string): boolean {
  return refusalOf(text) !== null || text.startsWith('TRYAGAIN ')
}
