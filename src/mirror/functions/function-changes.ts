import type { CommandSpec } from '../../command/spec.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import type { CommandView } from '../../resp/command-view.ts'
import type { Route } from '../../routing/route.ts'
import { changesFunctions } from '../../routing/server-wide.ts'
import type { DataPathContext } from '../context.ts'
import type { DirtySet } from '../dirty/dirty-set.ts'
import { digestOf } from './function-list.ts'

/** Which libraries a change of functions takes away: all that there were, or one of that name. Null: none, it only adds and replaces. */
export type Removed = 'all' | { readonly library: string } | null

/** Of a command that changes functions. */
export function removedBy({ name }: CommandSpec, view: CommandView): Removed {
  switch (name) {
    case 'FUNCTION FLUSH':
      return 'all'
    case 'FUNCTION RESTORE':
      return wordOf(view, 3).toUpperCase() === 'FLUSH' ? 'all' : null
    case 'FUNCTION DELETE':
      return { library: wordOf(view, 2) }
    default:
      return null
  }
}

/** What a change of functions that has passed by leaves behind: a library of that source, or none of that name (null: none at all). */
export type PassedChange = { readonly digest: string } | { readonly gone: string | null } | 'anything'

/** Of the command `bytes[start .. end)`, which changes functions. */
export function passedBy({ name }: CommandSpec, bytes: Buffer, start: number, end: number): PassedChange {
  parser.parse(bytes, start, end)
  const { buf, argc } = parser
  switch (name) {
    case 'FUNCTION LOAD':
      return { digest: digestOf(buf.subarray(parser.start[argc - 1]!, parser.end[argc - 1]!)) }
    case 'FUNCTION DELETE':
      return { gone: wordOf(parser, 2) }
    case 'FUNCTION FLUSH':
      return { gone: null }
    default:
      return 'anything'
  }
}

/** The change may be why the store has this source under that name of a library, or, undefined, none. */
export function leaves(change: PassedChange, library: string, digest: string | undefined): boolean {
  if (change === 'anything') return true
  if ('digest' in change) return change.digest === digest
  return digest === undefined && (change.gone === null || change.gone === library)
}

/**
 * The shadow's functions may not be the primary's any more. `removed`: what it may still have that the primary has not; all else that it has alone is left alone, for that may be there on
 * purpose.
 */
export function doubtFunctions({ routes: { fallback } }: DataPathContext, dirty: DirtySet, removed: Removed): void {
  // Functions are mirrored by the route `*`.
  if (fallback.shadow === null || fallback.shadow.store === fallback.primary.store) return
  if (removed === 'all') dirty.toVerify.mark(fallback.name, 'functions-removed')
  else if (removed !== null) dirty.toVerify.removed(fallback.name, removed.library)
  dirty.toVerify.mark(fallback.name, 'functions')
}

/** The same because of this command, `bytes[start .. end)`, which was sent to the shadow of `route`, or would have been. Nothing, if it is not about functions. What was to be deleted on another shadow, or because another primary had it no more, is not deleted. */
export function doubtFunctionsOf(
  context: DataPathContext,
  dirty: DirtySet,
  spec: CommandSpec | null,
  route: Route,
  bytes: Buffer,
  start: number,
  end: number,
): void {
  if (spec === null || !changesFunctions(spec)) return
  parser.parse(bytes, start, end)
  const { primary, shadow } = context.routes.fallback
  const stands = route.primary.keyspace === primary.keyspace && route.shadow?.keyspace === shadow?.keyspace
  doubtFunctions(context, dirty, stands ? removedBy(spec, parser) : null)
}

function wordOf({ buf, start, end, argc }: CommandView, index: number): string {
  return index < argc ? buf.toString('latin1', start[index]!, end[index]!) : ''
}

const parser = new CommandParser()
