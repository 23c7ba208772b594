import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { Routing } from '../../config/routing.ts'
import { hasDirtyDatabase, isDamage, openDirtyDatabase, pairsIn, routingIn } from '../dirty/dirty-database.ts'
import { RunMarker } from './run-marker.ts'

/** What the state directory tells of the last run, before another begins. */
export interface LastRun {
  /** In force when it ended. */
  readonly routing: Routing
  /** `crashed`: what it was writing is known by the intent log alone, and will be dirty. `unknown`: not known, or not all of it. */
  readonly ended: 'stopped' | 'crashed' | 'unknown'
  /** How many keys were not equal, by route; none: not there. */
  readonly dirtyKeys: ReadonlyMap<string, number>
  /** Why keys of a route may differ that nobody can name; none: not there. */
  readonly verifyCauses: ReadonlyMap<string, readonly string[]>
}

/** Null: there was none, an older version's, or its file is gone or damaged. Must be asked before the data path opens the file. Throws STATE_UNUSABLE. */
export function lastRunIn(stateDir: string): LastRun | null {
  if (!hasDirtyDatabase(stateDir)) return null
  let database: DatabaseSync | null = null
  try {
    database = openDirtyDatabase(stateDir)
    return read(database, stateDir)
  } catch (error) {
    // The data path sets it aside, and says so.
    if (isDamage(error)) return null
    throw error
  } finally {
    database?.close()
  }
}

function read(database: DatabaseSync, stateDir: string): LastRun | null {
  const routing = routingIn(database)
  if (routing === null) return null
  const dirty = database.prepare('SELECT route, COUNT(*) AS keys FROM dirty_keys GROUP BY route').all() as {
    route: string
    keys: number
  }[]
  const causes = pairsIn(database, 'verify_causes')
  const ended = new RunMarker(join(stateDir, 'intent')).lastRun()
  return {
    routing,
    ended: ended === 'stopped' || ended === 'crashed' ? ended : 'unknown',
    dirtyKeys: new Map(dirty.map(({ route, keys }) => [route, keys])),
    verifyCauses: new Map(
      [...Map.groupBy(causes, ([route]) => route)].map(([route, of]) => [route, of.map(([, cause]) => cause)]),
    ),
  }
}
