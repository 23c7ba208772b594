import type { StoreConfig } from '../config.ts'
import type { ConfigDocument } from '../file/document.ts'
import { type ConfigPath, shown } from '../file/problems.ts'
import type { EndDraft } from '../file/resolve-ends.ts'
import type { RouteDraft } from '../file/resolve-routes.ts'
import { serverOf } from '../keyspace.ts'
import { commonKey, type Segment } from '../patterns/key-language.ts'
import { comparePatterns, type KeyPattern } from '../patterns/pattern.ts'
import { segmentsOf } from '../patterns/pattern-overlap.ts'
import type { KeyRename } from '../patterns/rename.ts'

/**
 * A channel belongs to one route, and two channels of the application never become one on a server: who listens to one would hear the other's messages.
 */
export function refuseChannelCollisions(
  document: ConfigDocument,
  drafts: readonly RouteDraft[],
  stores: ReadonlyMap<string, StoreConfig>,
): void {
  const ends = drafts.flatMap((route) =>
    [route.source, route.target].flatMap((end) => (end === null ? [] : [{ route, end }])),
  )
  const named = ends.flatMap(({ route, end }) => channelsOf(route, end, stores))
  named.forEach((later, i) => {
    for (const earlier of named.slice(0, i)) {
      const message = later.route === earlier.route ? null : (ambiguous(earlier, later) ?? shared(earlier, later))
      if (message === null) continue
      document.refuse(later.path, message)
      return
    }
  })
}

interface Named {
  readonly route: RouteDraft
  readonly path: ConfigPath
  readonly server: string | null
  readonly from: KeyPattern
  readonly rename: KeyRename
  readonly names: readonly Segment[]
}

function channelsOf(route: RouteDraft, end: EndDraft, stores: ReadonlyMap<string, StoreConfig>): Named[] {
  const store = end.store === null ? undefined : stores.get(end.store)
  return [...end.channels.values()].map((rename) => ({
    route,
    path: [...end.path, 'channels', rename.from.text],
    server: store === undefined ? null : serverOf(store),
    from: rename.from,
    rename,
    names: rename.image(),
  }))
}

function ambiguous(one: Named, other: Named): string | null {
  if (comparePatterns(one.from, other.from) !== 0) return null
  const channel = commonKey(segmentsOf(one.from), segmentsOf(other.from))
  if (channel === null) return null
  return `"${other.from.text}" and "${one.from.text}" of route "${one.route.name}" match the same channels, for example ${shown(channel)}, and neither is more specific; change one of them`
}

function shared(one: Named, other: Named): string | null {
  if (one.server === null || one.server !== other.server) return null
  const channel = commonKey(one.names, other.names)
  if (channel === null) return null
  return `the new names of "${other.from.text}" meet those of "${one.from.text}" of route "${one.route.name}": ${shown(channel)}, for example, would be two channels of the application. Choose other names`
}
