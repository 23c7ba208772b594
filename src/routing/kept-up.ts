import { keyspaceOf } from '../config/keyspace.ts'
import { rolesOf } from './route.ts'
import type { RouteTable } from './route-table.ts'

/**
 * `table` takes the place of `former`: notes of each route whether its shadow is kept up (`RouteState.shadowKeptUp`). It is where the shadow has just been the primary: who was the authority lacks nothing, and from now on gets every
 * write. Where mirroring begins it is not, whatever the shadow holds. `needsVerify`: keys of the route may differ that nobody can name.
 *
 * Whether a shadow is complete has to be told anew where one of its keys may have another one now.
 */
export function noteKeptUp(former: RouteTable, table: RouteTable, needsVerify: (route: string) => boolean): void {
  const placesStay = placesOf(former) === placesOf(table)
  for (const { name, phase, state } of table.routes) {
    const before = former.byName(name)
    const roles = rolesOf(phase)
    if (!placesStay || before?.phase !== phase) state.shadowComplete = false
    if (!placesStay || before === undefined || roles.shadow === null) state.shadowKeptUp = false
    else if (rolesOf(before.phase).primary === roles.shadow)
      state.shadowKeptUp = !needsVerify(name) && !(state.sourceAltered && roles.shadow === 'source')
    else if (before.shadow === null) state.shadowKeptUp = false
  }
}

/** Which keys are whose, and where and under which names both ends of their route have them. A route may take keys of another, so all of them. */
function placesOf({ config: { routes, stores } }: RouteTable): string {
  return JSON.stringify(
    routes.map(({ name, keys, source, target }) => [
      [name, keys, source, target],
      [source, target].map((end) => end && keyspaceOf(stores[end.store]!)),
    ]),
  )
}
