import type { Store } from '../../upstream/store.ts'

/** Why the shadow has no keys of that database, of a client's numbers, and gets none; null: it has the database, as far as it has said. */
export function strandedBecause(shadow: Store, database: number): string | null {
  if (database === 0) return null
  if (shadow.cluster !== null) return 'the shadow is a cluster, which has database 0 alone'
  const refusal = shadow.shadows.refusal(database)
  return refusal === null ? null : `the shadow refuses database ${database} (${refusal})`
}

/** Whether the shadow has no such database. One that its user may not use (NOPERM) it may have, with keys. */
export function isStranded(shadow: Store, database: number): boolean {
  return database !== 0 && (shadow.cluster !== null || shadow.shadows.refusal(database)?.startsWith('ERR ') === true)
}
