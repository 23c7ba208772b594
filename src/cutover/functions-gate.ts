import { isDeepStrictEqual } from 'node:util'
import type { Config, RouteConfig } from '../config/config.ts'
import { isOfFunctions } from '../mirror/dirty/verify-marks.ts'
import { rolesOf } from '../routing/route.ts'

/** As `RouteStats` and `RouteStatus` have it. */
interface OfFunctions {
  readonly verifyCauses: readonly string[]
  readonly refusedLibraries: readonly string[]
  readonly refusedBecause: string | null
}

/** Why the shadow's functions may not be the primary's, and what to do. `route`: that knows about them. `passing`: they may be in a moment, without anybody. Null: they are. A verify looks at keys alone. */
export function functionsInDoubt(
  of: OfFunctions,
  shadow: string,
  route: string,
): { reason: string; passing: boolean } | null {
  const { verifyCauses, refusedLibraries, refusedBecause } = of
  if (!verifyCauses.some(isOfFunctions)) return null
  const passing = !verifyCauses.includes('turned') && refusedLibraries.length === 0 && refusedBecause === null
  return { reason: inWords(of, shadow, route), passing }
}

/** Functions are brought between the two stores of the route `*` alone, and only where the primary lets them be listed. Null: none is missing. */
export function functionsMissing(
  { missingFunctions: names }: { readonly missingFunctions: readonly string[] },
  shadow: string,
): string | null {
  if (names.length === 0) return null
  const shown = names.slice(0, MOST_SHOWN).join("', '")
  return (
    `'${shadow}' lacks functions that the application calls for keys of the route ('${shown}'${names.length > MOST_SHOWN ? ', ...' : ''}): each call would fail there. ` +
    'Load their libraries there (FUNCTION LOAD): Understudy brings them only to the shadow of the route with the key pattern *'
  )
}

const MOST_SHOWN = 5

function inWords(
  { verifyCauses, refusedLibraries, refusedBecause }: OfFunctions,
  shadow: string,
  route: string,
): string {
  if (verifyCauses.includes('turned'))
    return `the functions of '${shadow}' may not be the primary's, and are compared as soon as 'understudy verify ${route}' has found no difference: the primary was changed while they differed`
  if (refusedLibraries.length === 0 && refusedBecause !== null)
    return `'${shadow}' may still have functions that were deleted on the primary, and does not let them be listed and deleted (${refusedBecause}): give its user there '+function'`
  if (refusedLibraries.length === 0)
    return `the functions of '${shadow}' are being compared with the primary's and brought over`
  const [what, one] = refusedLibraries.length === 1 ? ['library', 'one'] : ['libraries', 'some']
  const refuses = `'${shadow}' refuses the primary's ${what} of functions '${refusedLibraries.join("', '")}'`
  if (refusedBecause === 'NOPERM')
    return `${refuses} (NOPERM): its user there may not use FUNCTION LIST, LOAD and DELETE: give it '+function'`
  return (
    `${refuses} (FUNCTION LOAD): load ${one} there that it takes, ` +
    'under the same name and with the same functions, or delete it on the primary'
  )
}

/** Functions are mirrored by the route `*`, for every route between the same two stores. Gives the name of the one that knows about them. */
export function functionsRouteOf({ routes }: Pick<Config, 'routes'>, route: RouteConfig): string {
  const fallback = routes.find(({ keys }) => keys.includes('*'))
  return fallback !== undefined && isDeepStrictEqual(storesOf(fallback), storesOf(route)) ? fallback.name : route.name
}

function storesOf(route: RouteConfig): (string | undefined)[] {
  const { primary, shadow } = rolesOf(route.phase)
  return [route[primary]?.store, shadow === null ? undefined : route[shadow]?.store]
}
