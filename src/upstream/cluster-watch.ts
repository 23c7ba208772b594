import type { Endpoint, StoreConfig } from '../config/config.ts'
import type { Reply } from '../resp/reply.ts'
import { readTopology } from './cluster/topology.ts'
import { withBriefClient } from './connection/brief-client.ts'
import { HealthProbe } from './health.ts'

/** A cluster as its nodes say it is: part of `status`. */
export interface ClusterView {
  readonly nodes: readonly ClusterNodeView[]
  /** Of 16384: those that a master serves, whether or not it answers. */
  readonly slotsCovered: number
  /** Why not every slot can be reached; null: each can. */
  readonly error: string | null
}

export interface ClusterNodeView {
  /** `host:port`. */
  readonly address: string
  readonly role: 'master' | 'replica'
  /** That it serves; 0 of a replica. */
  readonly slots: number
  readonly up: boolean
  readonly latencyMs: number | null
  readonly version: string | null
  readonly valkeyVersion: string | null
  readonly error: string | null
}

export interface ClusterWatchOptions {
  readonly store: StoreConfig
  /** A node answers, or does not any more. */
  readonly onNode: (address: string, error: string | null) => void
}

const SLOTS = 16_384
const ASK_EVERY_MS = 2_000

/** What a node has said of the whole. */
interface Layout {
  /** Slots by the address of their master. */
  readonly masters: ReadonlyMap<string, number>
  readonly replicas: ReadonlySet<string>
}

/**
 * How the nodes of one cluster are: which there are is asked every two seconds (`CLUSTER SLOTS` of a node that answers), and each of them is probed as a store is. Apart from the data path.
 */
export class ClusterWatch {
  readonly store: StoreConfig
  readonly #options: ClusterWatchOptions
  readonly #probes = new Map<string, HealthProbe>()
  #layout: Layout | null = null
  #timer: NodeJS.Timeout | null = null
  #candidate = 0
  /** So many, one after the other, have said that the cluster is down. */
  #downs = 0
  #stopped = false

  constructor(options: ClusterWatchOptions) {
    this.#options = options
    this.store = options.store
  }

  /** Null: no node has said what the cluster is like. */
  get view(): ClusterView | null {
    const layout = this.#layout
    if (layout === null) return null
    const nodes = addressesIn(layout).map((address): ClusterNodeView => {
      const { health, asked } = this.#probes.get(address)!
      const slots = layout.masters.get(address)
      const { latencyMs, version, valkeyVersion, error } = health
      // One that was not asked yet is not known to be down.
      const up = health.up || !asked
      return {
        address,
        role: slots === undefined ? 'replica' : 'master',
        slots: slots ?? 0,
        up,
        latencyMs,
        version,
        valkeyVersion,
        error,
      }
    })
    const slotsCovered = [...layout.masters.values()].reduce((sum, slots) => sum + slots, 0)
    return { nodes, slotsCovered, error: ailmentOf(nodes, slotsCovered) }
  }

  async start(): Promise<void> {
    await this.#look()
  }

  stop(): void {
    this.#stopped = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    for (const probe of this.#probes.values()) probe.stop()
  }

  async #look(): Promise<void> {
    let layout = await this.#ask()
    for (let i = this.#candidates().length; i > 1 && layout === null && this.#downs > 0; i--) layout = await this.#ask()
    if (this.#stopped) return
    if (layout !== null) this.#know(layout)
    this.#timer = setTimeout(() => void this.#look(), ASK_EVERY_MS).unref()
  }

  /** Masters first, then what the configuration names. */
  #candidates(): Endpoint[] {
    return [...[...(this.#layout?.masters.keys() ?? [])].map(endpointOf), ...this.store.endpoints]
  }

  /**
   * One after the other until one answers. Null: this one did not, or says that the cluster is down: it may be cut off from the others, and is believed when all of them say so.
   */
  async #ask(): Promise<Layout | null> {
    const candidates = this.#candidates()
    const endpoint = candidates[this.#candidate % candidates.length]!
    try {
      const [info, slots] = await withBriefClient(
        this.store,
        endpoint,
        'understudy-health',
        async (redis): Promise<[string, Reply]> => [
          // A user that may not ask is not told.
          String(await redis.call('CLUSTER', 'INFO').catch(() => '')),
          (await redis.callBuffer('CLUSTER', 'SLOTS')) as Reply,
        ],
      )
      const layout = readLayout(slots, endpoint)
      if (layout !== null) {
        this.#downs = info.includes('cluster_state:fail') ? this.#downs + 1 : 0
        if (this.#downs > 0) this.#candidate++
        return this.#layout === null || this.#downs === 0 || this.#downs >= candidates.length ? layout : null
      }
    } catch {
      // The next one is asked; that this one is down is what its probe says.
    }
    this.#candidate++
    return null
  }

  #know(layout: Layout): void {
    this.#layout = layout
    const addresses = new Set(addressesIn(layout))
    for (const [address, probe] of this.#probes) {
      if (addresses.has(address)) continue
      probe.stop()
      this.#probes.delete(address)
    }
    for (const address of addresses) {
      if (this.#probes.has(address)) continue
      const endpoint = endpointOf(address)
      const probe = new HealthProbe(
        { ...this.store, kind: 'single', endpoints: [endpoint] },
        endpoint,
        () => {},
        ({ up, error }) => this.#options.onNode(address, up ? null : (error ?? 'it does not answer')),
      )
      this.#probes.set(address, probe)
      void probe.start()
    }
  }
}

function ailmentOf(nodes: readonly ClusterNodeView[], slotsCovered: number): string | null {
  const masters = nodes.filter(({ role }) => role === 'master')
  const down = masters.filter(({ up }) => !up)
  if (down.length > 0) {
    const slots = down.reduce((sum, node) => sum + node.slots, 0)
    const those = `${down.map(({ address }) => address).join(', ')} (${slots} slots)`
    return `${down.length} of ${masters.length} masters ${down.length === 1 ? 'does' : 'do'} not answer: ${those}`
  }
  return slotsCovered < SLOTS ? `${SLOTS - slotsCovered} slots are served by no node` : null
}

/** `reply`: to CLUSTER SLOTS. Null: it is no such answer, or names nobody. */
function readLayout(reply: Reply, asked: Endpoint): Layout | null {
  const topology = asked.kind === 'tcp' ? readTopology(reply, asked.host) : null
  if (topology === null || topology.masters.length === 0) return null
  const slots = topology.masters.map(() => 0)
  for (const owner of topology.owners) if (owner !== -1) slots[owner]!++
  return {
    masters: new Map(topology.masters.map((node, i) => [`${node.host}:${node.port}`, slots[i]!])),
    replicas: new Set(topology.replicas.map(({ host, port }) => `${host}:${port}`)),
  }
}

/** Masters by their first slots, then replicas. */
function addressesIn({ masters, replicas }: Layout): string[] {
  return [...masters.keys(), ...[...replicas].filter((address) => !masters.has(address))]
}

function endpointOf(address: string): Endpoint & { kind: 'tcp' } {
  const colon = address.lastIndexOf(':')
  return { kind: 'tcp', host: address.slice(0, colon), port: Number(address.slice(colon + 1)) }
}
