import type { AckWaiter } from '../../mirror/shadow/ack-waiter.ts'
import type { Route } from '../../routing/route.ts'
import type { InFlight } from '../../upstream/pipeline/in-flight.ts'
import type { HeldReply } from '../forward/sync-replies.ts'
import { execDidNothing, mapExecReply } from './exec-reply.ts'
import { databasesOf } from './own-answers.ts'
import type { TransactionParts } from './transaction-parts.ts'

/** EXEC's reply, a view, has arrived: the client gets it, the mirror its writes and the comparison its reads; and the session is in the database that the transaction has selected. Gives the reply if the client has to wait for it. */
export function settleExec(
  { session, queue, connection, subscriptionChanges, tracking }: TransactionParts,
  slot: InFlight,
  buf: Buffer,
  start: number,
  end: number,
): HeldReply | null {
  const didNothing = execDidNothing(buf, start, end)
  const contested = queue.returned(!didNothing)
  const offsets = queue.repliesIn(buf, start, end)
  const mirror = (waiter: AckWaiter | null): void => {
    if (offsets !== null) queue.mirror(buf, offsets, contested, waiter, slot.queuedAtMs)
    else if (!didNothing) queue.lose()
  }
  const databases = offsets === null ? null : databasesOf(queue.commands, session.database, buf, offsets)
  const { replyMode } = session
  const mapped =
    offsets === null || slot.timedOut
      ? null
      : mapExecReply(session, queue.commands, buf, offsets, {
          store: connection.store!,
          subscriptions: subscriptionChanges,
          tracking,
        })
  const route = slot.route as Route
  let held: HeldReply | null = null
  const terms = session.path.syncReplies.termsOf(route, queue.states)
  if (terms !== null && offsets !== null && !slot.timedOut) {
    const reply = mapped ?? Buffer.from(buf.subarray(start, end))
    // CLIENT REPLY in it says what the client hears; and of one that hears nothing, what confirms subscriptions is told, and no error.
    const wanted = mapped === null ? null : { errors: replyMode !== 'off' || session.replyMode !== 'off' }
    held = session.path.syncReplies.hold(session, slot.seq, route, terms, reply, mirror, wanted)
  } else {
    mirror(null)
    if (mapped !== null) session.replyWanted(slot.seq, mapped)
    else if (!slot.timedOut) session.reply(slot.seq, buf, start, end)
  }
  if (offsets !== null) queue.compare(buf, offsets)
  const selected = databases?.at(-1) ?? session.database
  if (selected !== session.database) {
    session.database = selected
    session.own?.follow(connection.store, selected)
  }
  return held
}
