import type { Difference } from '../../compare/diff.ts'
import type { KeyRead } from '../../mirror/copy/aligned-reads.ts'
import type { Reply } from '../../resp/reply.ts'
import { isUnknown, scanned } from './answers.ts'
import type { BothSides } from './stream-compare.ts'

/** Reads on one side alone: the next members or fields of a key, about `count` of them. An error reply is a value. */
export type MemberScan = (
  side: 'primary' | 'shadow',
  command: 'HSCAN' | 'SSCAN' | 'ZSCAN',
  database: number,
  key: Buffer,
  cursor: string,
  count: number,
) => Promise<Reply>

/** The same of one key. */
export type PageOfMembers = (
  side: 'primary' | 'shadow',
  command: 'HSCAN' | 'SSCAN' | 'ZSCAN',
  cursor: string,
  count: number,
) => Promise<Reply>

/** What one read asks for, of the bytes that the primary has shown: answers are as long. */
const READ_BYTES = 256 * 1024
const MAX_COUNT = 1000

interface Way {
  readonly scan: 'HSCAN' | 'SSCAN' | 'ZSCAN'
  readonly size: string
  /** Asks for several at once, and for one: SMISMEMBER and ZMSCORE came with 6.2. */
  readonly look: string
  readonly lookAtOne: string | null
  /** What the scan gives of each: its name, or also its value. */
  readonly parts: 1 | 2
}

const WAYS = {
  set: { scan: 'SSCAN', size: 'SCARD', look: 'SMISMEMBER', lookAtOne: 'SISMEMBER', parts: 1 },
  zset: { scan: 'ZSCAN', size: 'ZCARD', look: 'ZMSCORE', lookAtOne: 'ZSCORE', parts: 2 },
  hash: { scan: 'HSCAN', size: 'HLEN', look: 'HMGET', lookAtOne: null, parts: 2 },
} as const satisfies Readonly<Record<string, Way>>

/**
 * Compares a set, sorted set or hash name by name: the primary says what there is, and both are asked for it. No place or rank is looked at, so what comes and goes meanwhile shifts nothing: a scan gives each name that is there from
 * its beginning to its end. With as many names on both sides behind it, what the primary has and the shadow has as well is all there is. HLEN also counts fields whose time has come, until the server removes them: where it is not what the primary shows, what
 * the shadow says there is decides.
 *
 * `count`: names for the first page; then by the bytes of the one before. `also`: what else is asked for the same names.
 */
export async function compareMembers(
  type: keyof typeof WAYS,
  both: BothSides,
  page: PageOfMembers,
  count: number,
  also?: (names: readonly Buffer[]) => Promise<Difference | null>,
): Promise<Difference | null> {
  const way: Way = WAYS[type]
  const there = await shown('primary', way, both, page, count, also)
  if (typeof there !== 'number') return there
  const { primary, shadow } = await both.read([{ before: [way.size], after: [] }])
  const length = both.diff(way.size, [], primary[0]!, shadow[0]!)
  if (type !== 'hash' || (length === null && primary[0] === there)) return length
  const here = await shown('shadow', way, both, page, count, also)
  return typeof here === 'number' ? null : here
}

/** The first difference among the names that `side` shows; or how many these are. */
async function shown(
  side: 'primary' | 'shadow',
  way: Way,
  both: BothSides,
  page: PageOfMembers,
  first: number,
  also: Parameters<typeof compareMembers>[4],
): Promise<Difference | number> {
  let count = first
  let seen = 0
  for (let cursor = '0'; ; ) {
    const { next, items } = scanned(way.scan, await page(side, way.scan, cursor, count))
    for (const names of groups(items, way.parts)) {
      const difference = (await looked(way, both, names)) ?? (await also?.(names)) ?? null
      if (difference !== null) return difference
    }
    seen += items.length / way.parts
    if (next === '0') return seen
    cursor = next
    count = fitting(items, way.parts) ?? count
  }
}

async function looked(way: Way, both: BothSides, names: readonly Buffer[]): Promise<Difference | null> {
  const { primary, shadow } = await both.read([{ before: [way.look], after: names }])
  const { lookAtOne } = way
  if (lookAtOne === null || !isUnknown(primary[0], shadow[0]))
    return both.diff(way.look, names, primary[0]!, shadow[0]!)
  const one = await both.read(names.map((name): KeyRead => ({ before: [lookAtOne], after: [name] })))
  for (const [i, name] of names.entries()) {
    const difference = both.diff(lookAtOne, [name], one.primary[i]!, one.shadow[i]!)
    if (difference !== null) return difference
  }
  return null
}

/** The names of a page, cut where the next would make it too much for one read. */
function* groups(items: readonly Buffer[], parts: 1 | 2): Generator<readonly Buffer[]> {
  let names: Buffer[] = []
  let bytes = 0
  for (let i = 0; i < items.length; i += parts) {
    const size = items[i]!.length + (parts === 2 ? (items[i + 1]?.length ?? 0) : 0)
    if (names.length > 0 && (bytes + size > READ_BYTES || names.length === MAX_COUNT)) {
      yield names
      names = []
      bytes = 0
    }
    names.push(items[i]!)
    bytes += size
  }
  if (names.length > 0) yield names
}

/** How many like these are enough for a read; null: there are none. */
function fitting(items: readonly Buffer[], parts: 1 | 2): number | null {
  if (items.length === 0) return null
  const bytes = items.reduce((sum, item) => sum + item.length, 0)
  return Math.max(1, Math.min(MAX_COUNT, Math.floor((READ_BYTES * items.length) / parts / Math.max(1, bytes))))
}
