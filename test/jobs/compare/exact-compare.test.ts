import { expect, test } from 'vitest'
import { scanned, understood } from '../../../src/jobs/compare/answers.ts'
import { ExactCompare, type Verdict } from '../../../src/jobs/compare/exact-compare.ts'
import type { Watched } from '../../../src/jobs/compare/list-compare.ts'
import { AlignedReader } from '../../../src/jobs/compare/pair-reader.ts'
import type { DataPathPort } from '../../../src/jobs/runner/environment.ts'
import type { KeyRead } from '../../../src/mirror/copy/aligned-reads.ts'
import { encodeReply } from '../../../src/resp/encode.ts'
import { DoubleReply, ErrorReply, MapReply, type Reply, SetReply, SimpleReply } from '../../../src/resp/reply.ts'

/** What a store answers, by the words before the key. */
type Answers = Readonly<Record<string, Reply | ((read: KeyRead) => Reply)>>

const text = (chars: string): Buffer => Buffer.from(chars)
const map = (facts: Readonly<Record<string, Reply>>): MapReply =>
  new MapReply(Object.entries(facts).map(([name, value]) => [text(name), value]))

/** Compares a key of which the two stores say this; the primary speaks RESP3, the shadow RESP2. */
async function compare(
  there: Answers,
  here: Answers,
  blindSpots: string[] = [],
  ignoreJson: readonly string[] = [],
  watched: Watched = async (_database, _key, work) => ({ done: await work(), written: false }),
  fields: readonly Buffer[] = [text('a'), text('b')],
): Promise<Verdict> {
  const answer = (answers: Answers, read: KeyRead, protocol: 2 | 3): Uint8Array => {
    const found = answers[read.before.join(' ')]
    const reply = typeof found === 'function' ? found(read) : found
    return encodeReply(reply === undefined ? new ErrorReply('ERR unknown command') : reply, protocol)
  }
  const dataPath = {
    readPairs: async (_database: number, list: readonly { reads: readonly KeyRead[] }[]) =>
      list.map(({ reads }) => ({
        ok: true,
        primary: reads.map((read) => answer(there, read, 3)),
        shadow: reads.map((read) => answer(here, read, 2)),
      })),
  } as unknown as DataPathPort
  const exact = new ExactCompare(new AlignedReader(dataPath), async () => [text('0'), fields], watched, {
    ttlToleranceMs: 1000,
    ignoreJson,
    absoluteTimes: true,
    aligned: true,
  })
  const verdict = await exact.compare(0, text('k'))
  blindSpots.push(...exact.blindSpots)
  return verdict
}

const base = (type: string): Answers => ({ TYPE: new SimpleReply(type), PEXPIRETIME: -1, 'MEMORY USAGE': 100 })
const hash = (until: readonly number[]): Answers => ({
  ...base('hash'),
  HLEN: 2,
  HGETALL: map({ f: text('v'), g: text('w') }),
  HPEXPIRETIME: until,
})

test('times of hash fields are compared when the primary gives the fields as a map', async () => {
  const at = Date.now() + 1_000_000
  expect(await compare(hash([-1, at]), hash([-1, at]))).toEqual({ kind: 'equal' })
  expect(await compare(hash([-1, at]), hash([-1, at + 50_000]))).toMatchObject({ difference: { class: 'ttl' } })
  expect(await compare(hash([-1, at]), hash([-1, -1]))).toMatchObject({ difference: { class: 'ttl' } })
})

test('a store that does not know times of fields has none: the same as one whose fields all stay, and no other', async () => {
  const old = { ...hash([]), HPEXPIRETIME: new ErrorReply("ERR unknown command 'HPEXPIRETIME'") }
  const spots: string[] = []
  expect(await compare(old, old, spots)).toEqual({ kind: 'equal' })
  expect(spots).toEqual([])
  expect(await compare(hash([-1, -1]), old, spots)).toEqual({ kind: 'equal' })
  const until = hash([-1, Date.now() + 1_000_000])
  expect(await compare(until, old, spots)).toMatchObject({ difference: { class: 'ttl' } })
  expect(await compare(old, until, spots)).toMatchObject({ difference: { class: 'ttl' } })
  expect(spots).toEqual([])
})

