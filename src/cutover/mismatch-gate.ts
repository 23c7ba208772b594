import type { Config, RouteConfig } from '../config/config.ts'
import type { EndName } from '../jobs/stores/end-keys.ts'
import type { Stats } from '../proxy/messages.ts'
import { rolesOf } from '../routing/route.ts'
import { samplesNone } from './transition.ts'
import { isPrimaryInDoubt, settleFirst } from './verify-advice.ts'

/** Whether the target may answer as far as its answers have been compared: `closed` says why it may not, `open` what is so. */
export interface MismatchVerdict {
  readonly closed: string | null
  readonly open: string
}

/**
 * Before reads or writes move to the target. Not on the way back: that is what a target whose answers are wrong asks for. What differed and has been mended or acknowledged since is no reason to wait until it leaves
 * the window. `openMismatches`: of the route, as `GateSources` has it; `incomplete`: the end that may lack what the other held before mirroring began.
 */
export function mismatchVerdict(
  route: RouteConfig,
  { cutover }: Config,
  stats: Stats,
  openMismatches: () => number,
  incomplete: EndName | null,
): MismatchVerdict {
  const { compared, mismatched } = stats.routes[route.name]?.compare.windows['10m'] ?? { compared: 0, mismatched: 0 }
  const none = compared === 0 && samplesNone(route) ? ' (none is sampled: set compare.sample)' : ''
  const todo = whatToDo(route, stats.routes[route.name]?.verifyCauses ?? [], incomplete)
  const said = `${mismatched} of ${compared} compared reads differed in ten minutes${none}`
  if (compared < cutover.minCompared)
    return closed(
      `${compared} reads were compared in ten minutes, and 'cutover.minCompared' asks for ${cutover.minCompared}: compare for longer, or more of them ('compare.sample')`,
    )
  const open = openMismatches()
  if (open === 0)
    return { closed: null, open: mismatched === 0 ? said : `${said}, and every one has been mended or acknowledged` }
  if (compared === 0 && cutover.maxMismatchRate < 1)
    return closed(
      `${open === 1 ? '1 difference is' : `${open} differences are`} listed, and no read was compared in ten minutes: ${todo}`,
    )
  return mismatched / Math.max(compared, 1) <= cutover.maxMismatchRate
    ? { closed: null, open: `${said}: not more than ${percent(cutover.maxMismatchRate)}` }
    : closed(`${said}, and 'cutover.maxMismatchRate' is ${percent(cutover.maxMismatchRate)}: ${todo}`)
}

function closed(reason: string): MismatchVerdict {
  return { closed: reason, open: '' }
}

function whatToDo(route: RouteConfig, causes: readonly string[], incomplete: EndName | null): string {
  const { name, phase } = route
  const { primary } = rolesOf(phase)
  const look = `see 'understudy mismatches --route ${name}'`
  if (isPrimaryInDoubt(primary, causes, incomplete)) return `${look}, and ${settleFirst(route[primary]!.store)}`
  return `${look}, find the cause, then 'understudy repair ${name}', or acknowledge what is known and harmless`
}

function percent(share: number): string {
  return `${Number((share * 100).toPrecision(6))}%`
}
