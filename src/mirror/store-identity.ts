import { encodeOwn } from '../resp/own-words.ts'
import type { Route } from '../routing/route.ts'
import { ask } from '../upstream/ask.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import type { Store } from '../upstream/store.ts'
import type { DataPathContext } from './context.ts'
import type { DirtySet } from './dirty-set.ts'
import { doubtFunctions } from './function-changes.ts'

const SERVER = encodeOwn(['INFO', 'server'])
const REPLICATION = encodeOwn(['INFO', 'replication'])
const PERSISTENCE = encodeOwn(['INFO', 'persistence'])
const KEYSPACE = encodeOwn(['INFO', 'keyspace'])

/**
 * Notices that a store of a mirrored route is not the server that it was: restarted, failed over, or another one under the same address; also while Understudy did not run, for the last
 * `run_id` of each is kept in `dirty.db`, and of one behind Sentinels the number of its last failover: after two it may be the same process again, without what it had acknowledged before.
 *
 *   a connection comes up ─▶ INFO server: run_id ─┬─ the same, or none known ─▶ nothing
 *                                                 └─ another ─▶ holds neither end a key? ─┬─ yes ─▶ nothing: they are equal
 *                                                                                         └─ no ──▶ the routes need a verify
 *
 * A shadow may have lost what it had acknowledged (all of it without persistence, the last second with the usual one, a replica's lag after a failover), a primary what the shadow has got; which keys
 * these are nobody can tell (decision 0066). Until that is decided the routes count a write that is not done, so that no switch comes between.
 */
export class StoreIdentity {
  readonly #context: DataPathContext
  readonly #dirty: DirtySet
  readonly #remember: (runs: ReadonlyMap<string, string>, epochs: ReadonlyMap<string, number>) => void
  /** `run_id` by store name. */
  #known = new Map<string, string>()
  /** Their Sentinels' `config-epoch`, by store name. */
  #epochs = new Map<string, number>()
  /** Stores that have changed, and about which it is not decided yet. */
  readonly #deciding = new Set<string>()
  /** Stores of which a new connection has met another server than the one that is known, which is looked into. */
  readonly #unsure = new Set<string>()
  /** Stores that do not tell; said once each. */
  readonly #silent = new Set<string>()

  /** `remember`: writes down what is known. */
  constructor(
    context: DataPathContext,
    dirty: DirtySet,
    remember: (runs: ReadonlyMap<string, string>, epochs: ReadonlyMap<string, number>) => void,
  ) {
    this.#context = context
    this.#dirty = dirty
    this.#remember = remember
  }

  /** What the last run knew. */
  restore(runs: ReadonlyMap<string, string>, epochs: ReadonlyMap<string, number> = new Map()): void {
    this.#known = new Map(runs)
    this.#epochs = new Map(epochs)
  }

