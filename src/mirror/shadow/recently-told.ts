/** Beyond so many the ones told longest ago are forgotten. */
const MAX_KEPT = 10_000
/** Longer names are not kept. */
const LONGEST_NAME = 1024

/**
 * Which keys a primary has told of lately as written. To be asked whether something seen before may be explained by that: so a key that has been forgotten was not told. A difference
 * that is reported twice does less harm than one that is never reported.
 */
export class RecentlyTold {
  /** By database and key, the one told last at the end: its number among all that were told. */
  readonly #keys = new Map<string, number>()
  #count = 0

  /** How many have been told by now. */
  get count(): number {
    return this.#count
  }

  add(database: number, key: Buffer): void {
    this.#count++
    if (key.length > LONGEST_NAME) return
    const name = nameOf(database, key)
    this.#keys.delete(name)
    this.#keys.set(name, this.#count)
    if (this.#keys.size > MAX_KEPT) this.#keys.delete(this.#keys.keys().next().value!)
  }

  /** Whether the key was told after `count` was this. */
  hasSince(count: number, database: number, key: Buffer): boolean {
    return (this.#keys.get(nameOf(database, key)) ?? 0) > count
  }
}

function nameOf(database: number, key: Buffer): string {
  return `${database} ${key.toString('latin1')}`
}