test('a field that went between the two reads is gone on both sides, also where one store knows no times of fields', async () => {
  const old = { ...hash([]), HPEXPIRETIME: new ErrorReply("ERR unknown command 'HPEXPIRETIME'") }
  for (const times of [[-1, -2], [-2, -2], []]) {
    expect(await compare(old, hash(times))).toEqual({ kind: 'equal' })
    expect(await compare(hash(times), old)).toEqual({ kind: 'equal' })
  }
  const until = hash([-2, Date.now() + 1_000_000])
  expect(await compare(until, old)).toEqual({
    kind: 'different',
    difference: { class: 'ttl', detail: 'A field expires on the primary and never on the shadow.' },
  })
  expect(await compare(old, until)).toMatchObject({ difference: { class: 'ttl' } })
})

test('a store that does not let its user ask for times of fields may have some: nothing is equal then', async () => {
  const barred = {
    ...hash([]),
    HPEXPIRETIME: new ErrorReply("NOPERM User app has no permissions to run the 'hpexpiretime' command"),
  }
  const old = { ...hash([]), HPEXPIRETIME: new ErrorReply("ERR unknown command 'HPEXPIRETIME'") }
  for (const [there, here] of [
    [barred, barred],
    [barred, old],
    [hash([-1, -1]), barred],
  ] as const) {
    const spots: string[] = []
    expect(await compare(there, here, spots)).toEqual({
      kind: 'unsettled',
      reason: 'a store answers HPEXPIRETIME with NOPERM',
    })
    expect(spots).toEqual([])
  }
})

const stream = (
  facts: object = {},
  group: object = {},
  pending: Reply = [[text('1-1'), text('c'), 5, 1]],
): Answers => ({
  ...base('stream'),
  XLEN: 1,
  XRANGE: [[text('1-1'), [text('f'), text('v')]]],
  'XINFO STREAM': map({ length: 1, 'last-generated-id': text('1-1'), groups: 1, ...facts }),
  'XINFO GROUPS': [map({ name: text('g'), consumers: 1, pending: 1, 'last-delivered-id': text('1-1'), ...group })],
  XPENDING: pending,
})

test('what a stream remembers, its groups and what is pending are compared, and younger counts only where both have them', async () => {
  expect(await compare(stream(), stream())).toEqual({ kind: 'equal' })
  expect(await compare(stream({ 'entries-added': 4 }), stream())).toEqual({ kind: 'equal' })
  for (const other of [
    stream({ 'last-generated-id': text('9-1') }),
    stream({ groups: 2 }),
    stream({}, { 'last-delivered-id': text('0-0') }),
    stream({}, { name: text('h') }),
    stream({}, {}, []),
    stream({}, {}, [[text('1-1'), text('other'), 5, 1]]),
    stream({}, {}, [[text('1-1'), text('c'), 5, 2]]),
    { ...stream(), 'XINFO GROUPS': [] },
  ])
    expect(await compare(stream(), other)).toMatchObject({ kind: 'different' })
  const read = (entries: Reply): Answers => stream({}, { 'entries-read': entries })
  expect(await compare(read(4), read(5))).toMatchObject({ kind: 'different' })
  for (const other of [read(4), read(null), stream()]) expect(await compare(read(4), other)).toEqual({ kind: 'equal' })
  const counted = (added: number): Answers => stream({ 'entries-added': added })
  expect(await compare(counted(4), counted(5))).toMatchObject({ kind: 'different' })
  const deleted = (id: string): Answers => stream({ 'max-deleted-entry-id': text(id) })
  expect(await compare(deleted('3-1'), deleted('4-1'))).toMatchObject({ kind: 'different' })
  // It may have been loaded from before 7.0.
  expect(await compare(deleted('0-0'), deleted('4-1'))).toEqual({ kind: 'equal' })
})

const scores = (of: readonly Reply[]): Answers => ({ ...base('zset'), ZCARD: of.length, ZRANGE: of })

