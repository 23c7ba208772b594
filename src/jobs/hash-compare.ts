import type { Difference } from '../compare/diff.ts'
import { refusedCommand } from '../mirror/store-errors.ts'
import { ErrorReply } from '../resp/reply.ts'
import { fieldsIn, scanned, understood } from './answers.ts'
import type { PageOfMembers } from './member-compare.ts'
import type { BothSides } from './stream-compare.ts'

/** HPEXPIRETIME, of a field that stays. */
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

/** Redis 7.4: fields may have times of their own. */
export async function compareFieldTimes(both: BothSides, fields: readonly Buffer[]): Promise<Difference | null> {
  const after = ['FIELDS', String(fields.length), ...fields]
  const { primary, shadow } = await both.read([{ before: ['HPEXPIRETIME'], after }])
  const [there, here] = [primary[0]!, shadow[0]!]
  // Who does not know the question has no such times. Any other error may hide some.
  const without = [there, here].filter((reply) => reply instanceof ErrorReply && refusedCommand(reply.text)?.absent)
  for (const reply of [there, here]) if (!without.includes(reply)) understood('HPEXPIRETIME', reply)
  if (without.length === 2) return null
  const none = fields.map(() => NO_TIME)
  const [one, other] = [there, here].map((reply) => (without.includes(reply) ? none : reply))
  return both.diff('HPEXPIRETIME', after, one!, other!)
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
