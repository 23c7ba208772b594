import type { Config, RouteConfig, StoreConfig } from './config.ts'
import { keyspaceOf } from './keyspace.ts'

/** What of a configuration says where keys lie: of its routes, and of the stores that they use. No secrets, and nothing that a later version may fill with a default. Plain JSON: it is kept from run to run. */
export interface Routing {
  readonly routes: readonly Pick<RouteConfig, 'name' | 'keys' | 'source' | 'target' | 'phase'>[]
  readonly stores: Readonly<
    Record<string, Pick<StoreConfig, 'url' | 'kind' | 'endpoints' | 'sentinelName' | 'database'>>
  >
}

export function routingOf({ routes, stores }: Pick<Config, 'routes' | 'stores'>): Routing {
  const used = new Set(
    routes.flatMap(({ source, target }) => [source.store, ...(target === null ? [] : [target.store])]),
  )
  return {
    routes: routes.map(({ name, keys, source, target, phase }) => ({ name, keys, source, target, phase })),
    stores: Object.fromEntries(
      [...used].map((name) => {
        const { url, kind, endpoints, sentinelName, database } = stores[name]!
        return [name, { url, kind, endpoints, sentinelName, database }]
      }),
    ),
  }
}

/**
 * The configuration with those routes, and their stores where they were. What a routing does not say of a route (how it mirrors and compares) is that of the route of the same name, or of the first one; what it does not
 * say of a store (credentials, certificates), that of the store of the same name, or of any: then it can only be compared with.
 */
export function withRouting<Whole extends Pick<Config, 'routes' | 'stores'>>(config: Whole, routing: Routing): Whole {
  const settings = new Map(config.routes.map((route) => [route.name, route]))
  const like = Object.values(config.stores)[0]!
  const stores = Object.entries(routing.stores).map(([name, place]): [string, StoreConfig] => [
    name,
    { ...(config.stores[name] ?? like), name, ...place },
  ])
  return {
    ...config,
    routes: routing.routes.map((route) => ({ ...(settings.get(route.name) ?? config.routes[0]!), ...route })),
    stores: { ...config.stores, ...Object.fromEntries(stores) },
  }
}

/** What its stores are (`keyspaceOf`), by their names; null: nothing is known. */
export function keyspacesIn(routing: Routing | null): Map<string, string> {
  return new Map(Object.entries(routing?.stores ?? {}).map(([name, place]) => [name, keyspaceOf({ ...place, name })]))
}
