import type { Config, RouteConfig } from '../config/config.ts'
import type { UnsettledVerify } from '../jobs/runner/unsettled-keys.ts'
import type { Stats } from '../proxy/messages.ts'
import { rolesOf } from '../routing/route.ts'
import type { Transition } from './transition.ts'
import { type DoubtedRoute, verifyAdvice } from './verify-advice.ts'

/** What speaks against a step, or against the way back from it, and closes no gate. */
export interface StepWarning {
  readonly route: string
  readonly text: string
}

/** Of a step to `next`. `unsettled`: what to do about keys of the route that has them now which a verify has listed (`repairAdvice`). */
export function stepWarnings(step: Transition, next: Config, stats: Stats, unsettled: string | null): StepWarning[] {
  const { route, before, movesPrimary } = step
  const texts: string[] = []
  // A gate says it otherwise.
  if (unsettled !== null && stats.routes[before]?.needsVerify !== true) texts.push(`${capitalised(unsettled)}.`)
  const unheard = movesPrimary ? unheardScripts(next, route, stats) : null
  if (unheard !== null) texts.push(unheard)
  return texts.map((text) => ({ route, text }))
}

/** What to do about a route that needs a verify. */
export function verifyIn(
  { stores }: Config,
  route: RouteConfig,
  { causes, incomplete }: Pick<DoubtedRoute, 'causes' | 'incomplete'>,
  unsettled: UnsettledVerify | null,
): string {
  const verify = verifyAdvice(doubted(route, causes, incomplete), unsettled)
  const primary = primaryOf(route)
  if (!causes.includes('script') || stores[primary]?.kind !== 'cluster') return verify
  return `${verify}. Cluster '${primary}' does not tell what scripts write beside the keys that they declare, so each call of one asks for a verify again: let such scripts rest until this step is made`
}

/** The way back from a cluster that becomes the primary, where scripts are called of which it would have to tell what they wrote; null: nothing is known that speaks against it. */
function unheardScripts(next: Config, name: string, { routes }: Stats): string | null {
  const isOn = (route: RouteConfig) => next.stores[primaryOf(route)]?.kind === 'cluster'
  const route = next.routes.find((other) => other.name === name)!
  if (rolesOf(route.phase).shadow === null || !isOn(route)) return null
  const calls = next.routes
    // Those of another route may write to this one's keys, unless that says that they do not.
    .filter((other) => other === route || (other.scripts !== 'warn' && isOn(other)))
    .reduce((sum, other) => sum + (routes[other.name]?.counters.undeclared ?? 0), 0)
  if (calls === 0) return null
  return (
    `Since the start ${calls === 1 ? '1 call' : `${calls} calls`} of scripts or functions wrote to keys which they do not declare, or may have: cluster '${primaryOf(route)}' does not tell which keys, so each such call closes the way back ` +
    'until a verify has found no difference. Before going back let these scripts rest, then verify and repair.'
  )
}

/** One that is mirrored. */
export function doubted(
  route: RouteConfig,
  causes: readonly string[],
  incomplete: DoubtedRoute['incomplete'],
): DoubtedRoute {
  const { primary, shadow } = rolesOf(route.phase)
  return {
    name: route.name,
    primary: route[primary]!.store,
    shadow: route[shadow!]!.store,
    isSourcePrimary: primary === 'source',
    causes,
    incomplete,
  }
}

function primaryOf(route: RouteConfig): string {
  return route[rolesOf(route.phase).primary]!.store
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
