import { blocks } from '../command/blocking.ts'
import type { CommandSpec } from '../command/spec.ts'
import { DOLLAR } from '../resp/bytes.ts'
import type { CommandView } from '../resp/command-view.ts'
import { planCommand } from '../routing/plan.ts'
import { arityFits } from './arity.ts'
import { BlockedCommand } from './blocked-command.ts'
import { forward } from './forward.ts'
import type { Session } from './session.ts'

/**
 * Blocking commands (BLPOP, XREAD BLOCK, ...).
 *
 *   try    MULTI, the command, EXEC on the shared pipeline: inside MULTI nothing blocks, so when there is something to take it is taken there and then, at an exact
 *          place of history, and no connection is needed
 *   wait   nothing there: the command goes to a dedicated connection and waits
 *   move   a switch changes the primary: CLIENT UNBLOCK; a take that won the race is delivered and mirrored, else the command is sent to the new primary with
 *          the time that is left
 *
 * What a waiting command takes has no exact place among the shared pipeline's writes to the same key, so the key is settled by a state copy.
 */
export function startBlocking(session: Session, view: CommandView, spec: CommandSpec): boolean {
  if (!blocks(spec, view) || !arityFits(spec, view.argc)) return forward(session, view, spec)
  const { path } = session
  const { plan } = path
  planCommand(path.routes, spec, view, plan)
  if (session.isHeld(view, spec)) return session.waitFor('hold')
  if (plan.refusal !== null) {
    session.answerError(plan.refusal)
    return true
  }
  if (path.routes.awaitsCluster) path.crossSlots.look(path.routes, spec, view, path.clock.nowMs)
  // One with a connection of its own waits there, where the server sees it wait.
  const tries = session.own === null && plan.keyed && plan.positions.count > 0 && !waitsForNew(view, spec)
  if (!tries && session.order.owed > 0) return session.waitFor('replies')
  const busy = path.primaryOf(plan.route).shared(session.database, session.protocol, session.user).busyFor(session)
  if (tries && busy !== null) {
    session.answerError(busy)
    return true
  }
  const frame = Buffer.from(view.buf.subarray(view.frameStart, view.frameEnd))
  const command = new BlockedCommand(session, spec, frame, plan.route, plan.others ?? [], session.order.assign())
  session.enter(command)
  session.waiting = 'pin'
  if (tries) command.attempt()
  else command.wait()
  return true
}

/** WAIT is about the connection's own past; `$` means "from now on", so there is nothing to take yet. */
function waitsForNew(view: CommandView, spec: CommandSpec): boolean {
  if (spec.keyFinder !== 'streams') return false
  for (let i = view.argc - 1; i > 0; i--)
    if (view.end[i]! - view.start[i]! === 1 && view.buf[view.start[i]!] === DOLLAR) return true
  return false
}
