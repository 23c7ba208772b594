import type { RouteCounter, RouteStats, Stats } from '../proxy/messages.ts'

/** Looks, two seconds apart, that make half a minute: of one step alone what is said would flicker. */
const STEPS = 15

/** Commands of the last half minute. */
export interface Answers {
  readonly requests: number
  /** Answered with an error by the primary, but for such as are asked for on purpose (`isOrdinary`). */
  readonly errors: number
  /** The code that most of these had, `OOM` say; null: none that is known. */
  readonly errorCode: string | null
  /** Timed out, or lost with their connection. */
  readonly unanswered: number
}

/** What has been counted of a route so far, and of which store. */
type Reading = Pick<RouteStats, 'primary' | 'counters' | 'errorCodes'>

/** What the primaries have answered in the last half minute: the growth of counters that only grow. */
export class RecentAnswers {
  /** By route, the oldest first. */
  #readings: readonly ReadonlyMap<string, Reading>[] = []

  /** Called every two seconds. */
  add({ routes }: Pick<Stats, 'routes'>): void {
    const reading = new Map(
      Object.entries(routes).map(([name, { primary, counters, errorCodes }]) => [
        name,
        { primary, counters, errorCodes },
      ]),
    )
    this.#readings = [...this.#readings, reading].slice(-(STEPS + 1))
  }

  /** While `primary` was the route's: what another store has answered, or has not, says nothing about this one. */
  of(route: string, primary: string): Answers {
    const grown = (...names: RouteCounter[]): number =>
      names.reduce((sum, name) => sum + this.#grown(route, primary, ({ counters }) => counters[name]), 0)
    return {
      requests: grown('primaryOk', 'primaryError', 'primaryTimeout', 'primaryLost'),
      errors: grown('primaryError') - grown('primaryOrdinaryError'),
      errorCode: this.#errorCodeOf(route, primary),
      unanswered: grown('primaryTimeout', 'primaryLost'),
    }
  }

  #errorCodeOf(route: string, primary: string): string | null {
    const codes = Object.keys(this.#readings.at(-1)?.get(route)?.errorCodes ?? {})
    const counts = codes.map((code) => this.#grown(route, primary, ({ errorCodes }) => errorCodes[code] ?? 0))
    const most = Math.max(0, ...counts)
    return most === 0 ? null : codes[counts.indexOf(most)]!
  }

  #grown(route: string, primary: string, of: (reading: Reading) => number): number {
    return this.#readings.reduce((sum, reading, i) => {
      const [before, now] = [this.#readings[i - 1]?.get(route), reading.get(route)]
      if (before?.primary !== primary || now?.primary !== primary) return sum
      // A route that went away and came back counts from nothing.
      return sum + Math.max(0, of(now) - of(before))
    }, 0)
  }
}
