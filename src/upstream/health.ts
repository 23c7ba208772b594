import { Redis } from 'ioredis'
import type { Endpoint, StoreConfig } from '../config/config.ts'
import { tlsOptions } from './connect.ts'
import { connectReason } from './connect-error.ts'

export interface Health {
  up: boolean
  /** Round trip of the last PING, ms; null: none yet. */
  latencyMs: number | null
  version: string | null
  /** `master` or `slave`, as INFO says it. */
  role: string | null
  /** The store's clock minus ours, ms, from TIME and half the round trip. */
  clockOffsetMs: number | null
  error: string | null
}

const PROBE_EVERY_MS = 1_000
/** Version, role and clock are asked for once in so many probes. */
const FACTS_EVERY = 10

/** Asks one store now and then how it is, on a connection of its own, apart from the data path. */
export class HealthProbe {
  readonly health: Health = { up: false, latencyMs: null, version: null, role: null, clockOffsetMs: null, error: null }
  readonly store: StoreConfig
  readonly #endpoint: Endpoint
  readonly #redis: Redis
  readonly #onFacts: (health: Health) => void
  readonly #onChange: (health: Health) => void
  #timer: NodeJS.Timeout | null = null
  #probes = 0
  #stopped = false

  constructor(
    store: StoreConfig,
    endpoint: Endpoint,
    onFacts: (health: Health) => void,
    onChange: (health: Health) => void,
  ) {
    this.store = store
    this.#endpoint = endpoint
    this.#onFacts = onFacts
    this.#onChange = onChange
    this.#redis = new Redis(clientOptions(store, endpoint))
    this.#redis.on('error', (error: Error) => {
      this.health.error = connectReason(error, store, this.health.up)
    })
  }

  /** Resolves after the first probe, whatever it says. */
  async start(): Promise<void> {
    await this.#probe()
  }

  stop(): void {
    this.#stopped = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#redis.disconnect()
  }

  async #probe(): Promise<void> {
    const { health } = this
    const was = health.up
    try {
      if (this.#redis.status === 'wait' || this.#redis.status === 'end') {
        this.#renewTls()
        await this.#redis.connect()
      }
      const before = performance.now()
      await this.#redis.ping()
      health.latencyMs = Math.round((performance.now() - before) * 1000) / 1000
      health.up = true
      health.error = null
      if (!was || this.#probes % FACTS_EVERY === 0) await this.#facts()
    } catch (error) {
      health.up = false
      health.error ??= error instanceof Error ? error.message : String(error)
    }
    this.#probes++
    if (health.up !== was) this.#onChange(health)
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#probe(), PROBE_EVERY_MS).unref()
  }

  /** The files as they are now: a certificate may have been renewed since the last connection. */
  #renewTls(): void {
    const { tls } = this.store
    if (tls !== null) this.#redis.options.tls = tlsOptions(this.#endpoint, tls)
  }

  async #facts(): Promise<void> {
    const { health } = this
    const info = await this.#redis.info()
    health.version = /^(?:redis_version|valkey_version):(\S+)/m.exec(info)?.[1] ?? null
    health.role = /^role:(\S+)/m.exec(info)?.[1] ?? null
    const before = Date.now()
    const [seconds, micros] = (await this.#redis.time()) as unknown as [string, string]
    const after = Date.now()
    health.clockOffsetMs = Math.round(Number(seconds) * 1000 + Number(micros) / 1000 - (before + after) / 2)
    this.#onFacts(health)
  }
}

/** Options of an ioredis client for a store: what is off the hot path goes through it. */
function clientOptions(store: StoreConfig, endpoint: Endpoint) {
  return {
    ...(endpoint.kind === 'unix' ? { path: endpoint.path } : { host: endpoint.host, port: endpoint.port }),
    ...(store.username === null ? {} : { username: store.username }),
    ...(store.password === null ? {} : { password: store.password }),
    db: store.database,
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    connectTimeout: store.connectTimeoutMs,
    commandTimeout: store.timeoutMs,
    connectionName: 'understudy-health',
    retryStrategy: () => null,
  }
}
