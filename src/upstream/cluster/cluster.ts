import type { CoarseClock } from '../../base/clock.ts'
import type { Turn } from '../../base/turn.ts'
import type { CommandTable } from '../../command/table.ts'
import type { Endpoint, StoreConfig } from '../../config/config.ts'
import { MINUS } from '../../resp/bytes.ts'
import { decodeReply } from '../../resp/decode.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import type { InFlight } from '../in-flight.ts'
import { Pipeline } from '../pipeline.ts'
import type { ConnectionMaker } from '../pipeline-connection.ts'
import type { PipelineOptions } from '../pipeline-options.ts'
import { ClusterConnection } from './cluster-connection.ts'
import { type ClusterNode, readTopology, type Topology } from './topology.ts'

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
 * What was known stays in force while no node answers.
 */
export class Cluster {
  readonly options: ClusterOptions
  topology: Topology | null = null
  /** Why the topology is not known. */
  error = 'no node of the cluster has been asked yet'
  /** Ids of all masters ever seen; a place in this list is what a SCAN cursor names. */
  readonly seen: string[] = []
  /** What nodes have answered to INFO last, by node and question. */
  readonly infos = new Map<string, Buffer>()
  readonly #watchers = new Set<() => void>()
  readonly #timer: NodeJS.Timeout
  #asking: Pipeline | null = null
  #candidate = 0
  /** Who is to be asked next, before all others. */
  #hint: Pick<ClusterNode, 'host' | 'port'> | null = null
  #soon: NodeJS.Timeout | null = null
  #closed = false

  constructor(options: ClusterOptions) {
    this.options = options
    this.#timer = setInterval(() => this.#ask(), EVERY_MS).unref()
  }

  /** Makes the connections of pipelines to this cluster. */
  readonly connection: ConnectionMaker = (options, owner) => new ClusterConnection(this, options, owner)

  /** The pipeline to one node, as a part of a pipeline to the cluster. */
  node({ host, port }: Pick<ClusterNode, 'host' | 'port'>, like: PipelineOptions): PipelineOptions {
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
    }
  }

  /** Called after every answer, also when it is that there is none. Gives the way to be called no more. */
  watch(changed: () => void): () => void {
    this.#watchers.add(changed)
    if (this.topology === null) this.#ask()
    return () => this.#watchers.delete(changed)
  }

  /** Something says that the topology may be another one; `of`: a node that surely knows. */
  ask(of: Pick<ClusterNode, 'host' | 'port'> | null = null): void {
    if (this.#closed) return
    this.#hint = of ?? this.#hint
    this.#soon ??= setTimeout(() => {
      this.#soon = null
      this.#ask()
    }, SOON_MS).unref()
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
    const seeds = config.endpoints.flatMap((seed) => (seed.kind === 'tcp' ? [seed] : []))
    const { topology } = this
    const candidates = [...(topology?.masters ?? []), ...seeds, ...(topology?.replicas ?? [])]
    const candidate = this.#hint ?? candidates[this.#candidate % candidates.length]!
    this.#hint = null
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
    const patienceMs = topology === null ? config.connectTimeoutMs + EVERY_MS : SILENT_MS
    const deadline = setTimeout(() => pipeline.close('no answer in time'), patienceMs).unref()
    const done = (topology: Topology | null, error: string): void => {
      clearTimeout(deadline)
      this.#asking = null
      queueMicrotask(() => pipeline.close('asked'))
      this.#learn(topology, error)
    }
    const owner = {
      settle: (_slot: InFlight, buf: Buffer, start: number, end: number) => {
        const reply = buf[start] === MINUS ? null : decodeReply(buf, start, end)
        const refusal = buf[start] === MINUS ? buf.toString('latin1', start + 1, end - 2) : 'an answer that is none'
        done(readTopology(reply, candidate.host), `CLUSTER SLOTS of ${candidate.host}:${candidate.port}: ${refusal}`)
      },
      lost: (_slot: InFlight, { text }: { text: string }) => done(null, text),
      timedOut: () => {},
    }
    pipeline.push(owner, CLUSTER_SLOTS, 0, CLUSTER_SLOTS.length)
  }

  #learn(topology: Topology | null, error: string): void {
    if (this.#closed) return
    if (topology === null || topology.masters.length === 0) {
      this.#candidate++
      this.error = topology === null ? error : 'no slot of the cluster is served by a node'
      this.ask()
    } else {
      this.topology = topology
      for (const { id } of topology.masters) if (!this.seen.includes(id)) this.seen.push(id)
    }
    for (const changed of [...this.#watchers]) changed()
  }
}

const CLUSTER_SLOTS = encodeOwn(['CLUSTER', 'SLOTS'])
const EVERY_MS = 3_000
const SOON_MS = 100
const SILENT_MS = 1_000
const CHUNK = 64 * 1024
