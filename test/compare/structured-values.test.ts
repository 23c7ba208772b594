import { gzipSync } from 'node:zlib'
import { encode } from '@msgpack/msgpack'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CommandTable } from '../../src/command/table.ts'
import { compareAnswers } from '../../src/compare/diff.ts'
import { ValueReader } from '../../src/compare/structured-values.ts'
import type { DecoderName } from '../../src/config/config.ts'
import { viewOf } from '../../src/resp/command-view.ts'
import type { Reply } from '../../src/resp/reply.ts'

const table = CommandTable.builtin()
const bytes = (value: string | Uint8Array): Buffer => Buffer.from(value as string)
const packed = (value: unknown): Buffer => bytes(encode(value, { useBigInt64: true }))
const zipped = (value: Buffer, level = 6): Buffer => gzipSync(value, { level })

function outcome(primary: Reply, shadow: Reply, decode: DecoderName[], ignoreJson: string[] = [], line = 'GET k') {
  const args = line.split(' ').map((part) => Buffer.from(part))
  return compareAnswers(table.lookup(viewOf(args))!, args, primary, shadow, { ttlToleranceMs: 0, ignoreJson, decode })
}

function verdict(primary: Buffer, shadow: Buffer, decode: DecoderName[], ignoreJson: string[] = []): string {
  const { difference, ignored } = outcome(primary, shadow, decode, ignoreJson)
  return difference === null ? (ignored ? 'ignored' : 'same') : (difference.paths?.join(' ') ?? 'bytes')
}

describe('JSON', () => {
  test.each([
    ['{"a":1,"b":2}', '{"b":2,"a":1}', 'ignored'],
    ['{"a":1.0}', '{"a":1}', 'ignored'],
    ['{"a":1e2}', '{"a":100}', 'ignored'],
    ['{ "a" : 1 }', '{"a":1}', 'ignored'],
    ['{"a":"\\u0041"}', '{"a":"A"}', 'ignored'],
    ['{"a":1}', '{"a":1}', 'same'],
    ['{"a":1}', '{"a":"1"}', '$.a'],
    ['{"a":[1,2]}', '{"a":[2,1]}', '$.a[0] $.a[1]'],
    ['{"a":null}', '{}', '$.a'],
    ['{"a":9007199254740993}', '{"a":9007199254740992}', '$.a'],
    ['{"a":1e400}', '{"a":null}', '$.a'],
    ['{"a":1e400}', '{"a":10e399}', 'ignored'],
    ['{"a":1.50}', '{"a":15e-1}', 'ignored'],
    ['{"a":100000000000000000000}', '{"a":1e20}', 'ignored'],
    ['{"a":9007199254740993.0}', '{"a":9007199254740992.0}', '$.a'],
    ['{"a":9007199254740993.0}', '{"a":9007199254740993}', 'ignored'],
    ['{"a":9007199254740993e0}', '{"a":9007199254740992e0}', '$.a'],
    ['{"a":12345678901234567.89}', '{"a":12345678901234566.11}', '$.a'],
    ['{"a":0.12345678901234567891}', '{"a":0.12345678901234567892}', '$.a'],
    ['{"a":1e-400}', '{"a":0}', '$.a'],
    ['{"a":-0}', '{"a":0}', '$.a'],
    ['{"a":-0.0}', '{"a":-0}', 'ignored'],
    ['{"a":0.0}', '{"a":0}', 'ignored'],
    ['{"a":9007199254740993}', '{"a":"\\u0000number 9007199254740993"}', '$.a'],
    ['{"a":1,"a":2}', '{"a":3,"a":2}', 'bytes'],
    ['{"a":[{"b":":","b":2}]}', '{"a":[{"b":2}]}', 'bytes'],
    ['{"a":"\\":","b":[":"]}', '{"b":[":"],"a":"\\":"}', 'ignored'],
    ['{"__proto__":1}', '{}', '$.__proto__'],
    ['{"__proto__":{"a":1}}', '{"__proto__":{"a":2}}', '$.__proto__.a'],
    ['{"a":"\\ud800"}', '{"a":"\\udfff"}', '$.a'],
    ['{"a":"\\ud800"}', '{"a":"\ufffd"}', '$.a'],
    ['{"\\ud800":1}', '{"\\ud801":1}', '$.\ud800 $.\ud801'],
    ['1.0', '1', 'bytes'],
    ['{"a":1', '{"a":2', 'bytes'],
  ])('%s and %s: %s', (one, other, expected) => expect(verdict(bytes(one), bytes(other), ['json'])).toBe(expected))

  test('that is no UTF-8 is bytes: other texts would look the same', () => {
    const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1')
    expect(verdict(latin1('{"a":"M\xfcller"}'), latin1('{"a":"M\xf6ller"}'), ['json'])).toBe('bytes')
    expect(verdict(latin1('{"a":"\xff"}'), bytes('{"a":"\ufffd"}'), [], ['$.at'])).toBe('bytes')
    expect(verdict(latin1('{"a":"\xed\xa0\x80"}'), latin1('{"a":"\xed\xa0\x81"}'), ['json'])).toBe('bytes')
  })

  test('numbers are equal exactly when their digits say the same', () => {
    const digits = fc.stringMatching(/^-?(0|[1-9]\d{0,24})(\.\d{1,24})?(e[+-]?\d{1,3})?$/)
    const reader = new ValueReader({ ignoreJson: [], decode: ['json'] })
    const canonical = (number: string): Buffer => reader.canonical(bytes(`[${number}]`))
    /** As a whole number of 10^-2000. */
    const exactly = (number: string): string => {
      const [, sign, whole, fraction = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:e(.*))?$/.exec(number)!
      return `${sign}${BigInt(`${whole}${fraction}`) * 10n ** BigInt(2000 + Number(exponent) - fraction.length)}`
    }
    fc.assert(
      fc.property(digits, digits, fc.nat(30), (one, other, zeros) => {
        expect(canonical(one).equals(canonical(other))).toBe(exactly(one) === exactly(other))
        const [mantissa, exponent] = one.split('e')
        const longer = `${mantissa}${mantissa!.includes('.') ? '' : '.'}0${'0'.repeat(zeros)}${exponent === undefined ? '' : `e${exponent}`}`
        expect(canonical(longer)).toEqual(canonical(one))
        const last = mantissa!.at(-1)!
        const changed = `${mantissa!.slice(0, -1)}${last === '9' ? '8' : Number(last) + 1}${exponent === undefined ? '' : `e${exponent}`}`
        expect(canonical(changed)).not.toEqual(canonical(one))
      }),
    )
  })

  test('without a decoder values are bytes', () => {
    expect(verdict(bytes('{"a":1.0}'), bytes('{"a":1}'), [])).toBe('bytes')
  })

  test('paths that are ignored imply it', () => {
    expect(verdict(bytes('{"a":1,"at":1}'), bytes('{"at":2,"a":1.0}'), [], ['$.at'])).toBe('ignored')
    expect(verdict(bytes('{"a":1,"at":1}'), bytes('{"at":2,"a":3}'), [], ['$.at'])).toBe('$.a')
  })

  test('differences are named inside lists and hashes as well', () => {
    const there = [bytes('f'), bytes('{"a":{"b":1}}')]
    const here = [bytes('f'), bytes('{"a":{"b":2}}')]
    expect(outcome(there, here, ['json'], [], 'HGETALL k').difference).toMatchObject({ paths: ['$.a.b'] })
    expect(outcome(there, here, ['json'], [], 'LRANGE k 0 -1').difference).toMatchObject({ paths: ['$.a.b'] })
  })

  test('reading is undone by nothing: a value means the same however it is written', () => {
    const reader = new ValueReader({ ignoreJson: [], decode: ['json'] })
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 }), (value) => {
        const shuffled = Object.fromEntries(Object.entries(value).reverse())
        const one = reader.canonical(bytes(JSON.stringify(value)))
        expect(reader.canonical(bytes(JSON.stringify(shuffled, null, 2)))).toEqual(one)
        expect(reader.canonical(bytes(JSON.stringify({ ...value, another: 1, 'a\u0000': 2 })))).not.toEqual(one)
      }),
    )
  })
})

