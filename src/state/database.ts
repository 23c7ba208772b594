import { closeSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { UnderstudyError } from '../base/errors.ts'
import { makeDirectory } from '../base/make-directory.ts'

/** For tests and routes that keep nothing: lives as long as its handle. */
export const IN_MEMORY = ':memory:'

/**
 * Opens a database of the state directory, made with its folder when it does not exist, and brings its tables up to date.
 *
 *   state.db   main thread: jobs, mismatches, journal, history
 *   dirty.db   data path's thread: dirty keys (a file of its own, so that no writer ever waits for the other thread)
 *
 * The file is locked for as long as it is open: two sidecars with one state directory would each believe that they know which keys are dirty. The lock
 * goes with the process, however it ends. Commits are not synced to disk: what is committed survives the end of the process (kill -9
 * too), not the end of the machine.
 *
 * `migrations[i]` takes the tables from version `i` to `i + 1`; once released one is never changed.
 *
 * Throws UnderstudyError STATE_UNUSABLE: no permission, in use, made by a later version. A file that is not a database (any more) is STATE_CORRUPT: the caller
 * decides whether to go on without.
 */
export function openDatabase(path: string, migrations: readonly string[]): DatabaseSync {
  let database: DatabaseSync | null = null
  try {
    if (path !== IN_MEMORY) {
      stateDir = dirname(path)
      makeDirectory(dirname(path))
      // SQLite would let everybody read it, where the directory was made by somebody else; its other files have the rights of this one.
      closeSync(openSync(path, 'a', 0o600))
    }
    database = new DatabaseSync(path, { timeout: LOCK_WAIT_MS })
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
    // The lock is taken by the first write, not by the pragma.
    database.exec('BEGIN IMMEDIATE')
    migrate(database, path, migrations)
    database.exec('COMMIT')
    return database
  } catch (error) {
    database?.close()
    throw error instanceof UnderstudyError ? error : unusable(path, error)
  }
}

function migrate(database: DatabaseSync, path: string, migrations: readonly string[]): void {
  const { user_version: version } = database.prepare('PRAGMA user_version').get() as { user_version: number }
  if (version > migrations.length) {
    throw new UnderstudyError(
      'STATE_UNUSABLE',
      `${path} was written by a later version of Understudy (its tables are of version ${version}, this one knows ${migrations.length}): use that version, or another stateDir`,
    )
  }
  for (const step of migrations.slice(version)) database.exec(step)
  database.exec(`PRAGMA user_version = ${migrations.length}`)
}

/** `work` whole or not at all, in one commit. */
export function inTransaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    database.exec('COMMIT')
    return result
  } catch (error) {
    // A full disk has rolled it back already.
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

/** Throws as any write does when the disk takes none, and changes nothing. Inside of a transaction or outside. */
export function mustTakeWrites(database: DatabaseSync): void {
  const { user_version: version } = database.prepare('PRAGMA user_version').get() as { user_version: number }
  // A row that is given the value that it has is not written; this is, each time.
  database.exec(`PRAGMA user_version = ${version}`)
}

/** What an error of a database that is open says of its disk (it is full, fails, takes no writes); null: the error is another. The write can be tried again. */
export function diskTrouble(error: unknown): UnderstudyError | null {
  const { errcode, message } = error as { errcode?: number; message?: string }
  switch ((errcode ?? 0) & 0xff) {
    case SQLITE_FULL:
      return new UnderstudyError('STATE_UNUSABLE', `the disk of stateDir is full: make room for ${stateDir}`, {
        cause: error,
      })
    case SQLITE_READONLY:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
      return new UnderstudyError(
        'STATE_UNUSABLE',
        `stateDir cannot be written (${message}): look at the disk of ${stateDir}`,
        {
          cause: error,
        },
      )
    default:
      return null
  }
}

function unusable(path: string, error: unknown): UnderstudyError {
  const { errcode, message } = error as { errcode?: number; message?: string }
  switch ((errcode ?? 0) & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return new UnderstudyError(
        'STATE_UNUSABLE',
        `${path} is in use by another process: two sidecars cannot share a stateDir`,
        { cause: error },
      )
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return new UnderstudyError('STATE_CORRUPT', `${path} is damaged: ${message}`, { cause: error })
    default:
      return new UnderstudyError(
        'STATE_UNUSABLE',
        `${path} cannot be used: ${message ?? String(error)}; stateDir must be a directory that Understudy may write to, with room on its disk`,
        { cause: error },
      )
  }
}

/** Where the databases of this thread are, to be named: a process has one such directory, and SQLite's errors do not say. */
let stateDir = ''

/** A sidecar that is being replaced may still be stopping. */
const LOCK_WAIT_MS = 2_000

// https://www.sqlite.org/rescode.html
const SQLITE_BUSY = 5
const SQLITE_LOCKED = 6
const SQLITE_READONLY = 8
const SQLITE_IOERR = 10
const SQLITE_CORRUPT = 11
const SQLITE_FULL = 13
const SQLITE_CANTOPEN = 14
const SQLITE_NOTADB = 26
