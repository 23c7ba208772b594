import type { ConfigDocument } from '../file/document.ts'
import type { RouteDraft } from '../file/resolve-routes.ts'

/**
 * An application that has only a part of a server, because the route `*` has names of its own there, must not flush the whole of it: its FLUSHALL, FLUSHDB and
 * SWAPDB would hit the neighbours. Instead its own keys are deleted (`proxy/keyspace/flush-namespace.ts`), SWAPDB is refused (`routing/server-wide.ts`), and who sets this up is told.
 */
export function warnOfFlushes(document: ConfigDocument, drafts: readonly RouteDraft[]): void {
  for (const { patterns, source, target } of drafts) {
    for (const end of [source, target]) {
      const rename = end?.renames.get('*')
      if (rename === undefined || !patterns.some(({ pattern }) => pattern.isCatchAll)) continue
      document.warn(
        [...end!.path, 'keys', '*'],
        `gives the application a part of store "${end!.store}": FLUSHALL and FLUSHDB, which would hit what else is there, delete its own keys one by one while this end is in use, and SWAPDB is refused`,
      )
    }
  }
}
