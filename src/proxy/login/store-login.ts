import { MINUS } from '../../resp/bytes.ts'
import { errorFrame } from '../../resp/encode.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import type { StoreUser } from '../../upstream/connection/handshake.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import type { DataPath } from '../data-path.ts'
import { endInDoubt, isStoresAnswer } from '../session/end-in-doubt.ts'
import type { Session } from '../session/session.ts'
import type { WaitingLogin } from './login-queue.ts'

/**
 * A client's AUTH with credentials that only the store can judge: sent to the primary of the route `*`, on the pipeline of exactly these credentials.
 *
 *   they have been accepted before, and their connection is up and quiet ─▶ asked there
 *   else a connection may have to be opened ─▶ LoginQueue ─▶ asked ─┬─ OK ─▶ the connection stays, as that user's
 *                                                                   └─ refused ─▶ nothing of it stays
 *
 * Since Redis 7.2 a server says nothing at all to an AUTH that it refuses while a reply to what came before has not left it. So where others have something under way on the user's pipeline, it is asked on a connection of the
 * log-in's own: a reply that is missing would give every client there the next one's.
 *
 * Nothing is remembered of credentials that were refused, and every log-in that opens a connection waits in the same queue: how long the answer takes does not tell a right name from a wrong one.
 */
export class StoreLogin implements ReplyOwner, WaitingLogin {
  readonly sinceMs: number
  readonly patienceMs: number
  readonly #session: Session
  readonly #user: StoreUser
  /** Makes the client that user, and gives its answer. */
  readonly #right: () => Buffer
  readonly #seq: number
  #store: Store
  /** Null: it has not been asked yet. */
  #pipeline: Pipeline | null = null
  /** The connection is the log-in's own. */
  #borrowed = false
  /** It holds a place of the queue. */
  #queued = false
  #answered = false

  constructor(session: Session, user: StoreUser, right: () => Buffer) {
    const { path } = session
    this.#session = session
    this.#user = user
    this.#right = right
    this.#seq = session.order.assign()
    this.#store = path.primaryOf(path.routes.fallback)
    this.sinceMs = path.clock.nowMs
    this.patienceMs = this.#store.options.config.timeoutMs
  }

  get isGone(): boolean {
    return this.#session.closed
  }

  begin(): void {
    if (this.#store.users.canAsk(this.#user)) this.#ask()
    else this.#session.path.logins.add(this)
  }

  start(): void {
    const { path } = this.#session
    this.#queued = true
    // A switch may have come while it waited.
    this.#store = path.primaryOf(path.routes.fallback)
    const limit = path.clients.dedicatedConnections
    if (this.#store.users.makeRoom(this.#user, limit)) this.#ask()
    else {
      this.#fail(noRoomForUser(this.#store, limit))
      this.#ended(false)
    }
  }

  late(): void {
    this.#fail('ERR Understudy: too many clients are logging in; the user was not changed; try again')
  }

  settle(_slot: InFlight, buf: Buffer, start: number, end: number): void {
    const refused = buf[start] === MINUS
    if (!refused) {
      this.#store.users.accepted(this.#user)
      this.#reachDatabase()
    }
    if (!this.#answered) this.#say(refused ? Buffer.from(buf.subarray(start, end)) : this.#right())
    this.#ended(!refused)
  }

  lost(_slot: InFlight, loss: Loss): void {
    if (isStoresAnswer(loss, this.#pipeline!)) this.#say(errorFrame(loss.text))
    else this.#fail(loss.text)
    this.#ended(false)
  }

  timedOut(): void {
    this.#fail('ERR Understudy: the store did not answer in time; the user was not changed')
  }

  #ask(): void {
    const args = this.#user.login!.map((arg) => Buffer.from(arg, 'latin1'))
    const bytes = encodeOwn(['AUTH', ...args])
    const { dedicated, options } = this.#store
    const shared = this.#store.shared(0, 2, this.#user)
    this.#borrowed = !shared.quiet
    const pipeline = this.#borrowed ? dedicated.borrow(0, 2, this.#user) : shared
    if (this.#borrowed) pipeline.answersWithinMs = options.config.timeoutMs
    this.#pipeline = pipeline
    pipeline.push(this, bytes, 0, bytes.length)
  }

  /** The client is in its database already, by the right of who it was before: the user's own connection there had better be opened while that one may. */
  #reachDatabase(): void {
    const { database, protocol, own, closed } = this.#session
    if (database === 0 || own !== null || closed) return
    const pipeline = this.#store.shared(database, protocol, this.#user)
    if (pipeline.state === 'idle') pipeline.connect()
  }

  /** After the reply has left the ring: what nobody waits for any more is closed, and the next one begins. */
  #ended(isAccepted: boolean): void {
    queueMicrotask(() => {
      if (this.#borrowed) this.#giveBack(isAccepted)
      this.#store.users.rejected(this.#user)
      if (this.#queued) this.#session.path.logins.ended()
    })
  }

  #giveBack(isAccepted: boolean): void {
    const { dedicated } = this.#store
    if (isAccepted) dedicated.release(this.#pipeline!, 0)
    else dedicated.discard(this.#pipeline!)
  }

  #say(frame: Buffer): void {
    if (this.#answered) return
    this.#answered = true
    this.#session.reply(this.#seq, frame, 0, frame.length)
    this.#session.proceed()
  }

  #fail(text: string): void {
    if (this.#answered) return
    this.#answered = true
    endInDoubt(this.#session, this.#seq, text)
  }
}

/**
 * The store does not let a user in whose clients have logged in before: it has been deleted, or given another password. A server closes the connections of a user that is deleted, so these clients are disconnected, and log in anew.
 * `error`: in the store's words.
 */
export function endClientsOf(path: DataPath, store: Store, user: StoreUser, error: string): void {
  // Who a client is says the primary of the route `*` alone.
  if (!NOT_LET_IN.test(error) || store !== path.primaryOf(path.routes.fallback)) return
  // A server keeps what is open of a user that has another password; and of a cluster it may be one node that does not know it.
  for (const pipeline of store.clientPipelines()) if (pipeline.state === 'up' && pipeline.user?.key === user.key) return
  for (const session of path.sessions) if (session.user?.key === user.key) session.end()
}

export function noRoomForUser({ name }: Store, limit: number): string {
  return `ERR Understudy: ${limit} users are logged in at store '${name}' (clients.dedicatedConnections); the user was not changed`
}

/** Of a server older than 6.0, which knows passwords only, the second. */
const NOT_LET_IN = /^(WRONGPASS |ERR invalid password)/
