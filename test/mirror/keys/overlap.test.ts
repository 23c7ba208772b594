import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { mix } from '../../../src/base/hash.ts'
import { NOBODY } from '../../../src/mirror/copy/sweeps.ts'
import { addTickets, OverlapTable } from '../../../src/mirror/keys/overlap.ts'

const CLOCK = { nowMs: 0 }

/** One write or read by its moments: it leaves at `from`, its reply comes at `to`. No two things happen at one moment. */
interface Trip {
  readonly lane: number
  readonly key: number
  readonly kind: 'write' | 'read'
  from: number
  to: number
}

/** Trips in any interleaving, on so many lanes. */
function trips(lanes: number): fc.Arbitrary<Trip[]> {
  const trip = fc.record({
    lane: fc.integer({ min: 1, max: lanes }),
    key: fc.integer({ min: 0, max: 2 }),
    kind: fc.constantFrom('write' as const, 'write' as const, 'read' as const),
    moments: fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true })),
  })
  return fc.array(trip, { minLength: 1, maxLength: 30 }).map((list) => {
    const moments = list.flatMap(({ moments: [a, b] }, i) => [
      { at: Math.min(a, b), i, end: 0 },
      { at: Math.max(a, b), i, end: 1 },
    ])
    const result = list.map(({ lane, key, kind }) => ({ lane, key, kind, from: 0, to: 0 }))
    moments.sort((one, other) => one.at - other.at || one.i - other.i || one.end - other.end)
    for (const [at, { i, end }] of moments.entries()) {
      if (end === 0) result[i]!.from = at
      else result[i]!.to = at
    }
    return result
  })
}

/** Runs the trips against a table and says of each whether the table thinks that it met another lane's write. */
function met(table: OverlapTable, list: readonly Trip[]): boolean[] {
  const tickets = new Map<Trip, number>()
  const result = new Map<Trip, boolean>()
  const events = list.flatMap((trip) => [
    { at: trip.from, trip, leaves: true },
    { at: trip.to, trip, leaves: false },
  ])
  events.sort((one, other) => one.at - other.at)
  for (const { trip, leaves } of events) {
    const { key, lane, kind } = trip
    if (leaves) tickets.set(trip, kind === 'write' ? table.enter(key, lane) : table.look(key, lane))
    else {
      const now = kind === 'write' ? table.leave(key, lane) : table.traffic(key, lane)
      result.set(trip, now !== tickets.get(trip))
    }
  }
  return list.map((trip) => result.get(trip)!)
}

/** By definition: a write of the same key on another lane was in flight at some moment of this trip. */
function reallyMet(trip: Trip, list: readonly Trip[]): boolean {
  return list.some(
    (other) =>
      other.kind === 'write' &&
      other.key === trip.key &&
      other.lane !== trip.lane &&
      other.from < trip.to &&
      trip.from < other.to,
  )
}

describe('tickets', () => {
  test('no overlap is ever missed, on however many lanes', () => {
    fc.assert(
      fc.property(trips(4), (list) => {
        const found = met(new OverlapTable(CLOCK, 16), list)
        for (const [i, trip] of list.entries())
          if (reallyMet(trip, list)) expect(found[i], JSON.stringify(trip)).toBe(true)
      }),
      { numRuns: 1_000 },
    )
  })

  test('of two lanes, writes that did not overlap are not said to', () => {
    fc.assert(
      fc.property(trips(2), (list) => {
        const found = met(new OverlapTable(CLOCK, 16), list)
        for (const [i, trip] of list.entries()) {
          if (trip.kind === 'write') expect(found[i], JSON.stringify(trip)).toBe(reallyMet(trip, list))
        }
      }),
      { numRuns: 1_000 },
    )
  })

  test('on one lane no write ever overlaps', () => {
    fc.assert(
      fc.property(trips(1), (list) => {
        const found = met(new OverlapTable(CLOCK, 16), list)
        for (const [i, trip] of list.entries()) if (trip.kind === 'write') expect(found[i]).toBe(false)
      }),
    )
  })

  test('keys that share a slot are told to overlap, needlessly; never the other way round', () => {
    fc.assert(
      fc.property(trips(3), (list) => {
        const found = met(new OverlapTable(CLOCK, 1), list)
        for (const [i, trip] of list.entries()) if (reallyMet(trip, list)) expect(found[i]).toBe(true)
      }),
    )
  })

  test('when all have left, nothing is left of them', () => {
    fc.assert(
      fc.property(trips(4), (list) => {
        const table = new OverlapTable(CLOCK, 16)
        met(table, list)
        for (const key of [0, 1, 2]) {
          expect(table.laneOf(key)).toBe(0)
          const ticket = table.enter(key, 9)
          expect(table.laneOf(key)).toBe(9)
          expect(table.leave(key, 9)).toBe(ticket)
        }
      }),
    )
  })

  test('of several keys are one, which any of them spoils', () => {
    const table = new OverlapTable(CLOCK, 16)
    const ticket = addTickets(table.enter(1, 5), table.enter(2, 5))
    expect(table.enter(2, 6)).toBe(-1)
    expect(table.leave(1, 5) + table.leave(2, 5)).not.toBe(ticket)
    expect(addTickets(table.enter(1, 5), table.enter(2, 5))).toBe(-1)
  })

  test('tell on which lane a key is being written', () => {
    const table = new OverlapTable(CLOCK, 16)
    table.enter(1, 5)
    expect(table.laneOf(1)).toBe(5)
    table.enter(1, 6)
    expect(table.laneOf(1)).toBe(-1)
    table.leave(1, 5)
    expect(table.laneOf(1)).toBe(6)
  })
})

