/** So many at least are kept, and at most twice as many. */
const MAX_KEPT = 10_000
/** Longer names are not kept. */
const LONGEST_NAME = 1024

/**
 * Which keys a primary has told of lately as written. To be asked whether something seen before may be explained by that: so a key that has been forgotten was not told. A difference
 * that is reported twice does less harm than one that is never reported.
 */
export class RecentlyTold {
  /** By database and key its number among all that were told. */
  #keys = new Map<string, number>()
  /** What was told before these: when they are many, it is forgotten as a whole. */
  #before: ReadonlyMap<string, number> = new Map()
  #count = 0

  /** How many have been told by now. */
  get count(): number {
    return this.#count
  }

  add(database: number, key: Buffer): void {
    this.#count++
    if (key.length > LONGEST_NAME) return
    this.#keys.set(nameOf(database, key), this.#count)
    if (this.#keys.size < MAX_KEPT) return
    this.#before = this.#keys
    this.#keys = new Map()
  }

  /** Whether the key was told after `count` was this. */
  hasSince(count: number, database: number, key: Buffer): boolean {
    const name = nameOf(database, key)
    return (this.#keys.get(name) ?? this.#before.get(name) ?? 0) > count
  }
}

function nameOf(database: number, key: Buffer): string {
  return `${database} ${key.toString('latin1')}`
}
