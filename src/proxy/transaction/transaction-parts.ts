import type { CommandView } from '../../resp/command-view.ts'
import type { Route } from '../../routing/route.ts'
import type { ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import type { Session } from '../session/session.ts'
import { TransactionConnection } from './transaction-connection.ts'
import { TransactionQueue } from './transaction-queue.ts'
import type { TransactionScripts } from './transaction-scripts.ts'
import type { TransactionSubscriptions } from './transaction-subscriptions.ts'
import type { TransactionTracking } from './transaction-tracking.ts'

/** What is known of one transaction, and what all that happens to it needs. `Transaction` says when. */
export class TransactionParts {
  readonly session: Session
  readonly connection: TransactionConnection
  readonly queue: TransactionQueue
  /** Null: it calls none by SHA-1 that are known. */
  scripts: TransactionScripts | null = null
  /** Of its first key; null: none has come yet. */
  route: Route | null
  watching = false
  /** Something is watched or queued that has its place at that route's primary. */
  #hasItsPlace = false
  /** As the client wrote it, which is how MONITOR shows it; null: there was none yet. */
  multi: Buffer | null = null
  subscriptionChanges: TransactionSubscriptions | null = null
  tracking: TransactionTracking | null = null
  /** What was watched may have changed unseen: EXEC answers nil. */
  broken = false
  /** A command was refused here, or the transaction cannot be executed any more: why, as EXEC answers it. */
  aborted: string | null = null
  /** How many had been queued when one was wrong: from there on a server counts no more. Null: none was. */
  abortedAt: number | null = null
  /** It has moved to a store whose functions are not known yet, and calls some: EXEC waits, and plans it anew. */
  awaitsFunctions = false
  /** EXEC is under way, on a connection of its own. */
  executing = false
  /** Connections of before a switch that owe the client replies to what was queued. EXEC waits for these: an error would be the end of it. */
  leaving = 0

  /** `shared` with the route of its keys: a transaction that arrived whole. Else the first key decides. */
  constructor(session: Session, shared: Pipeline | null, route: Route | null) {
    this.session = session
    this.queue = new TransactionQueue(session)
    this.route = route
    this.connection = new TransactionConnection(session, shared, route === null ? null : session.path.primaryOf(route))
  }

  get inMulti(): boolean {
    return this.multi !== null
  }

  /** A switch holds one of its routes, so that it is about to move: what is queued now would have to be taken along, and keep the switch waiting. */
  get isHeld(): boolean {
    if (this.route?.state.switching) return true
    for (const { switching } of this.queue.states) if (switching) return true
    return false
  }

  /** What is watched or queued now has its place at the primary of this route: what was queued so far has none, and goes there. */
  takePlace(route: Route): void {
    if (this.#hasItsPlace) return
    this.#hasItsPlace = true
    const { shared, store } = this.connection
    const place = this.session.path.primaryOf(route)
    if (shared !== null || store === null || store === place) return
    this.route = route
    this.moveTo(place)
  }

  /** Nothing that is left of it has a place: the next that has one decides. */
  losesPlace(): void {
    this.#hasItsPlace = false
  }

  /** Ties it to the primary of this route, its first key's; refused, in the words for the client, where it is tied to another. */
  bind(route: Route): string | null {
    const refusal = this.connection.bind(route)
    if (refusal === null) this.route ??= route
    return refusal
  }

  /** The connection, with MULTI (and after a move, all that was queued) on it. */
  open(): Pipeline {
    return this.connection.open(this.multi, this.queue.commands, () => this.connectionLost())
  }

  /** With what had been queued or watched on it. */
  connectionLost(): void {
    if (this.inMulti) this.aborted ??= abortedBy('the connection on which it was queued was lost')
    if (this.watching) this.broken = true
  }

  /** Goes on at that store; null: where the next key is. What is owed from where it was still comes. */
  moveTo(store: Store | null): void {
    const { session, connection } = this
    this.scripts?.moved()
    const owes = connection.dedicated !== null && session.order.owed > 0
    if (owes) this.leaving++
    connection.moveTo(store, (answered) => {
      if (!owes) return
      this.leaving--
      if (!answered) this.connectionLost()
      session.wake()
    })
  }

  push(pipeline: Pipeline, owner: ReplyOwner, bytes: Buffer, seq: number): void {
    const route = this.route ?? this.session.path.routes.fallback
    const slot = pipeline.push(owner, bytes, 0, bytes.length)
    slot.seq = seq
    slot.route = route
    slot.database = this.session.database
    route.state.inFlight++
  }

  /** Answers a command by an error; `aborts`: and EXEC by EXECABORT. The command is taken. */
  refuse(text: string, aborts: boolean): true {
    if (aborts) {
      this.aborted ??= ABORTED_BY_ERRORS
      this.abortedAt ??= this.queue.commands.length
    }
    this.session.answerError(text)
    return true
  }
}

/** In Redis' words: the client has been given an error for a command. */
export const ABORTED_BY_ERRORS = 'EXECABORT Transaction discarded because of previous errors.'

/** EXEC's answer in the form in which Redis gives a reason: of what the client has been told no error for. */
export function abortedBy(reason: string): string {
  return `EXECABORT Transaction discarded because of: ${reason}`
}

/** A copy of the command's bytes. */
export function frameOf(view: CommandView): Buffer {
  return Buffer.from(view.buf.subarray(view.frameStart, view.frameEnd))
}
