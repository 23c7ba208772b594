import { append } from '../../base/append.ts'
import type { CoarseClock } from '../../base/clock.ts'
import { hashBytes } from '../../base/hash.ts'
import type { Turn } from '../../base/turn.ts'
import type { CommandTable } from '../../command/table.ts'
import type { Endpoint, StoreConfig } from '../../config/config.ts'
import { MINUS } from '../../resp/bytes.ts'
import { decodeReply } from '../../resp/decode.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import type { InFlight, ReplyOwner } from '../pipeline/in-flight.ts'
import { Pipeline } from '../pipeline/pipeline.ts'
import type { ConnectionMaker } from '../pipeline/pipeline-connection.ts'
import type { PipelineOptions } from '../pipeline/pipeline-options.ts'
import { ClusterConnection } from './cluster-connection.ts'
import { NodeStandings } from './node-standings.ts'
import { type NodeAddress, readTopology, type Topology } from './topology.ts'

export interface ClusterOptions {
  readonly config: StoreConfig
  readonly turn: Turn
  readonly clock: CoarseClock
  /** The commands as they are known at the moment. */
  readonly commands: () => CommandTable
}

/**
 * One Redis Cluster as one thread sees it: which node serves which slot, asked every few seconds, and at once when a node was lost or sent a command elsewhere.
 *
 *   CLUSTER SLOTS of any node ─▶ Topology ─▶ every ClusterConnection routes by it
 *
 * What was known stays in force while no node answers. A node that says that the cluster is down (CLUSTER INFO) may be cut off from the others, who have agreed on new masters without it: it is believed when all of them
 * say so.
 */
export class Cluster {
  readonly options: ClusterOptions
  topology: Topology | null = null
  /** Why the topology is not known. */
  error = 'no node of the cluster has been asked yet'
  /** Ids of all masters ever seen; a place in this list is what a SCAN cursor names. Those seen at once by their order, so that another process, which sees the same, means the same. */
  readonly seen: string[] = []
  /** A hash of those that were seen first: where it is another one, places mean other masters. */
  seenFirst = 0
  /** What nodes have answered to INFO last, by node, question and user. */
  readonly infos = new Map<string, Buffer>()
  readonly standings = new NodeStandings()
  readonly #watchers = new Set<() => void>()
  readonly #timer: NodeJS.Timeout
  #asking: Pipeline | null = null
  #candidate = 0
  /** So many, one after the other, have said that the cluster is down. */
  #downs = 0
  /** To be told of the next answer to a question that is asked from now on. */
  #waiting: (() => void)[] = []
  /** Who is to be asked next, before all others. */
  #hint: NodeAddress | null = null
  #soon: NodeJS.Timeout | null = null
  #closed = false

  constructor(options: ClusterOptions) {
    this.options = options
    this.#timer = setInterval(() => this.#ask(), EVERY_MS).unref()
  }

  /** Makes the connections of pipelines to this cluster. */
  readonly connection: ConnectionMaker = (options, owner) => new ClusterConnection(this, options, owner)

  /** The pipeline to one node, as a part of a pipeline to the cluster. */
  node({ host, port }: NodeAddress, like: PipelineOptions): PipelineOptions {
    const endpoint: Endpoint = { kind: 'tcp', host, port }
    return {
      store: { ...like.store, kind: 'single', endpoints: [endpoint] },
      endpoint: () => endpoint,
      identity: like.identity,
      turn: like.turn,
      clock: like.clock,
      whenDown: like.whenDown,
      batchMs: 0,
      dedicated: like.dedicated,
      limitBytes: like.limitBytes,
      ownConnections: like.ownConnections,
      met: like.met,
      asksWhoItIs: like.asksWhoItIs,
    }
  }

  /** Called after every answer, also when it is that there is none. Gives the way to be called no more. */
  watch(changed: () => void): () => void {
    this.#watchers.add(changed)
    if (this.topology === null) this.#ask()
    return () => this.#watchers.delete(changed)
  }

