import { beginningOf, differAtEnds, type Segment } from './key-language.ts'

/**
 * Items by the keys that they stand for, so that whoever looks for those that have a key in common need not try every pair: of a large
 * configuration few begin with the same bytes.
 *
 * Sorted by what all of an item's keys begin with. Those that begin with the bytes looked for lie side by side; those whose beginning is only a part of these are
 * the ones around the last before them.
 *
 *     ''        {a}:x                  near `job:`:   job:     side by side with
 *     'job:'    job:{id}                              job:1:
 *     'job:1:'  job:1:{x}                             ''       around them
 *     'user:'   user:{id}
 */
export class KeyIndex<T> {
  readonly #entries: readonly Entry<T>[]
  /** For each entry, the last before it whose beginning is a beginning of its own; -1: none. */
  readonly #around: readonly number[]

  constructor(items: readonly T[], languageOf: (item: T) => readonly Segment[]) {
    this.#entries = items
      .map((item, at) => {
        const language = languageOf(item)
        return { item, at, language, beginning: beginningOf(language) }
      })
      .sort((a, b) => Buffer.compare(a.beginning, b.beginning))
    const open: number[] = []
    this.#around = this.#entries.map(({ beginning }, i) => {
      while (open.length > 0 && !beginsWith(beginning, this.#entries[open.at(-1)!]!.beginning)) open.pop()
      open.push(i)
      return open.at(-2) ?? -1
    })
  }

  /** Every item that can have a key in common with the language, and some that have none; in the order in which the items were given. */
  near(language: readonly Segment[]): T[] {
    const found: Entry<T>[] = []
    const look = (entry: Entry<T>): void => {
      if (!differAtEnds(entry.language, language)) found.push(entry)
    }
    const beginning = beginningOf(language)
    const first = this.#firstFrom(beginning)
    for (let i = first; i < this.#entries.length && beginsWith(this.#entries[i]!.beginning, beginning); i++) {
      look(this.#entries[i]!)
    }
    for (let i = first - 1; i >= 0; i = this.#around[i]!) look(this.#entries[i]!)
    return found.sort((a, b) => a.at - b.at).map(({ item }) => item)
  }

  #firstFrom(beginning: Buffer): number {
    let [low, high] = [0, this.#entries.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (Buffer.compare(this.#entries[middle]!.beginning, beginning) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
}

interface Entry<T> {
  readonly item: T
  /** Its place among the items. */
  readonly at: number
  readonly language: readonly Segment[]
  readonly beginning: Buffer
}

function beginsWith(text: Buffer, beginning: Buffer): boolean {
  return text.length >= beginning.length && text.compare(beginning, 0, beginning.length, 0, beginning.length) === 0
}