  /** Another table of routes is in force: what the stores without a mirrored route are does not matter any more; the new ones are asked. */
  routesChanged(): void {
    const { routes, stores } = this.#context
    const tracked = new Set(
      routes.routes.flatMap(({ primary, shadow }) => (shadow === null ? [] : [primary.storeName, shadow.storeName])),
    )
    const gone = [...this.#known.keys(), ...this.#epochs.keys()].filter((store) => !tracked.has(store))
    for (const store of gone) {
      this.#known.delete(store)
      this.#epochs.delete(store)
    }
    if (gone.length > 0) this.#remember(this.#known, this.#epochs)
    for (const store of stores) {
      if (!tracked.has(store.name) || this.#known.has(store.name)) continue
      const pipeline = [...store.sharedPipelines()].find(({ state }) => state === 'up')
      if (pipeline !== undefined) this.connected(store.name, pipeline)
    }
  }

  /** Its server has said `info` (INFO server) in the greeting of a new connection, before any command on it. Not of a cluster. */
  met(store: string, info: string): void {
    const runId = RUN_ID.exec(info)?.[1]
    const known = this.#known.get(store)
    if (known === undefined || runId === undefined || runId === known) return
    this.#unsure.add(store)
    this.#context.copies.serverChanged(store, Number.POSITIVE_INFINITY)
  }

  /** It may be another server than it was, and whether its routes need a verify for that is not decided yet. */
  isUnsure(store: string): boolean {
    return this.#unsure.has(store) || this.#deciding.has(store)
  }

  /** A connection to this store has come up. */
  connected(store: string, pipeline: Pipeline): void {
    if (this.#routesOf(store).length === 0) return
    ask(pipeline, SERVER, (info) => {
      if (info === null) return
      const runId = RUN_ID.exec(info)?.[1]
      if (runId === undefined) this.#doesNotTell(store)
      else this.#is(store, runId, pipeline)
    })
  }

  /** Where it is now was decided by that failover of its Sentinels (`config-epoch`). `isTold`: `failedOver` is called for it. */
  elected(store: string, epoch: number, isTold: boolean): void {
    const last = this.#epochs.get(store)
    if (epoch === last || this.#routesOf(store).length === 0) return
    this.#epochs.set(store, epoch)
    this.#remember(this.#known, this.#epochs)
    if (last !== undefined && epoch > last && !isTold) this.#sayFailedOver(store)
  }

  /** Its Sentinels name another primary, or the same one after a failover and back. Which server it is now is learnt anew; that it is another one is known already. */
  failedOver(store: string): void {
    this.#known.delete(store)
    this.#sayFailedOver(store)
  }

  #sayFailedOver(store: string): void {
    const routes = this.#routesOf(store)
    for (const { name, shadow } of routes)
      this.#dirty.toVerify.mark(name, shadow!.storeName === store ? 'shadow-failed-over' : 'failed-over')
    if (routes.length === 0) return
    this.#isAnother(store)
    this.#doubtFunctionsOf(store)
    this.#context.log({
      level: 'warn',
      msg: 'the store has failed over; what it had acknowledged last may be lost, so its routes need a verify',
      fields: { store },
    })
  }

  /**
   * Asks the stores of these routes once more, while their commands are held, and a cluster who serves it: a server that took another's place a moment ago (a node of a cluster, say, of which nobody has heard yet) is found
   * before the authority moves. The one that is to get it must be no replica by now, either.
   * Resolves with why it must not move; null: they are who they were.
   */
  async changedMeanwhile(names: ReadonlySet<string>, withinMs: number): Promise<string | null> {
    const { routes, stores } = this.#context
    const asked = new Map<string, readonly [Store, Pipeline]>()
    const next = new Set<string>()
    for (const { name, primary, shadow } of routes.routes) {
      if (!names.has(name) || shadow === null) continue
      const [source, target] = [stores[primary.store]!, stores[shadow.store]!]
      next.add(shadow.storeName)
      asked.set(primary.storeName, [source, source.shared(0, 2)])
      if (shadow.store !== primary.store) asked.set(shadow.storeName, [target, target.shadow(0)])
    }
    const reasons = await Promise.all(
      [...asked].map(([name, [store, pipeline]]) =>
        this.#known.has(name) || next.has(name) ? this.#look(name, store, pipeline, next.has(name), withinMs) : null,
      ),
    )
    return reasons.find((reason) => reason !== null) ?? null
  }

  #look(
    name: string,
    { cluster }: Store,
    pipeline: Pipeline,
    becomesPrimary: boolean,
    withinMs: number,
  ): Promise<string | null> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(`store '${name}' does not say which server it is`), withinMs)
      const look = (): void => {
        let isReplica = false
        // In the same write, so that it costs no time. The replicas of a cluster are not asked.
        if (becomesPrimary && cluster === null)
          ask(pipeline, REPLICATION, (info) => {
            isReplica = /^role:(slave|replica)/m.test(info ?? '')
          })
        ask(pipeline, SERVER, (info) => {
          clearTimeout(timer)
          const runId = RUN_ID.exec(info ?? '')?.[1]
          const known = this.#known.get(name)
          if (info === null) resolve(`store '${name}' does not say which server it is`)
          else if (isReplica)
            resolve(`store '${name}' is a replica since a moment ago: promote it first (REPLICAOF NO ONE)`)
          else if (runId === undefined || known === undefined || runId === known) resolve(null)
          else {
            this.#is(name, runId, pipeline)
            resolve(`store '${name}' is another server than it was, or was started again a moment ago`)
          }
        })
      }
      if (cluster === null) look()
      else cluster.refresh(look)
    })
  }

  #routesOf(store: string): Route[] {
    return this.#context.routes.routes.filter(
      ({ primary, shadow }) => shadow !== null && (primary.storeName === store || shadow.storeName === store),
    )
  }

  #is(store: string, runId: string, pipeline: Pipeline): void {
    const known = this.#known.get(store)
    if (known === runId && this.#unsure.delete(store)) this.#isAnother(store)
    if (known === runId || this.#deciding.has(store)) return
    if (known === undefined) return this.#learn(store, runId)
    const routes = this.#routesOf(store)
    this.#deciding.add(store)
    this.#context.copies.serverChanged(store, Number.POSITIVE_INFINITY)
    for (const { state } of routes) state.backlogCommands++
    const decided = (inDoubt: readonly Route[]): void => {
      for (const { state } of routes) state.backlogCommands--
      this.#deciding.delete(store)
      this.#mark(store, inDoubt)
      this.#isAnother(store)
      this.#doubtFunctionsOf(store)
      this.#learn(store, runId)
    }
    askEmpty(pipeline, (empty) => {
      if (!empty) return decided(routes)
      const inDoubt: Route[] = []
      let open = routes.length
      for (const route of routes) {
        this.#askOther(store, route, (empty) => {
          if (!empty) inDoubt.push(route)
          if (--open === 0) decided(inDoubt)
        })
      }
    })
  }

  /** Whether the route's other end holds no key. */
  #askOther(store: string, { primary, shadow }: Route, answered: (empty: boolean) => void): void {
    const { stores } = this.#context
    if (primary.storeName === shadow!.storeName) return answered(true)
    const other = primary.storeName === store ? stores[shadow!.store]!.shadow(0) : stores[primary.store]!.shared(0, 2)
    askEmpty(other, answered)
  }

  #mark(store: string, routes: readonly Route[]): void {
    const { log } = this.#context
    const asShadow = routes.filter(({ shadow }) => shadow!.storeName === store)
    const asPrimary = routes.filter(({ shadow }) => shadow!.storeName !== store)
    for (const { name } of asShadow) this.#dirty.toVerify.mark(name, 'shadow-restarted')
    for (const { name } of asPrimary) this.#dirty.toVerify.mark(name, 'primary-restarted')
    if (asShadow.length > 0)
      log({
        level: 'warn',
        msg: 'the shadow was restarted or replaced; what it had may be lost, so its routes need a verify',
        fields: { store },
      })
    if (asPrimary.length > 0)
      log({
        level: 'warn',
        msg: 'the primary was restarted or replaced; what it may have lost is still on the shadow, so its routes need a verify',
        fields: { store },
      })
  }

  /** It may have lost functions, or the last changes of them. */
  #doubtFunctionsOf(store: string): void {
    const { primary, shadow } = this.#context.routes.fallback
    if (primary.storeName === store || shadow?.storeName === store) doubtFunctions(this.#context, this.#dirty, null)
  }

  /** What is known of that is said: whatever was begun with the server before ends, and copies may begin again. */
  #isAnother(store: string): void {
    const { copies, clock } = this.#context
    copies.serverChanged(store, clock.nowMs)
  }

  #learn(store: string, runId: string): void {
    this.#known.set(store, runId)
    if (this.#unsure.delete(store)) this.#isAnother(store)
    this.#remember(this.#known, this.#epochs)
  }

  #doesNotTell(store: string): void {
    if (this.#silent.has(store)) return
    this.#silent.add(store)
    this.#context.log({
      level: 'warn',
      msg: 'the store does not tell its run_id (INFO server): a restart that loses data will not be noticed',
      fields: { store },
    })
  }
}

const RUN_ID = /run_id:(\w+)/

/** Whether the store holds no key. One that still loads its data does not show all of them yet. */
function askEmpty(pipeline: Pipeline, answered: (empty: boolean) => void): void {
  let loads = false
  ask(pipeline, PERSISTENCE, (info) => {
    loads = info !== null && /^(async_)?loading:1/m.test(info)
  })
  ask(pipeline, KEYSPACE, (info) => answered(!loads && info?.includes('# Keyspace') === true && !/^db\d+:/m.test(info)))
}
