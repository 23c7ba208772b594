import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { planCommand } from '../../routing/plan.ts'
import { isFunctionCall } from '../../routing/plan-script.ts'
import { refuseServerWide } from '../../routing/server-wide.ts'
import { flushNamespace } from '../keyspace/flush-namespace.ts'
import type { Session } from '../session/session.ts'
import { readLargeKey } from './large-reply.ts'
import { sendPlanned } from './send-planned.ts'
import { splitOrRefuse } from './split.ts'

/** The ordinary way of a command: down the shared pipeline of the primary of its keys' route. False: has to wait. */
export function forward(session: Session, view: CommandView, spec: CommandSpec | null): boolean {
  planCommand(session.path.routes, spec, view, session.path.plan)
  return forwardPlanned(session, view, spec)
}

/** The same for the planned command (`path.plan`). */
export function forwardPlanned(session: Session, view: CommandView, spec: CommandSpec | null): boolean {
  const { path } = session
  const { plan } = path
  const { route } = plan
  if (session.isHeld(view, spec)) return session.waitFor('hold')
  if (plan.refusal !== null) return splitOrRefuse(session, view, spec)
  if (path.routes.awaitsCluster && spec !== null) path.crossSlots.look(path.routes, spec, view, path.clock.nowMs)
  if (plan.awaitsFunctions) return session.waitFor('room')
  if (plan.unread) {
    session.answerError(isFunctionCall(spec!) ? NO_FUNCTION : NOSCRIPT)
    return true
  }
  if (plan.doubt !== null) path.doubts.report(plan.doubt, route, plan.positions.count > 0)
  if (spec?.write && plan.positions.count === 0) {
    path.readOnlyScripts.note(spec, view)
    const flushing = flushNamespace(session, view, spec)
    if (flushing !== null) return flushing
    const refusal = refuseServerWide(path.routes, spec)
    if (refusal !== null) {
      session.answerError(refusal)
      return true
    }
  }
  if (
    route.readsShadow &&
    spec?.readonly &&
    plan.keyed &&
    plan.positions.count > 0 &&
    session.writesOwed === 0 &&
    session.user === null &&
    session.own === null
  ) {
    if (path.targetReads.read(session, view, spec, plan)) return true
  }
  if (path.largeKeys.count > 0 && spec?.readonly && session.own === null) {
    const taken = readLargeKey(session, view, spec)
    if (taken !== null) return taken
  }
  if (spec?.write && path.mirror.undeclared.keepWaiting(spec, view, route)) return session.waitFor('room')
  const store = path.primaryOf(route)
  const pipeline =
    session.own === null ? store.shared(session.database, session.protocol, session.user) : session.own.to(store)
  if (pipeline.full) return session.noRoom(pipeline)
  const slot = sendPlanned(session, pipeline, view, spec, session.order.assign())
  path.repeat.remember(session, spec, pipeline, slot)
  return true
}

/** In the server's words: the client sends the source, as after a restart of the server, and it can be read. */
const NOSCRIPT = 'NOSCRIPT No matching script. Please use EVAL.'
const NO_FUNCTION = 'ERR Function not found'
