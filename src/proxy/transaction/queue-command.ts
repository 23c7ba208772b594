import { arityFits } from '../../command/arity.ts'
import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { planCommand } from '../../routing/plan.ts'
import { FUNCTIONS_CHANGING, FUNCTIONS_UNREAD, isFunctionCall, refusesMadeUpNames } from '../../routing/plan-script.ts'
import { refuseServerWide } from '../../routing/server-wide.ts'
import { isUnknownSubcommand } from '../clients/client-commands.ts'
import { changesSubscriptions, inMulti, PLACEHOLDER, placeholderOf, refusalInMulti } from './own-answers.ts'
import { frameOf, type TransactionParts } from './transaction-parts.ts'
import { TransactionSubscriptions } from './transaction-subscriptions.ts'
import { isAboutTracking, TransactionTracking } from './transaction-tracking.ts'

/**
 * A command between MULTI and EXEC: goes to the store, which answers QUEUED, and is kept for EXEC's reply. False: it has to wait, and nothing was done.
 */
export function queueCommand(transaction: TransactionParts, view: CommandView, spec: CommandSpec | null): boolean {
  const { session, connection, queue } = transaction
  const { path } = session
  const answered = spec !== null && inMulti(session, view, spec) === 'answered' && spec.name !== 'SELECT'
  const wrong = refusalInMulti(session, view, spec)
  if (wrong !== null) return transaction.refuse(wrong, true)
  if (connection.dedicated?.full) return session.waitFor('room')
  const { plan } = path
  planCommand(path.routes, spec, view, plan)
  if (connection.shared === null && (transaction.isHeld || session.isHeld(view, spec))) return session.waitFor('hold')
  if (plan.refusal !== null) return transaction.refuse(plan.refusal, true)
  if (plan.awaitsFunctions) {
    if (connection.shared === null) return session.waitFor('room')
    return transaction.refuse(FUNCTIONS_UNREAD, true)
  }
  if (queue.changesFunctions && spec !== null && isFunctionCall(spec) && refusesMadeUpNames(path.routes, plan))
    return transaction.refuse(FUNCTIONS_CHANGING, true)
  if (plan.doubt !== null) path.doubts.report(plan.doubt, plan.route, plan.positions.count > 0)
  const keyed = plan.keyed && plan.positions.count > 0
  const own = keyed || plan.bound
  const route = own ? plan.route : (transaction.route ?? plan.route)
  if (own || !isAlikeAnywhere(spec)) transaction.takePlace(route)
  const refusal = (spec?.write && !keyed ? refuseServerWide(path.routes, spec) : null) ?? transaction.bind(route)
  if (refusal !== null) return transaction.refuse(refusal, true)
  const complete = spec !== null && arityFits(spec, view.argc)
  if (complete && isAboutTracking(spec)) {
    transaction.tracking ??= new TransactionTracking(session)
    transaction.open()
    if (spec.name === 'CLIENT TRACKING' && !transaction.tracking.isReady(view)) return false
    // Opening it may have planned something else.
    planCommand(path.routes, spec, view, plan)
  }
  queue.touches(plan, own)
  queue.bytes += view.frameEnd - view.frameStart
  if (queue.bytes > QUEUE_LIMIT_BYTES && connection.shared === null) {
    return transaction.refuse('ERR Understudy does not hold so much of one transaction; make it smaller', true)
  }
  const frame = frameOf(view)
  connection.noteQueued(spec)
  // One with too few words the server refuses, and then the transaction.
  const bytes = answered
    ? placeholderOf(session, spec, view, connection.store!)
    : complete
      ? asSent(transaction, view, spec, frame)
      : connection.asSent(view, spec, frame)
  // Before the connection: opening one may plan again.
  const queued = queue.planned(view, spec, frame, answered)
  if (spec !== null && changesSubscriptions(spec)) {
    transaction.subscriptionChanges ??= new TransactionSubscriptions(session)
    transaction.subscriptionChanges.queued(view, spec)
  }
  const pipeline = transaction.open()
  if (!complete || isUnknownSubcommand(session, view, spec)) transaction.abortedAt ??= queue.commands.length
  queue.commands.push(queued)
  transaction.push(pipeline, session, bytes, session.order.assign())
  return true
}

/** Of a command without keys: the client is told the same whichever primary executes it, or what it asks for is about the primary that the transaction is for. */
export function isAlikeAnywhere(spec: CommandSpec | null): boolean {
  return spec !== null && (ALIKE_ANYWHERE.has(spec.name) || (spec.handling === 'session' && !isAboutTracking(spec)))
}

const ALIKE_ANYWHERE: ReadonlySet<string> = new Set(['ECHO', 'PING', 'TIME', 'UNWATCH', 'WAIT', 'WAITAOF'])

/** The planned command as the store gets it. */
function asSent(transaction: TransactionParts, view: CommandView, spec: CommandSpec, frame: Buffer): Buffer {
  const { store } = transaction.connection
  if (spec.name === 'CLIENT TRACKING') return transaction.tracking!.queued(view, store!) ?? PLACEHOLDER
  return transaction.connection.asSent(view, spec, frame)
}

/** Of the commands of one transaction, which are kept until EXEC's reply. */
const QUEUE_LIMIT_BYTES = 512 * 1024 * 1024
