import { hashBytes } from '../../base/hash.ts'
import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import type { Plan } from '../../routing/plan.ts'
import type { RouteState } from '../../routing/route.ts'

/**
 * Why a planned command may not leave now:
 *
 *   a switch   holds every command of a route (`Fence`)
 *   a copy     holds the writes of one key for some milliseconds, because it was written too fast for any copy (`KeyHolds`)
 *
 * Sessions look at `RouteState.held` alone as long as there is neither. A key is told by its hash: another one with the same waits with it, which harms nobody.
 */
export function isHeldBack(plan: Plan, view: CommandView, spec: CommandSpec | null): boolean {
  const { route, others } = plan
  if (route.state.switching || others?.some((state) => state.switching)) return true
  if (!spec?.write || !plan.keyed) return false
  if (route.state.heldKeys.size === 0 && !others?.some((state) => state.heldKeys.size > 0)) return false
  const { count, index } = plan.positions
  for (let i = 0; i < count; i++) {
    const arg = index[i]!
    const hash = hashBytes(view.buf, view.start[arg]!, view.end[arg]!)
    if (route.state.heldKeys.has(hash) || others?.some((state) => state.heldKeys.has(hash))) return true
  }
  return false
}

/** The same for keys that are known by their hashes, of several commands: those that are written. */
export function areHeldBack(states: Iterable<RouteState>, hashes: readonly number[]): boolean {
  for (const { held, switching, heldKeys } of states) {
    if (held && (switching || hashes.some((hash) => heldKeys.has(hash)))) return true
  }
  return false
}
