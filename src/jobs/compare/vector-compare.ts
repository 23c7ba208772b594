import type { Difference } from '../../compare/diff.ts'
import type { KeyRead } from '../../mirror/copy/aligned-reads.ts'
import { buffersIn, isUnknown, sameFacts, sameVector, Unsettled, vectorFacts } from './answers.ts'
import type { BothSides } from './stream-compare.ts'

/** Members of one read of names. */
const PAGE = 1_000
/** What one read of vectors gives: four bytes a dimension, at the most. */
const READ_BYTES = 256 * 1024
const NUMBER_BYTES = 4
/** Of a server that gives all names of a set or some at random, so many at once. */
const MAX_NAMES = 200_000

/** How the names of members are had: in ranges (VRANGE, Redis 8.4), or all at once. */
type Ranges = 'known' | 'unknown'

/**
 * Compares vector sets by what they hold: how vectors are kept, the members, and of each its vector, as it is kept, and its attributes. Not by their payloads: the graph of neighbours in these is built at
 * random by each server, and a copy remembers otherwise what has been removed.
 *
 * The primary says which members there are, and both are asked for them, as `compareMembers` does.
 */
export class VectorCompare {
  /** What the primary has said of VRANGE. */
  #ranges: Ranges = 'known'

  async compare(both: BothSides): Promise<Difference | null> {
    const { primary, shadow } = await both.read([
      { before: ['VCARD'], after: [] },
      { before: ['VINFO'], after: [] },
    ])
    const length = both.diff('VCARD', [], primary[0]!, shadow[0]!)
    if (length !== null) return length
    const [there, here] = [vectorFacts(primary[1]!), vectorFacts(shadow[1]!)]
    if (!sameFacts(there, here))
      return { class: 'value', detail: 'How the vectors are kept (quantisation, dimensions, links) differs.' }
    const per = Math.max(1, Math.min(PAGE, Math.floor(READ_BYTES / NUMBER_BYTES / Number(there.get('vector-dim')))))
    for await (const names of this.#names(both)) {
      for (let i = 0; i < names.length; i += per) {
        const difference = await compareSome(both, names.slice(i, i + per))
        if (difference !== null) return difference
      }
    }
    const after = await both.read([{ before: ['VCARD'], after: [] }])
    return both.diff('VCARD', [], after.primary[0]!, after.shadow[0]!)
  }

  async *#names(both: BothSides): AsyncGenerator<readonly Buffer[]> {
    for (let start: Buffer | string = '-'; this.#ranges === 'known'; ) {
      const { primary } = await both.read([{ before: ['VRANGE'], after: [start, '+', String(PAGE)] }])
      if (isUnknown(primary[0])) this.#ranges = 'unknown'
      else {
        const names = buffersIn('VRANGE', primary[0])
        yield names
        if (names.length < PAGE) return
        start = Buffer.concat([Buffer.from('('), names.at(-1)!])
      }
    }
    yield await allNames(both)
  }
}

/** VRANDMEMBER gives every member once where it is asked for more than there are. */
async function allNames(both: BothSides): Promise<readonly Buffer[]> {
  const { primary: size } = await both.read([{ before: ['VCARD'], after: [] }])
  const most = Math.min(MAX_NAMES, Number(size[0]) * 2 + PAGE)
  const { primary } = await both.read([
    { before: ['VCARD'], after: [] },
    { before: ['VRANDMEMBER'], after: [String(most)] },
  ])
  if (Number(primary[0]) > most)
    throw new Unsettled(`it has more than ${most} members, which a primary lists from Redis 8.4 on (VRANGE)`)
  return buffersIn('VRANDMEMBER', primary[1])
}

async function compareSome(both: BothSides, names: readonly Buffer[]): Promise<Difference | null> {
  const reads = names.flatMap((name): KeyRead[] => [
    { before: ['VEMB'], after: [name, 'RAW'] },
    { before: ['VGETATTR'], after: [name] },
  ])
  const { primary, shadow } = await both.read(reads)
  for (const [i, name] of names.entries()) {
    if (!sameVector(primary[i * 2]!, shadow[i * 2]!))
      return { class: 'value', detail: 'The vector of a member differs, or one side does not have the member.' }
    const difference = both.diff('VGETATTR', [name], primary[i * 2 + 1]!, shadow[i * 2 + 1]!)
    if (difference !== null) return { ...difference, detail: `Of the attributes of a member: ${difference.detail}` }
  }
  return null
}
