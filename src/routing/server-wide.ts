import type { CommandSpec } from '../command/spec.ts'
import type { RouteTable } from './route-table.ts'

/** Commands that change every key of a database or of all of them. */
export function isServerWide(spec: CommandSpec | null): boolean {
  return spec !== null && SERVER_WIDE.has(spec.name)
}

const SERVER_WIDE: ReadonlySet<string> = new Set(['FLUSHALL', 'FLUSHDB', 'SWAPDB'])

/**
 * FLUSHALL, FLUSHDB and SWAPDB change keys of every route that lives on the store. They pass where that is mirrored as a whole: every route with a key on the
 * store mirrors to the very store that the command is mirrored to, and nothing else is there. Otherwise they would destroy what is being built, or what a neighbour has
 * on a server of which the route `*` has a part only, or one side would keep what the other loses; and they are refused (`3-semantics.md`: dangerous ones are refused
 * with a reason). Null: may pass.
 */
export function refuseServerWide(table: RouteTable, spec: CommandSpec): string | null {
  if (!isServerWide(spec)) return null
  const { fallback, routes } = table
  const store = fallback.primary.store
  const mirror = fallback.shadow?.store ?? null
  const rest = table.find(NO_KEY, 0, 0)
  const part = rest.primary !== null ? fallback.primary : rest.shadow !== null ? fallback.shadow : null
  if (part !== null) {
    return `ERR Understudy refuses ${spec.name}: route '${fallback.name}' has only a part of store '${part.storeName}', and it would hit the neighbours. Delete by key`
  }
  for (const { name, primary, shadow } of routes) {
    if (shadow === null) {
      // Only its primary counts, and that must not be what the command is mirrored to.
      if (primary.store !== mirror) continue
    } else if (primary.store === store && shadow.store === mirror && store !== mirror) continue
    else if (![store, mirror].some((touched) => touched === primary.store || touched === shadow.store)) continue
    const sides = shadow === null || shadow.storeName === primary.storeName ? [primary] : [primary, shadow]
    const on = sides.map((side) => `'${side.storeName}'`).join(' and ')
    return `ERR Understudy refuses ${spec.name}: of route '${name}' on ${on} it would leave the two sides different. Delete by key, or put the route in passthrough first`
  }
  return null
}

const NO_KEY = Buffer.alloc(0)
