import { hashBytes } from '../../base/hash.ts'
import { keptCopy } from '../../base/kept-copy.ts'
import { argumentIs } from '../../command/argument.ts'
import { arityFits } from '../../command/arity.ts'
import { blocks } from '../../command/blocking.ts'
import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { planCommand } from '../../routing/plan.ts'
import type { Route } from '../../routing/route.ts'
import { forward } from '../forward/forward.ts'
import { noConnectionLeft } from '../session/borrow.ts'
import { enterPin } from '../session/pin.ts'
import type { Session } from '../session/session.ts'
import { BlockedCommand } from './blocked-command.ts'

/**
 * Blocking commands (BLPOP, XREAD BLOCK, ...).
 *
 *   wait   on a dedicated connection, where the server sees it wait from the moment at which it was sent
 *   try    what is taken has been there for a while (`BusyQueues`), or no connection is left: MULTI, the command, EXEC on the shared pipeline first. Inside MULTI nothing blocks, so
 *          when there is something to take it is taken there and then, at an exact place of history. If there is nothing: wait
 *   move   a switch changes the primary: CLIENT UNBLOCK; a take that won the race is delivered and mirrored, else the command is sent to the new primary with
 *          the time that is left
 *
 * What is taken on the dedicated connection has no exact place among the shared pipeline's writes to the same keys, so these are settled by a state copy.
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
  const { positions } = plan
  const first = plan.keyed && positions.count > 0 ? positions.index[0]! : -1
  const hash = first === -1 ? 0 : hashBytes(view.buf, view.start[first]!, view.end[first]!)
  const mayTry = first !== -1 && spec.write && session.own === null
  const again = readsAgain(view, spec)
  const tries = mayTry && (again || triesFirst(session, plan.route, hash))
  if (!tries && session.order.owed > 0) return session.waitFor('replies')
  const busy = path.primaryOf(plan.route).shared(session.database, session.protocol, session.user).busyFor(session)
  if (tries && busy !== null) {
    session.answerError(busy)
    return true
  }
  const frame = keptCopy(view.buf, view.frameStart, view.frameEnd)
  const command = new BlockedCommand(
    session,
    spec,
    frame,
    plan.route,
    plan.others ?? [],
    session.order.assign(),
    again ? 0 : hash,
  )
  enterPin(session, command)
  session.waiting = 'pin'
  if (tries) command.attempt()
  else command.wait()
  return true
}

function triesFirst(session: Session, route: Route, hash: number): boolean {
  const { path, user } = session
  const store = path.primaryOf(route)
  // A cluster gives the outcome of a transaction as one. Of a user without the right to MULTI it would not say what was taken.
  if (user !== null && store.cluster !== null) return false
  return path.busyQueues.isBusy(hash, path.clock.nowMs) || noConnectionLeft(session, store) !== null
}

/** XREADGROUP of what is pending with the consumer: it never waits, BLOCK or not. */
function readsAgain(view: CommandView, spec: CommandSpec): boolean {
  const last = view.argc - 1
  return spec.keyFinder === 'streams' && !argumentIs(view, last, '>')
}
