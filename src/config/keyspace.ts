import type { StoreConfig } from './config.ts'
import { endpointIdentity } from './endpoint.ts'

type StorePlace = Pick<StoreConfig, 'name' | 'kind' | 'endpoints' | 'sentinelName' | 'database'>

/** The same text for two stores that are the same database of the same server. */
export function keyspaceOf(store: StorePlace): string {
  return `${serverOf(store)} ${store.database}`
}

/** The same text for two stores that are the same server, whatever their databases. */
export function serverOf(store: Omit<StorePlace, 'database'>): string {
  if (store.kind === 'managed') return `managed ${store.name}`
  return `${store.endpoints.map(endpointIdentity).toSorted().join(',')} ${store.sentinelName ?? ''}`
}
