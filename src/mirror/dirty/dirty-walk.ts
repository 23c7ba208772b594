import type { DirtyGroup, DirtyGroups } from './dirty-groups.ts'
import type { DirtyKey } from './dirty-key.ts'
import { BY_AGE, type DirtyTable } from './dirty-table.ts'

/** Goes through all dirty keys of a route, a few at a time, oldest first: others may be marked, copied and discarded meanwhile, and none is missed. */
export class DirtyWalk {
  readonly #table: DirtyTable
  readonly #groups: DirtyGroups
  readonly #handle: (id: number) => DirtyKey
  /** The next one of each group that is not done. */
  readonly #next = new Map<DirtyGroup, number>()

  constructor(table: DirtyTable, groups: DirtyGroups, handle: (id: number) => DirtyKey) {
    this.#table = table
    this.#groups = groups
    this.#handle = handle
  }

  /** From the first one on. */
  begin(route: string): void {
    for (const group of this.#groups.ofRoute(route))
      if (group.byAge.first !== -1) this.#next.set(group, group.byAge.first)
  }

  /** Null: that was the last one. */
  next(route: string): DirtyKey | null {
    for (const group of this.#groups.ofRoute(route)) {
      const id = this.#next.get(group)
      if (id === undefined) continue
      this.leaves(group, id)
      return this.#handle(id)
    }
    return null
  }

  /** The key is about to leave its place in the group's list. */
  leaves(group: DirtyGroup, id: number): void {
    if (this.#next.get(group) !== id) return
    const following = this.#table.following(BY_AGE, id)
    if (following === -1) this.#next.delete(group)
    else this.#next.set(group, following)
  }
}
