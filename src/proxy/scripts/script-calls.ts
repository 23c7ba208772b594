import type { KnownScript } from '../../command/scripts/script-book.ts'
import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import type { DataPath } from '../data-path.ts'

/**
 * Scripts of the application at its primaries. A client's connection to Understudy outlives what one to the store would not: a restart, a failover, a switch, another node of a cluster. Client libraries remember per
 * connection which scripts they have sent, and inside MULTI they cannot send them again. So sources are kept as they pass, in every phase, and loaded ahead of a call that meets a server without them (`ScriptLoads`).
 *
 * Notes what a command without a key at its beginning says of scripts. Gives the script that it calls by SHA-1 and that its server is to have; null: it calls none, or one whose source has not passed.
 */
export function noteScript(path: DataPath, spec: CommandSpec, view: CommandView): KnownScript | null {
  switch (spec.name) {
    case 'EVAL':
    case 'EVAL_RO':
      if (view.argc > 1) path.scripts.learn(view.buf, view.start[1]!, view.end[1]!)
      return null
    case 'SCRIPT LOAD':
      if (view.argc === 3) path.scripts.learn(view.buf, view.start[2]!, view.end[2]!)
      return null
    case 'SCRIPT FLUSH':
      noteScriptFlush(path)
      return null
    default:
      return calledScript(path, spec, view)
  }
}

/** The same, where nothing is to be noted yet. */
export function calledScript(path: DataPath, { name }: CommandSpec, view: CommandView): KnownScript | null {
  return (name === 'EVALSHA' || name === 'EVALSHA_RO') && view.argc > 1 ? namedScript(path, view, 1) : null
}

/** The one whose SHA-1 the argument is. */
export function namedScript({ scripts }: DataPath, { buf, start, end }: CommandView, arg: number): KnownScript | null {
  if (end[arg]! - start[arg]! !== SHA_LENGTH) return null
  const script = scripts.bySha(buf.toString('latin1', start[arg]!, end[arg]!))
  return script?.isLoaded ? script : null
}

/** SCRIPT FLUSH: the application does not count on any script any more, and servers have none. */
export function noteScriptFlush({ scripts, scriptLoads }: DataPath): void {
  scripts.unload()
  scriptLoads.forgetAll()
}

const SHA_LENGTH = 40
