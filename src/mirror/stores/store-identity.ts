import { encodeOwn } from '../../resp/own-words.ts'
import type { Route, RouteState } from '../../routing/route.ts'
import type { RouteTable } from '../../routing/route-table.ts'
import { ask } from '../../upstream/pipeline/ask.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import type { DataPathContext } from '../context.ts'
import type { DirtySet } from '../dirty/dirty-set.ts'
import { doubtFunctions } from '../functions/function-changes.ts'
import { askEmpty } from './empty-store.ts'
import { handedOn, KnownStores, type Remember } from './known-stores.ts'
import { markRestarted } from './restarted.ts'

const SERVER = encodeOwn(['INFO', 'server'])
const REPLICATION = encodeOwn(['INFO', 'replication'])

/** A store has changed, and what that means for its routes is not decided yet. It may be called otherwise by then. */
interface Question {
  /** In force when it was put. */
  readonly table: RouteTable
  /** Routes that count a write that is not done because of it. */
  readonly counted: Set<RouteState>
}

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
  readonly #known: KnownStores
  /** By the store's name. */
  #deciding = new Map<string, Question>()
  /** Stores of which a new connection has met another server than the one that is known, which is looked into. */
  #unsure = new Set<string>()
  /** Stores that do not tell; said once each. */
  readonly #silent = new Set<string>()

  /** `remember`: writes down what is known. */
  constructor(context: DataPathContext, dirty: DirtySet, remember: Remember) {
    this.#context = context
    this.#dirty = dirty
    this.#known = new KnownStores(context.routes, remember)
  }

  /** What the last run knew. `keyspaces`: what its stores were, by their names, where that is known. */
  restore(
    runs: ReadonlyMap<string, string>,
    epochs: ReadonlyMap<string, number> = new Map(),
    keyspaces: ReadonlyMap<string, string> = new Map(),
  ): void {
    this.#known.restore(runs, epochs, keyspaces)
  }

  /** Another table of routes is in force: what the stores without a mirrored route are does not matter any more; the new ones are asked. */
  routesChanged(): void {
    const { routes, stores, copies } = this.#context
    const former = this.#known.routesChanged(routes)
    copies.storesRenamed(former)
    this.#unsure = new Set([...former].flatMap(([name, before]) => (this.#unsure.has(before) ? [name] : [])))
    this.#deciding = handedOn(this.#deciding, former)
    for (const [name, question] of this.#deciding) this.#count(name, question)
    for (const store of stores) {
      if (this.#routesOf(store.name).length === 0 || this.#known.runOf(store.name) !== undefined) continue
      const pipeline = [...store.sharedPipelines()].find(({ state }) => state === 'up')
      if (pipeline !== undefined) this.connected(store, pipeline)
    }
  }

  /** Its server has said `info` (INFO server) in the greeting of a new connection, before any command on it. Not of a cluster. */
  met(store: Store, info: string): void {
    const runId = RUN_ID.exec(info)?.[1]
    const known = this.#known.runOf(store.name)
    if (!this.#isInForce(store) || known === undefined || runId === undefined || runId === known) return
    this.#unsure.add(store.name)
    this.#context.copies.serverChanged(store.name, Number.POSITIVE_INFINITY)
  }

  /** It may be another server than it was, and whether its routes need a verify for that is not decided yet. */
  isUnsure(store: string): boolean {
    return this.#unsure.has(store) || this.#deciding.has(store)
  }

  /** A connection to this store has come up. */
  connected(store: Store, pipeline: Pipeline): void {
    if (this.#routesOf(store.name).length === 0) return
    ask(pipeline, SERVER, (info) => {
      if (info === null || !this.#isInForce(store)) return
      const runId = RUN_ID.exec(info)?.[1]
      if (runId === undefined) this.#doesNotTell(store.name)
      else this.#is(store.name, runId, pipeline)
    })
  }

  /** A reload may have given its name to another server since. Whoever has come in its place is asked on connections of its own. */
  #isInForce(store: Store): boolean {
    return this.#context.stores.includes(store)
  }

  /** Where it is now was decided by that failover of its Sentinels (`config-epoch`). `isTold`: `failedOver` is called for it. */
  elected(store: string, epoch: number, isTold: boolean): void {
    const last = this.#known.epochOf(store)
    if (epoch === last || this.#routesOf(store).length === 0) return
    this.#known.setEpoch(store, epoch)
    if (last !== undefined && epoch > last && !isTold) this.#sayFailedOver(store)
  }

  /** Its Sentinels name another primary, or the same one after a failover and back. Which server it is now is learnt anew; that it is another one is known already. */
  failedOver(store: string): void {
    this.#known.setRun(store, undefined)
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
    const asked = new Map<Store, Pipeline>()
    const next = new Set<string>()
    for (const { name, primary, shadow } of routes.routes) {
      if (!names.has(name) || shadow === null) continue
      const [source, target] = [stores[primary.store]!, stores[shadow.store]!]
      next.add(shadow.storeName)
      asked.set(source, source.shared(0, 2))
      if (shadow.store !== primary.store) asked.set(target, target.shadows.to(0))
    }
    const reasons = await Promise.all(
      [...asked].map(([store, pipeline]) =>
        this.#known.runOf(store.name) !== undefined || next.has(store.name)
          ? this.#look(store, pipeline, next.has(store.name), withinMs)
          : null,
      ),
    )
    return reasons.find((reason) => reason !== null) ?? null
  }

  #look(store: Store, pipeline: Pipeline, becomesPrimary: boolean, withinMs: number): Promise<string | null> {
    const { name, cluster } = store
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
          const known = this.#known.runOf(name)
          if (info === null || !this.#isInForce(store)) resolve(`store '${name}' does not say which server it is`)
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
    const known = this.#known.runOf(store)
    if (known === runId && this.#unsure.delete(store)) this.#isAnother(store)
    if (known === runId || this.#deciding.has(store)) return
    if (known === undefined) return this.#learn(store, runId)
    const routes = this.#routesOf(store)
    const question: Question = { table: this.#context.routes, counted: new Set() }
    this.#deciding.set(store, question)
    this.#context.copies.serverChanged(store, Number.POSITIVE_INFINITY)
    this.#count(store, question)
    const decided = (inDoubt: readonly Route[]): void => this.#decided(question, inDoubt, runId)
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

  /** Its routes count a write that is not done until that is decided, so that no switch comes between. */
  #count(store: string, { counted }: Question): void {
    for (const { state } of this.#routesOf(store)) {
      if (counted.has(state)) continue
      counted.add(state)
      state.backlogCommands++
    }
  }

  /** `inDoubt`: by the table that was in force when the question was put. If another one is by now, its routes may have got the keys of any of these. */
  #decided(question: Question, inDoubt: readonly Route[], runId: string): void {
    for (const state of question.counted) state.backlogCommands--
    const isSameTable = question.table === this.#context.routes
    for (const [store, one] of [...this.#deciding]) {
      if (one !== question) continue
      this.#deciding.delete(store)
      markRestarted(
        this.#context,
        this.#dirty,
        store,
        isSameTable || inDoubt.length === 0 ? inDoubt : this.#routesOf(store),
      )
      this.#isAnother(store)
      this.#doubtFunctionsOf(store)
      this.#learn(store, runId)
    }
  }

  /** Whether the route's other end holds no key. */
  #askOther(store: string, { primary, shadow }: Route, answered: (empty: boolean) => void): void {
    const { stores } = this.#context
    if (primary.storeName === shadow!.storeName) return answered(true)
    const other =
      primary.storeName === store ? stores[shadow!.store]!.shadows.to(0) : stores[primary.store]!.shared(0, 2)
    askEmpty(other, answered)
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
    this.#known.setRun(store, runId)
    if (this.#unsure.delete(store)) this.#isAnother(store)
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
