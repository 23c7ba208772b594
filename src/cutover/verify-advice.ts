import { type UnsettledVerify, unsettledInWords } from '../jobs/runner/unsettled-keys.ts'
import type { EndName } from '../jobs/stores/end-keys.ts'
import { mayPrimaryLack, mayShadowLack } from '../mirror/dirty/verify-marks.ts'

/** A route whose two sides may differ. */
export interface DoubtedRoute {
  readonly name: string
  /** The stores of its ends. */
  readonly primary: string
  readonly shadow: string
  /** Its primary is the source. */
  readonly isSourcePrimary: boolean
  readonly causes: readonly string[]
  /** The end that may lack what the other held before mirroring began (`Mirroring.incomplete`); null: neither, or not known. */
  readonly incomplete: EndName | null
}

/** What to do until a verify finds no difference. Commands are whole, to be typed as they stand; one that would harm is not named. */
export function verifyAdvice(route: DoubtedRoute, unsettled: UnsettledVerify | null): string {
  const verify = `'understudy verify ${route.name}'`
  const keep = keepAdvice(route)
  if (unsettled === null || unsettled.turned)
    return keep === null ? `run ${verify}` : `run ${verify} and look at what it lists: ${keep}`
  return keep === null ? `${repairAdvice(route, unsettled)}, then ${verify}` : repairAdvice(route, unsettled)
}

/** What to do about keys that a verify has listed. */
export function repairAdvice(route: DoubtedRoute, unsettled: UnsettledVerify): string {
  const { name } = route
  if (unsettled.turned)
    return `${unsettledInWords(unsettled)}, and the primary was changed since: run 'understudy verify ${name}' before any repair`
  const repair = unsettled.extra
    ? `'understudy repair ${name} --delete-extra' (it deletes what only the shadow has)`
    : `'understudy repair ${name}'`
  return `${unsettledInWords(unsettled)}: ${keepAdvice(route) ?? `run ${repair}`}`
}

/** Where something else is to be mended by what the primary has, and that may be wrong. */
export function settleFirst(primary: string): string {
  return `settle first what '${primary}', the primary, may lack itself, as 'status' says of the route`
}

/** Of a route between these roles: a copy from its primary may overwrite or delete what only the shadow has. `incomplete`: as in `DoubtedRoute`. */
export function isPrimaryInDoubt(primary: EndName, causes: readonly string[], incomplete: EndName | null): boolean {
  return mayPrimaryLack(causes) || incomplete === primary
}

/** Null: what the primary has is right. */
function keepAdvice({ name, primary, shadow, isSourcePrimary, causes, incomplete }: DoubtedRoute): string | null {
  const end = isSourcePrimary ? 'source' : 'target'
  if (!isPrimaryInDoubt(end, causes, incomplete)) return null
  if (mayShadowLack(causes) || (incomplete !== null && incomplete !== end))
    return `'${primary}', the primary, and '${shadow}' may each lack what the other has of them; a repair makes '${shadow}' what '${primary}' is, so look first at what of it you need from '${shadow}'`
  const there = isSourcePrimary ? 'switched' : 'shadow'
  return (
    `'${primary}', the primary, may lack what '${shadow}' has of them, and a repair would delete or overwrite that. ` +
    `To keep it: 'understudy phase ${name} ${there} --force --reason TEXT' makes '${shadow}' the primary; then verify and repair`
  )
}
