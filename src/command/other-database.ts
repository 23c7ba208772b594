import type { CommandView } from '../resp/command-view.ts'
import { argumentCount, argumentIs } from './argument.ts'
import type { CommandSpec } from './spec.ts'

/** The other database of MOVE key db and COPY source destination DB db, in which the command's last key is written; -1: there is none. */
export function otherDatabase(spec: CommandSpec, view: CommandView): number {
  if (!spec.crossesDatabases) return -1
  if (spec.name === 'MOVE') return view.argc === 3 ? argumentCount(view, 2) : -1
  for (let i = 3; i + 1 < view.argc; i++) if (argumentIs(view, i, 'DB')) return argumentCount(view, i + 1)
  return -1
}
