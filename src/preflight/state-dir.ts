import { accessSync, constants, readdirSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

/** Why `stateDir` could not be used by this user; null: it could, or nothing is kept (''). Makes nothing. Never throws. */
export function stateDirProblem(stateDir: string): string | null {
  if (stateDir === '') return null
  const path = resolve(stateDir)
  let nearest = path
  const made = (): string => (nearest === path ? '' : ` (${path} would be made in it)`)
  try {
    while (dirname(nearest) !== nearest && statSync(nearest, { throwIfNoEntry: false }) === undefined)
      nearest = dirname(nearest)
    if (!statSync(nearest).isDirectory()) return `stateDir: ${nearest} is no directory${made()}`
  } catch (error) {
    return `stateDir: this user cannot look at ${nearest} (${(error as NodeJS.ErrnoException).code})${made()}`
  }
  try {
    accessSync(nearest, constants.W_OK | constants.X_OK)
    // What is there may be left by a run as another user, as root perhaps.
    const files = nearest === path ? readdirSync(path) : []
    const kept = files.filter((name) => KEPT.test(name)).map((name) => join(path, name))
    const closed = kept.find((file) => !isOpenTo(file))
    return closed === undefined ? null : `stateDir: this user may not read and write ${closed}`
  } catch {
    return `stateDir: this user may not write to ${nearest}${made()}`
  }
}

/** What Understudy keeps there. Beside it may lie what is not its own, as a volume's `lost+found`. */
const KEPT = /^(?:(?:state|dirty)\.db(?:-wal|-shm)?|intent)$/

function isOpenTo(file: string): boolean {
  try {
    accessSync(file, constants.R_OK | constants.W_OK)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}