  /** Something says that the topology may be another one; `of`: a node that surely knows. */
  ask(of: NodeAddress | null = null): void {
    if (this.#closed) return
    this.#hint = of ?? this.#hint
    this.#soon ??= setTimeout(() => {
      this.#soon = null
      this.#ask()
    }, SOON_MS).unref()
  }

  /** Asks now. `learnt`: called as soon as the topology is one that a node has told after this. */
  refresh(learnt: () => void): void {
    this.#waiting.push(learnt)
    // Who has been asked already may have answered already.
    if (this.#asking === null) this.#ask()
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#timer)
    if (this.#soon !== null) clearTimeout(this.#soon)
    this.#asking?.close('the store is closed')
  }

  #ask(): void {
    if (this.#asking !== null || this.#closed) return
    const { config, turn, clock } = this.options
    const candidates = this.#candidates()
    const candidate = this.#hint ?? candidates[this.#candidate % candidates.length]!
    this.#hint = null
    const waiting = this.#waiting
    this.#waiting = []
    const pipeline = new Pipeline(
      this.node(candidate, {
        store: config,
        endpoint: () => config.endpoints[0]!,
        identity: { database: 0, protocol: 2, user: null },
        turn,
        clock,
        whenDown: 'fail',
        batchMs: 0,
        dedicated: true,
        limitBytes: CHUNK,
      }),
    )
    this.#asking = pipeline
    // While another can be asked nobody waits long for one that is silent.
    const patienceMs = this.topology === null ? config.connectTimeoutMs + EVERY_MS : SILENT_MS
    const deadline = setTimeout(() => pipeline.close('no answer in time'), patienceMs).unref()
    let isDown = false
    const done = (topology: Topology | null, error: string): void => {
      clearTimeout(deadline)
      this.#asking = null
      queueMicrotask(() => pipeline.close('asked'))
      this.#learn(topology, isDown, error, waiting)
    }
    const ask = (question: Buffer, settle: ReplyOwner['settle'], lost: ReplyOwner['lost']): void => {
      pipeline.push({ settle, lost, timedOut: () => {} }, question, 0, question.length)
    }
    ask(
      CLUSTER_INFO,
      (_slot, buf, start, end) => {
        // A user that may not ask is not told.
        isDown = buf.toString('latin1', start, end).includes('cluster_state:fail')
      },
      () => {},
    )
    ask(
      CLUSTER_SLOTS,
      (_slot: InFlight, buf: Buffer, start: number, end: number) => {
        this.standings.reached(candidate)
        const reply = buf[start] === MINUS ? null : decodeReply(buf, start, end)
        const refusal = buf[start] === MINUS ? buf.toString('latin1', start + 1, end - 2) : 'an answer that is none'
        done(readTopology(reply, candidate.host), `CLUSTER SLOTS of ${candidate.host}:${candidate.port}: ${refusal}`)
      },
      (_slot, { text }) => {
        this.standings.unreached(candidate)
        done(null, text)
      },
    )
  }

  /** Who can be asked, the best first. */
  #candidates(): NodeAddress[] {
    const seeds = this.options.config.endpoints.flatMap((seed) => (seed.kind === 'tcp' ? [seed] : []))
    return [...(this.topology?.masters ?? []), ...seeds, ...(this.topology?.replicas ?? [])]
  }

  /** `waiting`: those who wait for this answer. */
  #learn(topology: Topology | null, isDown: boolean, error: string, waiting: readonly (() => void)[]): void {
    if (this.#closed) return
    const isAny = topology !== null && topology.masters.length > 0
    if (isAny) this.#downs = isDown ? this.#downs + 1 : 0
    const isTrusted = isAny && (!isDown || this.#downs >= this.#candidates().length)
    if (!isAny) this.error = topology === null ? error : 'no slot of the cluster is served by a node'
    else if (isTrusted || this.topology === null) {
      this.topology = topology
      const unseen = topology.masters.map(({ id }) => id).filter((id) => !this.seen.includes(id))
      const isFirst = this.seen.length === 0
      append(this.seen, unseen.sort())
      if (isFirst) this.seenFirst = hashOf(this.seen)
    }
    if (!isAny || isDown) this.#candidate++
    if (!isTrusted) {
      this.#waiting = waiting.concat(this.#waiting)
      this.ask()
    }
    for (const changed of [...this.#watchers]) changed()
    if (isTrusted) for (const learnt of waiting) learnt()
    if (isTrusted && this.#waiting.length > 0) this.#ask()
  }
}

function hashOf(ids: readonly string[]): number {
  const bytes = Buffer.from(ids.join(' '))
  return hashBytes(bytes, 0, bytes.length)
}

const CLUSTER_INFO = encodeOwn(['CLUSTER', 'INFO'])
const CLUSTER_SLOTS = encodeOwn(['CLUSTER', 'SLOTS'])
const EVERY_MS = 3_000
const SOON_MS = 100
const SILENT_MS = 1_000
const CHUNK = 64 * 1024
