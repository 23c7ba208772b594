import type { DirtyGroups } from './dirty-groups.ts'
import { DIRTY_REASONS, type DirtyKey, type DirtyReason } from './dirty-key.ts'
import { ATTEMPTS, type DirtyTable, GROUP_OF, REASON, VERSION } from './dirty-table.ts'

/** Dirty keys as objects, for those who look at them. One that has been taken for a copy follows the set until it is released; any other is as it was when it was asked for. */
export class DirtyHandles {
  readonly #table: DirtyTable
  readonly #groups: DirtyGroups
  readonly #taken = new Map<number, DirtyKey>()

  constructor(table: DirtyTable, groups: DirtyGroups) {
    this.#table = table
    this.#groups = groups
  }

  of(id: number): DirtyKey {
    return this.#taken.get(id) ?? this.#make(id)
  }

  take(id: number): DirtyKey {
    const entry = this.#make(id)
    this.#taken.set(id, entry)
    return entry
  }

  release(id: number): void {
    this.#taken.delete(id)
  }

  /** The key has been marked again. */
  marked(id: number): void {
    const taken = this.#taken.get(id)
    if (taken !== undefined) taken.version++
  }

  reasonChanged(id: number, reason: DirtyReason): void {
    const taken = this.#taken.get(id)
    if (taken !== undefined) (taken as { reason: DirtyReason }).reason = reason
  }

  /** The key leaves the set. */
  removed(id: number): void {
    const taken = this.#taken.get(id)
    if (taken !== undefined) taken.gone = true
    this.#taken.delete(id)
  }

  #make(id: number): DirtyKey {
    const table = this.#table
    const { route, database } = this.#groups.at(table.get(id, GROUP_OF))
    return {
      route,
      database,
      key: Buffer.from(table.key(id)),
      reason: DIRTY_REASONS[table.get(id, REASON)]!,
      sinceMs: table.sinceMs(id),
      version: table.get(id, VERSION),
      attempts: table.get(id, ATTEMPTS),
      gone: false,
    }
  }
}