test('members with their scores are the same nested, with doubles, and flat, with texts', async () => {
  const nested = [
    [text('a'), new DoubleReply('-inf')],
    [text('b'), new DoubleReply('1e-07')],
    [text('c'), new DoubleReply('inf')],
  ]
  const flat = (small: string): Answers => ({
    ...scores(nested),
    ZRANGE: ['a', '-inf', 'b', small, 'c', 'inf'].map(text),
  })
  expect(await compare(scores(nested), flat('9.9999999999999995e-08'))).toEqual({ kind: 'equal' })
  expect(await compare(scores(nested), flat('2e-07'))).toMatchObject({ kind: 'different' })
})

test('an answer that both give and that is not understood is not the same: the key could not be compared', async () => {
  const strange: readonly Reply[] = [new SimpleReply('OK'), text('x'), 7, new ErrorReply('NOPERM no permissions')]
  const kinds: Readonly<Record<string, Answers>> = {
    XRANGE: stream(),
    'XINFO STREAM': stream(),
    'XINFO GROUPS': stream(),
    XPENDING: stream(),
    HGETALL: hash([-1, -1]),
    ZRANGE: scores([[text('a'), new DoubleReply('1')]]),
    SMEMBERS: { ...base('set'), SCARD: 1, SMEMBERS: new SetReply([text('a')]) },
    LRANGE: { ...base('list'), LLEN: 1, LRANGE: [text('a')] },
    PEXPIRETIME: { ...base('string'), STRLEN: 1, GET: text('a') },
    GET: { ...base('string'), STRLEN: 1, GET: text('a') },
  }
  for (const [name, answers] of Object.entries(kinds)) {
    expect([name, await compare(answers, answers)]).toEqual([name, { kind: 'equal' }])
    for (const reply of [...strange, ...(name === 'GET' ? [] : [null])]) {
      if ((name === 'GET' && Buffer.isBuffer(reply)) || (name === 'PEXPIRETIME' && reply === 7)) continue
      const both = { ...answers, [name]: reply }
      const { kind } = await compare(both, both)
      expect([name, reply, kind]).toEqual([name, reply, 'unsettled'])
    }
  }
  const nameless = { ...stream(), 'XINFO GROUPS': [map({ pending: 0 })] }
  expect(await compare(nameless, nameless)).toMatchObject({
    kind: 'unsettled',
    reason: expect.stringContaining('XINFO'),
  })
  expect(() => scanned('HSCAN', [text('0'), [7]])).toThrow('HSCAN in a form that is not known')
  expect(() => scanned('HSCAN', [text('0'), null])).toThrow('HSCAN')
  expect(() => understood('HPEXPIRETIME', [1, null])).toThrow('HPEXPIRETIME')
})

test('a key that one side lacks is never equal: about to expire on the other, it is looked at again', async () => {
  const gone: Answers = { TYPE: new SimpleReply('none'), PEXPIRETIME: -2, 'MEMORY USAGE': null }
  const until = (ms: number): Answers => ({
    ...base('string'),
    PEXPIRETIME: Date.now() + ms,
    STRLEN: 1,
    GET: text('a'),
  })
  expect(await compare(until(500), gone)).toMatchObject({ kind: 'unsettled' })
  expect(await compare(gone, until(500))).toMatchObject({ kind: 'unsettled' })
  expect(await compare(until(60_000), gone)).toMatchObject({ difference: { class: 'missing' } })
  expect(await compare(gone, gone)).toEqual({ kind: 'equal' })
})

test('a hash of whose fields the time has come is there until the server removes them, and is no key', async () => {
  const gone: Answers = { TYPE: new SimpleReply('none'), PEXPIRETIME: -2, 'MEMORY USAGE': null }
  for (const [there, here] of [
    [hash([]), gone],
    [gone, hash([])],
  ] as const) {
    expect(await compare(there, here, [], [], undefined, [])).toEqual({ kind: 'equal' })
    expect(await compare(there, here)).toMatchObject({ kind: 'different' })
  }
  const half = (count: number): Answers => ({
    ...base('hash'),
    HLEN: count,
    HGETALL: map({ f: text('v') }),
    HPEXPIRETIME: [-1],
  })
  expect(await compare(half(2), half(1))).toEqual({ kind: 'equal' })
})

