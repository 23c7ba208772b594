import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { startBlocking } from '../blocking/blocking.ts'
import { isToBePushed, sendBeside } from '../clients/beside.ts'
import { showToMonitors } from '../clients/monitor-feed.ts'
import { startReplicaStream } from '../clients/replica-stream.ts'
import { forward } from '../forward/forward.ts'
import { mendedCommand } from '../forward/mended-replies.ts'
import { elementScan } from '../keyspace/element-scan.ts'
import { keyspaceCommand } from '../keyspace/keyspace-commands.ts'
import { startSubscribing } from '../pubsub/start-subscribing.ts'
import { startTransaction } from '../transaction/start-transaction.ts'
import { refuseByArity } from './arity.ts'
import type { Session } from './session.ts'
import { refuseCommand, sessionCommand } from './session-commands.ts'

/** A command to the part that handles its kind (`command/handling.ts`). False: has to wait. */
export function handleCommand(session: Session, view: CommandView, spec: CommandSpec): boolean {
  switch (spec.handling) {
    case 'session':
      return answerHere(session, view, spec)
    case 'transaction':
      return refuseByArity(session, view, spec) || startTransaction(session, view, spec)
    case 'blocking':
      return startBlocking(session, view, spec)
    case 'publish':
      if (session.path.pendingSubscriptions.holdsBack(session)) return session.waitFor('answers')
      return forward(session, view, spec)
    case 'forward':
      return forward(session, view, spec)
    case 'keyspace':
      return refuseByArity(session, view, spec) || keyspaceCommand(session, view, spec)
    case 'elements':
      return refuseByArity(session, view, spec) || elementScan(session, view, spec)
    case 'subscribe':
    case 'takeover':
      return refuseByArity(session, view, spec) || startSubscribing(session, view, spec)
    case 'replica':
      return refuseByArity(session, view, spec) || startReplicaStream(session, view, spec)
    case 'mended':
      return mendedCommand(session, view, spec)
    case 'beside':
      if (spec.name === 'DEBUG PROTOCOL' && !isToBePushed(session, view)) return forward(session, view, spec)
      return refuseByArity(session, view, spec) || sendBeside(session, view, spec)
    case 'refuse':
      return refuseByArity(session, view, spec) || refuseCommand(session, view, spec)
  }
}

function answerHere(session: Session, view: CommandView, spec: CommandSpec): boolean {
  const isTaken = sessionCommand(session, view, spec)
  if (!isTaken) return false
  // What CLIENT CACHING has said holds until the first command of another kind.
  if (session.own !== null && !spec.name.startsWith('CLIENT ')) session.own.carryCaching([])
  session.path.localCalls.count(spec)
  if (session.path.monitors.size > 0) showToMonitors(session, view, spec)
  return true
}
