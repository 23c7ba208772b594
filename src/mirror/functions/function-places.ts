import type { Config } from '../../config/config.ts'
import { serverOf } from '../../config/keyspace.ts'
import { rolesOf } from '../../routing/route.ts'

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

/** Between the same servers, whatever their stores are called. */
export function areSamePlaces(one: string, other: string): boolean {
  return serversIn(one).join() === serversIn(other).join()
}

/** Functions are mirrored to a server that has not been the other one of the two before: what the primary has loaded until now it may lack. */
export function doesBegin(before: string, places: string): boolean {
  if (places === '') return false
  return serversIn(before).sort().join() !== serversIn(places).sort().join()
}

/** The primary has another name and another address: it is another server, and none that has moved. False where one is not known. */
export function isTurned(before: string, places: string): boolean {
  if (before === '' || places === '' || nameIn(before) === nameIn(places)) return false
  return serversIn(before)[0] !== serversIn(places)[0]
}

function nameIn(places: string): string {
  return places.split(' ', 1)[0]!
}

function serversIn(places: string): string[] {
  return places.split(' > ').map((place) => place.slice(place.indexOf(' ') + 1))
}