/** A vector set of elements `m0 ...`. `ranges`: the server knows VRANGE. */
function vectors(
  { count = 3, ranges = true }: { count?: number; ranges?: boolean } = {},
  { info = {}, vector = {}, attributes = {} }: { info?: object; vector?: object; attributes?: object } = {},
): Answers {
  const names = Array.from({ length: count }, (_, i) => `m${String(i).padStart(7, '0')}`)
  const of = (values: object, name: unknown, otherwise: Reply): Reply =>
    (values as Record<string, Reply>)[String(name)] ?? otherwise
  const whole = [new SimpleReply('int8'), text('\x01\x02'), new DoubleReply('1.5'), new DoubleReply('0.25')]
  return {
    ...base('vectorset'),
    DUMP: text('bytes of a graph'),
    VCARD: count,
    VINFO: map({ 'quant-type': new SimpleReply('int8'), 'vector-dim': 2, 'max-level': count, 'hnsw-m': 16, ...info }),
    VEMB: ({ after }) => of(vector, Buffer.from(after[0] as Uint8Array), whole),
    VGETATTR: ({ after }) => of(attributes, Buffer.from(after[0] as Uint8Array), null),
    VRANDMEMBER: ({ after }) => names.slice(0, Number(after[0])).map(text),
    ...(ranges && {
      VRANGE: ({ after: [from, , most] }: KeyRead): Reply => {
        const start = Buffer.from(from as Uint8Array).toString()
        const rest = start === '-' ? names : names.filter((name) => name > start.slice(1))
        return rest.slice(0, Number(most)).map(text)
      },
    }),
  }
}

test('vector sets are compared by what they hold, and not by their graphs, whether their members are listed in ranges or all at once', async () => {
  const other = { DUMP: text('bytes of another graph') }
  const spots: string[] = []
  for (const ranges of [true, false]) {
    for (const count of [3, 2_500]) {
      const there = vectors({ count, ranges })
      const here = (differing: object): Answers => ({ ...vectors({ count, ranges }, differing), ...other })
      expect(await compare(there, here({ info: { 'max-level': 9 } }), spots)).toEqual({ kind: 'equal' })
      const member = `m${String(count - 1).padStart(7, '0')}`
      for (const differing of [
        { info: { 'quant-type': new SimpleReply('f32') } },
        { info: { 'vector-dim': 3 } },
        { info: { 'hnsw-m': 32 } },
        { vector: { [member]: [new SimpleReply('int8'), text('\x01\x03'), text('1.5'), text('0.25')] } },
        { vector: { [member]: [new SimpleReply('int8'), text('\x01\x02'), text('1.5'), text('0.26')] } },
        { vector: { [member]: [] } },
        { attributes: { [member]: text('{"a":1}') } },
      ])
        expect([differing, await compare(there, here(differing))]).toMatchObject([differing, { kind: 'different' }])
      expect(await compare(there, { ...vectors({ count: count + 1 }), ...other })).toMatchObject({
        difference: { class: 'length' },
      })
    }
  }
  expect(spots[0]).toContain('graphs')
})

test('a vector set that is too large for one answer, on a primary that does not list in ranges, cannot be compared', async () => {
  const large = vectors({ count: 200_001, ranges: false })
  expect(await compare(large, large)).toMatchObject({ kind: 'unsettled', reason: expect.stringContaining('VRANGE') })
})

test('stores from before 6.2 are asked member by member, and those that do not know PEXPIRETIME for the time that is left', async () => {
  const old = (b: number, left = -1): Answers => ({
    TYPE: new SimpleReply('set'),
    PTTL: left,
    SCARD: 5000,
    SISMEMBER: ({ after }) => (String(after[0]) === 'b' ? b : 1),
  })
  expect(await compare(old(1), old(1))).toEqual({ kind: 'equal' })
  expect(await compare(old(1), old(0))).toMatchObject({ kind: 'different' })
  expect(await compare(old(1), old(1, 100_000))).toMatchObject({ difference: { class: 'ttl' } })
})

