import { existsSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { UnderstudyError } from '../base/errors.ts'
import { IN_MEMORY, openDatabase } from './database.ts'
import { STATE_MIGRATIONS } from './migrations.ts'

/**
 * Opens `state.db` in `stateDir` ('' keeps nothing). What is in it can be made anew (findings, checkpoints, history), so a damaged file is set aside under
 * another name, `onDamaged` is told, and an empty one takes its place: a sidecar has to come up on a bad day. Throws STATE_UNUSABLE as `openDatabase`.
 */
export function openStateDatabase(stateDir: string, onDamaged: (error: Error, setAside: string) => void): DatabaseSync {
  if (stateDir === '') return openDatabase(IN_MEMORY, STATE_MIGRATIONS)
  const path = join(stateDir, 'state.db')
  try {
    return openDatabase(path, STATE_MIGRATIONS)
  } catch (error) {
    if (!(error instanceof UnderstudyError) || error.code !== 'STATE_CORRUPT') throw error
    const setAside = `${path}.damaged-${Date.now()}`
    for (const suffix of ['', '-wal', '-shm']) {
      if (existsSync(path + suffix)) renameSync(path + suffix, setAside + suffix)
    }
    onDamaged(error, setAside)
    return openDatabase(path, STATE_MIGRATIONS)
  }
}