describe('gzip', () => {
  const json = bytes('{"a":1,"list":[1,2,3]}')

  test('is opened: what is inside counts, not how it was compressed', () => {
    expect(verdict(zipped(json, 1), zipped(json, 9), ['gzip'])).toBe('ignored')
    expect(verdict(zipped(json, 1), zipped(json, 9), [])).toBe('bytes')
    expect(verdict(zipped(json), zipped(bytes('x')), ['gzip'])).toBe('bytes')
  })

  test('with JSON or MessagePack inside is read through, whatever the order in the configuration', () => {
    const other = bytes('{"list":[1,2,3],"a":2}')
    expect(verdict(zipped(json), zipped(other), ['json', 'gzip'])).toBe('$.a')
    expect(verdict(zipped(json), zipped(other), ['gzip'], ['$.a'])).toBe('ignored')
    expect(verdict(zipped(packed({ a: 1 })), zipped(packed({ a: 2 })), ['msgpack', 'gzip'])).toBe('$.a')
  })

  test('that is none, is cut off, or is a bomb, is bytes', () => {
    expect(verdict(bytes([0x1f, 0x8b, 1, 2, 3] as never), bytes('x'), ['gzip'])).toBe('bytes')
    expect(verdict(Buffer.concat([zipped(json), Buffer.alloc(3)]), zipped(json), ['gzip'])).toBe('bytes')
    expect(verdict(zipped(json).subarray(0, 20), zipped(json), ['gzip'])).toBe('bytes')
    const bomb = zipped(Buffer.alloc(64 * 1024 * 1024))
    expect(verdict(bomb, zipped(json), ['gzip'])).toBe('bytes')
  })
})

