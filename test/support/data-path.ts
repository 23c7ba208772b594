import { Redis } from 'ioredis'
import type {
  ClientsConfig,
  CompareConfig,
  Config,
  EndConfig,
  ListenConfig,
  MirrorConfig,
  RouteConfig,
  StoreConfig,
} from '../../src/config/config.ts'
import type { CopyLimits } from '../../src/mirror/copy/copy-state.ts'
import type { Change, Notice } from '../../src/proxy/messages.ts'
import { Runtime } from '../../src/proxy/runtime.ts'
import { changeBetween } from './change.ts'
import { RawClient } from './raw-client.ts'
import type { ClientOptions, RedisServer } from './redis.ts'

/** A route in short: ends by store name; what is left out is the product's default. */
export interface RouteOptions extends Partial<Omit<RouteConfig, 'source' | 'target' | 'mirror' | 'compare'>> {
  readonly mirror?: Partial<MirrorConfig> | undefined
  readonly compare?: Partial<CompareConfig> | undefined
  readonly source: string | (Partial<EndConfig> & { readonly store: string })
  readonly target?: string | (Partial<EndConfig> & { readonly store: string })
}

export interface DataPathOptions {
  /** A server, or a store of one's own; at least one. */
  readonly stores: Readonly<Record<string, RedisServer | StoreOptions>>
  /** Default: one route `all` in passthrough to the first store. */
  readonly routes?: readonly RouteOptions[]
  readonly clients?: Partial<ClientsConfig>
  readonly listen?: Partial<ListenConfig>
  readonly copyLimits?: Partial<CopyLimits>
  /** As `OverlapTable` says. Default: so few that a test has sole lanes, and they end. */
  readonly calm?: number
  /** Settings of every store. */
  readonly store?: Partial<StoreConfig>
  /** Shadows lack what the primaries held before, as long as nobody tells the runtime otherwise. Default: they do not. */
  readonly shadowsLack?: boolean
  /** Default: nothing is kept. */
  readonly stateDir?: string
}

export interface StoreOptions extends Partial<StoreConfig> {
  readonly port: number
}

/** The data path in this very process, on a port of its own. */
export interface DataPathUnderTest {
  readonly port: number
  readonly runtime: Runtime
  readonly config: Config
  /** What it said, oldest first. */
  readonly notices: Notice[]
  /** A new ioredis client; disconnected by `stop`. */
  client(options?: ClientOptions): Redis
  /** A new connection of bare bytes; closed by `stop`. */
  raw(): Promise<RawClient>
  /** What the sidecar asks for to put another configuration in force: on the same listeners, gates apart. */
  change(next: DataPathOptions): Change
  /** Puts it in force. Rejects when that is refused. */
  apply(next: DataPathOptions): Promise<void>
  stop(graceMs?: number): Promise<void>
}

export async function startDataPath(options: DataPathOptions): Promise<DataPathUnderTest> {
  const config = configOf(options)
  const notices: Notice[] = []
  const runtime = new Runtime(config, {}, (notice) => notices.push(notice), {
    copyLimits: options.copyLimits ?? {},
    calm: options.calm ?? 4,
    quietMs: 5,
  })
  const complete = (of: Config, generation: number): void => {
    const names = of.routes.map(({ name }) => name)
    runtime.setCompletePrimaries(names, generation)
    if (options.shadowsLack !== true) runtime.setCompleteShadows(names, generation)
  }
  const [port] = (await runtime.start(config)) as [number]
  complete(config, 0)
  const clients = new Set<Redis>()
  const raws = new Set<RawClient>()
  let current = config
  let generation = 0
  const change = (next: DataPathOptions): Change =>
    changeBetween(current, { ...configOf(next), listen: config.listen }, ++generation)
  return {
    port,
    runtime,
    config,
    notices,
    client(clientOptions = {}) {
      const client = new Redis({ host: '127.0.0.1', port, ...clientOptions })
      client.on('error', () => {})
      clients.add(client)
      client.once('end', () => clients.delete(client))
      return client
    },
    async raw() {
      const raw = await RawClient.open(port)
      raws.add(raw)
      void raw.closed.then(() => raws.delete(raw))
      return raw
    },
    change,
    async apply(next) {
      const asked = change(next)
      const result = await runtime.apply(asked)
      if (!result.ok) throw new Error(result.reason)
      current = asked.config
      complete(current, asked.generation)
    },
    async stop(graceMs = 0) {
      for (const client of clients) client.disconnect()
      for (const raw of raws) raw.destroy()
      await runtime.stop(graceMs)
    },
  }
}

export function configOf({ stores, routes, clients, store, listen, stateDir }: DataPathOptions): Config {
  const first = Object.keys(stores)[0]!
  return {
    listen: [{ ...LISTEN, ...listen }],
    admin: null,
    stateDir: stateDir ?? '',
    intentLog: true,
    stores: Object.fromEntries(Object.entries(stores).map(([name, of]) => [name, storeOf(name, of, store ?? {})])),
    routes: (routes ?? [{ name: 'all', source: first }]).map(routeOf),
    clients: {
      auth: 'store',
      users: {},
      maxClients: 10_000,
      dedicatedConnections: 4_000,
      subscriberConnections: 1_000,
      outputBuffer: { normal: OUTPUT, pubsub: OUTPUT },
      ...clients,
    },
    cutover: { holdTimeoutMs: 5_000, maxMismatchRate: 0.0001, minCompared: 0 },
    log: { level: 'info', format: 'json' },
  }
}

const OUTPUT = { hardBytes: 256 * 1024 * 1024, softBytes: 0, softMs: 0 }

const LISTEN: ListenConfig = {
  url: 'redis://127.0.0.1:0',
  endpoint: { kind: 'tcp', host: '127.0.0.1', port: 0 },
  tls: null,
  connections: 'shared',
  mode: null,
}

function storeOf(name: string, of: RedisServer | StoreOptions, shared: Partial<StoreConfig>): StoreConfig {
  const { port, ...own } = 'kill9' in of ? { port: of.port } : of
  return {
    name,
    url: `redis://127.0.0.1:${port}`,
    kind: 'single',
    endpoints: [{ kind: 'tcp', host: '127.0.0.1', port }],
    sentinelName: null,
    sentinel: null,
    tls: null,
    username: null,
    password: null,
    database: 0,
    // The product's own would do. A test that is about time sets its own, and for any other a store that a busy machine keeps waiting is not silent.
    timeoutMs: 20_000,
    connectTimeoutMs: 10_000,
    dataDir: null,
    ...shared,
    ...own,
  }
}

function routeOf({ source, target, mirror, compare, ...rest }: RouteOptions): RouteConfig {
  return {
    name: 'all',
    keys: ['*'],
    phase: 'passthrough',
    readTimeoutMs: 20_000,
    scripts: 'copy',
    ...rest,
    source: endOf(source),
    target: target === undefined ? null : endOf(target),
    mirror: { mode: 'async', backlogBytes: 64 * 1024 * 1024, timeoutMs: 100, onShadowError: 'ignore', ...mirror },
    compare: {
      sample: 0,
      ttlToleranceMs: 2_000,
      ignoreJson: [],
      always: [],
      never: [],
      reveal: 'masked',
      repair: false,
      decode: [],
      baseline: false,
      acknowledge: [],
      ...compare,
    },
  }
}

function endOf(end: string | (Partial<EndConfig> & { readonly store: string })): EndConfig {
  return typeof end === 'string' ? { store: end, keys: {}, channels: {} } : { keys: {}, channels: {}, ...end }
}
