import { isOfFunctions } from '../mirror/verify-marks.ts'
import type { RouteStats } from '../proxy/messages.ts'

/** Why the shadow's functions may not be the primary's, and what to do; null: they are. A verify looks at keys alone. */
export function functionsInDoubt(
  { verifyCauses, refusedLibraries }: Pick<RouteStats, 'verifyCauses' | 'refusedLibraries'>,
  shadow: string,
): string | null {
  if (!verifyCauses.some(isOfFunctions)) return null
  if (refusedLibraries.length === 0)
    return `the functions of '${shadow}' are being compared with the primary's and brought over`
  const [what, one] = refusedLibraries.length === 1 ? ['library', 'one'] : ['libraries', 'some']
  return (
    `'${shadow}' refuses the primary's ${what} of functions '${refusedLibraries.join("', '")}' (FUNCTION LOAD): load ${one} there that it takes, ` +
    'under the same name and with the same functions, or delete it on the primary'
  )
}
