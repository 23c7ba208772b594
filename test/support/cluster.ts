import { Cluster, type Redis } from 'ioredis'
import type { TestCertificate } from './certificates.ts'
import { eventually } from './eventually.ts'
import { freePort } from './ports.ts'
import { type RedisServer, startRedis } from './redis.ts'

const SLOTS = 16_384
/** Longer than what a busy machine stays silent: no failover that no test asked for. */
const NODE_TIMEOUT_MS = 10_000

export interface ClusterOptions {
  /** Default 3. */
  readonly masters?: number
  /** Of each master. Default: none. */
  readonly replicas?: number
  /** Further arguments of each server. */
  readonly args?: readonly string[]
  readonly password?: string
  /** The nodes speak TLS to each other and to whoever calls their `tlsPort`; to this class' own clients they do not. */
  readonly tls?: TestCertificate & { readonly caFile: string }
  /** How long a node may be silent before the others take it for dead. */
  readonly nodeTimeoutMs?: number
}

interface Node {
  readonly server: RedisServer
  readonly client: Redis
  readonly id: string
  /** 0: none. */
  readonly tlsPort: number
}

/** A real cluster of redis-servers on free ports of 127.0.0.1. */
export class RedisCluster {
  readonly #nodes: readonly Node[]
  readonly #options: ClusterOptions
  readonly #clients = new Set<Cluster>()

  constructor(nodes: readonly Node[], options: ClusterOptions) {
    this.#nodes = nodes
    this.#options = options
  }

  /** Every server of it, the first masters first. */
  get servers(): readonly RedisServer[] {
    return this.#nodes.map(({ server }) => server)
  }

  /** Where they speak TLS, in the same order. */
  get tlsPorts(): readonly number[] {
    return this.#nodes.map(({ tlsPort }) => tlsPort)
  }

  /** `redis+cluster://...`, as in a configuration, with every node. */
  get url(): string {
    const { password } = this.#options
    const login = password === undefined ? '' : `:${encodeURIComponent(password)}@`
    return `redis+cluster://${login}${this.servers.map(({ host, port }) => `${host}:${port}`).join(',')}`
  }

