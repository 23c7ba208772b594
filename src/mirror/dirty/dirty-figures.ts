import type { DirtyGroups } from './dirty-groups.ts'
import { DIRTY_REASONS, type DirtyReason } from './dirty-key.ts'
import type { DirtyTable } from './dirty-table.ts'

/** What is told of a route's dirty keys as a whole. */
export class DirtyFigures {
  readonly #table: DirtyTable
  readonly #groups: DirtyGroups

  constructor(table: DirtyTable, groups: DirtyGroups) {
    this.#table = table
    this.#groups = groups
  }

  /** Those that are written faster than they can be copied: what is on the shadow was copied since they became dirty, and lacks only what was written after that. */
  hot(route: string): number {
    return this.#groups.ofRoute(route).reduce((sum, { hot }) => sum + hot, 0)
  }

  /** How many by reason; what is 0 is left out. */
  reasons(route: string): Partial<Record<DirtyReason, number>> {
    const counts: Partial<Record<DirtyReason, number>> = {}
    for (const { reasons } of this.#groups.ofRoute(route)) {
      for (const [i, count] of reasons.entries()) {
        if (count > 0) counts[DIRTY_REASONS[i]!] = (counts[DIRTY_REASONS[i]!] ?? 0) + count
      }
    }
    return counts
  }

  /** Coarse clock of the oldest mark; null: none is dirty. */
  oldestMs(route: string): number | null {
    let oldest: number | null = null
    for (const { byAge } of this.#groups.ofRoute(route)) {
      if (byAge.first === -1) continue
      const since = this.#table.sinceMs(byAge.first)
      if (oldest === null || since < oldest) oldest = since
    }
    return oldest
  }
}
