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
    ['1.0', '1', 'bytes'],
    ['{"a":1', '{"a":2', 'bytes'],
  ])('%s and %s: %s', (one, other, expected) => expect(verdict(bytes(one), bytes(other), ['json'])).toBe(expected))

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
