import type { Config } from '../config/config.ts'
import { serverOf } from '../config/keyspace.ts'
import { rolesOf } from '../routing/route.ts'

/** Stands for functions where something is noted of routes by their names: no route can be called so. */
export const OF_FUNCTIONS = '*'

/**
 * Between which servers functions are mirrored, by their stores' names and addresses, the primary first: the route `*` and its name may change, what is in doubt is so between these two. Empty: they are not mirrored.
 */
export function functionPlacesOf({ routes, stores }: Pick<Config, 'routes' | 'stores'>): string {
  const route = routes.find(({ keys }) => keys.includes('*'))
  if (route === undefined) return ''
  const { primary, shadow } = rolesOf(route.phase)
  const [from, to] = [route[primary]?.store, shadow === null ? undefined : route[shadow]?.store]
  if (from === undefined || to === undefined || from === to) return ''
  return [from, to].map((name) => `${name} ${serverOf(stores[name]!)}`).join(' > ')
}

/** The store that is the primary; empty: not known. */
export function primaryIn(places: string): string {
  return places.split(' ', 1)[0]!
}
