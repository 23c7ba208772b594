import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Histogram } from '../../src/observability/histogram.ts'

const BOUNDS = [0.001, 0.01, 0.1]

describe('Histogram', () => {
  test('counts a value in the first bucket whose bound it does not exceed, bounds included', () => {
    const histogram = new Histogram(BOUNDS)
    for (const seconds of [0, 0.001, 0.0011, 0.1, 5]) histogram.record(seconds)
    expect(histogram.snapshot()).toEqual({ bounds: BOUNDS, counts: [2, 1, 1, 1], sum: 0.001 + 0.0011 + 0.1 + 5 })
  })

  test('does not count what is no duration', () => {
    const histogram = new Histogram(BOUNDS)
    histogram.record(Number.NaN)
    histogram.record(-1)
    expect(histogram.snapshot()).toEqual({ bounds: BOUNDS, counts: [0, 0, 0, 0], sum: 0 })
  })

  test('merging two histograms counts as if one had recorded everything', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 200 })), fc.array(fc.integer({ min: 0, max: 200 })), (a, b) => {
        const [left, right, both] = [new Histogram(BOUNDS), new Histogram(BOUNDS), new Histogram(BOUNDS)]
        for (const ms of a) left.record(ms / 1000)
        for (const ms of b) right.record(ms / 1000)
        for (const ms of [...a, ...b]) both.record(ms / 1000)
        left.merge(right.snapshot())
        expect(left.snapshot().counts).toEqual(both.snapshot().counts)
        expect(left.sum).toBeCloseTo(both.sum)
      }),
    )
  })

  test('refuses to merge other bounds, and bounds that do not ascend', () => {
    expect(() => new Histogram(BOUNDS).merge(new Histogram([1]).snapshot())).toThrow(RangeError)
    expect(() => new Histogram([1, 1])).toThrow(RangeError)
  })

  test('a snapshot does not change when recording goes on', () => {
    const histogram = new Histogram(BOUNDS)
    const before = histogram.snapshot()
    histogram.record(1)
    expect(before.counts).toEqual([0, 0, 0, 0])
  })
})
