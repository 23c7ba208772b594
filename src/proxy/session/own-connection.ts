import { encodeCommand } from '../../resp/encode.ts'
import { encodeOwn, ownWord } from '../../resp/own-words.ts'
import type { RouteTable } from '../../routing/route-table.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import type { ClientTracking } from '../tracking/client-tracking.ts'
import { OrEnd } from './or-end.ts'
import type { Session } from './session.ts'
import { Swallow } from './swallow.ts'

const PING = encodeOwn(['PING'])

/**
 * The connection to a primary that one client has for itself: as long as it tracks keys (`tracking.ts`) or a flag is set (`own-flags.ts`), or always, on a listener with `connections: dedicated`. Its ordinary
 * commands, transactions and blocking commands go down this one instead of the shared one; what is written on both at once is settled by the overlap
 * table, as with any dedicated connection.
 *
 *   main     to the primary of the route `*`
 *   beside   while it tracks or has a flag: one to every other primary, so that each of them knows. Any other client
 *            uses the shared connections to these
 *
 * Whatever is not needed any more, because tracking ends or a switch moves the client, is let go of in one way: one that a transaction has stays until that is over, any other is closed when the last reply has come.
 *
 * When one of them is lost, so is the client's, as it would be without Understudy.
 */
export class OwnConnection {
  readonly #session: Session
  /** The listener gives it to every client; else it goes when tracking ends. */
  readonly permanent: boolean
  store: Store
  pipeline: Pipeline
  tracking: ClientTracking | null = null
  /** What the servers are being asked for: it takes their pushes from the first on. */
  asked: ClientTracking | null = null
  readonly #beside = new Map<Store, Pipeline>()
  /** Under which names and at which stores its reads are remembered by the servers. */
  #table: RouteTable
  /** CLIENT CACHING's word has been said on the main connection, and holds for the next command wherever that goes. */
  #caching: string | null = null
  /** What it was for the command at hand. */
  #cachingAtHand: string | null = null

  constructor(session: Session, permanent: boolean) {
    this.#session = session
    this.permanent = permanent
    const { path } = session
    this.store = path.primaryOf(path.routes.fallback)
    this.#table = path.routes
    this.pipeline = this.#take(this.store)
  }

  /** As CLIENT LIST shows them. */
  get flags(): string {
    return this.tracking?.flags ?? ''
  }

  /** The client that invalidations go to, as CLIENT GETREDIR says it: 0: itself, -1: it does not track. */
  get redirect(): number {
    return this.tracking?.redirect ?? -1
  }

  /** Its connections, the main one first. */
  *all(): Generator<readonly [Store, Pipeline]> {
    yield [this.store, this.pipeline]
    yield* this.#beside
  }

  isOne(pipeline: Pipeline): boolean {
    for (const [, own] of this.all()) if (own === pipeline) return true
    return false
  }

