import type { Config, RouteConfig } from '../config/config.ts'
import type { CrossSlotCount, Stats } from '../proxy/messages.ts'

/** What the application has not sent for so long it is taken not to send any more. */
const RECENT_MS = 3_600_000
const MOST_SHOWN = 5

/** Whether the target may answer writes as far as its slots are concerned: `closed` says why it may not, `open` what is so. */
export interface CrossSlotVerdict {
  readonly closed: string | null
  readonly open: string
}

/**
 * Before writes move to a cluster: commands that it would answer CROSSSLOT, and that came in the last hour, close the gate. Older ones are told, for what runs once a day is not seen in an hour. Null: the target is
 * no cluster.
 */
export function crossSlotVerdict(config: Config, route: RouteConfig, stats: Stats): CrossSlotVerdict | null {
  const target = route.target?.store
  if (target === undefined || config.stores[target]?.kind !== 'cluster') return null
  const all = [...(stats.routes[route.name]?.crossSlots ?? [])].sort((one, other) => other.count - one.count)
  const recent = all.filter(({ lastAgoMs }) => lastAgoMs < RECENT_MS)
  if (recent.length === 0) {
    const none = `no command of the last hour would be answered CROSSSLOT by cluster '${target}'`
    return { closed: null, open: all.length === 0 ? none : `${none}; before that: ${listed(all)}` }
  }
  return {
    closed:
      `cluster '${target}' would answer CROSSSLOT to commands of the last hour, whose keys lie in several of its slots: ${listed(recent)}. ` +
      "Let a rename give such keys a common {hash tag}, or change the application; 'understudy explain' tells of a command where its keys lie",
    open: '',
  }
}

function listed(counts: readonly CrossSlotCount[]): string {
  const shown = counts.slice(0, MOST_SHOWN).map(({ command, count }) => `${command} ${count}`)
  return `${shown.join(', ')}${counts.length > MOST_SHOWN ? ', ...' : ''}`
}
