import type { Difference } from '../../compare/diff.ts'
import { refusedCommand } from '../../mirror/stores/store-errors.ts'
import { ErrorReply, type Reply } from '../../resp/reply.ts'
import { fieldsIn, scanned, understood } from './answers.ts'
import type { PageOfMembers } from './member-compare.ts'
import type { BothSides } from './stream-compare.ts'

/** HPEXPIRETIME, of a field that is not there, and of one that stays. */
const GONE = -2
const NO_TIME = -1
/** A look at what a key still shows. */
const PAGE = 1_000

/** A small hash, by one read, and the times of its fields. */
export async function compareHash(both: BothSides): Promise<Difference | null> {
  const { primary, shadow } = await both.read([{ before: ['HGETALL'], after: [] }])
  const difference = both.diff('HGETALL', [], primary[0]!, shadow[0]!)
  if (difference !== null) return difference
  const fields = fieldsIn('HGETALL', primary[0]!)
  return fields.length === 0 ? null : compareFieldTimes(both, fields)
}

/** Redis 7.4: fields may have times of their own. `fields` is what an earlier read has shown: some may be gone by now. */
export async function compareFieldTimes(both: BothSides, fields: readonly Buffer[]): Promise<Difference | null> {
  const after = ['FIELDS', String(fields.length), ...fields]
  const { primary, shadow } = await both.read([{ before: ['HPEXPIRETIME'], after }])
  const [there, here] = [primary[0]!, shadow[0]!]
  for (const reply of [there, here]) if (!knowsNoTimes(reply)) understood('HPEXPIRETIME', reply)
  return both.diff('HPEXPIRETIME', after, timesOf(there, here), timesOf(here, there))
}

/** Who does not know the question has no such times. Any other error may hide some. */
function knowsNoTimes(reply: Reply): boolean {
  return reply instanceof ErrorReply && refusedCommand(reply.text)?.absent === true
}

/** What a side has answered. For one that knows no times the other speaks: what is gone there is gone here, both are of one place of history, and what is there stays here. */
function timesOf(reply: Reply, other: Reply): Reply {
  if (!knowsNoTimes(reply)) return reply
  return Array.isArray(other) ? other.map((time) => (Number(time) === GONE ? GONE : NO_TIME)) : []
}

/** A hash of whose fields the time has come is there until the server removes them, and holds nothing for those who read it: one that shows no field is no key. */
export async function showsNothing(side: 'primary' | 'shadow', page: PageOfMembers): Promise<boolean> {
  for (let cursor = '0'; ; ) {
    const { next, items } = scanned('HSCAN', await page(side, 'HSCAN', cursor, PAGE))
    if (items.length > 0) return false
    if (next === '0') return true
    cursor = next
  }
}
