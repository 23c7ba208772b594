import { expect, test } from 'vitest'
import { RecentlyTold } from '../../../src/mirror/shadow/recently-told.ts'

const key = (name: string) => Buffer.from(name)

test('a key has been told since what was counted before that, in its own database', () => {
  const told = new RecentlyTold()
  const before = told.count
  told.add(0, key('a'))
  expect(told.hasSince(before, 0, key('a'))).toBe(true)
  expect(told.hasSince(before, 1, key('a'))).toBe(false)
  expect(told.hasSince(before, 0, key('b'))).toBe(false)
  const behind = told.count
  expect(told.hasSince(behind, 0, key('a'))).toBe(false)
  told.add(0, key('a'))
  expect(told.hasSince(behind, 0, key('a'))).toBe(true)
})

test('what is forgotten was not told: those longest ago, and names that are too long', () => {
  const told = new RecentlyTold()
  told.add(0, key('first'))
  told.add(0, key('second'))
  for (let i = 0; i < 10_000; i++) told.add(0, key(`a${i}`))
  expect(told.hasSince(0, 0, key('first'))).toBe(true)
  // Told once more it is not among the oldest.
  told.add(0, key('first'))
  for (let i = 0; i < 10_000; i++) told.add(0, key(`b${i}`))
  expect(told.hasSince(0, 0, key('first'))).toBe(true)
  expect(told.hasSince(0, 0, key('second'))).toBe(false)
  told.add(0, key('x'.repeat(1025)))
  expect(told.hasSince(0, 0, key('x'.repeat(1025)))).toBe(false)
})
