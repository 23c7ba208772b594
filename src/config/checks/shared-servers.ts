import type { StoreConfig } from '../config.ts'
import type { ConfigDocument } from '../file/document.ts'
import type { ConfigPath } from '../file/problems.ts'
import type { RouteDraft } from '../file/resolve-routes.ts'
import { serverOf } from '../keyspace.ts'

/**
 * Two stores that are two databases of one server are two only for a client's database 0 (decision 9): each other database of a client is the same one in both, and the client's database 1 may be the other store's 0.
 *
 *     client      0    1    2   ...
 *     old  /0     0    1    2
 *     new  /1     1    1    2
 *
 * Where one of them is mirrored, or may be, its writes would be doubled there, and jobs would compare, copy and delete what is the other store's own. So this is refused, whatever the names: the application may
 * say SELECT at any time, and FLUSHALL means both.
 */
export function refuseSharedServers(
  document: ConfigDocument,
  drafts: readonly RouteDraft[],
  stores: ReadonlyMap<string, StoreConfig>,
): void {
  const used = usedStores(drafts, stores)
  used.forEach((later, i) => {
    const earlier = used
      .slice(0, i)
      .find(({ store, isMirrored }) => (isMirrored || later.isMirrored) && isOtherDatabase(store, later.store))
    if (earlier === undefined) return
    const [one, other] = [earlier.store, later.store]
    document.refuse(
      later.path,
      `"${one.name}" and "${other.name}" are databases ${one.database} and ${other.database} of one server: an application that selects a database would find the same one in both, where it would be mirrored to itself. Use another server, or the same database with new names under "keys"`,
    )
  })
}

interface UsedStore {
  readonly store: StoreConfig
  /** Of the first end that names it. */
  readonly path: ConfigPath
  /** An end of a route with a target. */
  isMirrored: boolean
}

function usedStores(drafts: readonly RouteDraft[], stores: ReadonlyMap<string, StoreConfig>): UsedStore[] {
  const used = new Map<string, UsedStore>()
  for (const { source, target } of drafts) {
    for (const end of [source, target]) {
      const store = end === null || end.store === null ? undefined : stores.get(end.store)
      if (store === undefined) continue
      const known = used.get(store.name) ?? { store, path: end!.path, isMirrored: false }
      known.isMirrored ||= target !== null
      used.set(store.name, known)
    }
  }
  return [...used.values()]
}

function isOtherDatabase(one: StoreConfig, other: StoreConfig): boolean {
  return one.database !== other.database && serverOf(one) === serverOf(other)
}
