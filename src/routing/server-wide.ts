import type { CommandSpec } from '../command/spec.ts'
import type { End } from './route.ts'
import type { RouteTable } from './route-table.ts'

/** Commands that change every key of a database or of all of them. */
export function isServerWide(spec: CommandSpec | null): boolean {
  return spec !== null && SERVER_WIDE.has(spec.name)
}

const SERVER_WIDE: ReadonlySet<string> = new Set(['FLUSHALL', 'FLUSHDB', 'SWAPDB'])

/** FUNCTION LOAD, DELETE, FLUSH, RESTORE: they write, and name no key. */
export function changesFunctions(spec: CommandSpec | null): boolean {
  return spec?.write === true && spec.name.startsWith('FUNCTION ')
}

/** Has no keys, and yet belongs to the route `*`, by which it is mirrored: a transaction that is executed elsewhere cannot have it. */
export function isOfFallback(spec: CommandSpec): boolean {
  return isServerWide(spec) || changesFunctions(spec)
}

/**
 * FLUSHALL, FLUSHDB and SWAPDB change keys of every route that lives on the store. They pass where that is mirrored as a whole: every route with a key on the
 * store mirrors to the very store that the command is mirrored to, and nothing else is there. Otherwise they would destroy what is being built, or what a neighbour has
 * on a server of which the route `*` has a part only, or one side would keep what the other loses; and they are refused (`3-semantics.md`: dangerous ones are refused
 * with a reason). Null: may pass.
 */
export function refuseServerWide(table: RouteTable, spec: CommandSpec): string | null {
  if (!isServerWide(spec)) return null
  const { fallback, routes } = table
  const { primary: own, shadow: mirror } = fallback
  const part = partOf(table)
  if (part !== null) {
    if (spec.name === 'SWAPDB')
      return `ERR Understudy refuses SWAPDB: route '${fallback.name}' has only a part of store '${part.storeName}', and it would hit the neighbours. Rename by key`
    return refuseOwnFlush(table, spec)
  }
  for (const { name, primary, shadow } of routes) {
    if (shadow === null) {
      // Only its primary counts, and that must not be what the command is mirrored to.
      if (mirror === null || !touches(spec, mirror, primary)) continue
    } else if (primary.store === own.store && shadow.store === mirror?.store && !touches(spec, mirror, own)) continue
    else if (![own, mirror].some((end) => end !== null && (touches(spec, end, primary) || touches(spec, end, shadow))))
      continue
    const sides = shadow === null || shadow.storeName === primary.storeName ? [primary] : [primary, shadow]
    const on = sides.map((side) => `'${side.storeName}'`).join(' and ')
    return `ERR Understudy refuses ${spec.name}: of route '${name}' on ${on} it would leave the two sides different. Delete by key, or put the route in passthrough first`
  }
  return null
}

/** Executed at the one it changes the other: they are the same server, whatever the stores are called. FLUSHDB is of a database. */
function touches(spec: CommandSpec, { keyspace: one }: End, { keyspace: other }: End): boolean {
  return spec.name === 'FLUSHDB' ? one === other : serverIn(one) === serverIn(other)
}

/** Of a text of `keyspaceOf`. */
function serverIn(keyspace: string): string {
  return keyspace.slice(0, keyspace.lastIndexOf(' '))
}

/** Inside MULTI, where it is one script of one store. */
function refuseOwnFlush(table: RouteTable, spec: CommandSpec): string | null {
  const { primaryStores, stores, clusters } = table
  const outside = 'Send it outside of MULTI, where the keys of the application are deleted one by one'
  if (primaryStores.length > 1)
    return `CROSSROUTE ${spec.name} inside MULTI needs all keys on one store, and they are on ${primaryStores.map((store) => `'${stores[store]}'`).join(', ')}. ${outside}`
  return clusters.has(primaryStores[0]!)
    ? `ERR Understudy refuses ${spec.name} inside MULTI: store '${stores[primaryStores[0]!]}' is a cluster, whose nodes hold the keys of the application together. ${outside}`
    : null
}

/**
 * FLUSHALL or FLUSHDB of an application that has keys under names of its own at its store, or will: the rest of that store is somebody else's, so its own keys are deleted, one by one
 * (`proxy/keyspace/flush-namespace.ts`), or inside MULTI by a script (`own-keys-in-multi.ts`).
 */
export function flushesOwnKeys(table: RouteTable, spec: CommandSpec): boolean {
  return (spec.name === 'FLUSHALL' || spec.name === 'FLUSHDB') && partOf(table) !== null
}

function partOf(table: RouteTable): End | null {
  const rest = table.find(NO_KEY, 0, 0)
  return rest.primary !== null ? table.fallback.primary : rest.shadow !== null ? table.fallback.shadow : null
}

const NO_KEY = Buffer.alloc(0)