test('reads do not disturb writes, nor each other', () => {
  const table = new OverlapTable(CLOCK, 16)
  const write = table.enter(1, 5)
  expect(table.look(1, 6)).toBe(-1)
  const read = table.look(1, 5)
  expect(table.leave(1, 5)).toBe(write)
  expect(table.traffic(1, 5)).toBe(read)
  // Further writes of its own lane stand in one history with it.
  table.enter(1, 5)
  table.leave(1, 5)
  expect(table.traffic(1, 5)).toBe(read)
})

test('while every key of a store changes, nobody is alone', () => {
  const table = new OverlapTable(CLOCK, 16)
  const before = table.enter(1, 5)
  const looked = table.look(2, 5)
  table.beginSweep(NOBODY)
  expect(table.leave(1, 5)).not.toBe(before)
  expect(table.traffic(2, 5)).not.toBe(looked)
  expect(table.enter(1, 5)).toBe(-1)
  table.leave(1, 5)
  expect(table.look(1, 5)).toBe(-1)
  table.endSweep()
  const after = table.enter(1, 5)
  expect(table.leave(1, 5)).toBe(after)
})

describe('a sweep on one lane', () => {
  test('leaves that lane alone, and nobody else', () => {
    const table = new OverlapTable(CLOCK, 16)
    const [own, other] = [table.enter(1, 5), table.enter(2, 6)]
    const [ownLook, otherLook] = [table.look(3, 5), table.look(3, 6)]
    table.beginSweep(5)
    expect(table.leave(1, 5)).toBe(own)
    expect(table.leave(2, 6)).not.toBe(other)
    expect(table.traffic(3, 5)).toBe(ownLook)
    expect(table.traffic(3, 6)).not.toBe(otherLook)
    expect(table.look(3, 5)).toBe(ownLook)
    expect(table.look(3, 6)).toBe(-1)
    expect(table.enter(1, 5)).toBe(own)
    expect(table.enter(2, 6)).toBe(-1)
    table.beginSweep(6)
    expect(table.leave(1, 5)).not.toBe(own)
    expect(table.enter(1, 5)).toBe(-1)
  })

  test('is never missed by the tickets of another, in whatever order they are', () => {
    const moment = fc.record({ lane: fc.integer({ min: 1, max: 3 }), sweeps: fc.boolean(), ends: fc.nat(3) })
    fc.assert(
      fc.property(fc.array(moment, { maxLength: 40 }), (moments) => {
        const table = new OverlapTable(CLOCK, 16)
        const looks: { lane: number; at: number; ticket: number }[] = []
        const sweeps: { lane: number; from: number; to: number }[] = []
        for (const [at, { lane, sweeps: begins, ends }] of moments.entries()) {
          if (begins) {
            table.beginSweep(lane)
            sweeps.push({ lane, from: at, to: Number.POSITIVE_INFINITY })
          } else looks.push({ lane, at, ticket: table.look(lane, lane) })
          const open = sweeps.filter(({ to }) => to === Number.POSITIVE_INFINITY)
          if (ends === 0 && open.length > 0) {
            open[0]!.to = at
            table.endSweep()
          }
          for (const look of looks) {
            const met = sweeps.some(
              (sweep) =>
                sweep.lane !== look.lane && sweep.to >= look.at && (sweep.from > look.at || sweep.to > look.at),
            )
            if (met) expect(look.ticket === -1 || look.ticket !== table.traffic(look.lane, look.lane)).toBe(true)
          }
        }
      }),
    )
  })
})

test('what several keys are looked at by tells of a write to any of them, whichever lanes wrote to the others', () => {
  const write = fc.record({ key: fc.nat(2), lane: fc.integer({ min: 1, max: 2 }) })
  fc.assert(
    fc.property(fc.array(write), fc.array(write, { minLength: 1, maxLength: 3 }), (before, after) => {
      const table = new OverlapTable(CLOCK, 16)
      const make = (writes: typeof before): void => {
        for (const { key, lane } of writes) {
          table.enter(key, lane)
          table.leave(key, lane)
        }
      }
      const looks = (): number => [0, 1, 2].reduce((joined, key) => mix(joined, table.traffic(key, 1)), 0)
      make(before)
      const ticket = looks()
      make(after)
      if (after.some(({ lane }) => lane === 2)) expect(looks()).not.toBe(ticket)
    }),
    { numRuns: 2_000 },
  )
})
