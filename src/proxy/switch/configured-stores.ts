import { type UnservedDatabases, unservedDatabases } from '../../config/checks/unserved-databases.ts'
import type { Config, StoreConfig } from '../../config/config.ts'
import type { LogLine } from '../../observability/log.ts'
import type { StoreUser } from '../../upstream/connection/handshake.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import { Store, type StoreOptions } from '../../upstream/store.ts'
import type { StorePlaces } from './store-places.ts'

export interface ConfiguredStoresOptions
  extends Pick<StoreOptions, 'commands' | 'turn' | 'clock' | 'onDrain' | 'run' | 'met'> {
  readonly places: StorePlaces
  readonly log: (line: LogLine) => void
  /** A connection for all clients or for the mirror has changed its state. */
  readonly onState: (store: Store, pipeline: Pipeline, error: string | null) => void
  /** A connection of a client's own login has been closed for good, for that reason. */
  readonly onUserRefused: (store: Store, user: StoreUser, error: string) => void
}

/**
 * The stores of one data path, from one configuration to the next: those that stay the same keep their connections, those that are dropped or changed finish what is in flight. Says in the log
 * what becomes of their connections.
 */
export class ConfiguredStores {
  readonly #options: ConfiguredStoresOptions
  /** By index: grows, never shrinks, because what is in flight remembers indexes. */
  readonly #names: string[] = []
  /** Stores that the configuration has dropped or changed, until what is in flight on them is done. */
  readonly #retiring = new Set<Store>()
  /** Told when another of them is closed. */
  readonly #leaving: (() => void)[] = []
  #unserved: UnservedDatabases = new Map()

  constructor(options: ConfiguredStoresOptions) {
    this.#options = options
  }

  get retiring(): ReadonlySet<Store> {
    return this.#retiring
  }

  /** The names of all stores that there have ever been, those of `config` among them, by index. */
  namesWith(config: Config): readonly string[] {
    for (const name of Object.keys(config.stores)) if (!this.#names.includes(name)) this.#names.push(name)
    return this.#names
  }

  /**
   * By index, those that are new in `config` too; unchanged ones stay as they are, with their connections. The place of one that `config` does not name has a store that is closed: what remembers the index finds nobody there. Whoever
   * was there before and is not now has to be retired.
   */
  of(config: Config, old: readonly Store[]): Store[] {
    this.#unserved = unservedDatabases(config)
    return this.namesWith(config).map((name, index) => {
      const present = config.stores[name]
      const known = old[index]
      if (present === undefined) return known!.isClosed ? known! : this.#none(known!.options.config)
      if (known !== undefined && !known.isClosed && sameStore(known.options.config, present)) return known
      return this.#make(present)
    })
  }

  /** Lets an old store's last replies arrive before its connections close: for as long as a command may take there. */
  retire(store: Store): void {
    const deadline = performance.now() + (store.options.config.timeoutMs || PATIENCE_MS)
    this.#retiring.add(store)
    const look = (): void => {
      // It may have been closed meanwhile: Understudy stops.
      if (store.isClosed || store.quiet || performance.now() > deadline) this.#retired(store)
      else setTimeout(look, 20).unref()
    }
    look()
  }

  /** Resolves when no connection is open any more to stores that had this name, and have it no more. */
  async left(name: string): Promise<void> {
    while ([...this.#retiring].some((store) => store.name === name))
      await new Promise<void>((resolve) => this.#leaving.push(resolve))
  }

  #retired(store: Store): void {
    store.close(GONE)
    this.#retiring.delete(store)
    for (const left of this.#leaving.splice(0)) left()
  }

  #none(config: StoreConfig): Store {
    const store = this.#make(config)
    store.close(GONE)
    return store
  }

  #make(config: StoreConfig): Store {
    const { places, commands, turn, clock, onDrain, run, met } = this.#options
    return new Store({
      config,
      endpoint: () => places.of(config),
      unserved: () => this.#unserved,
      commands,
      turn,
      clock,
      onState: (store, pipeline, error) => this.#onState(store, pipeline, error),
      onDrain,
      run,
      met,
      onUnendable: (store, text) => this.#sayUnendable(store, text),
    })
  }

  #onState(store: Store, pipeline: Pipeline, error: string | null): void {
    // One that retires has another in its place, and nobody waits for it to come back.
    if (store.isClosed || this.#retiring.has(store)) return
    const { places, clock, log, onState, onUserRefused } = this.#options
    const { state } = pipeline
    const { dedicated, identity } = pipeline.options
    if (identity.user !== null && state === 'closed' && error !== null) onUserRefused(store, identity.user, error)
    // What becomes of one user's login says nothing about the store.
    if (dedicated || identity.user !== null) return
    onState(store, pipeline, error)
    if (state !== 'up' && state !== 'down') return
    if (state === 'down' && store.options.config.kind === 'sentinel') places.lookFor(store.name)
    if (store.lastSaid === state) return
    if (state === 'down') {
      // One that comes and goes many times a second must not fill the log; one that stays away is tried again, and said then.
      if (clock.nowMs - store.lossSaidMs < LOSS_AGAIN_MS) return
      store.lossSaidMs = clock.nowMs
    }
    store.lastSaid = state
    log(
      state === 'up'
        ? { level: 'info', msg: 'store connected', fields: { store: store.name } }
        : {
            level: 'warn',
            msg: 'store connection lost or refused; connecting again',
            fields: { store: store.name, reason: error },
          },
    )
  }

  #sayUnendable(store: Store, text: string): void {
    this.#options.log({
      level: 'warn',
      msg: 'the store does not let Understudy end its own lost connections (CLIENT KILL, CLIENT LIST): what a hanging network still holds of one can be executed later, behind newer writes; give its user these rights',
      fields: { store: store.name, reason: text },
    })
  }
}

const LOSS_AGAIN_MS = 10_000

/** With stores whose commands may take as long as they like. */
const PATIENCE_MS = 5_000

const GONE = 'the configuration has changed or dropped the store'

function sameStore(one: StoreConfig, other: StoreConfig): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}
