import { applicationBytes } from '../../mirror/effects/settled-command.ts'
import type { Route } from '../../routing/route.ts'
import { isServerWide } from '../../routing/server-wide.ts'
import type { InFlight, Loss } from '../../upstream/pipeline/in-flight.ts'
import type { Session } from '../session/session.ts'
import { functionsChanged, leaveOthers } from './marked-replies.ts'
import { FUNCTIONS, HANDED_OVER, MIRRORED, OF_ANY_ROUTE, UNDECLARED } from './marks.ts'

/** The connection to the primary was lost with the command on it, or before: the client is told, and what may have been written is settled by copies. Of a client that has gone, whose own connection goes with it, it is not counted: nobody has waited for the answer. */
export function commandLost(session: Session, slot: InFlight, loss: Loss): void {
  const route = slot.route as Route
  route.state.inFlight--
  if (loss.refused) route.state.primaryError++
  else if (!session.closed) route.state.primaryLost++
  leaveOthers(slot)
  if ((slot.flags & FUNCTIONS) !== 0) functionsChanged(session.path, slot, route, loss.mayHaveRun)
  if ((slot.flags & UNDECLARED) !== 0)
    session.path.mirror.undeclared.ended(route, loss.mayHaveRun, (slot.flags & OF_ANY_ROUTE) === 0)
  if ((slot.flags & MIRRORED) !== 0) {
    session.writesOwed--
    session.path.tickets.left(slot, slot.lane)
    if (isServerWide(slot.spec)) session.path.mirror.undeclared.flushed(slot.spec!, route, loss.mayHaveRun)
    if (loss.mayHaveRun) session.path.mirror.lostOnPrimary(slot)
  }
  if ((slot.flags & HANDED_OVER) !== 0) return
  // Half of the reply has gone out, and nothing can follow it. So it was no answer either that its time was up.
  if (isGoingOut(session, slot)) session.socket.destroy()
  else if (!slot.timedOut) session.replyError(slot.seq, loss.text)
}

/** The primary has not answered in time: the client is told; the command keeps its place, for its late reply. */
export function commandTimedOut(session: Session, slot: InFlight): void {
  const { state, primary } = slot.route as Route
  state.primaryTimeout++
  if ((slot.flags & HANDED_OVER) !== 0 || isGoingOut(session, slot)) return
  session.replyError(
    slot.seq,
    `ERR Understudy: store '${primary.storeName}' did not answer in time; the command may have been executed`,
  )
}

/** Its reply goes to the client in pieces at the moment. */
function isGoingOut({ order }: Session, slot: InFlight): boolean {
  return order.midReply && slot.seq === order.next
}

/** The store is busy with another client's script. The command changes nothing, so the client need not wait until it is executed. */
export function commandHeldUp(session: Session, slot: InFlight, text: string): void {
  if (slot.timedOut || (slot.flags & HANDED_OVER) !== 0 || isGoingOut(session, slot)) return
  slot.timedOut = true
  session.replyError(slot.seq, text)
}

/**
 * A command over several nodes of a cluster, one of which is silent, keeps nobody else waiting: some of its keys may have been written now, others later, and what comes behind it is answered before.
 * So its keys are copied now, and once more when it ends; what it reads is not compared.
 */
export function commandDetached({ path }: Session, slot: InFlight): void {
  slot.ticket = NEVER_ALONE
  if ((slot.flags & MIRRORED) === 0) return
  const { bytes, start, end } = applicationBytes(slot)
  for (const ref of path.mirror.keysIn(slot.spec, slot.database, bytes, start, end)) path.mirror.mark(ref, 'overlap')
}

/** A ticket of the overlap table that another connection's write has made void. */
const NEVER_ALONE = -1
