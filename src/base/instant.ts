import { UnderstudyError } from './errors.ts'

const ON_A_DAY = /^(\d{4}-\d{2}-\d{2})(?:[T ].*)?$/

/**
 * A date or a point in time (ISO 8601), in ms since the epoch. A date is its end, in UTC. `Date.parse` takes 2036-02-31 for a day in March; here it is none.
 *
 * @throws UnderstudyError USAGE whose message says what it must be
 */
export function parseInstant(text: string): number {
  const day = ON_A_DAY.exec(text)?.[1]
  if (day !== undefined && !exists(day))
    throw new UnderstudyError('USAGE', `must be a day that exists: there is no ${day}`)
  const ms = day === undefined ? Number.NaN : Date.parse(text === day ? `${day}T23:59:59.999Z` : text)
  if (Number.isNaN(ms))
    throw new UnderstudyError('USAGE', 'must be a date or a time, as in 2027-01-31 or 2027-01-31T08:00:00Z')
  return ms
}

function exists(day: string): boolean {
  const ms = Date.parse(`${day}T00:00:00Z`)
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(day)
}
