import type { DirtyGroups } from './dirty-groups.ts'
import { DIRTY_REASONS, type DirtyChanges, type DirtyRow } from './dirty-key.ts'
import { BY_AGE, type DirtyTable, GROUP_OF, REASON, STATE, UNWRITTEN } from './dirty-table.ts'

/** What of the dirty set is not on disk as it is in memory. Who writes it down is told of each change (`listener`), of a key once until it has been written. */
export class DirtyUnwritten {
  readonly #table: DirtyTable
  readonly #groups: DirtyGroups
  /** Null: nobody writes changes down. */
  listener: DirtyChanges | null = null

  constructor(table: DirtyTable, groups: DirtyGroups) {
    this.#table = table
    this.#groups = groups
  }

  // --- for the set

  keyChanged(id: number): void {
    if (this.listener === null || this.#table.get(id, UNWRITTEN) === 1) return
    this.#table.set(id, UNWRITTEN, 1)
    this.listener.keyChanged(id)
  }

  routeChanged(): void {
    this.listener?.routeChanged()
  }

  // --- for the one who writes it down

  /** What is to stand on disk under the number `id`, which counts as written from now on; null: nothing. */
  write(id: number): DirtyRow | null {
    const table = this.#table
    table.set(id, UNWRITTEN, 0)
    if (table.get(id, STATE) === 0) return null
    const { route, database } = this.#groups.at(table.get(id, GROUP_OF))
    const reason = DIRTY_REASONS[table.get(id, REASON)]!
    return { route, database, key: table.key(id), reason, sinceMs: table.sinceMs(id) }
  }

  /** Could not be written after all. */
  failed(id: number): void {
    this.#table.set(id, UNWRITTEN, 1)
  }

  /** All of it is to be written again. */
  rewrite(): void {
    for (const { byAge } of this.#groups.all) {
      for (let id = byAge.first; id !== -1; id = this.#table.following(BY_AGE, id)) this.keyChanged(id)
    }
  }
}
