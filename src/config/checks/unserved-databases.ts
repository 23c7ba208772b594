import type { Config, StoreConfig } from '../config.ts'
import type { ConfigDocument } from '../file/document.ts'
import type { ConfigPath } from '../file/problems.ts'
import type { RouteDraft } from '../file/resolve-routes.ts'

/** Databases that no client can have, as clients count them, each with why and what to do: a sentence without its stop. */
export type UnservedDatabases = ReadonlyMap<number, string>

/**
 * A client's database 0 is the one in the store's URL, every other is itself (decision 9). So where stores have different ones, a database with the number of one of them would be two of a client's at that store and one at
 * the others:
 *
 *     client      0    2    5    7
 *     old  /2     2    2    5    7
 *     new  /5     5    2    5    7
 *
 * What is mirrored, copied or deleted in it would be in another one's place (decision 142). So no client has it, and no job looks at it. 0 remains, and so does what is none of these numbers.
 */
export function unservedDatabases({ routes, stores }: Pick<Config, 'routes' | 'stores'>): UnservedDatabases {
  return unservedOf(
    routes.flatMap(({ source, target }) => [source, target].flatMap((end) => stores[end?.store ?? ''] ?? [])),
  )
}

/** Whoever sets such stores up is told. */
export function warnOfUnservedDatabases(
  document: ConfigDocument,
  drafts: readonly RouteDraft[],
  stores: ReadonlyMap<string, StoreConfig>,
): void {
  const ends = drafts.flatMap(({ source, target }) =>
    [source, target].flatMap((end): { path: ConfigPath; store: StoreConfig }[] => {
      const store = typeof end?.store === 'string' ? stores.get(end.store) : undefined
      return store === undefined ? [] : [{ path: end!.path, store }]
    }),
  )
  const warning = unservedWarning(unservedOf(ends.map(({ store }) => store)))
  const odd = ends.find(({ store }) => store.database !== ends[0]!.store.database)
  if (warning !== null) document.warn(odd!.path, warning)
}

/** What is said of a configuration with such stores; null: every database is served. */
export function unservedWarning(unserved: UnservedDatabases): string | null {
  const [why] = unserved.values()
  if (why === undefined) return null
  return `keys in ${[...unserved.keys()].map((database) => `database ${database}`).join(' and ')} of a client are not served, mirrored, copied or deleted: ${why}`
}

/** What is answered to whoever asks for that database; null: it is served. */
export function unservedError(unserved: UnservedDatabases, database: number): string | null {
  const why = unserved.get(database)
  return why === undefined ? null : `ERR Understudy does not serve database ${database}: ${why}`
}

function unservedOf(stores: readonly StoreConfig[]): UnservedDatabases {
  const numbers = new Map(stores.map(({ database, name }) => [database, name]))
  if (numbers.size < 2) return NONE
  const different = [...numbers].map(([database, name]) => `'${name}' ${database}`).join(', ')
  const why = `the stores of the routes have different databases in their URLs (${different}), each of which is a client's database 0, so that such a number would mean one database at one store and another at the next. Connect without a number; or take the numbers out of the URLs`
  return new Map([...numbers.keys()].filter((database) => database !== 0).map((database) => [database, why]))
}

const NONE: UnservedDatabases = new Map()
