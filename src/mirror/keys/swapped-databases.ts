/**
 * Databases that SWAPDB has exchanged. A write's reply can come on its connection after that of a SWAPDB on another, although the primary has executed it before: the key is then where the
 * swap has taken it. Which of the two it was nobody can say, so such a key is copied in every database that it can be in by now.
 */
export class SwappedDatabases {
  readonly #together = new Map<number, Set<number>>()

  /** They have been exchanged, or may have been. */
  swap(one: number, other: number): void {
    const all = new Set([one, other, ...(this.#together.get(one) ?? []), ...(this.#together.get(other) ?? [])])
    for (const database of all) this.#together.set(database, all)
  }

  /** Where a key of `database` can be besides. */
  *others(database: number): Generator<number> {
    const all = this.#together.get(database)
    if (all !== undefined) for (const other of all) if (other !== database) yield other
  }
}
