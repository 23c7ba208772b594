import { expect, test } from 'vitest'
import { scanned, understood } from '../../src/jobs/answers.ts'
import type { DataPathPort } from '../../src/jobs/environment.ts'
import { ExactCompare, type Verdict } from '../../src/jobs/exact-compare.ts'
import { AlignedReader } from '../../src/jobs/pair-reader.ts'
import type { KeyRead } from '../../src/mirror/aligned-reads.ts'
import { encodeReply } from '../../src/resp/encode.ts'
import { DoubleReply, ErrorReply, MapReply, type Reply, SetReply, SimpleReply } from '../../src/resp/reply.ts'

/** What a store answers, by the words before the key. */
type Answers = Readonly<Record<string, Reply | ((read: KeyRead) => Reply)>>

const text = (chars: string): Buffer => Buffer.from(chars)
const map = (facts: Readonly<Record<string, Reply>>): MapReply =>
  new MapReply(Object.entries(facts).map(([name, value]) => [text(name), value]))

/** Compares a key of which the two stores say this; the primary speaks RESP3, the shadow RESP2. */
async function compare(there: Answers, here: Answers, blindSpots: string[] = []): Promise<Verdict> {
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
  const exact = new ExactCompare(new AlignedReader(dataPath), async () => [text('0'), [text('a'), text('b')]], {
    ttlToleranceMs: 1000,
    ignoreJson: [],
    absoluteTimes: true,
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

test('where no store knows times of fields, nothing is said of them, and where one does not, that they were not compared', async () => {
  const old = { ...hash([]), HPEXPIRETIME: new ErrorReply("ERR unknown command 'HPEXPIRETIME'") }
  const spots: string[] = []
  expect(await compare(old, old, spots)).toEqual({ kind: 'equal' })
  expect(spots).toEqual([])
  expect(await compare(hash([-1, -1]), old, spots)).toEqual({ kind: 'equal' })
  expect(spots).toHaveLength(1)
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
  const counted = (added: number): Answers => stream({ 'entries-added': added })
  expect(await compare(counted(4), counted(5))).toMatchObject({ kind: 'different' })
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
