import { arityFits, wrongArity } from '../../command/arity.ts'
import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import type { Session } from './session.ts'

/** Answers a command with the wrong number of arguments as Redis does; true when it did. For commands that never reach the server in this form. */
export function refuseByArity(session: Session, view: CommandView, spec: CommandSpec): boolean {
  if (arityFits(spec, view.argc)) return false
  // EXEC is the one that says so, even outside of a transaction.
  const text = wrongArity(spec)
  session.answerError(spec.name === 'EXEC' ? `EXECABORT Transaction discarded because of: ${text.slice(4)}` : text)
  return true
}
