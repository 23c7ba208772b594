import { expect, test } from 'vitest'
import { parseInstant } from '../../src/base/instant.ts'

test.each([
  ['2027-01-31', '2027-01-31T23:59:59.999Z'],
  ['2036-02-29', '2036-02-29T23:59:59.999Z'],
  ['2027-01-31T08:00:00Z', '2027-01-31T08:00:00.000Z'],
  ['2027-01-31T08:00+02:00', '2027-01-31T06:00:00.000Z'],
])('%s is %s', (text, instant) => expect(new Date(parseInstant(text)).toISOString()).toBe(instant))

test.each(['2036-02-31', '2035-02-29', '2036-04-31T10:00:00+02:00', '2036-13-01', '2036-00-10'])(
  'the day of %s does not exist',
  (text) => expect(() => parseInstant(text)).toThrow(`must be a day that exists: there is no ${text.slice(0, 10)}`),
)

test.each(['soon', '2027', '31.01.2027', '2027-01-31T25:00:00Z', '2027-01-31 at noon', ''])('%j is no time', (text) =>
  expect(() => parseInstant(text)).toThrow('must be a date or a time, as in 2027-01-31 or 2027-01-31T08:00:00Z'),
)
