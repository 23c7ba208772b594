import { rangeBehind } from '../../base/stream-id.ts'
import type { Difference } from '../../compare/diff.ts'
import type { KeyRead } from '../../mirror/copy/aligned-reads.ts'
import type { Reply } from '../../resp/reply.ts'
import { groupsOf, lastIdOf, pendingOf, sameFacts, streamFacts } from './answers.ts'

/** Asks the same of one key of both sides. */
export interface BothSides {
  read(reads: readonly KeyRead[]): Promise<{ readonly primary: readonly Reply[]; readonly shadow: readonly Reply[] }>
  diff(command: string, after: readonly (string | Buffer)[], there: Reply, here: Reply): Difference | null
}

/** Entries that are pending, of one read. */
const PENDING = 1000

/** Entries in ranges of `per`, what the stream remembers of those that are gone, groups, and what is pending. */
export async function compareStreams(both: BothSides, per: number): Promise<Difference | null> {
  for (let range: readonly string[] = ['-', '+']; ; ) {
    const after = [...range, 'COUNT', String(per)]
    const { primary, shadow } = await both.read([{ before: ['XRANGE'], after }])
    const difference = both.diff('XRANGE', after, primary[0]!, shadow[0]!)
    if (difference !== null) return difference
    const last = lastIdOf(primary[0]!, per)
    if (last === null) break
    range = rangeBehind(last)
  }
  const { primary, shadow } = await both.read([
    { before: ['XINFO', 'STREAM'], after: [] },
    { before: ['XINFO', 'GROUPS'], after: [] },
  ])
  if (!sameFacts(streamFacts(primary[0]!), streamFacts(shadow[0]!))) {
    return {
      class: 'value',
      detail: 'The entries are the same; what the stream remembers (last ID, counts, groups) differs.',
    }
  }
  const [there, here] = [groupsOf(primary[1]!), groupsOf(shadow[1]!)]
  if (there.size !== here.size)
    return { class: 'length', detail: `${there.size} groups on the primary, ${here.size} on the shadow.` }
  for (const [name, group] of there) {
    const other = here.get(name)
    if (other === undefined || !sameFacts(group, other)) {
      return {
        class: 'value',
        detail: 'A consumer group differs: its last delivered ID, how much is pending, or how much it has read.',
      }
    }
    const pending = await comparePending(both, Buffer.from(name, 'latin1'))
    if (pending !== null) return pending
  }
  return null
}

async function comparePending(both: BothSides, group: Buffer): Promise<Difference | null> {
  for (let range: readonly string[] = ['-', '+']; ; ) {
    const after = [group, ...range, String(PENDING)]
    const { primary, shadow } = await both.read([{ before: ['XPENDING'], after }])
    const [there, here] = [pendingOf(primary[0]!), pendingOf(shadow[0]!)]
    if (there.length !== here.length || there.some(({ text }, i) => text !== here[i]!.text))
      return { class: 'value', detail: 'What is pending of a consumer group differs.' }
    if (there.length < PENDING) return null
    range = rangeBehind(there.at(-1)!.id)
  }
}
