import { unservedDatabases, unservedWarning } from '../config/checks/unserved-databases.ts'
import type { Config } from '../config/config.ts'
import { rolesOf } from '../routing/route.ts'
import type { Transition } from './transition.ts'

/**
 * What becomes of keys, in a sentence a step: of those that go to another route, and of those that get another primary. What only changes how a route mirrors or compares is not said. And of databases that no client can have any more.
 */
export function movesIn(steps: readonly Transition[], old: Config, next: Config): string[] {
  const unserved = unservedDatabases(next)
  const isNew = [...unserved.keys()].some((database) => !unservedDatabases(old).has(database))
  const moves = steps.flatMap((step) => {
    if (step.keys.length === 0 && !step.movesPrimary) return []
    const whose =
      step.keys.length === 0
        ? `route '${step.route}'`
        : `keys "${step.keys.join('", "')}" go from route '${step.before}' to '${step.route}'`
    return [`${whose}: ${rolesIn(step, old, next)}`]
  })
  return isNew ? [...moves, unservedWarning(unserved)!] : moves
}

function rolesIn(step: Transition, old: Config, next: Config): string {
  const from = endsOf(old, step.before, step.from)
  const to = endsOf(next, step.route, step.to)
  const primary = !step.movesPrimary
    ? `their primary stays store '${to.primary}'`
    : step.unsafe !== null
      ? `their primary moves from store '${from.primary}' to '${to.primary}', to which they have not been mirrored`
      : `their primary moves from store '${from.primary}' to '${to.primary}', their shadow until now`
  const shadow = to.shadow === null ? 'nothing is mirrored' : `writes are mirrored to '${to.shadow}'`
  return `${primary}; ${shadow}${step.holds ? '; commands are held for a moment' : ''}`
}

function endsOf(config: Config, name: string, phase: Transition['from']): { primary: string; shadow: string | null } {
  const route = config.routes.find((other) => other.name === name)!
  const { primary, shadow } = rolesOf(phase)
  const store = (end: 'source' | 'target') => (end === 'source' ? route.source.store : route.target!.store)
  return { primary: store(primary), shadow: shadow === null ? null : store(shadow) }
}
