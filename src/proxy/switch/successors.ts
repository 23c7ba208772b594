import type { Route } from '../../routing/route.ts'
import type { RouteTable } from '../../routing/route-table.ts'
import type { Store } from '../../upstream/store.ts'
import type { Change } from '../messages.ts'

/**
 * A store takes the place of another one: its settings, its name or its address have changed, and its server may be the same all the same. What it says must not overtake what the former one has said. To be called while the
 * routes' commands are held and the next table is in force, by which keys are found whose writes are given up.
 *
 *   to the primary   nothing is on its way: that was waited for
 *   to the shadow    given up: the keys are dirty, as when the connection is lost, and are copied. To wait for all of it could hold commands for as long as a full backlog takes
 *
 * Where the shadow is kept up no more (`forget`), what is on its way there still arrives.
 */
export function succeedStores(
  { routes, stores }: TableAndStores,
  next: TableAndStores,
  { rerouted = [], forget }: Change,
): void {
  for (const route of routes.routes) {
    const former = endsOf(route, stores)
    const names = [route.name, ...rerouted.flatMap(([from, to]) => (from === route.name ? [to] : []))]
    for (const heir of names.flatMap((name) => next.routes.byName(name) ?? [])) {
      const ends = endsOf(heir, next.stores)
      const shadow = route.shadow === null ? null : stores[route.shadow.store]!
      if (shadow !== null && !ends.includes(shadow) && !forget.includes(heir.name))
        shadow.shadows.giveUp('another store of the configuration takes its place')
      for (const end of ends) for (const left of former) if (!ends.includes(left)) end.succeed(left)
    }
  }
}

interface TableAndStores {
  readonly routes: RouteTable
  readonly stores: readonly Store[]
}

function endsOf({ primary, shadow }: Route, stores: readonly Store[]): Store[] {
  return [primary, shadow].flatMap((end) => (end === null ? [] : [stores[end.store]!]))
}
