import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { isUnknownSubcommand, unknownSubcommand } from '../clients/client-commands.ts'
import { forward } from '../forward/forward.ts'
import { refuseByArity } from '../session/arity.ts'
import type { Session } from '../session/session.ts'

/** What a RESP2 client may not say while it is subscribed. */
export function refuseWhileSubscribed(session: Session, view: CommandView, spec: CommandSpec | null): boolean {
  // That it is unknown comes first at a server, too, in words of its own.
  if (spec === null) return forward(session, view, null)
  // So does a subcommand of a container.
  if (isUnknownSubcommand(session, view, spec)) {
    session.answerError(unknownSubcommand(view))
    return true
  }
  if (refuseByArity(session, view, spec)) return true
  const name = spec.name.startsWith('DEBUG') ? 'DEBUG' : spec.name
  const refusal = `Can't execute '${name.toLowerCase().replace(' ', '|')}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context`
  session.answerError(name === 'EXEC' ? `EXECABORT Transaction discarded because of: ${refusal}` : `ERR ${refusal}`)
  return true
}
