import { isDeepStrictEqual } from 'node:util'
import { expect, test } from 'vitest'
import type { Difference } from '../../../src/compare/diff.ts'
import { compareMembers } from '../../../src/jobs/compare/member-compare.ts'
import type { BothSides } from '../../../src/jobs/compare/stream-compare.ts'
import type { KeyRead } from '../../../src/mirror/copy/aligned-reads.ts'
import { ErrorReply, type Reply } from '../../../src/resp/reply.ts'

const text = (chars: string): Buffer => Buffer.from(chars)
const DIFFERENT: Difference = { class: 'value', detail: 'They differ.' }

interface Side {
  readonly of: Map<string, Buffer>
  /** As it says. Default: so many. */
  readonly size?: number
  readonly knows?: (command: string) => boolean
}

/** Two hashes or sorted sets, and what is asked of them. */
function sides(there: Side, here: Side) {
  const asked: { command: string; names: number; bytes: number }[] = []
  const counts: number[] = []
  const answer = ({ of, size = of.size, knows }: Side, { before, after }: KeyRead): Reply => {
    const [command] = before
    if (knows?.(command!) === false) return new ErrorReply(`ERR unknown command '${command}'`)
    if (command === 'HLEN' || command === 'ZCARD') return size
    const found = after.map((name) => of.get(Buffer.from(name as Buffer).toString()) ?? null)
    return command === 'ZSCORE' ? found[0]! : found
  }
  const both: BothSides = {
    read: async (reads) => {
      const primary = reads.map((read) => answer(there, read))
      for (const [i, { before, after }] of reads.entries()) {
        const bytes = [primary[i]].flat().reduce((sum: number, one) => sum + (Buffer.isBuffer(one) ? one.length : 0), 0)
        asked.push({ command: before[0]!, names: after.length, bytes })
      }
      return { primary, shadow: reads.map((read) => answer(here, read)) }
    },
    diff: (_command, _after, one, other) => (isDeepStrictEqual(one, other) ? null : DIFFERENT),
  }
  const page = async (side: 'primary' | 'shadow', _command: string, cursor: string, count: number): Promise<Reply> => {
    counts.push(count)
    const all = [...(side === 'primary' ? there : here).of]
    const to = Number(cursor) + count
    return [
      text(to < all.length ? String(to) : '0'),
      all.slice(Number(cursor), to).flatMap(([name, value]) => [text(name), value]),
    ]
  }
  return { both, page, asked, counts }
}

const filled = (count: number, bytes: number): Map<string, Buffer> =>
  new Map(Array.from({ length: count }, (_, i) => [`name ${i}`, Buffer.alloc(bytes, i)]))

test('no read asks for more than its share of bytes, however large what a page holds', async () => {
  const { both, page, asked, counts } = sides({ of: filled(200, 100_000) }, { of: filled(200, 100_000) })
  expect(await compareMembers('hash', both, page, 100)).toBeNull()
  for (const { bytes } of asked) expect(bytes).toBeLessThanOrEqual(256 * 1024)
  expect(asked.reduce((sum, { names }) => sum + names, 0)).toBe(200)
  // The next pages are as large as the first one allows.
  expect(counts.slice(0, 2)).toEqual([100, 2])
  const small = sides({ of: filled(5_000, 10) }, { of: filled(5_000, 10) })
  expect(await compareMembers('hash', small.both, small.page, 1)).toBeNull()
  expect(small.asked.length).toBeLessThan(10)
})

test('a name that the primary lacks shows by the count at the end, also when another one went meanwhile', async () => {
  const there = filled(3_000, 10)
  const here = new Map(filled(3_000, 10)).set('stranger', text('v'))
  const { both, page } = sides({ of: there }, { of: here })
  expect(await compareMembers('hash', both, page, 1_000)).toEqual(DIFFERENT)
  here.delete('name 7')
  expect(await compareMembers('hash', sides({ of: there }, { of: here }).both, page, 1_000)).toEqual(DIFFERENT)
})

test('fields whose time has come count in HLEN until the server removes them, and make no difference', async () => {
  const there = filled(3_000, 10)
  const here = filled(3_000, 10)
  const { both, page } = sides({ of: there, size: 3_002 }, { of: here, size: 3_000 })
  expect(await compareMembers('hash', both, page, 1_000)).toBeNull()
  here.set('stranger', text('v'))
  expect(await compareMembers('hash', both, page, 1_000)).toEqual(DIFFERENT)
  // As many as the one of which it is not known that it is gone.
  const asMany = sides({ of: there, size: 3_001 }, { of: here })
  expect(await compareMembers('hash', asMany.both, asMany.page, 1_000)).toEqual(DIFFERENT)
})

test('members of a sorted set are asked for by name, one by one where the server is too old for more', async () => {
  const there = filled(1_500, 3)
  const here = new Map(there).set('name 1400', text('5'))
  const younger = sides({ of: there }, { of: here })
  expect(await compareMembers('zset', younger.both, younger.page, 1_000)).toEqual(DIFFERENT)
  expect(new Set(younger.asked.map(({ command }) => command))).toEqual(new Set(['ZMSCORE']))
  const old = { of: here, knows: (command: string) => command !== 'ZMSCORE' }
  expect(await compareMembers('zset', sides(old, { of: here }).both, younger.page, 1_000)).toBeNull()
  const mixed = sides({ of: there }, old)
  expect(await compareMembers('zset', mixed.both, mixed.page, 1_000)).toEqual(DIFFERENT)
})
