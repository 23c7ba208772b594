import type { CommandSpec } from '../command/spec.ts'
import type { CommandView } from '../resp/command-view.ts'
import type { Session } from './session.ts'

/** True when the number of arguments is as Redis' `COMMAND` says: `arity` counts the name; negative means "at least". */
export function arityFits(spec: CommandSpec, argc: number): boolean {
  return spec.arity >= 0 ? argc === spec.arity : argc >= -spec.arity
}

/** Answers a command with the wrong number of arguments as Redis does; true when it did. For commands that never reach the server in this form. */
export function refuseByArity(session: Session, view: CommandView, spec: CommandSpec): boolean {
  if (arityFits(spec, view.argc)) return false
  // EXEC is the one that says so, even outside of a transaction.
  const text = wrongArity(spec)
  session.answerError(spec.name === 'EXEC' ? `EXECABORT Transaction discarded because of: ${text.slice(4)}` : text)
  return true
}

export function wrongArity(spec: CommandSpec): string {
  return `ERR wrong number of arguments for '${spec.name.toLowerCase().replace(' ', '|')}' command`
}
