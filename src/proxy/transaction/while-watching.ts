import { blocks } from '../../command/blocking.ts'
import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { planCommand } from '../../routing/plan.ts'
import { isServerWide } from '../../routing/server-wide.ts'
import { forward } from '../forward/forward.ts'
import { sendPlanned } from '../forward/send-planned.ts'
import { refuseByArity } from '../session/arity.ts'
import type { Session } from '../session/session.ts'
import { selectOn } from '../session/session-commands.ts'
import type { TransactionConnection } from './transaction-connection.ts'

/**
 * Between WATCH and MULTI: reads of what is watched go down the same connection, everything else its usual way. Where the one changes to the other, what is under way comes first: also behind what has
 * gone its usual way, for the next one may take the connection of the transaction (`changeWay`).
 */
export function whileWatching(
  session: Session,
  { store, dedicated }: TransactionConnection,
  view: CommandView,
  spec: CommandSpec | null,
): boolean {
  if (dedicated?.full) return session.waitFor('room')
  const plain = spec === null || isPlain(spec) || (spec.handling === 'blocking' && !blocks(spec, view))
  if (!plain) {
    if (session.order.owed > 0) return session.waitFor('replies')
    if (spec.handling === 'transaction') return refuseByArity(session, view, spec)
    if (spec.name === 'SELECT' && dedicated !== null && !session.own?.isOne(dedicated))
      return refuseByArity(session, view, spec) || selectOn(session, view, store!, dedicated)
    const isTaken = session.dispatchUnpinned(view, spec)
    session.order.changeWay()
    return isTaken
  }
  const { plan } = session.path
  planCommand(session.path.routes, spec, view, plan)
  const pipeline = session.path.primaryOf(plan.route) === store && plan.refusal === null ? dedicated : null
  const everyKey = spec?.write && isServerWide(spec)
  if (pipeline === null || everyKey) {
    if (session.order.owed > 0) return session.waitFor('replies')
    const isTaken = forward(session, view, spec)
    session.order.changeWay()
    return isTaken
  }
  if (session.isHeld(view, spec)) return session.waitFor('hold')
  if (session.readsSlowly) return session.waitFor('room')
  // What CLIENT CACHING has said of it goes along.
  session.own?.to(store!)
  sendPlanned(session, pipeline, view, spec, session.order.assign())
  return true
}

function isPlain({ handling }: CommandSpec): boolean {
  return handling === 'forward' || handling === 'elements'
}
