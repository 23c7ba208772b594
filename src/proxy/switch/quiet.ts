import type { DirtySet } from '../../mirror/dirty/dirty-set.ts'
import type { ShadowLimits } from '../../mirror/shadow/shadow-limits.ts'
import type { SameServers } from '../../mirror/stores/same-servers.ts'
import type { StoreIdentity } from '../../mirror/stores/store-identity.ts'
import type { DataPath } from '../data-path.ts'
import type { Change } from '../messages.ts'
import type { Fence } from './fence.ts'

export interface QuietParts {
  readonly path: DataPath
  readonly dirty: DirtySet
  readonly identity: StoreIdentity
  readonly limits: ShadowLimits
  readonly sameServers: SameServers
}

/**
 * The last look before a swap, while commands are held. Gives why it must not be; null: it may.
 *
 *   drain ─▶ the servers are who they were, and the new primary is no replica ─▶ nothing has turned meanwhile ─┬─▶ swap
 *     ▲                                                                                                        │
 *     └──────────────────────────── not quiet any more (a key became dirty) ◀──────────────────────────────────┘
 *
 * The gates were open a moment ago, before anybody was held: what they have seen and is known here is looked at once more. It costs no round trip beside the one in which the servers are asked who they are, and how many keys they have evicted (decision 0126).
 * By force it is enough that nothing is in flight, and what is when the hold is over is given up (decision 0130).
 */
export async function becomeQuiet(
  parts: QuietParts,
  fence: Fence,
  { needsEqual: names, holdTimeoutMs, force = false }: Change,
): Promise<string | null> {
  const needsEqual = new Set(names)
  for (;;) {
    const drained = await fence.drain(needsEqual, holdTimeoutMs, force ? 'quiet' : 'equal')
    if (!drained.ok) return drained.reason
    if (force) return null
    const [changed] = await Promise.all([
      parts.identity.changedMeanwhile(needsEqual, holdTimeoutMs),
      parts.limits.evictedMeanwhile(needsEqual, holdTimeoutMs),
    ])
    const reason = turned(parts, needsEqual) ?? changed
    if (reason !== null || fence.stillBusy(needsEqual) === null) return reason
  }
}

function turned({ path, dirty, sameServers }: QuietParts, needsEqual: ReadonlySet<string>): string | null {
  for (const { name, primary, shadow } of path.routes.routes) {
    if (!needsEqual.has(name)) continue
    const [cause] = dirty.toVerify.causes(name)
    if (cause !== undefined) return `route '${name}' needs a verify since a moment ago (${cause})`
    if (shadow !== null && sameServers.sameAs(path.stores[shadow.store]!) !== null)
      return `stores '${primary.storeName}' and '${shadow.storeName}' are one server under two addresses`
  }
  return null
}
