import { expect, test } from 'vitest'
import { RateWindow } from '../../src/compare/rate-window.ts'

const MINUTE = 60_000

test('counts go out of a window when it has passed over them', () => {
  const window = new RateWindow()
  window.record(0, 100, 1)
  window.record(5 * MINUTE, 10, 2)
  expect(window.sums(5 * MINUTE)).toEqual({
    '1m': { compared: 10, mismatched: 2 },
    '10m': { compared: 110, mismatched: 3 },
    '1h': { compared: 110, mismatched: 3 },
  })
  expect(window.sum(5 * MINUTE + 59_999, MINUTE).compared).toBe(10)
  expect(window.sum(6 * MINUTE, MINUTE).compared).toBe(0)
  expect(window.sum(59 * MINUTE, 60 * MINUTE).compared).toBe(110)
  expect(window.sum(60 * MINUTE, 60 * MINUTE).compared).toBe(10)
})

test('a place of the ring that comes round again begins at zero', () => {
  const window = new RateWindow()
  window.record(0, 7, 7)
  window.record(3_610_000, 1, 0)
  expect(window.sum(3_610_000, 3_600_000)).toEqual({ compared: 1, mismatched: 0 })
})
