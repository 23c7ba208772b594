import type { CommandView } from '../resp/command-view.ts'
import type { Route } from '../routing/route.ts'
import type { ReplyOwner } from '../upstream/in-flight.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import type { Session } from './session.ts'
import { TransactionConnection } from './transaction-connection.ts'
import { TransactionQueue } from './transaction-queue.ts'
import type { TransactionSubscriptions } from './transaction-subscriptions.ts'
import type { TransactionTracking } from './transaction-tracking.ts'

/** What is known of one transaction, and what all that happens to it needs. `Transaction` says when. */
export class TransactionParts {
  readonly session: Session
  readonly connection: TransactionConnection
  readonly queue: TransactionQueue
  /** Of its first key; null: none has come yet. */
  route: Route | null
  watching = false
  /** As the client wrote it, which is how MONITOR shows it; null: there was none yet. */
  multi: Buffer | null = null
  subscriptionChanges: TransactionSubscriptions | null = null
  tracking: TransactionTracking | null = null
  /** What was watched may have changed unseen: EXEC answers nil. */
  broken = false
  /** A command was refused here: EXEC answers EXECABORT, as Redis does for one that it refused itself. */
  aborted = false
  /** How many had been queued when one was wrong: from there on a server counts no more. Null: none was. */
  abortedAt: number | null = null
  /** EXEC is under way, on a connection of its own. */
  executing = false

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

  /** Ties it to the primary of this route, its first key's; refused, in the words for the client, where it is tied to another. */
  bind(route: Route): string | null {
    const refusal = this.connection.bind(route)
    if (refusal === null) this.route ??= route
    return refusal
  }

  /** The connection, with MULTI (and after a move, all that was queued) on it. */
  open(): Pipeline {
    return this.connection.open(this.multi, this.queue.commands, () => {
      if (this.inMulti) this.aborted = true
      if (this.watching) this.broken = true
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
      this.aborted = true
      this.abortedAt ??= this.queue.commands.length
    }
    this.session.answerError(text)
    return true
  }
}

/** A copy of the command's bytes. */
export function frameOf(view: CommandView): Buffer {
  return Buffer.from(view.buf.subarray(view.frameStart, view.frameEnd))
}
