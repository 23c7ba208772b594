import { expect, test } from 'vitest'
import { compareIds, rangeBehind, wholeId } from '../../src/base/stream-id.ts'

test('the range behind an ID begins with the next there can be, also behind the last one of a millisecond, and is empty behind the last of all', () => {
  expect(rangeBehind('5-0')).toEqual(['5-1', '+'])
  expect(rangeBehind('5-18446744073709551615')).toEqual(['6-0', '+'])
  expect(rangeBehind('18446744073709551615-18446744073709551615')).toEqual(['1', '0'])
})

test('milliseconds alone stand for the first ID of them', () => {
  expect(wholeId('5')).toBe('5-0')
  expect(wholeId('5-3')).toBe('5-3')
})

test('IDs are sorted as numbers, also where they are larger than a number is exact', () => {
  const sorted = ['2-0', '10-2', '10-10', '9007199254740992-0', '9007199254740993-0']
  expect(sorted.toReversed().sort(compareIds)).toEqual(sorted)
  expect(compareIds('10-2', '10-2')).toBe(0)
})
