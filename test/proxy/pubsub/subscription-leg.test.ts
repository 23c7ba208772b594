import { expect, test } from 'vitest'
import { SubscriptionLeg } from '../../../src/proxy/pubsub/subscription-leg.ts'
import type { Pipeline } from '../../../src/upstream/pipeline/pipeline.ts'
import type { Store } from '../../../src/upstream/store.ts'

/** More than an array gives away one by one within the time of a test. */
const MANY = 600_000
const PONG = Buffer.from('+PONG\r\n')
const REFUSED = Buffer.from('-NOPERM no\r\n')

test('hundreds of thousands of answers that a store owes are told one by one, in order, in a moment', () => {
  const pipeline = { pushRelayed: () => {} } as unknown as Pipeline
  const store = { dedicated: { borrow: () => pipeline, discard: () => {} } } as unknown as Store
  const leg = new SubscriptionLeg<string>(
    store,
    0,
    2,
    null,
    () => {},
    () => {},
  )
  const told: number[] = []
  const errors: (string | undefined)[] = []
  for (let i = 0; i < MANY; i++)
    leg.ping((error) => {
      told.push(i)
      if (error !== null) errors.push(error.toString())
    })
  for (let i = 0; i < MANY; i++) {
    const frame = i === MANY - 2 ? REFUSED : PONG
    pipeline.onPush!(frame, 0, frame.length)
  }
  expect(leg.idle).toBe(true)
  expect(told.findIndex((number, i) => number !== i)).toBe(-1)
  expect([told.length, errors]).toEqual([MANY, [REFUSED.toString()]])
})
