import { expect, test } from 'vitest'
import { CommandTable } from '../../src/command/table.ts'
import type { AlignedRead } from '../../src/compare/aligned-read.ts'
import type { AlignedReads } from '../../src/compare/aligned-reads.ts'
import { KeyCheck, type KeyVerdict } from '../../src/compare/key-check.ts'
import { CommandParser } from '../../src/resp/command-parser.ts'
import { encodeReply } from '../../src/resp/encode.ts'
import { type Reply, SimpleReply } from '../../src/resp/reply.ts'
import type { Route } from '../../src/routing/route.ts'

const text = (chars: string): Buffer => Buffer.from(chars)
const commands = CommandTable.builtin()

/** What the two stores answer to a command, and how often the key has been written by then. */
interface Stores {
  primary(args: readonly string[]): Reply
  shadow(args: readonly string[]): Reply
  writes?(): number
  /** Bytes of the longest answer. */
  longest?: number
}

/** Checks a key of which the stores say this. */
function check(stores: Stores): KeyVerdict {
  const parser = new CommandParser()
  const argsOf = ({ command }: AlignedRead): Buffer[] => {
    parser.parse(command, 0, command.length)
    return Array.from({ length: parser.argc }, (_, i) =>
      Buffer.from(command.subarray(parser.start[i]!, parser.end[i]!)),
    )
  }
  const asked: AlignedRead[] = []
  const reads = {
    context: { commands, routes: { trivial: {} } },
    mirror: { writes: () => stores.writes?.() ?? 0 },
    ask: (read: AlignedRead) => void asked.push(read),
    argsOf,
  }
  const route = { config: { compare: { ttlToleranceMs: 2_000, ignoreJson: [], decode: [] } } }
  let verdict: KeyVerdict | null = null
  new KeyCheck(reads as unknown as AlignedReads, route as unknown as Route, 0, text('k'), (end) => {
    verdict = end
  }).start()
  for (let read = asked.shift(); read !== undefined; read = asked.shift()) {
    const args = argsOf(read).map(String).with(0, read.spec.name)
    read.primary = Buffer.from(encodeReply(stores.primary(args), 2))
    const shadow = read.primaryOnly ? read.primary : Buffer.from(encodeReply(stores.shadow(args), 2))
    stores.longest = Math.max(stores.longest ?? 0, read.primary.length)
    read.listener.answered(read, shadow, 0, shadow.length)
  }
  return verdict!
}

/** A list as it lies when so many elements have gone from its head to its tail. */
function list(items: readonly string[], shiftAt: (from: number) => number = () => 0) {
  return ([name, , from, to]: readonly string[]): Reply => {
    if (name === 'PTTL') return -1
    if (name === 'TYPE') return new SimpleReply('list')
    if (name === 'LLEN') return items.length
    const shift = shiftAt(Number(from))
    return [...items.slice(shift), ...items.slice(0, shift)].slice(Number(from), Number(to) + 1).map(text)
  }
}

test('a list that is written while it is looked at in pieces is not said to be the same', () => {
  const items = Array.from({ length: 2_000 }, () => 'x')
  const planted = items.with(1_500, 'other')
  // Far behind while the first pieces are looked at, and at the head when the others are.
  const shiftAt = (from: number): number => (from < 500 ? 0 : 1_500)
  let written = 0
  const hot: Stores = { primary: list(items, shiftAt), shadow: list(planted, shiftAt), writes: () => written++ }
  expect(check(hot)).toMatchObject({ outcome: 'unknown', difference: null })
  const still = (there: readonly string[], here: readonly string[]): Stores => ({
    primary: list(there),
    shadow: list(here),
  })
  expect(check(still(items, items))).toMatchObject({ outcome: 'same' })
  expect(check(still(items, planted))).toMatchObject({ outcome: 'differs' })
})

function hash(fields: ReadonlyMap<string, Buffer>, length = () => fields.size) {
  return (args: readonly string[]): Reply => {
    const [name, , ...after] = args
    switch (name) {
      case 'PTTL':
        return -1
      case 'TYPE':
        return new SimpleReply('hash')
      case 'HLEN':
        return length()
      case 'HSCAN': {
        const [from, count] = [Number(after[0]), Number(after[2])]
        const page = [...fields].slice(from, from + count)
        return [text(from + count < fields.size ? String(from + count) : '0'), page.flatMap(([f, v]) => [text(f), v])]
      }
      case 'HGETALL':
        return [...fields].flatMap(([f, v]) => [text(f), v])
      default:
        return after.map((field) => fields.get(field) ?? null)
    }
  }
}

test('large fields are asked for one by one, and small ones together', () => {
  const fields = (bytes: number): Map<string, Buffer> =>
    new Map(Array.from({ length: 200 }, (_, i) => [`f${i}`, Buffer.alloc(bytes, i)]))
  const large: Stores = { primary: hash(fields(300_000)), shadow: hash(fields(300_000)) }
  expect(check(large)).toMatchObject({ outcome: 'same' })
  // The first page, by which the size of the others is judged.
  expect(large.longest).toBeLessThan(16.5 * 300_000)
  const small: Stores = { primary: hash(fields(10)), shadow: hash(fields(10)) }
  expect(check(small)).toMatchObject({ outcome: 'same' })
  const other = fields(300_000).set('f150', Buffer.from('x'))
  expect(check({ primary: hash(fields(300_000)), shadow: hash(other) })).toMatchObject({ outcome: 'differs' })
})

test('what the shadow has beyond the fields of the primary shows when a field goes meanwhile', () => {
  const fields = new Map(Array.from({ length: 2_000 }, (_, i) => [`f${i}`, text('v')]))
  let asked = 0
  const there = hash(fields, () => (asked++ === 0 ? 2_000 : 1_999))
  expect(check({ primary: there, shadow: hash(fields) })).toMatchObject({
    outcome: 'differs',
    difference: { class: 'length' },
  })
})
