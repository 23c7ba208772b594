import { afterEach, beforeEach } from 'vitest'
import { type InFlight, InFlightRing } from '../../src/upstream/pipeline/in-flight.ts'

/** Counts, for each test of a file, the commands that share a place in a ring with the one before. */
export function countShared(): { count: number } {
  const shared = { count: 0 }
  const { join } = InFlightRing.prototype
  beforeEach(() => {
    shared.count = 0
    InFlightRing.prototype.join = function (this: InFlightRing, slot: InFlight): boolean {
      const joined = join.call(this, slot)
      if (joined) shared.count++
      return joined
    }
  })
  afterEach(() => {
    InFlightRing.prototype.join = join
  })
  return shared
}
