import type { RouteCounter, Stats } from '../proxy/messages.ts'

/** Looks, two seconds apart, that make half a minute: of one step alone what is said would flicker. */
const STEPS = 15

/** Commands of the last half minute. */
export interface Answers {
  readonly requests: number
  /** Answered with an error by the primary, but for such as are asked for on purpose (`isOrdinary`). */
  readonly errors: number
  /** Timed out, or lost with their connection. */
  readonly unanswered: number
}

type Counters = Readonly<Record<RouteCounter, number>>

/** What the primaries have answered in the last half minute: the growth of counters that only grow. */
export class RecentAnswers {
  /** By route, the oldest first. */
  #readings: readonly ReadonlyMap<string, Counters>[] = []

  /** Called every two seconds. */
  add({ routes }: Pick<Stats, 'routes'>): void {
    const reading = new Map(Object.entries(routes).map(([name, { counters }]) => [name, counters]))
    this.#readings = [...this.#readings, reading].slice(-(STEPS + 1))
  }

  of(route: string): Answers {
    const grown = (...names: RouteCounter[]): number => names.reduce((sum, name) => sum + this.#grown(route, name), 0)
    return {
      requests: grown('primaryOk', 'primaryError', 'primaryTimeout', 'primaryLost'),
      errors: grown('primaryError') - grown('primaryOrdinaryError'),
      unanswered: grown('primaryTimeout', 'primaryLost'),
    }
  }

  #grown(route: string, name: RouteCounter): number {
    return this.#readings.reduce((sum, reading, i) => {
      const [before, now] = [this.#readings[i - 1]?.get(route), reading.get(route)]
      // A route that went away and came back counts from nothing.
      return before === undefined || now === undefined ? sum : sum + Math.max(0, now[name] - before[name])
    }, 0)
  }
}
