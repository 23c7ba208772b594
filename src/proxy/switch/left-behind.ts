import type { JobWrites } from '../../mirror/keys/job-writes.ts'
import type { Route } from '../../routing/route.ts'
import type { DataPath } from '../data-path.ts'
import type { Change, LeftKeys } from '../messages.ts'
import type { Fence } from './fence.ts'

/**
 * A forced change does not wait any longer, and what becomes a primary may lack writes: of these routes. To be made, and carried out, while their commands are held and the former table is in force.
 *
 *   on their way to it   never executed there: behind what clients write from now on they would bring older values back
 *   told too late        what scripts have written to keys that they do not declare: not copied
 *   a job's page         not copied, neither way; the job ends
 *   dirty keys           not copied: that would put what the new primary has over what it lacks. The routes need a verify, and which side is right only people can tell
 */
export class LeftBehind {
  readonly #path: DataPath
  readonly #lacking: readonly Route[]
  /** The routes, and those that get keys of them. */
  readonly names: readonly string[]

  constructor(
    path: DataPath,
    jobWrites: JobWrites,
    fence: Fence,
    { force = false, needsEqual, rerouted = [] }: Change,
  ) {
    this.#path = path
    const lacks = ({ name, state }: Route): boolean =>
      state.backlogCommands > 0 || path.dirty.count(name) > 0 || jobWrites.areUnderWay(name) || fence.isToldLate(state)
    this.#lacking = force ? path.routes.routes.filter((route) => needsEqual.includes(route.name) && lacks(route)) : []
    const names = this.#lacking.map(({ name }) => name)
    this.names = [...new Set([...names, ...rerouted.flatMap(([from, to]) => (names.includes(from) ? [to] : []))])]
  }

  /** Gives what has been left, of each of the routes that lack something. */
  leave(): LeftKeys[] {
    const { stores, dirty, log } = this.#path
    const shadows = new Set(this.#lacking.flatMap(({ shadow }) => (shadow === null ? [] : [stores[shadow.store]!])))
    for (const store of shadows) store.shadows.giveUp('it is the primary now')
    return this.#lacking.map(({ name }) => {
      const left = { route: name, keys: dirty.count(name) }
      log({
        level: 'error',
        msg: 'a forced switch has left keys behind: the new primary may lack their last values, which are on the former one; none of them is copied before a verify, but what clients write from now on is mirrored',
        fields: { ...left },
      })
      dirty.drop(name)
      dirty.toVerify.mark(name, 'turned')
      return left
    })
  }
}