  /** Its connection to that store; null: it has none. */
  at(store: Store): Pipeline | null {
    return store === this.store ? this.pipeline : (this.#beside.get(store) ?? null)
  }

  /** The connection that the client's commands for this store take. */
  to(store: Store): Pipeline {
    const { database, protocol, user } = this.#session
    this.#cachingAtHand = this.#caching
    if (this.#caching !== null) this.carryCaching([store])
    return this.at(store) ?? store.shared(database, protocol, user)
  }

  /** The next command is about to go to these stores, or has been answered without any: what CLIENT CACHING said of it goes with it. */
  carryCaching(stores: readonly Store[]): void {
    const word = this.#caching
    if (word === null) return
    this.#caching = null
    for (const store of stores) {
      if (store !== this.store) this.#tellAt(this.#beside.get(store), encodeOwn(['CLIENT', 'CACHING', word]))
    }
    // Or it would hold for the next command on the main one.
    if (!stores.includes(this.store)) this.#tellAt(this.pipeline, PING)
  }

  /** CLIENT CACHING has been answered with OK on the main connection. */
  willCache(word: string): void {
    this.#caching = word
  }

  /** Something of Understudy's went ahead of the client's command there, and has used up what CLIENT CACHING said of that. */
  cacheAgain(pipeline: Pipeline): void {
    const word = this.#cachingAtHand
    if (word !== null && this.isOne(pipeline)) this.#tellAt(pipeline, encodeOwn(['CLIENT', 'CACHING', word]))
  }

  /** Connections to the primaries that it has none to: before tracking is turned on at each of them. */
  reachAll(): void {
    const stores = this.#primaries()
    this.#leaveOthers(stores)
    for (const store of stores) if (this.at(store) === null) this.#beside.set(store, this.#take(store))
  }

  /** Back to the shared connections, unless something keeps the client on its own: tracking, a flag, a transaction that has one of them. */
  leave(): void {
    if (this.#needsAll() || this.asked !== null) return
    if ([...this.all()].some(([, pipeline]) => this.#isBorrowed(pipeline))) return
    this.#caching = null
    this.#leaveOthers([])
    if (this.permanent) return
    this.#session.own = null
    retire(this.store, this.pipeline)
  }

  /** Those beside the main one that lead to none of these. One that a transaction has is not taken from it. */
  #leaveOthers(needed: readonly Store[]): void {
    for (const [store, pipeline] of [...this.#beside]) {
      if ((needed.includes(store) && store !== this.store) || this.#isBorrowed(pipeline)) continue
      this.#beside.delete(store)
      retire(store, pipeline)
    }
  }

  #isBorrowed(pipeline: Pipeline): boolean {
    for (let { pin } = this.#session; pin !== null; pin = pin.outer) if (pin.borrowed?.[1] === pipeline) return true
    return false
  }

  /** A transaction is done with that connection, its EXEC or DISCARD being said: what had to wait for that is done before the client says anything else. */
  returned(pipeline: Pipeline): void {
    this.#leaveOthers(this.#needsAll() ? this.#primaries() : [])
    this.tracking?.resume(pipeline)
  }

  /** Also those that are one server under two names: a route's commands go to the one that it names. */
  #primaries(): Store[] {
    const { path } = this.#session
    return [...new Set(path.routes.routes.map((route) => path.primaryOf(route)))]
  }

  /** A transaction or a blocking command has used one of them and is done; the client's next command may be on it already. */
  settled(pipeline: Pipeline): void {
    for (const [store, own] of this.all()) if (own === pipeline) this.#hear(store, pipeline)
  }

  named(name: string): void {
    this.tell([ownWord('CLIENT'), 'SETNAME', name])
  }

  /** Says something on each of them whose answer nobody needs. */
  tell(args: readonly string[]): void {
    const bytes = encodeCommand(args)
    for (const [, pipeline] of this.all()) this.#tellAt(pipeline, bytes)
  }

  /** A transaction has selected another database on the connection to that store: the others go there, too. Null: on one that is none of these. */
  follow(store: Store | null, database: number): void {
    for (const [other, pipeline] of this.all()) {
      if (other === store) continue
      const bytes = encodeOwn(['SELECT', databaseAt(other, database)])
      pipeline.push(new OrEnd(this.#session), bytes, 0, bytes.length)
    }
  }

  /** A new table is in force: goes to the new primaries, where nothing is tracked yet. Under new names nothing is, either, on the same server. */
  moved(): void {
    const { path } = this.#session
    const next = path.primaryOf(path.routes.fallback)
    const sameNames = this.#table.seesAs(path.routes)
    this.#table = path.routes
    if (next === this.store && sameNames && this.#reachesAll()) return
    // What stays where it is, and is under way there on the connection that goes, is not to be overtaken on the shared one; nor the other way round.
    this.#session.order.changeWay()
    if (next !== this.store) {
      const beside = this.#beside.get(next)
      this.#beside.delete(next)
      this.#beside.set(this.store, this.pipeline)
      this.store = next
      this.pipeline = beside ?? this.#open(next)
    }
    if (!this.#needsAll()) return this.#leaveOthers([])
    this.reachAll()
    this.tracking?.again()
  }

  /** The client is gone, or begins anew: nobody waits for what is under way on them, nor for what a transaction would do. */
  close(): void {
    this.tracking?.close()
    this.tracking = null
    this.asked?.close()
    this.asked = null
    for (const [store, pipeline] of this.all()) store.dedicated.discard(pipeline)
    this.#beside.clear()
  }

  /** A store may have been replaced by one of the same name. */
  #reachesAll(): boolean {
    return !this.#needsAll() || this.#primaries().every((store) => this.at(store) !== null)
  }

  /** What has been said on it has to hold wherever the client reads. */
  #needsAll(): boolean {
    return this.tracking !== null || isFlagged(this.#session)
  }

  #tellAt(pipeline: Pipeline | undefined, bytes: Buffer): void {
    pipeline?.push(new Swallow(), bytes, 0, bytes.length)
  }

  /** A transaction that is under way reads on the connection that it has: that one has to be the client's, then. */
  #take(store: Store): Pipeline {
    for (let pin = this.#session.pin; pin !== null; pin = pin.outer) {
      const [at, pipeline] = pin.borrowed ?? []
      if (at !== store || pipeline === undefined) continue
      this.#watch(store, pipeline)
      return pipeline
    }
    return this.#open(store)
  }

  #open(store: Store): Pipeline {
    const { database, protocol, user, name, noEvict, noTouch } = this.#session
    const pipeline = store.dedicated.borrow(database, protocol, user)
    this.#watch(store, pipeline)
    if (noEvict) this.#tellAt(pipeline, encodeOwn(['CLIENT', 'NO-EVICT', 'ON']))
    if (noTouch) this.#tellAt(pipeline, encodeOwn(['CLIENT', 'NO-TOUCH', 'ON']))
    if (name !== '') this.#tellAt(pipeline, encodeOwn(['CLIENT', 'SETNAME', name]))
    return pipeline
  }

  #watch(store: Store, pipeline: Pipeline): void {
    pipeline.answersWithinMs = store.options.config.timeoutMs
    pipeline.blocks = false
    this.#hear(store, pipeline)
  }

  /** What it says unasked is for the client, and its end is the client's. */
  #hear(store: Store, pipeline: Pipeline): void {
    pipeline.onPush = (buf, start, end) => {
      const tracking = this.asked ?? this.tracking
      if (tracking === null) this.#session.pushInOrder(buf, start, end)
      else tracking.invalidated(store, buf, start, end)
    }
    pipeline.onClosed = () => this.#session.end()
    if (pipeline.state === 'closed') this.#session.end()
  }
}

/** CLIENT NO-EVICT, NO-TOUCH or IMPORT-SOURCE holds for it. */
function isFlagged({ noEvict, noTouch, importSource }: Session): boolean {
  return noEvict || noTouch || importSource
}

/** Lets the last replies arrive before the connection closes. */
function retire(store: Store, pipeline: Pipeline): void {
  pipeline.onPush = null
  pipeline.onClosed = null
  const look = (): void => {
    if (pipeline.quiet || pipeline.state === 'closed') store.dedicated.discard(pipeline)
    else setTimeout(look, RETIRE_MS).unref()
  }
  look()
}

const RETIRE_MS = 20

/** The database that `SELECT index` of a client means at the store: 0 is the one of the store's URL. */
export function databaseAt(store: Store, index: number): number {
  return index === 0 ? store.options.config.database : index
}
