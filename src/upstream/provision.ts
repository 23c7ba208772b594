import { isDeepStrictEqual } from 'node:util'
import { versionText } from '../base/server-version.ts'
import type { Config, Endpoint, StoreConfig } from '../config/config.ts'
import type { DataDirs } from '../config/restart-parts.ts'
import type { Log } from '../observability/log.ts'
import { type ClusterView, ClusterWatch } from './cluster-watch.ts'
import { type Health, HealthProbe } from './health.ts'
import { ManagedServer, type ManagedServerLog } from './managed.ts'
import { addressOf, type SentinelView, SentinelWatch } from './sentinel/sentinel-watch.ts'

export interface ProvisionListener {
  /** Version and clock of a store have been read. `clockJumped`: somebody has set it since the last time. */
  readonly onFacts: (store: string, health: Health, clockJumped: boolean) => void
  /**
   * A store in force is somewhere else than it was; a text: it is not known where, and why. `failedOver`: the one before may have had what this one lacks. `epoch`: the number of the failover that has brought it there, as its
   * Sentinels count; null: not known.
   */
  readonly onPlace: (store: string, place: Endpoint | string, failedOver: boolean, epoch: number | null) => void
  /** Resolves when nobody is connected any more to a store that had this name. */
  readonly left: (store: string) => Promise<void>
}

/**
 * Where each configured store is and how it is doing: starts the `managed:` ones as child processes, follows the primaries of those behind Sentinels, and probes every store's health.
 *
 *   provide  what a configuration needs is there beside what is in force, which stays as it is
 *   settle   that configuration is in force: what it does not need is let go. So is what was provided in vain, where another one is in force still
 */
export class ProvisionedStores {
  readonly #log: Log
  readonly #listener: ProvisionListener
  readonly #managed = new Map<string, ManagedServer>()
  /** Of stores in force, and of those that are to be: two may have one name. */
  readonly #watches = new Set<SentinelWatch>()
  readonly #clusters = new Map<string, ClusterWatch>()
  readonly #probes = new Map<string, HealthProbe>()
  /** Stores of the configuration in force. */
  #inForce: Config['stores'] = {}

  constructor(log: Log, listener: ProvisionListener) {
    this.#log = log
    this.#listener = listener
  }

  /** Addresses of a configuration's stores by their names; one that is not known is missing. */
  endpointsOf(config: Config): Readonly<Record<string, Endpoint>> {
    const endpoints: Record<string, Endpoint> = {}
    for (const name of Object.keys(config.stores)) {
      const endpoint = this.endpointIn(config, name)
      if (endpoint !== null) endpoints[name] = endpoint
    }
    return endpoints
  }

  /** Where a store of a configuration that was provided is; null: not known, or there is none of that name. */
  endpointIn({ stores }: Config, name: string): Endpoint | null {
    const store = stores[name]
    if (store === undefined) return null
    if (store.kind === 'managed') return this.#managed.get(store.name)?.endpoint ?? null
    if (store.kind === 'sentinel') return this.#watchOf(store)?.primary ?? null
    return store.endpoints[0]!
  }

