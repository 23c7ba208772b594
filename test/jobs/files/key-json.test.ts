import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { lineOf, recordOfLine } from '../../../src/jobs/files/key-json.ts'
import type { StreamValue } from '../../../src/jobs/files/stream-value.ts'
import type { KeyRecord, KeyValue } from '../../../src/jobs/files/values.ts'

const bytes = fc
  .oneof(fc.string(), fc.uint8Array())
  .map((one) => (typeof one === 'string' ? Buffer.from(one) : Buffer.from(one)))
const id = fc.tuple(fc.nat(), fc.nat()).map(([ms, seq]) => `${ms}-${seq}`)
const stream: fc.Arbitrary<StreamValue> = fc.record({
  entries: fc.array(fc.record({ id, fields: fc.array(bytes) })),
  lastId: id,
  maxDeletedId: fc.option(id),
  entriesAdded: fc.option(fc.nat()),
  groups: fc.array(
    fc.record({
      name: bytes,
      lastId: id,
      entriesRead: fc.option(fc.nat()),
      consumers: fc.array(bytes),
      pending: fc.array(fc.record({ id, consumer: bytes, deliveredAtMs: fc.nat(), deliveries: fc.nat() })),
    }),
  ),
})
const scored = fc.tuple(
  bytes,
  fc.constantFrom('1.5', '-3', 'inf', '-inf').map((score) => Buffer.from(score)),
)
const value: fc.Arbitrary<KeyValue> = fc.oneof(
  fc.record({ type: fc.constant('string' as const), value: bytes }),
  fc.record({ type: fc.constantFrom('list' as const, 'set' as const), value: fc.array(bytes) }),
  fc.record({ type: fc.constant('zset' as const), value: fc.array(scored).map((pairs) => pairs.flat()) }),
  fc.record({ type: fc.constant('stream' as const), value: stream }),
  fc.record({ type: fc.constant('payload' as const), of: fc.constant('MBbloom--'), value: bytes }),
)

describe('a key as a line of JSON', () => {
  test('is the same key when it is read again', () => {
    fc.assert(
      fc.property(fc.nat(15), bytes, value, fc.option(fc.nat()), (database, key, of, expiresAtMs) => {
        const record: KeyRecord = { database, key, of, expiresAtMs }
        const line = lineOf(record)!
        expect(line.indexOf('\n')).toBe(line.length - 1)
        expect(recordOfLine(line.toString('utf8'))).toEqual(record)
      }),
    )
  })

  test('is none where it is longer than one that is read', () => {
    // Each byte takes six in JSON.
    const of = { type: 'string', value: Buffer.alloc(45 * 1024 * 1024) } as const
    expect(lineOf({ database: 0, key: Buffer.from('k'), of, expiresAtMs: null })).toBeNull()
  })

  test('has the fields of a hash as an object, or as pairs where one is no text', () => {
    const hash = (field: Buffer): KeyRecord => ({
      database: 0,
      key: Buffer.from('h'),
      of: { type: 'hash', value: [field, Buffer.from('1')] },
      expiresAtMs: null,
    })
    const shownValue = (record: KeyRecord): unknown =>
      (JSON.parse(lineOf(record)!.toString()) as { value: unknown }).value
    expect(shownValue(hash(Buffer.from('f')))).toEqual({ f: '1' })
    expect(shownValue(hash(Buffer.of(255)))).toEqual([[{ base64: '/w==' }, '1']])
    for (const field of [Buffer.from('f'), Buffer.of(255)])
      expect(recordOfLine(lineOf(hash(field))!.toString())).toEqual(hash(field))
  })

  test('may be written by hand: a string of database 0 that does not expire, numbers as they are', () => {
    expect(recordOfLine('{"key":"a","value":7}')).toEqual({
      database: 0,
      key: Buffer.from('a'),
      of: { type: 'string', value: Buffer.from('7') },
      expiresAtMs: null,
    })
  })

  test('takes base64 with and without its end, and scores of any size', () => {
    for (const base64 of ['/+8=', '/+8', '_-8']) {
      expect(recordOfLine(JSON.stringify({ key: { base64 }, value: 'x' }))?.key).toEqual(Buffer.of(255, 239))
    }
    expect(recordOfLine('{"key":"a","type":"zset","value":[["m",1e300]]}')?.of).toEqual({
      type: 'zset',
      value: [Buffer.from('m'), Buffer.from('1e+300')],
    })
  })

  test('keeps a time of expiry beyond 2^53, where a time to live of up to that ends', () => {
    for (const expiresAtMs of [2 ** 53, 2 ** 53 + 1_795_000_000_000]) {
      const record: KeyRecord = {
        database: 0,
        key: Buffer.from('a'),
        of: { type: 'string', value: Buffer.from('b') },
        expiresAtMs,
      }
      expect(recordOfLine(lineOf(record)!.toString())).toEqual(record)
    }
  })

  test.each([
    'no JSON',
    '{"value":"no key"}',
    '{"key":"a","type":"string"}',
    '{"key":"a","type":"list","value":"no list"}',
    '{"key":"a","type":"unheard of","value":"b"}',
    '{"key":"a","value":"b","database":-1}',
    '{"key":"a","value":"b","expiresAtMs":"soon"}',
    '{"key":"a","value":"b","expiresAtMs":1e300}',
    '{"key":"a","type":"stream","value":{"entries":[["today",["f","v"]]]}}',
    // What would come out as other bytes.
    '{"key":"a","value":{"base64":"!!!not base64!!!"}}',
    '{"key":"a","value":{"base64":"YWI=c"}}',
    '{"key":"a","type":"string","payload":{"base64":"A"}}',
    '{"key":{"base64":"Y W"},"value":"b"}',
    '{"key":"a","value":"half of a character: \\ud800"}',
    '{"key":"\\udc00","value":"b"}',
    '{"key":"a","value":12345678901234567890}',
    '{"key":"a","type":"hash","value":"abc"}',
    '{"key":"a","type":"hash","value":[["field"]]}',
    '{"key":"a","type":"hash","value":["ab"]}',
    '{"key":"a","type":"zset","value":"abc"}',
    '{"key":"a","value":"b","expiresAtMs":4102444800000.7}',
    '{"key":"a","value":"b","database":99999999999}',
  ])('is refused when it is none: %s', (line) => {
    expect(recordOfLine(line)).toBeNull()
  })
})
