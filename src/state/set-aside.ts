import { existsSync, renameSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { UnderstudyError } from '../base/errors.ts'
import { openDatabase } from './database.ts'

/**
 * Opens a database as `openDatabase` does. A damaged file is set aside under another name (nothing is deleted), `onDamaged` is told, and an empty one takes its place: a sidecar has
 * to come up on a bad day.
 */
export function openOrSetAside(
  path: string,
  migrations: readonly string[],
  onDamaged: (error: Error, setAside: string) => void,
): DatabaseSync {
  try {
    return openDatabase(path, migrations)
  } catch (error) {
    if (!(error instanceof UnderstudyError) || error.code !== 'STATE_CORRUPT') throw error
    onDamaged(error, setAside(path))
    return openDatabase(path, migrations)
  }
}

/** Renames a database's files; gives the new name. */
export function setAside(path: string): string {
  const name = `${path}.damaged-${Date.now()}`
  for (const suffix of ['', '-wal', '-shm']) {
    if (existsSync(path + suffix)) renameSync(path + suffix, name + suffix)
  }
  return name
}
