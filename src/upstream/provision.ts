import { isDeepStrictEqual } from 'node:util'
import type { Config, Endpoint } from '../config/config.ts'
import type { Log } from '../observability/log.ts'
import { type Health, HealthProbe } from './health.ts'
import { ManagedServer, type ManagedServerLog } from './managed.ts'

/**
 * Where each configured store is and how it is doing: starts the `managed:` ones as child processes, keeps every store's address, and probes its health.
 */
export class ProvisionedStores {
  readonly #log: Log
  readonly #onFacts: (store: string, health: Health) => void
  readonly #managed = new Map<string, ManagedServer>()
  readonly #endpoints = new Map<string, Endpoint>()
  readonly #probes = new Map<string, HealthProbe>()

  /** `onFacts`: version and clock of a store have been read. */
  constructor(log: Log, onFacts: (store: string, health: Health) => void) {
    this.#log = log
    this.#onFacts = onFacts
  }

  /** Addresses by store name. */
  get endpoints(): Readonly<Record<string, Endpoint>> {
    return Object.fromEntries(this.#endpoints)
  }

  /** By store name. */
  get health(): ReadonlyMap<string, Health> {
    return new Map([...this.#probes].map(([name, probe]) => [name, probe.health]))
  }

  /** Resolves when the address of every store of `config` is known, the managed ones among them running. Rejects as `ManagedServer.start`. */
  async provide(config: Config): Promise<void> {
    for (const store of Object.values(config.stores)) {
      if (store.kind !== 'managed') {
        this.#endpoints.set(store.name, store.endpoints[0]!)
        continue
      }
      if (this.#managed.has(store.name)) continue
      const server = new ManagedServer({ name: store.name, dataDir: store.dataDir, log: this.#managedLog(store.name) })
      this.#managed.set(store.name, server)
      this.#endpoints.set(store.name, await server.start())
    }
  }

  /** `config` is in force: what it does not name any more is stopped, and what is new or has changed is probed. */
  async settle(config: Config): Promise<void> {
    for (const [name, server] of this.#managed) {
      if (config.stores[name]?.kind === 'managed') continue
      this.#managed.delete(name)
      await server.stop()
    }
    for (const [name, probe] of this.#probes) {
      if (isDeepStrictEqual(probe.store, config.stores[name])) continue
      probe.stop()
      this.#probes.delete(name)
    }
    for (const name of Object.keys(config.stores)) if (!this.#probes.has(name)) this.#probe(name, config)
  }

  stopProbes(): void {
    for (const probe of this.#probes.values()) probe.stop()
  }

  async stopServers(): Promise<void> {
    await Promise.all([...this.#managed.values()].map((server) => server.stop()))
  }

  #probe(name: string, config: Config): void {
    const probe = new HealthProbe(
      config.stores[name]!,
      this.#endpoints.get(name)!,
      (health) => this.#onFacts(name, health),
      (health) => {
        if (health.up) this.#log.info('store answers', { store: name, version: health.version })
        else this.#log.warn('store does not answer', { store: name, error: health.error })
      },
    )
    this.#probes.set(name, probe)
    void probe.start()
  }

  #managedLog(store: string): ManagedServerLog {
    return {
      // The first lines of a start belong to the newcomer: where to connect.
      info: (fields, msg) => this.#log.debug(msg, { store, ...fields }),
      warn: (fields, msg) => this.#log.warn(msg, { store, ...fields }),
    }
  }
}