describe('MessagePack', () => {
  test('is compared by what it says', () => {
    expect(verdict(packed({ a: 1, b: 2 }), packed({ b: 2, a: 1 }), ['msgpack'])).toBe('ignored')
    expect(verdict(packed({ a: { b: [1, 2] } }), packed({ a: { b: [1, 3] } }), ['msgpack'])).toBe('$.a.b[1]')
    expect(verdict(packed({ a: 2n ** 60n }), packed({ a: 2n ** 60n + 1n }), ['msgpack'])).toBe('$.a')
    expect(verdict(packed({ a: bytes('x') }), packed({ a: bytes('y') }), ['msgpack'])).toBe('$.a')
    expect(verdict(packed({ a: 1, at: 1 }), packed({ a: 1, at: 2 }), ['msgpack'], ['$.at'])).toBe('ignored')
  })

  test('reads what the format can say, whatever its size', () => {
    const reader = new ValueReader({ ignoreJson: [], decode: ['msgpack', 'json'] })
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        { maxDepth: 3 },
        fc.constantFrom(null, true, false, 0.5, 1e300, -1, -32, -33, 127, 128, 2 ** 31, 2 ** 32, -(2 ** 40)),
        fc.integer(),
        fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number + 0),
        fc.string({ unit: 'grapheme', maxLength: 40 }),
        fc.array(tie('any'), { maxLength: 20 }),
        fc.dictionary(fc.string(), tie('any'), { maxKeys: 20 }),
      ),
    })).any
    fc.assert(
      fc.property(value, (item) => {
        expect(reader.canonical(bytes(encode([item])))).toEqual(reader.canonical(bytes(JSON.stringify([item]))))
      }),
    )
    for (const length of [31, 32, 255, 256, 65_535, 65_536]) {
      for (const item of ['x'.repeat(length), Array(length).fill(1)])
        expect(reader.canonical(bytes(encode([item]))).equals(reader.canonical(bytes(JSON.stringify([item]))))).toBe(
          true,
        )
      const binary = (last: number): Buffer => packed([Buffer.alloc(length, last)])
      expect(reader.canonical(binary(1))).not.toEqual(reader.canonical(binary(2)))
    }
    for (const length of [15, 16, 65_536]) {
      const item = Object.fromEntries(Array.from({ length }, (_, i) => [`name ${i}`, i]))
      expect(reader.canonical(bytes(encode(item))).equals(reader.canonical(bytes(JSON.stringify(item))))).toBe(true)
    }
  })

  test('loses nothing: texts that are none, names twice, times to the nanosecond, -0', () => {
    const differ: readonly (readonly [one: number[], other: number[], how: string])[] = [
      [[0x81, 0xa1, 0x62, 0xa2, 0xc3, 0x28], [0x81, 0xa1, 0x62, 0xa2, 0xc3, 0x68], '$.b'],
      [[0x91, 0xd9, 1, 0x80], [0x91, 0xd9, 1, 0x81], '$[0]'],
      [[0x91, 0xa1, 0x80], [0x91, 0xc4, 1, 0x80], '$[0]'],
      [[0x82, 0xa1, 0x61, 1, 0xa1, 0x61, 2], [0x81, 0xa1, 0x61, 2], 'bytes'],
      [[0x81, 0xc0, 1], [0x81, 0xa4, 0x6e, 0x75, 0x6c, 0x6c, 1], 'bytes'],
      [[0x91, 0xd7, 0xff, 0, 0, 0, 4, 0x65, 0, 0, 0], [0x91, 0xd7, 0xff, 0, 0, 0, 8, 0x65, 0, 0, 0], '$[0]'],
      [[0x91, 0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0], [0x91, 0], '$[0]'],
      [[0x91, 0xca, 0x7f, 0x80, 0, 0], [0x91, 0xc0], '$[0]'],
      [[0x91, 0xd4, 5, 1], [0x91, 0xd4, 6, 1], '$[0]'],
      [[0x91, 1, 0], [0x91, 1], 'bytes'],
      [[0x91, 0xc1], [0x91, 0xc0], 'bytes'],
    ]
    for (const [one, other, how] of differ)
      expect([one, verdict(Buffer.from(one), Buffer.from(other), ['msgpack'])]).toEqual([one, how])
    // One time in two lengths; a number as a name counts as its digits.
    expect(
      verdict(
        Buffer.from([0x91, 0xd6, 0xff, 0x65, 0, 0, 0]),
        Buffer.from([0x91, 0xc7, 12, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x65, 0, 0, 0]),
        ['msgpack'],
      ),
    ).toBe('ignored')
    expect(verdict(Buffer.from([0x81, 1, 2]), Buffer.from([0x81, 0xa1, 0x31, 2]), ['msgpack'])).toBe('ignored')
  })

  test('texts and numbers alone are no MessagePack', () => {
    expect(verdict(bytes('a'), bytes('b'), ['msgpack'])).toBe('bytes')
    expect(verdict(packed({ a: 1 }).subarray(0, 3), packed({ a: 1 }), ['msgpack'])).toBe('bytes')
  })
})

test('no bytes bring a decoder down', () => {
  const reader = new ValueReader({ ignoreJson: ['$.a'], decode: ['json', 'gzip', 'msgpack'] })
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (any) => void reader.canonical(Buffer.from(any))))
  expect(() => reader.canonical(bytes('['.repeat(300_000)))).not.toThrow()
  expect(() => reader.canonical(Buffer.alloc(300_000, 0x91))).not.toThrow()
})
