import { serverMark } from '../base/server-mark.ts'
import type { Config, StoreConfig } from '../config/config.ts'
import { endpointIdentity } from '../config/endpoint.ts'
import { keyspaceOf } from '../config/keyspace.ts'
import { withBriefClient } from '../upstream/connection/brief-client.ts'
import type { SameKeyspaces } from './key-regions.ts'

/** A reload must not wait longer for a store to say who it is. */
const MAX_MS = 2_000

/** Which server a store of kind `single` is (`serverMark`); null: it does not say. */
export type AskServer = (store: StoreConfig) => Promise<string | null>

/**
 * Stores that have another address in `next` and are the same server all the same: Sentinels or nodes were added to the list, it has another name, or is reached by its socket. Told by what the two lists have in
 * common, and by what the server says. What cannot be told is another server.
 */
export async function sameKeyspaces(old: Config, next: Config, ask: AskServer = askServer): Promise<SameKeyspaces> {
  const same = new Map<string, string>()
  await Promise.all(
    Object.values(next.stores).map(async (store) => {
      const before = old.stores[store.name]
      if (before === undefined || keyspaceOf(before) === keyspaceOf(store)) return
      if (await isSame(before, store, ask)) same.set(keyspaceOf(store), keyspaceOf(before))
    }),
  )
  return same
}

async function isSame(before: StoreConfig, store: StoreConfig, ask: AskServer): Promise<boolean> {
  if (before.kind !== store.kind || before.database !== store.database) return false
  if (store.kind === 'sentinel') return before.sentinelName === store.sentinelName && shareEndpoint(before, store)
  if (store.kind === 'cluster') return shareEndpoint(before, store)
  return areOneServer(before, store, ask)
}

/** Whether two stores of kind `single` are one server, whatever their addresses and databases. What cannot be told is another one. */
export async function areOneServer(one: StoreConfig, other: StoreConfig, ask: AskServer = askServer): Promise<boolean> {
  if (one.kind !== 'single' || other.kind !== 'single') return false
  const [mark, otherMark] = await Promise.all([ask(one), ask(other)])
  return mark !== null && mark === otherMark
}

function shareEndpoint(one: StoreConfig, other: StoreConfig): boolean {
  const known = new Set(one.endpoints.map(endpointIdentity))
  return other.endpoints.some((endpoint) => known.has(endpointIdentity(endpoint)))
}

async function askServer(store: StoreConfig): Promise<string | null> {
  let timer: NodeJS.Timeout | undefined
  const tooLate = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), MAX_MS)
  })
  // Its own limits as well: what is left behind must end.
  const brief = { ...store, timeoutMs: MAX_MS, connectTimeoutMs: MAX_MS }
  try {
    const info = withBriefClient(brief, store.endpoints[0]!, 'understudy-reload', (redis) => redis.info('server'))
    return await Promise.race([info.then(serverMark), tooLate])
  } catch {
    return null
  } finally {
    clearTimeout(timer)
  }
}
