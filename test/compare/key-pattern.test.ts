import { expect, test } from 'vitest'
import { printableKey } from '../../src/base/printable-key.ts'
import { foldKey } from '../../src/compare/key-pattern.ts'

test.each([
  ['job:1', 'job:<n>'],
  ['user:17:cart:18', 'user:<n>:cart:<n>'],
  ['s:9f1c2d3e-0000-4000-8000-123456789abc', 's:<uuid>'],
  ['s:9F1C2D3E-0000-4000-8000-123456789ABC:x', 's:<uuid>:x'],
  ['blob:507f1f77bcf86cd799439011', 'blob:<hex>'],
  ['word:deadbeefdeadbeefdead', 'word:deadbeefdeadbeefdead'],
  ['v2cache', 'v<n>cache'],
  ['plain', 'plain'],
  ['', ''],
])('%s becomes %s', (key, pattern) => expect(foldKey(key)).toBe(pattern))

test('bytes that are shown by their number are no number', () => {
  expect(printableKey(Buffer.from([0x61, 0x00, 0x31]))).toBe('a\\x001')
  expect(foldKey('a\\x00')).toBe('a\\x00')
})

test('two keys never look the same', () => {
  expect(printableKey(Buffer.from('\\x00'))).toBe('\\x5cx00')
})

test('an endless key is cut off', () => {
  expect(foldKey('k'.repeat(10_000)).length).toBeLessThan(300)
})
