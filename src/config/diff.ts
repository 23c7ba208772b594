import { isDeepStrictEqual } from 'node:util'
import type { Config, EndConfig, ListenConfig, Phase, RouteConfig } from './config.ts'

/** What a reload has to do. Names of what is unchanged do not appear. */
export interface ConfigDiff {
  readonly changed: boolean
  /** Listeners by URL. */
  readonly listen: Changes
  readonly stores: Changes
  readonly routes: {
    readonly added: readonly string[]
    readonly removed: readonly string[]
    readonly changed: readonly RouteChange[]
  }
  readonly admin: boolean
  readonly stateDir: boolean
  readonly clients: boolean
  readonly cutover: boolean
  readonly log: boolean
}

interface Changes {
  readonly added: readonly string[]
  readonly removed: readonly string[]
  readonly changed: readonly string[]
}

interface RouteChange {
  readonly name: string
  /** null: the phase is the same. */
  readonly phase: { readonly from: Phase; readonly to: Phase } | null
  /** Another store, or other names in it, answers writes from now on: commands have to be held while that happens. */
  readonly primary: boolean
  /** Another end (or none) is the shadow from now on. */
  readonly shadow: boolean
  readonly keys: boolean
  readonly mirror: boolean
  readonly compare: boolean
  readonly readTimeout: boolean
}

export function diffConfig(old: Config, next: Config): ConfigDiff {
  const oldRoutes = new Map(old.routes.map((route) => [route.name, route]))
  const nextRoutes = new Map(next.routes.map((route) => [route.name, route]))
  const routes = compare(oldRoutes, nextRoutes)
  return {
    changed: !isDeepStrictEqual(old, next),
    listen: compare(byUrl(old.listen), byUrl(next.listen)),
    stores: compare(new Map(Object.entries(old.stores)), new Map(Object.entries(next.stores))),
    routes: {
      ...routes,
      changed: routes.changed.map((name) => diffRoute(oldRoutes.get(name)!, nextRoutes.get(name)!)),
    },
    admin: !isDeepStrictEqual(old.admin, next.admin),
    stateDir: old.stateDir !== next.stateDir,
    clients: !isDeepStrictEqual(old.clients, next.clients),
    cutover: !isDeepStrictEqual(old.cutover, next.cutover),
    log: !isDeepStrictEqual(old.log, next.log),
  }
}

function diffRoute(old: RouteConfig, next: RouteConfig): RouteChange {
  return {
    name: old.name,
    phase: old.phase === next.phase ? null : { from: old.phase, to: next.phase },
    primary: !isDeepStrictEqual(primaryOf(old), primaryOf(next)),
    shadow: !isDeepStrictEqual(shadowOf(old), shadowOf(next)),
    keys: !isDeepStrictEqual(old.keys, next.keys),
    mirror: !isDeepStrictEqual(old.mirror, next.mirror),
    compare: !isDeepStrictEqual(old.compare, next.compare),
    readTimeout: old.readTimeoutMs !== next.readTimeoutMs,
  }
}

/** The end that answers writes. */
function primaryOf(route: RouteConfig): EndConfig | null {
  return route.phase === 'switched' || route.phase === 'done' ? route.target : route.source
}

function shadowOf(route: RouteConfig): EndConfig | null {
  if (route.phase === 'passthrough' || route.phase === 'done') return null
  return route.phase === 'switched' ? route.source : route.target
}

function compare<T>(old: ReadonlyMap<string, T>, next: ReadonlyMap<string, T>): Changes {
  return {
    added: [...next.keys()].filter((name) => !old.has(name)),
    removed: [...old.keys()].filter((name) => !next.has(name)),
    changed: [...next].flatMap(([name, value]) => {
      return old.has(name) && !isDeepStrictEqual(old.get(name), value) ? [name] : []
    }),
  }
}

function byUrl(listeners: readonly ListenConfig[]): Map<string, ListenConfig> {
  return new Map(listeners.map((listener) => [listener.url, listener]))
}
