import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { IN_MEMORY, openDatabase } from './database.ts'
import { STATE_MIGRATIONS } from './migrations.ts'
import { openOrSetAside } from './set-aside.ts'

/**
 * Opens `state.db` in `stateDir` ('' keeps nothing). What is in it can be made anew (findings, checkpoints, history), so a damaged file is set aside under
 * another name, `onDamaged` is told, and an empty one takes its place. Throws STATE_UNUSABLE as `openDatabase`.
 */
export function openStateDatabase(stateDir: string, onDamaged: (error: Error, setAside: string) => void): DatabaseSync {
  if (stateDir === '') return openDatabase(IN_MEMORY, STATE_MIGRATIONS)
  return openOrSetAside(join(stateDir, 'state.db'), STATE_MIGRATIONS, onDamaged)
}
