import type { Config } from '../config/config.ts'
import type { Stats } from '../proxy/messages.ts'
import type { ClusterView } from '../upstream/cluster-watch.ts'
import { withLoginAdvice } from '../upstream/connection/connect-error.ts'
import type { Health } from '../upstream/health.ts'
import type { SentinelView } from '../upstream/sentinel/sentinel-watch.ts'

/** What can be seen from here of a store. */
interface Sight {
  readonly config: Config
  readonly stats: Stats
  readonly health: ReadonlyMap<string, Health>
  readonly sentinels: ReadonlyMap<string, SentinelView>
  readonly clusters: ReadonlyMap<string, ClusterView>
}

/** How a store serves those whose primary it is. At most one of the two is said. */
export interface Serving {
  /** Why it serves nobody, to be read behind its name; null: it serves. */
  readonly down: string | null
  /** Of a cluster: why not every key can be reached; null: each can. */
  readonly partly: string | null
}

/**
 * By the connections on which commands travel, and by the health probe only where that gets no answer at all and nothing has come down those connections either since: with `clients.auth: passthrough` the probe
 * may be let in nowhere, and whom the store serves is its own business. A cluster serves as long as one of its masters is up.
 */
export function servingOf(store: string, { config, stats, health, sentinels, clusters }: Sight): Serving {
  const link = stats.stores[store]
  const of = health.get(store)
  if (link?.state !== 'up') {
    // While one is opened anew nothing is known of it yet.
    const met = link?.error ? withLoginAdvice(link.error, config.stores[store]!) : null
    // Of a store that is up it says something else.
    const probed = config.clients.auth === 'passthrough' || of?.up ? null : of?.error
    const why = sentinels.get(store)?.error ?? met ?? probed
    return down(`is not connected${why ? `: ${why}` : ''}`)
  }
  if (config.clients.auth !== 'passthrough' && of?.wantsLogin) return down(`serves no command: ${of.error}`)
  const cluster = clusters.get(store)
  if (cluster !== undefined) {
    const isDown = !cluster.nodes.some(({ role, up }) => role === 'master' && up)
    return isDown ? down(`does not answer: ${cluster.error}`) : { down: null, partly: cluster.error }
  }
  const silentSinceMs = config.stores[store]?.kind === 'cluster' ? null : (of?.silentSinceMs ?? null)
  return silentSinceMs !== null && link.lastReadMs < silentSinceMs ? down(`does not answer: ${of!.error}`) : SERVES
}

const SERVES: Serving = { down: null, partly: null }

function down(why: string): Serving {
  return { down: why, partly: null }
}
