import type { Config } from '../config/config.ts'
import type { Stats } from '../proxy/messages.ts'
import type { Health } from '../upstream/health.ts'
import type { SentinelView } from '../upstream/sentinel-watch.ts'

/** What can be seen from here of a store. */
interface Sight {
  readonly config: Config
  readonly stats: Stats
  readonly health: ReadonlyMap<string, Health>
  readonly sentinels: ReadonlyMap<string, SentinelView>
}

/**
 * Why a primary serves nobody, to be read behind its name; null: it serves. By the connections on which commands travel, not by the health probe: with `clients.auth: passthrough` that one is let in
 * nowhere, and whom the store serves is its own business.
 */
export function whyNotServing(store: string, { config, stats, health, sentinels }: Sight): string | null {
  if (stats.stores[store]?.state !== 'up') {
    const why = sentinels.get(store)?.error
    return `is not connected${why ? `: ${why}` : ''}`
  }
  const of = health.get(store)
  return config.clients.auth !== 'passthrough' && of?.wantsLogin ? `serves no command: ${of.error}` : null
}
