import { expect, test } from 'vitest'
import { BusyQueues } from '../../../src/proxy/blocking/busy-queues.ts'

test('a key is busy once takes among writes have been answered at once three times within a second', () => {
  const queues = new BusyQueues()
  for (const nowMs of [0, 900, 1_100, 2_000]) queues.tookAtOnce(7, false, nowMs)
  expect(queues.isBusy(7, 2_000)).toBe(false)
  queues.tookAtOnce(7, false, 2_050)
  expect([queues.isBusy(7, 2_050), queues.isBusy(8, 2_050)]).toEqual([true, false])
})

test('a key from which was taken twice in a row while nobody wrote has a backlog: busy until a try takes nothing, or nobody tries', () => {
  const queues = new BusyQueues()
  for (const nowMs of [0, 70_000]) queues.tookAtOnce(7, true, nowMs)
  expect(queues.isBusy(7, 70_000)).toBe(false)
  queues.waited(7)
  queues.tookAtOnce(7, true, 79_000)
  expect(queues.isBusy(7, 79_000)).toBe(false)
  queues.tookAtOnce(7, true, 80_000)
  expect([queues.isBusy(7, 84_999), queues.isBusy(7, 85_000)]).toEqual([true, false])
  queues.tried(7, true, 84_000)
  expect([queues.isBusy(7, 88_999), queues.isBusy(7, 89_000)]).toEqual([true, false])
  queues.tried(7, false, 85_000)
  expect(queues.isBusy(7, 85_000)).toBe(false)
  queues.tookAtOnce(7, true, 85_100)
  expect(queues.isBusy(7, 85_100)).toBe(false)
})

test('of more keys than are kept the first are forgotten', () => {
  const queues = new BusyQueues()
  for (let hash = 0; hash < 5_000; hash++) for (let i = 0; i < 2; i++) queues.tookAtOnce(hash, true, 0)
  expect([queues.isBusy(0, 1), queues.isBusy(4_999, 1)]).toEqual([false, true])
})
