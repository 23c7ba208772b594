import { beforeEach, expect, test } from 'vitest'
import { PendingSubscriptions } from '../../../src/proxy/pubsub/pending-subscriptions.ts'
import { OwedAnswers } from '../../../src/proxy/session/owed-answers.ts'
import type { Session } from '../../../src/proxy/session/session.ts'

const ERROR = Buffer.from('-NOPERM no\r\n')
const pending = new PendingSubscriptions()
const session = {
  replyMode: 'on',
  path: { pendingSubscriptions: pending },
  push: (buf: Buffer, start: number, end: number) => happened.push(buf.toString('latin1', start, end)),
}
let happened: string[]
let owed: OwedAnswers

beforeEach(() => {
  happened = []
  session.replyMode = 'on'
  owed = new OwedAnswers(session as unknown as Session, {
    refused: () => happened.push('refused'),
    told: () => happened.push('told'),
    allTold: () => happened.push('all told'),
  })
})

test('an answer is told when all has been asked for and every store has confirmed', () => {
  const answer = owed.begin(true)
  answer.frames.push(Buffer.from('a'), Buffer.from('b'))
  answer.waiting += 2
  owed.confirmed(answer, null)
  owed.confirmed(answer, null)
  expect(happened).toEqual([])
  expect(pending.any).toBe(true)
  owed.confirmed(answer, null)
  expect(happened).toEqual(['a', 'b', 'told', 'all told'])
  expect(pending.any).toBe(false)
  expect(owed.any).toBe(false)
})

test('one that is confirmed early waits for those before it', () => {
  const [first, second] = [owed.begin(true), owed.begin(true)]
  first.frames.push(Buffer.from('a'))
  second.frames.push(Buffer.from('b'))
  owed.confirmed(second, null)
  expect(happened).toEqual([])
  owed.confirmed(first, null)
  expect(happened).toEqual(['a', 'told', 'b', 'told', 'all told'])
})

test('refused by one store, it is the error that is told, when the others have answered too', () => {
  const answer = owed.begin(true)
  answer.frames.push(Buffer.from('a'))
  answer.waiting++
  owed.confirmed(answer, ERROR)
  expect(happened).toEqual([])
  owed.confirmed(answer, null)
  expect(happened).toEqual(['refused', ERROR.toString(), 'told', 'all told'])
})

test('CLIENT REPLY SKIP skips its error and ends with it; not with what EXEC has begun', () => {
  session.replyMode = 'skip'
  owed.confirmed(owed.begin(false), null)
  expect(session.replyMode).toBe('skip')
  owed.confirmed(owed.begin(true), ERROR)
  expect(session.replyMode).toBe('on')
  expect(happened).toEqual(['told', 'all told', 'refused', 'told', 'all told'])
})

test('PUBLISH waits no longer than for the stores, or for the client to go', () => {
  const [confirmed, abandoned] = [owed.begin(false), owed.begin(true)]
  owed.confirmedUntold(confirmed)
  expect(pending.any).toBe(true)
  owed.abandon()
  expect(pending.any).toBe(false)
  owed.confirmed(abandoned, null)
  expect(happened).toEqual([])
})