/** A list of 60,000 elements as it lies when so many have gone from its head to its tail by the time that the element at `from` is asked for. */
function longList(planted: number | null, shiftAt: (from: number) => number, bytes = 9_000_000): Answers {
  const items = Array.from({ length: 60_000 }, (_, i) => (i === planted ? 'other' : 'x'))
  return {
    ...base('list'),
    'MEMORY USAGE': bytes,
    LLEN: items.length,
    LRANGE: ({ after }) => {
      const [from, to] = after.map(Number)
      const shift = shiftAt(from!)
      return [...items.slice(shift), ...items.slice(0, shift)].slice(from, to === -1 ? undefined : to! + 1).map(text)
    },
  }
}

test('that nothing differs in the chunks of a long list counts only if nobody has written it meanwhile', async () => {
  // What differs is far behind while the first chunks are asked for, and at the head when the others are.
  const shiftAt = (from: number): number => (from < 30_000 ? 0 : 50_000)
  const [there, here] = [longList(null, shiftAt), longList(50_000, shiftAt)]
  const works: number[] = []
  const written: Watched = async (_database, _key, work) => {
    works.push(1)
    return { done: await work(), written: true }
  }
  expect(await compare(there, here, [], [], written)).toEqual({
    kind: 'unsettled',
    reason: 'it is written all the time',
  })
  // The first chunk has shown it.
  expect(works).toHaveLength(1)
  // One that is not too long for that is read once more, at once.
  const asked = (planted: number | null): Answers => longList(planted, () => 0, 1_000_000)
  expect(await compare(asked(null), asked(null), [], [], written)).toEqual({ kind: 'equal' })
  expect(await compare(asked(null), asked(59_999), [], [], written)).toMatchObject({ difference: { class: 'value' } })
  const still = (planted: number | null): Answers => longList(planted, () => 0)
  expect(await compare(still(null), still(null))).toEqual({ kind: 'equal' })
  // What is found is there, whoever writes.
  expect(await compare(still(null), still(100), [], [], written)).toMatchObject({ difference: { class: 'value' } })
})

test('a list that can be read by one command is', async () => {
  const list = (elements: number, of: string): Answers => ({
    ...base('list'),
    'MEMORY USAGE': elements * 50,
    LLEN: elements,
    LRANGE: ({ after }) => (String(after) === '0,-1' ? [text(of)] : new ErrorReply('ERR a part')),
  })
  expect(await compare(list(20_000, 'a'), list(20_000, 'a'))).toEqual({ kind: 'equal' })
  expect(await compare(list(20_000, 'a'), list(20_000, 'b'))).toMatchObject({ kind: 'different' })
  expect(await compare(list(20_001, 'a'), list(20_001, 'a'))).toMatchObject({ kind: 'unsettled' })
})

test('documents whose ignored paths differ are equal up to 2 MB, and so are collections of them', async () => {
  const document = (at: number, of: number, bytes: number): Buffer =>
    text(JSON.stringify({ of, at, text: 'x'.repeat(bytes) }))
  const long = (at: number, bytes: number): Answers => {
    const value = document(at, 1, bytes)
    return {
      ...base('string'),
      STRLEN: value.length,
      GET: value,
      GETRANGE: ({ after: [from, to] }) => value.subarray(Number(from), Number(to) + 1),
    }
  }
  expect(await compare(long(1, 1_000_000), long(222, 1_000_000), [], ['$.at'])).toEqual({ kind: 'equal' })
  expect(await compare(long(1, 1_000_000), long(2, 1_000_000))).toMatchObject({ kind: 'different' })
  expect(await compare(long(1, 3_000_000), long(2, 3_000_000), [], ['$.at'])).toMatchObject({ kind: 'different' })

  const members = (at: number): Buffer[] => Array.from({ length: 5_000 }, (_, i) => document(at, i, 10))
  const set = (at: number): Answers => ({
    ...base('set'),
    'MEMORY USAGE': 500_000,
    SCARD: 5_000,
    SMEMBERS: new SetReply(members(at)),
  })
  expect(await compare(set(1), set(2), [], ['$.at'])).toEqual({ kind: 'equal' })
  const zset = (at: number): Answers => ({
    ...base('zset'),
    'MEMORY USAGE': 500_000,
    ZCARD: 5_000,
    ZRANGE: members(at).map((member, i) => [member, new DoubleReply(String(i))]),
  })
  expect(await compare(zset(1), zset(2), [], ['$.at'])).toEqual({ kind: 'equal' })
})
