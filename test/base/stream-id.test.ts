import { expect, test } from 'vitest'
import { compareIds, idBehind, wholeId } from '../../src/base/stream-id.ts'

test('the ID behind another is the next there can be, also behind the last one of a millisecond', () => {
  expect(idBehind('5-0')).toBe('5-1')
  expect(idBehind('5-18446744073709551615')).toBe('6-0')
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
