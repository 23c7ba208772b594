/** By the code of the error: what a store says of itself, not of a key. */
const REFUSALS: ReadonlyMap<string, string> = new Map([
  ['OOM', 'has no memory left for writes (OOM)'],
  ['READONLY', 'is a replica that takes no writes (READONLY)'],
  ['MISCONF', 'takes no writes because it cannot save (MISCONF)'],
  ['NOREPLICAS', 'takes no writes because replicas are missing (NOREPLICAS)'],
  ['LOADING', 'is loading its data (LOADING)'],
  ['MASTERDOWN', 'is a replica without its primary (MASTERDOWN)'],
  ['BUSY', 'runs a script (BUSY)'],
  ['CLUSTERDOWN', 'does not serve every slot of its cluster (CLUSTERDOWN)'],
])

/** What an error (without its `-`) says of its store, if it is of the store and not of a key: it may be mended, so it is waited for, as a store that is away is. Null: it is of the key, or the command. */
export function refusalOf(text: string): string | null {
  return REFUSALS.get(text.split(' ', 1)[0]!) ?? null
}

/** Whether such an error is of a store that is to be written. */
export function refusesWrites(text: string): boolean {
  return WRITES.has(text.split(' ', 1)[0]!)
}

const WRITES: ReadonlySet<string> = new Set(['OOM', 'READONLY', 'MISCONF', 'NOREPLICAS'])

/** What a job shows that waits for a store. `reason`: why there is no connection; null: not known. */
export function silent(store: string, reason: string | null): string {
  return `store '${store}' does not answer${reason === null ? '' : ` (${reason})`}`
}
