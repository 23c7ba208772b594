import type { KeyRef } from './key-refs.ts'

/**
 * Keys that blocking commands wait for at the primary, each on a connection of its own. What one takes becomes known with its reply, perhaps after the replies of commands that the primary has
 * executed later: until then the shadow may hold an element that is gone, and must not be trusted to move it to another key.
 */
export class AwaitedKeys {
  readonly #counts = new Map<string, number>()

  get size(): number {
    return this.#counts.size
  }

  has({ database, key }: KeyRef): boolean {
    return this.#counts.has(nameOf(database, key))
  }

  /** A command begins to wait for them. The function ends it: what it has taken is marked dirty, or it has taken nothing. */
  wait(keys: readonly KeyRef[]): () => void {
    let waits = true
    // Not the keys themselves, which may lie in the middle of much else: a command may wait for days.
    const names = keys.map(({ database, key }) => nameOf(database, key))
    this.#count(names, 1)
    return () => {
      if (waits) this.#count(names, -1)
      waits = false
    }
  }

  #count(names: readonly string[], change: 1 | -1): void {
    for (const name of names) {
      const count = (this.#counts.get(name) ?? 0) + change
      if (count === 0) this.#counts.delete(name)
      else this.#counts.set(name, count)
    }
  }
}

function nameOf(database: number, key: Buffer): string {
  return `${database} ${key.toString('latin1')}`
}
