import type { JobWrites } from '../mirror/job-writes.ts'
import { rolesOf } from '../routing/route.ts'
import type { DataPath } from './data-path.ts'
import type { Change } from './messages.ts'

/** Routes whose new primary would lack writes if the change were made now. To be asked while their commands are held and the former table is in force. */
export function lackingRoutes({ routes, dirty }: DataPath, jobWrites: JobWrites, { needsEqual }: Change): string[] {
  return routes.routes.flatMap(({ name, state }) =>
    needsEqual.includes(name) && (state.backlogCommands > 0 || dirty.count(name) > 0 || jobWrites.areUnderWay(name))
      ? [name]
      : [],
  )
}

/** With those that get keys of them. */
export function withHeirs(names: readonly string[], { rerouted = [] }: Change): string[] {
  return [...new Set([...names, ...rerouted.flatMap(([from, to]) => (names.includes(from) ? [to] : []))])]
}

/**
 * A forced change does not wait any longer, and what becomes a primary lacks writes (`lacking`: of these routes). To be called while their commands are held and the former table is in force.
 *
 *   on their way to it   never executed there: behind what clients write from now on they would bring older values back
 *   a job's page         not copied, neither way; the job ends
 *   dirty keys           not copied: that would put what the new primary has over what it lacks. The routes need a verify, and which side is right only people can tell
 */
export function leaveBehind(
  { stores, dirty, log }: DataPath,
  { config, hold }: Change,
  lacking: readonly string[],
): void {
  if (lacking.length === 0) return
  const primaries = config.routes
    .filter(({ name }) => hold.includes(name))
    .map((route) => route[rolesOf(route.phase).primary]?.store)
  for (const store of stores) if (primaries.includes(store.name)) store.giveUpShadow('it is the primary now')
  for (const name of lacking) {
    log({
      level: 'error',
      msg: 'a forced switch has left keys behind: the new primary may lack their last values, which are on the former one; nothing is copied before a verify and a repair',
      fields: { route: name, keys: dirty.count(name) },
    })
    dirty.drop(name)
    dirty.toVerify.mark(name, 'turned')
  }
}
