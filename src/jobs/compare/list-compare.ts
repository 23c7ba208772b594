import { Semaphore } from '../../base/semaphore.ts'
import type { Difference } from '../../compare/diff.ts'
import type { KeyRead } from '../../mirror/copy/aligned-reads.ts'
import { Unsettled } from './answers.ts'
import type { PairReader } from './pair-reader.ts'
import type { BothSides } from './stream-compare.ts'

/** Does the work, and tells whether the key was written on the primary meanwhile. */
export type Watched = <T>(
  database: number,
  key: Buffer,
  work: () => Promise<T>,
) => Promise<{ readonly done: T; readonly written: boolean }>

/** How long a list is, as far as is known, and how many of its elements are read in one go. */
export interface ListMeasure {
  readonly per: number
  readonly size: number
  readonly bytes: number
}

/** So much of a list is that never rests: as much as a client may be owed of a store at once. One at a time. */
const MOMENT_BYTES = 8 * 1024 * 1024
const MOMENT_ELEMENTS = 200_000
/** Of one that could not be had even so. */
const MAX_MOMENTS_IN_VAIN = 3

const WRITTEN = 'it is written all the time'

/** By place: elements of a list, bytes of a string. */
export async function compareRanges(
  both: BothSides,
  command: string,
  size: number,
  per: number,
): Promise<Difference | null> {
  for (let from = 0; from < size; from += per) {
    const to = from + per - 1
    const after = [String(from), String(to)]
    const { primary, shadow } = await both.read([{ before: [command], after }])
    const difference = both.diff(command, after, primary[0]!, shadow[0]!)
    if (difference === null) continue
    return size <= per ? difference : { ...difference, detail: `Of ${from} to ${to}: ${difference.detail}` }
  }
  return null
}

/**
 * Compares long lists. The places of a list move with every element that comes or goes at its head, and so could one that differs, from a chunk that is yet to come into one that has been looked at. What is found
 * counts; that nothing is found counts only if nobody has written the list meanwhile. One that is written all the time shows that by its first chunk, and is read whole at one place of history, if it is not too long
 * for that.
 */
export class ListCompare {
  readonly #reader: PairReader
  readonly #watched: Watched
  readonly #aligned: boolean
  readonly #moments = new Semaphore(1)
  readonly #inVain = new Map<string, number>()

  /** `aligned`: what is read of a key at once is of one place of history. */
  constructor(reader: PairReader, watched: Watched, aligned: boolean) {
    this.#reader = reader
    this.#watched = watched
    this.#aligned = aligned
  }

  /** `both`: of the key. */
  async compare(both: BothSides, database: number, key: Buffer, measure: ListMeasure): Promise<Difference | null> {
    const { per, size, bytes } = measure
    for (const most of [per, Number.POSITIVE_INFINITY]) {
      const { done, written } = await this.#watched(database, key, async () => {
        const { primary, shadow } = await both.read([LENGTH])
        const length = both.diff('LLEN', [], primary[0]!, shadow[0]!)
        return length ?? compareRanges(both, 'LRANGE', Math.min(Number(primary[0]), most), per)
      })
      if (done !== null) return done
      if (!written) continue
      if (bytes <= MOMENT_BYTES && size <= MOMENT_ELEMENTS && this.#aligned)
        return this.#moments.run(() => this.#moment(both, database, key, per, size))
      throw new Unsettled(WRITTEN)
    }
    return null
  }

  /** All of a list by chunks that are asked for together. The last one takes what has come since the list had `size` elements. */
  async #moment(both: BothSides, database: number, key: Buffer, per: number, size: number): Promise<Difference | null> {
    const name = `${database} ${key.toString('latin1')}`
    const inVain = this.#inVain.get(name) ?? 0
    if (inVain === MAX_MOMENTS_IN_VAIN) throw new Unsettled(WRITTEN)
    const chunks: (readonly [string, string])[] = []
    for (let from = 0; from < size; from += per)
      chunks.push([String(from), from + per < size ? String(from + per - 1) : '-1'])
    const ranges = chunks.map((after): KeyRead => ({ before: ['LRANGE'], after }))
    const pair = await this.#reader.read(database, key, [LENGTH, ...ranges], true)
    if (!pair.ok) {
      this.#inVain.set(name, inVain + 1)
      throw new Unsettled(pair.reason)
    }
    const { primary, shadow } = pair
    const length = both.diff('LLEN', [], primary[0]!, shadow[0]!)
    if (length !== null) return length
    for (const [i, after] of chunks.entries()) {
      const difference = both.diff('LRANGE', after, primary[i + 1]!, shadow[i + 1]!)
      if (difference !== null) return { ...difference, detail: `From ${after[0]} on: ${difference.detail}` }
    }
    return null
  }
}

const LENGTH: KeyRead = { before: ['LLEN'], after: [] }
