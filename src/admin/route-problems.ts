import { functionsInDoubt } from '../cutover/functions-gate.ts'
import { repairAdvice, verifyAdvice } from '../cutover/verify-advice.ts'
import { isOfFunctions } from '../mirror/dirty/verify-marks.ts'
import { rolesOf } from '../routing/route.ts'
import { isUnread, nameOfFunction, scriptInWords } from '../routing/script-id.ts'
import type { RouteProblem, RouteStatus } from './status.ts'

/**
 * What may be unequal on a route's two sides and is not told by a number, the worst first; for `status`, the command line and the dashboard alike. Nothing of it stands in the way of the application. `name`: of the route, for commands
 * that are to be typed; without it they say ROUTE, so that what several routes have in common reads the same.
 */
export function problemsOf(
  { phase, primary, shadow, crossSlots, mirror }: Omit<RouteStatus, 'problems'>,
  name = 'ROUTE',
): RouteProblem[] {
  const {
    needsVerify,
    verifyCauses,
    strandedDatabases,
    strandedBecause,
    scriptsInDoubt,
    scriptsAstray,
    unsettledVerify,
    incompleteEnd,
  } = mirror
  const found: RouteProblem[] = []
  const say = (level: RouteProblem['level'], text: string, verify = false) => found.push({ level, text, verify })
  const ofKeys = verifyCauses.filter((cause) => !isOfFunctions(cause))
  const inDoubt = needsVerify && (ofKeys.length > 0 || verifyCauses.length === 0)
  const isSourcePrimary = rolesOf(phase).primary === 'source'
  const ends = { name, primary, shadow: shadow ?? 'the shadow', isSourcePrimary }
  const doubted = { ...ends, causes: ofKeys, incomplete: incompleteEnd }
  if (inDoubt) {
    const advice = verifyAdvice(doubted, unsettledVerify)
    say('bad', `keys may differ that nobody can name (${ofKeys.join(', ')}): ${advice}`, true)
  }
  const functions = functionsInDoubt(mirror, shadow ?? 'the shadow', name)
  if (functions !== null) say(functions.passing ? 'warn' : 'bad', functions.reason)
  if (strandedDatabases.length > 0) {
    const because = strandedBecause ?? 'the shadow does not have it'
    say('bad', `keys of database ${strandedDatabases.join(', ')} cannot be copied: ${because}`)
  }
  if (crossSlots.length > 0) {
    const counts = crossSlots.map(({ command, count }) => `${command} ${count}`).join(', ')
    say(
      'warn',
      `commands with keys in several slots of the cluster at the other end, which would answer CROSSSLOT: ${counts}`,
    )
  }
  const told = inDoubt || (unsettledVerify !== null && !unsettledVerify.turned)
  if (incompleteEnd === rolesOf(phase).primary && !told)
    say(
      'warn',
      `'${primary}', the primary, may lack what '${ends.shadow}' held before mirroring began: ${verifyAdvice(doubted, null)}`,
    )
  if (unsettledVerify !== null && !inDoubt) say('warn', repairAdvice(doubted, unsettledVerify))
  if (scriptsAstray === null) return found
  const unread = scriptsInDoubt.filter(isUnread)
  const made = scriptsInDoubt.filter((id) => !isUnread(id))
  if (made.length > 0)
    say(
      'warn',
      scriptsAstray === 'names'
        ? `scripts or functions that make names of keys themselves: ${counted(made)}; under other names they reach the wrong keys`
        : `scripts or functions that use keys which they do not declare: ${counted(made)}; keys have several primaries, and what is written of another route's keys may be written where nobody reads it`,
    )
  if (unread.length > 0)
    say(
      'warn',
      `functions that their store does not let be read: ${counted(unread)}; they may make names of keys themselves: give Understudy's user there the right to FUNCTION LIST`,
    )
  return found
}

function counted(ids: readonly string[]): string {
  const [first] = ids as [string]
  const words = isUnread(first) ? `function ${nameOfFunction(first)}` : scriptInWords(first)
  return `${ids.length} (${words}${ids.length > 1 ? ', ...' : ''})`
}
