import { expect, test } from 'vitest'
import { storeFacts } from '../../../src/mirror/stores/store-facts.ts'

test.each([
  ['6.2.14', null, false, false],
  ['7.2.4', null, false, false],
  ['7.4.2', null, true, false],
  ['8.0.2', null, true, true],
  ['7.2.4', '8.1.1', false, false],
  ['7.2.4', '9.0.0', true, true],
] as const)(
  'Redis %s, Valkey %s: knows times of hash fields %s, HSETEX %s',
  (redis, valkey, hasFieldTimes, hasHsetex) => {
    expect(storeFacts(5, redis, valkey)).toMatchObject({ clockOffsetMs: 5, hasFieldTimes, hasHsetex })
  },
)

test('a store that does not tell its version may have times of fields', () => {
  expect(storeFacts(5, null)).toMatchObject({ clockOffsetMs: 5, hasFieldTimes: true, hasHsetex: false })
})

test('Redis 5 takes no fractions of a second; who does not tell its version may', () => {
  expect(['5.0.14', '6.0.16', null].map((version) => storeFacts(0, version).takesFractions)).toEqual([
    false,
    true,
    true,
  ])
})

test.each([
  [['7.0.15', null], ['6.2.14', null], true],
  [['7.0.15', null], ['7.2.0', null], false],
  [['7.4.2', null], ['8.0.3', null], true],
  [['7.2.4', null], ['7.2.4', '8.1.1'], false],
  [['7.2.4', '8.0.1'], ['7.2.4', '8.1.1'], false],
  [['7.2.4', '8.1.0'], ['7.2.4', '8.1.1'], true],
] as const)('%j and %j are of one make: %s', (one, other, expected) => {
  const [first, second] = [one, other].map(([redis, valkey]) => storeFacts(0, redis, valkey).make)
  expect(first === second).toBe(expected)
  expect(storeFacts(0, null).make).toBeNull()
})