  /** By store name. A cluster is up when every slot can be reached. */
  get health(): ReadonlyMap<string, Health> {
    return new Map(
      [...this.#probes].map(([name, { health }]) => {
        const error = this.#clusters.get(name)?.view?.error ?? null
        return [name, error === null ? health : { ...health, up: false, error }]
      }),
    )
  }

  /** Of the stores that are clusters, by name; one of which nothing is known yet is missing. */
  get clusters(): ReadonlyMap<string, ClusterView> {
    return new Map([...this.#clusters].flatMap(([name, { view }]) => (view === null ? [] : [[name, view]])))
  }

  /** Of the stores in force that are behind Sentinels, by name. */
  get sentinels(): ReadonlyMap<string, SentinelView> {
    const inForce = [...this.#watches].filter(({ store }) => this.#isInForce(store))
    return new Map(inForce.map((watch) => [watch.store.name, watch.view]))
  }

  /** `dataDir` of each managed server as it was started, by the store. */
  get dataDirs(): DataDirs {
    return new Map([...this.#managed].map(([name, { dataDir }]) => [name, dataDir]))
  }

  /**
   * Resolves when the address of every store of `config` is known, the managed ones among them running; what Sentinels do not say by then comes when they say it. Rejects as
   * `ManagedServer.start`.
   */
  async provide(config: Config): Promise<void> {
    for (const store of Object.values(config.stores)) {
      if (store.kind === 'managed') await this.#manage(store)
      else if (store.kind === 'sentinel') await this.#watch(store)
    }
  }

  /** `config` is in force: what it does not name any more is stopped, and what is new or has changed is probed. */
  async settle(config: Config): Promise<void> {
    this.#inForce = config.stores
    for (const watch of this.#watches) {
      if (this.#isInForce(watch.store)) {
        // It may have moved, or become known, while the configuration was being put in force.
        this.#listener.onPlace(watch.store.name, watch.primary ?? this.#whyNowhere(watch), false, watch.epoch)
        continue
      }
      this.#watches.delete(watch)
      watch.stop()
    }
    for (const [name, probe] of this.#probes) {
      if (isDeepStrictEqual(probe.store, config.stores[name])) continue
      probe.stop()
      this.#probes.delete(name)
    }
    for (const [name, watch] of this.#clusters) {
      if (isDeepStrictEqual(watch.store, config.stores[name])) continue
      watch.stop()
      this.#clusters.delete(name)
    }
    for (const store of Object.values(config.stores))
      if (store.kind === 'cluster' && !this.#clusters.has(store.name)) this.#watchCluster(store)
    for (const name of Object.keys(config.stores)) if (!this.#probes.has(name)) this.#probe(name, config)
    for (const [name, server] of this.#managed) {
      if (config.stores[name]?.kind === 'managed') continue
      // What is under way there is answered first.
      await this.#listener.left(name)
      await server.stop()
      this.#managed.delete(name)
    }
  }

  /** A store is gone, or answers as a replica: its Sentinels are asked where it is now. */
  lookFor(store: string): void {
    for (const watch of this.#watches) if (watch.store.name === store) watch.ask()
  }

  stopProbes(): void {
    for (const probe of this.#probes.values()) probe.stop()
    for (const watch of this.#watches) watch.stop()
    for (const watch of this.#clusters.values()) watch.stop()
  }

  async stopServers(): Promise<void> {
    await Promise.all([...this.#managed.values()].map((server) => server.stop()))
  }

  async #manage({ name, dataDir }: StoreConfig): Promise<void> {
    if (this.#managed.has(name)) return
    const server = new ManagedServer({ name, dataDir, log: this.#managedLog(name) })
    this.#managed.set(name, server)
    try {
      await server.start()
    } catch (error) {
      // The next configuration that names it tries again.
      this.#managed.delete(name)
      throw error
    }
  }

  async #watch(store: StoreConfig): Promise<void> {
    if (this.#watchOf(store) !== undefined) return
    const watch: SentinelWatch = new SentinelWatch({
      store,
      onPrimary: (to, from) => this.#primaryIs(watch, to, from),
      onChange: () => this.#watchChanged(watch),
    })
    this.#watches.add(watch)
    await watch.start()
  }

  #watchOf(store: StoreConfig): SentinelWatch | undefined {
    return [...this.#watches].find((watch) => isDeepStrictEqual(watch.store, store))
  }

  #primaryIs({ store, epoch }: SentinelWatch, to: Endpoint, from: Endpoint | null): void {
    const { name } = store
    const fields = { store: name, endpoint: addressOf(to), from: from === null ? null : addressOf(from) }
    if (from === null) this.#log.info('the Sentinels name the primary of the store', fields)
    else this.#log.warn('the store has failed over: its Sentinels name another primary', fields)
    if (!this.#isInForce(store)) return
    this.#probes.get(name)?.moveTo(to)
    this.#listener.onPlace(name, to, from !== null, epoch)
  }

  #watchChanged(watch: SentinelWatch): void {
    const { error, answering, sentinels } = watch.view
    const fields = { store: watch.store.name, count: answering, limit: sentinels }
    if (error !== null) this.#log.warn('a store is not found by its Sentinels', { ...fields, error })
    else if (answering < sentinels) this.#log.warn('not every Sentinel of the store answers', fields)
    else this.#log.info('every Sentinel of the store answers', fields)
    if (watch.primary === null && this.#isInForce(watch.store))
      this.#listener.onPlace(watch.store.name, this.#whyNowhere(watch), false, null)
  }

  #isInForce(store: StoreConfig): boolean {
    return isDeepStrictEqual(this.#inForce[store.name], store)
  }

  #whyNowhere(watch: SentinelWatch): string {
    return watch.view.error ?? 'its Sentinels have not been heard yet'
  }

  #probe(name: string, config: Config): void {
    const probe = new HealthProbe(
      config.stores[name]!,
      this.endpointIn(config, name),
      (health, clockJumped) => this.#listener.onFacts(name, health, clockJumped),
      (health) => {
        if (health.up && health.error === null)
          this.#log.info('store answers', { store: name, version: versionText(health) })
        else if (health.up)
          this.#log.warn('store answers, but does not tell everything', { store: name, error: health.error })
        else this.#log.warn('store does not answer', { store: name, error: health.error })
      },
    )
    this.#probes.set(name, probe)
    void probe.start()
  }

  #watchCluster(store: StoreConfig): void {
    const watch = new ClusterWatch({
      store,
      onNode: (endpoint, error) => {
        const fields = { store: store.name, endpoint }
        if (error === null) this.#log.debug('a node of the cluster answers', fields)
        else this.#log.warn('a node of the cluster does not answer', { ...fields, error })
      },
    })
    this.#clusters.set(store.name, watch)
    void watch.start()
  }

  #managedLog(store: string): ManagedServerLog {
    return {
      // The first lines of a start belong to the newcomer: where to connect.
      info: (fields, msg) => this.#log.debug(msg, { store, ...fields }),
      warn: (fields, msg) => this.#log.warn(msg, { store, ...fields }),
    }
  }
}
