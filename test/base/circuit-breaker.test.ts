import { expect, test } from 'vitest'
import { CircuitBreaker } from '../../src/base/circuit-breaker.ts'

function open(breaker: CircuitBreaker, now: number): void {
  for (let i = 0; i < 3; i++) breaker.failed(now)
}

const options = { threshold: 3, firstPauseMs: 100, maxPauseMs: 300, probes: 2 }

test('opens after failures in a row, and a success begins the count anew', () => {
  const breaker = new CircuitBreaker(options)
  expect([breaker.failed(0), breaker.failed(0), breaker.succeeded()]).toEqual([false, false, false])
  expect([breaker.failed(0), breaker.failed(0), breaker.failed(0)]).toEqual([false, false, true])
  expect([breaker.state, breaker.allows(99)]).toEqual(['open', false])
})

test('lets a few through when the pause is over; pauses double up to a limit while these fail', () => {
  const breaker = new CircuitBreaker(options)
  open(breaker, 0)
  const pauses: number[] = []
  for (let now = 0; pauses.length < 4; now += 10) {
    if (!breaker.allows(now)) continue
    expect([breaker.allows(now), breaker.allows(now)]).toEqual([true, false])
    expect([breaker.failed(now), breaker.failed(now)]).toEqual([true, false])
    pauses.push(breaker.pauseMs)
  }
  expect(pauses).toEqual([200, 300, 300, 300])
})

test('a success closes it at once, and the next pause is the first again', () => {
  const breaker = new CircuitBreaker(options)
  open(breaker, 0)
  expect(breaker.allows(100)).toBe(true)
  expect([breaker.succeeded(), breaker.state, breaker.allows(100)]).toEqual([true, 'closed', true])
  open(breaker, 200)
  expect(breaker.pauseMs).toBe(100)
})

test('probes of which nobody says how they ended are followed by others', () => {
  const breaker = new CircuitBreaker(options)
  open(breaker, 0)
  expect([breaker.allows(100), breaker.allows(100), breaker.allows(150)]).toEqual([true, true, false])
  expect(breaker.allows(200)).toBe(true)
})
