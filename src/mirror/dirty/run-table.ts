import type { DatabaseSync } from 'node:sqlite'
import { inTransaction } from '../../state/database.ts'
import { isDamage } from './dirty-database.ts'

/** Earlier runs whose connections a store may still have. */
const RUNS = 16

/** What earlier runs called their connections, from the table `runs` of `dirty.db`. */
export function formerRuns(database: DatabaseSync): ReadonlySet<string> {
  const rows = database.prepare('SELECT name FROM runs').all() as { name: string }[]
  return new Set(rows.map(({ name }) => name))
}

/** Writes down what this run calls its own. Throws where the file is damaged. */
export function enterRun(database: DatabaseSync, name: string): void {
  try {
    inTransaction(database, () => {
      database.prepare('INSERT INTO runs (name) VALUES (?)').run(name)
      database.exec(`DELETE FROM runs WHERE number <= (SELECT MAX(number) FROM runs) - ${RUNS}`)
    })
  } catch (error) {
    // A full disk: what this run leaves the next one does not know, which the next commit says of everything.
    if (isDamage(error)) throw error
  }
}
