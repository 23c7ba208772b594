import { encodeCommand } from '../resp/encode.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import type { Store } from '../upstream/store.ts'
import type { Session } from './session.ts'
import { Swallow } from './swallow.ts'
import type { Tracking } from './tracking.ts'

/**
 * A connection to the primary that one client has for itself: as long as it tracks keys (`tracking.ts`), or always, on a listener with `connections: dedicated`. Its ordinary
 * commands, transactions and blocking commands go down this one instead of the shared one; what is written on both at once is settled by the overlap
 * table, as with any dedicated connection.
 *
 * Only the primary of the route `*` is meant: commands for another store go down that one's shared connection. When the connection is lost, so is the client's, as it would be
 * without Understudy.
 */
export class OwnConnection {
  readonly #session: Session
  /** The listener gives it to every client; else it goes when tracking ends. */
  readonly permanent: boolean
  store: Store
  pipeline: Pipeline
  tracking: Tracking | null = null
  /** Under which names and stores its reads are remembered by the server (`RouteTable.scanView`). */
  #view: number

  constructor(session: Session, permanent: boolean) {
    this.#session = session
    this.permanent = permanent
    const { path } = session
    this.store = path.primaryOf(path.routes.fallback)
    this.#view = path.routes.scanView
    this.pipeline = this.#open()
  }

  /** As CLIENT LIST shows them. */
  get flags(): string {
    return this.tracking?.flags ?? ''
  }

  /** The client that invalidations go to, as CLIENT GETREDIR says it: 0: itself, -1: it does not track. */
  get redirect(): number {
    return this.tracking?.redirect ?? -1
  }

  /** The connection that the client's commands for this store take. */
  to(store: Store): Pipeline {
    if (store === this.store) return this.pipeline
    const { database, protocol, user } = this.#session
    return store.shared(database, protocol, user)
  }

  /** A transaction or a blocking command has used it and is done. */
  settled(): void {
    this.#watch(this.pipeline)
  }

  named(name: string): void {
    this.tell(['Client', 'SETNAME', name])
  }

  /** Says something on the connection whose answer nobody needs. */
  tell(args: readonly string[]): void {
    const bytes = encodeCommand(args)
    this.pipeline.push(new Swallow(), bytes, 0, bytes.length)
  }

  /** A new table is in force: goes to the new primary, where nothing is tracked yet. Under new names nothing is, either, on the same server. */
  moved(): void {
    const { path } = this.#session
    const next = path.primaryOf(path.routes.fallback)
    const seen = this.#view
    this.#view = path.routes.scanView
    if (next === this.store) {
      if (seen !== this.#view) this.tracking?.again()
      return
    }
    retire(this.store, this.pipeline)
    this.store = next
    this.pipeline = this.#open()
    this.tracking?.again()
  }

  /** The client has become another user. */
  loggedIn(): void {
    retire(this.store, this.pipeline)
    this.pipeline = this.#open()
  }

  close(): void {
    this.tracking?.close()
    this.tracking = null
    this.store.discard(this.pipeline)
  }

  #open(): Pipeline {
    const { database, protocol, user, name } = this.#session
    const pipeline = this.store.borrow(database, protocol, user)
    this.pipeline = pipeline
    this.#watch(pipeline)
    if (name !== '') this.named(name)
    return pipeline
  }

  #watch(pipeline: Pipeline): void {
    pipeline.answersWithinMs = this.store.options.config.timeoutMs
    pipeline.onPush = (buf, start, end) => {
      if (this.tracking === null) this.#session.pushInOrder(buf, start, end)
      else this.tracking.invalidated(buf, start, end)
    }
    pipeline.onClosed = () => this.#session.end()
    if (pipeline.state === 'closed') this.#session.end()
  }
}

/** Tracking has ended: back to the shared connections. */
export function leaveOwn(session: Session): void {
  const { own } = session
  if (own === null || own.permanent || own.tracking !== null) return
  session.own = null
  own.close()
}

/** Lets the last replies arrive before the connection closes. */
function retire(store: Store, pipeline: Pipeline): void {
  pipeline.onPush = null
  pipeline.onClosed = null
  const look = (): void => {
    if (pipeline.quiet || pipeline.state === 'closed') store.discard(pipeline)
    else setTimeout(look, RETIRE_MS).unref()
  }
  look()
}

const RETIRE_MS = 20

/** The database that `SELECT index` of a client means at the store: 0 is the one of the store's URL. */
export function databaseAt(store: Store, index: number): number {
  return index === 0 ? store.options.config.database : index
}