  /** A client that follows the cluster; disconnected by `stop()`. */
  client(): Cluster {
    const { password } = this.#options
    const client = new Cluster(
      this.servers.map(({ host, port }) => ({ host, port })),
      {
        redisOptions: password === undefined ? {} : { password },
        clusterRetryStrategy: () => 50,
        slotsRefreshTimeout: 5_000,
      },
    )
    client.on('error', () => {})
    this.#clients.add(client)
    client.once('end', () => this.#clients.delete(client))
    return client
  }

  /** The servers that are masters with slots now, in the order of `servers`, as the node `asked` says; default the first that runs. */
  async masters(asked?: RedisServer): Promise<RedisServer[]> {
    const masters = (await this.#lines(asked)).filter(
      ({ flags, slots }) => flags.includes('master') && !flags.includes('fail') && slots.length > 0,
    )
    return this.#nodes.filter(({ id }) => masters.some((line) => line.id === id)).map(({ server }) => server)
  }

  /** The master that owns the slot now. */
  async ownerOf(slot: number): Promise<RedisServer> {
    const line = (await this.#lines()).find(({ slots }) => slots.some(([first, last]) => first <= slot && slot <= last))
    if (line === undefined) throw new Error(`slot ${slot} has no owner`)
    return this.#byId(line.id).server
  }

  async slotOf(key: string | Buffer): Promise<number> {
    return (await this.#nodes[0]!.client.call('CLUSTER', 'KEYSLOT', key)) as number
  }

  /** The replicas of a master, as the others say. */
  async replicasOf(master: RedisServer): Promise<RedisServer[]> {
    const { id } = this.#of(master)
    return (await this.#lines())
      .filter(({ masterId, flags }) => masterId === id && !flags.includes('fail'))
      .map((line) => this.#byId(line.id).server)
  }

  /** Number of keys of all masters. */
  async countKeys(): Promise<number> {
    const sizes = await Promise.all((await this.masters()).map((server) => this.#of(server).client.dbsize()))
    return sizes.reduce((sum, size) => sum + size, 0)
  }

  async flushAll(): Promise<void> {
    for (const server of await this.masters()) await this.#of(server).client.flushall()
  }

  /** Begins to move a slot to another master: from now on its keys are asked for with ASK where they have gone already. */
  async beginMove(slot: number, to: RedisServer): Promise<SlotMove> {
    const from = this.#of(await this.ownerOf(slot))
    const target = this.#of(to)
    if (from === target) throw new Error(`slot ${slot} lies there already`)
    await target.client.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', from.id)
    await from.client.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', target.id)
    const login = this.#options.password === undefined ? [] : ['AUTH', this.#options.password]
    const migrate = async (limit: number): Promise<number> => {
      const keys = (await from.client.callBuffer('CLUSTER', 'GETKEYSINSLOT', slot, limit)) as Buffer[]
      if (keys.length > 0)
        await from.client.call(
          'MIGRATE',
          to.host,
          target.tlsPort || to.port,
          '',
          0,
          20_000,
          'REPLACE',
          ...login,
          'KEYS',
          ...keys,
        )
      return keys.length
    }
    return {
      migrate,
      finish: async () => {
        while ((await migrate(100)) > 0);
        // The new owner first: the other way round the slot would be nobody's for a moment.
        await target.client.call('CLUSTER', 'SETSLOT', slot, 'NODE', target.id)
        await from.client.call('CLUSTER', 'SETSLOT', slot, 'NODE', target.id)
        for (const server of await this.masters())
          await this.#of(server).client.call('CLUSTER', 'SETSLOT', slot, 'NODE', target.id)
      },
    }
  }

  async moveSlot(slot: number, to: RedisServer): Promise<void> {
    await (await this.beginMove(slot, to)).finish()
  }

  /** A failover that an operator asks for, without loss; gives the new master when every node names it. */
  async failover(master: RedisServer): Promise<RedisServer> {
    const replica = await this.#replicaInStep(master)
    await eventually(
      async () => {
        await this.#of(replica).client.call('CLUSTER', 'FAILOVER')
        await eventually(() => this.#agree(replica), { timeoutMs: 6_000 })
      },
      { timeoutMs: 60_000 },
    )
    return replica
  }

  /** The master dies, and its replica takes its place: what the replica had not received is lost, as it is in life. */
  async crash(master: RedisServer): Promise<RedisServer> {
    const replica = await this.#replicaInStep(master)
    await master.kill9()
    await this.#of(replica).client.call('CLUSTER', 'FAILOVER', 'TAKEOVER')
    await eventually(() => this.#agree(replica, master), { timeoutMs: 30_000 })
    return replica
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.disconnect()
    await Promise.all(this.servers.map((server) => server.stop()))
  }

  /** Resolves when every node that should live sees every slot covered. */
  async ready(without?: RedisServer): Promise<void> {
    await eventually(
      async () => {
        for (const { server, client } of this.#nodes) {
          if (server === without) continue
          const info = String(await client.call('CLUSTER', 'INFO'))
          if (!info.includes('cluster_state:ok') || !info.includes(`cluster_slots_ok:${SLOTS}`))
            throw new Error(`port ${server.port}: ${info.slice(0, 120)}`)
          if (!info.includes(`cluster_known_nodes:${this.#nodes.length}`))
            throw new Error(`port ${server.port} does not know all`)
        }
      },
      { timeoutMs: 30_000, intervalMs: 20 },
    )
  }

  /** One that has what its master has; a node that was the master a moment ago takes a while. */
  #replicaInStep(master: RedisServer): Promise<RedisServer> {
    return eventually(
      async () => {
        for (const replica of await this.replicasOf(master)) {
          const info = await this.#of(replica).client.info('replication')
          if (info.includes('master_link_status:up')) return replica
        }
        throw new Error(`the master on port ${master.port} has no replica in step`)
      },
      { timeoutMs: 20_000 },
    )
  }

  async #agree(master: RedisServer, without?: RedisServer): Promise<void> {
    for (const { server } of this.#nodes) {
      if (server === without) continue
      const masters = await this.masters(server)
      if (!masters.includes(master)) throw new Error(`port ${server.port} does not see port ${master.port} as master`)
    }
    await this.ready(without)
  }

  #of(server: RedisServer): Node {
    return this.#nodes.find((node) => node.server === server)!
  }

  #byId(id: string): Node {
    return this.#nodes.find((node) => node.id === id)!
  }

  async #lines(asked?: RedisServer): Promise<NodeLine[]> {
    const nodes = asked === undefined ? this.#nodes.filter(({ server }) => server.isRunning) : [this.#of(asked)]
    return parseNodes(String(await nodes[0]!.client.call('CLUSTER', 'NODES')))
  }
}

/** A slot on its way from one master to another. */
export interface SlotMove {
  /** Moves at most `limit` keys; gives how many there were. */
  migrate(limit: number): Promise<number>
  /** Moves what is left, and gives the slot to its new owner. */
  finish(): Promise<void>
}

interface NodeLine {
  readonly id: string
  readonly flags: readonly string[]
  readonly masterId: string
  readonly slots: readonly (readonly [first: number, last: number])[]
}

/** `id address flags master ping pong epoch link-state slot first-last [slot->-importer] ...` */
function parseNodes(text: string): NodeLine[] {
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const [id = '', , flags = '', masterId = '', , , , , ...slots] = line.split(' ')
      return {
        id,
        flags: flags.split(','),
        masterId,
        slots: slots
          .filter((slot) => !slot.startsWith('['))
          .map((slot) => {
            const [first, last = first] = slot.split('-').map(Number)
            return [first!, last!] as const
          }),
      }
    })
}

/** Starts a cluster whose slots are dealt evenly and in order: the first master has the lowest. One that does not come about, for its nodes do not find each other on a busy machine, is started anew. */
export function startCluster(options: ClusterOptions = {}): Promise<RedisCluster> {
  return start(options).catch(() => start(options))
}

async function start(options: ClusterOptions): Promise<RedisCluster> {
  const { masters = 3, replicas = 0, args = [], password, tls, nodeTimeoutMs = NODE_TIMEOUT_MS } = options
  const secured = password === undefined ? [] : ['--requirepass', password, '--masterauth', password]
  const certificates =
    tls === undefined ? [] : ['--tls-cert-file', tls.cert, '--tls-key-file', tls.key, '--tls-ca-cert-file', tls.caFile]
  const servers: RedisServer[] = []
  const tlsPorts: number[] = []
  const started = await Promise.allSettled(
    Array.from({ length: masters * (1 + replicas) }, async (_, i) => {
      tlsPorts[i] = tls === undefined ? 0 : await freePort()
      servers[i] = await startRedis({
        args: [
          ...(tls === undefined ? [] : ['--tls-port', String(tlsPorts[i]), '--tls-cluster', 'yes']),
          ...(tls === undefined ? [] : ['--tls-replication', 'yes', '--tls-auth-clients', 'no', ...certificates]),
          ...['--cluster-enabled', 'yes', '--cluster-port', String(await freePort())],
          ...['--cluster-node-timeout', String(nodeTimeoutMs), '--repl-diskless-sync-delay', '0'],
          ...secured,
          ...args,
        ],
        ...(password === undefined ? {} : { password }),
      })
    }),
  )
  const running = servers.filter((server) => server !== undefined)
  try {
    for (const result of started) if (result.status === 'rejected') throw result.reason
    const nodes = await Promise.all(
      running.map(async (server): Promise<Node> => {
        const client = server.client({ maxRetriesPerRequest: null })
        const id = String(await client.call('CLUSTER', 'MYID'))
        return { server, client, id, tlsPort: tlsPorts[servers.indexOf(server)]! }
      }),
    )
    await introduce(nodes, masters)
    const cluster = new RedisCluster(nodes, options)
    await makeReplicas(nodes, masters)
    await cluster.ready()
    return cluster
  } catch (error) {
    await Promise.all(running.map((server) => server.stop()))
    throw error
  }
}

async function introduce(nodes: readonly Node[], masters: number): Promise<void> {
  const [first] = nodes
  for (const [i, { client }] of nodes.entries()) {
    await client.call('CLUSTER', 'SET-CONFIG-EPOCH', i + 1)
    if (i >= masters) continue
    const [from, until] = [i, i + 1].map((n) => Math.floor((n * SLOTS) / masters))
    await client.call('CLUSTER', 'ADDSLOTSRANGE', from!, until! - 1)
  }
  for (const { server, client, tlsPort } of nodes.slice(1)) {
    const [, busPort] = (await client.config('GET', 'cluster-port')) as [string, string]
    await first!.client.call('CLUSTER', 'MEET', server.host, tlsPort || server.port, busPort)
  }
}

async function makeReplicas(nodes: readonly Node[], masters: number): Promise<void> {
  await Promise.all(
    nodes.slice(masters).map(async ({ client }, i) => {
      const { id } = nodes[i % masters]!
      // It has heard of its master, by gossip, a moment after it was met.
      await eventually(() => client.call('CLUSTER', 'REPLICATE', id), { timeoutMs: 20_000 })
      await eventually(
        async () => {
          if (!(await client.info('replication')).includes('master_link_status:up')) throw new Error('not in step')
        },
        { timeoutMs: 20_000, intervalMs: 20 },
      )
    }),
  )
}
