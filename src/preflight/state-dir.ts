import { accessSync, constants, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** Why `stateDir` could not be used by this user; null: it could, or nothing is kept (''). Makes nothing. */
export function stateDirProblem(stateDir: string): string | null {
  if (stateDir === '') return null
  const path = resolve(stateDir)
  const nearest = nearestThatExists(path)
  const made = nearest === path ? '' : ` (${path} would be made in it)`
  try {
    if (!statSync(nearest).isDirectory()) return `stateDir: ${nearest} is no directory${made}`
    accessSync(nearest, constants.W_OK | constants.X_OK)
    return null
  } catch {
    return `stateDir: this user may not write to ${nearest}${made}`
  }
}

function nearestThatExists(path: string): string {
  for (let at = path; ; at = dirname(at))
    if (dirname(at) === at || statSync(at, { throwIfNoEntry: false }) !== undefined) return at
}
