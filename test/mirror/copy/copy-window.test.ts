import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CopyWindow } from '../../../src/mirror/copy/copy-window.ts'

/** Copies that find `perMs` of them done in a millisecond, after a way of `wayMs` there and back: what one takes grows with what is under way. */
function settledWindow(wayMs: number, perMs: number): { size: number; takesMs: number } {
  const window = new CopyWindow()
  const takesMs = (): number => Math.max(wayMs, window.size / perMs)
  for (let nowMs = 1; nowMs < 20_000; nowMs++) {
    window.full()
    // The first of those under way does not wait for the others.
    window.took(nowMs % 100 === 0 ? wayMs : takesMs(), nowMs)
  }
  return { size: window.size, takesMs: takesMs() }
}

test('whatever the distance and the speed of the stores, copies wait little more than two milliseconds for each other, and the stores have enough to do', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0.1, max: 50, noNaN: true }),
      fc.double({ min: 20, max: 200, noNaN: true }),
      (way, per) => {
        const { size, takesMs } = settledWindow(way, per)
        const [least, most] = [32, 4096]
        expect(takesMs).toBeLessThan(way + 2 + 20 / per + 0.1)
        // Enough that the stores are never idle.
        expect(size).toBeGreaterThanOrEqual(Math.min(most, Math.max(least, way * per * 0.9)))
      },
    ),
    { numRuns: 50 },
  )
})

test('one key that takes long does not close the window, and no key opens it that nobody waits behind', () => {
  const window = new CopyWindow()
  for (let nowMs = 1; nowMs < 1_000; nowMs++) {
    window.full()
    window.took(0.3, nowMs)
  }
  const wide = window.size
  for (let nowMs = 1_000; nowMs < 1_100; nowMs++) window.took(nowMs === 1_050 ? 5_000 : 0.3, nowMs)
  expect(window.size).toBeGreaterThan(wide / 2)
  const before = window.size
  for (let nowMs = 1_100; nowMs < 2_000; nowMs++) window.took(0.3, nowMs)
  expect(window.size).toBe(before)
})
