import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Histogram } from '../../src/observability/histogram.ts'
import { quantile } from '../../src/observability/quantile.ts'

const BOUNDS = [0.001, 0.01, 0.1, 1]

test('nothing observed has no quantile', () => {
  expect(quantile(new Histogram(BOUNDS).snapshot(), 0.5)).toBeNull()
})

test('lies in the bucket of the observation that has its rank, whatever was observed', () => {
  const seconds = fc.double({ min: 0, max: 2, noNaN: true })
  fc.assert(
    fc.property(fc.array(seconds, { minLength: 1 }), fc.double({ min: 0.01, max: 1, noNaN: true }), (values, share) => {
      const histogram = new Histogram(BOUNDS)
      for (const value of values) histogram.record(value)
      const exact = values.toSorted((a, b) => a - b)[Math.ceil(share * values.length - 1e-9) - 1]!
      const bucket = BOUNDS.findIndex((bound) => exact <= bound)
      const found = quantile(histogram.snapshot(), share)!
      if (bucket < 0) expect(found).toBe(1)
      else {
        expect(found).toBeLessThanOrEqual(BOUNDS[bucket]!)
        expect(found).toBeGreaterThanOrEqual(bucket === 0 ? 0 : BOUNDS[bucket - 1]!)
      }
    }),
  )
})
