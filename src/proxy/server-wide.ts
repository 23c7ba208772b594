import type { CommandSpec } from '../command/spec.ts'
import type { DataPath } from './data-path.ts'

/**
 * Commands that write without naming keys touch every route that lives on the store. FLUSHALL, FLUSHDB and SWAPDB are refused where the same server also holds the
 * other side of a migration: they would destroy what is being built there (`3-semantics.md`: dangerous ones are refused with a reason). Null: may pass.
 */
export function refuseServerWide(path: DataPath, spec: CommandSpec): string | null {
  if (!DANGEROUS.has(spec.name)) return null
  const store = path.routes.fallback.primary.store
  for (const route of path.routes.routes) {
    if (route.shadow === null) continue
    if (route.shadow.store === route.primary.store && route.primary.store === store) {
      return `ERR Understudy refuses ${spec.name}: route '${route.name}' has both its sides on store '${route.primary.storeName}'. Delete by key, or put the route in passthrough first`
    }
    const fallback = path.routes.fallback.shadow
    if (fallback !== null && route.primary.store === fallback.store) {
      return `ERR Understudy refuses ${spec.name}: it would be mirrored to store '${fallback.storeName}', which is the primary of route '${route.name}'`
    }
  }
  return null
}

const DANGEROUS = new Set(['FLUSHALL', 'FLUSHDB', 'SWAPDB'])
