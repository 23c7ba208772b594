import { expect, test } from 'vitest'
import { PendingSubscriptions } from '../../../src/proxy/pubsub/pending-subscriptions.ts'
import type { Session } from '../../../src/proxy/session/session.ts'

/** A client that publishes again as soon as it may go on, as one does that has sent many commands. */
function publisher(pending: PendingSubscriptions, commands: number): { session: Session; published: () => number } {
  let left = commands
  const session = {
    waiting: null as string | null,
    wake(): void {
      session.waiting = null
      while (left > 0) {
        if (pending.holdsBack(session as unknown as Session)) {
          session.waiting = 'answers'
          return
        }
        left--
      }
    },
  }
  return { session: session as unknown as Session, published: () => commands - left }
}

test('holds back for what was begun before, and for nothing that begins later', () => {
  const pending = new PendingSubscriptions()
  const first = pending.begin()
  const client = publisher(pending, 1)
  client.session.wake()
  expect(client.published()).toBe(0)
  const later = pending.begin()
  pending.end(first)
  expect(client.published()).toBe(1)
  pending.end(later)
  expect(client.published()).toBe(1)
})

test('a client’s next command waits for what has begun meanwhile, and is not forgotten', () => {
  const pending = new PendingSubscriptions()
  const first = pending.begin()
  const client = publisher(pending, 2)
  client.session.wake()
  const later = pending.begin()
  pending.end(first)
  expect(client.published()).toBe(1)
  expect(client.session.waiting).toBe('answers')
  pending.end(later)
  expect(client.published()).toBe(2)
  expect(client.session.waiting).toBe(null)
})

test('the first to end is not the first to have begun: everything before is waited for', () => {
  const pending = new PendingSubscriptions()
  const [first, second] = [pending.begin(), pending.begin()]
  const client = publisher(pending, 1)
  client.session.wake()
  pending.end(second)
  expect(client.published()).toBe(0)
  pending.end(first)
  expect(client.published()).toBe(1)
})

test('hundreds of thousands that end one by one before a client that waits for them all', () => {
  const pending = new PendingSubscriptions()
  const begun = Array.from({ length: 600_000 }, () => pending.begin())
  const client = publisher(pending, 1)
  client.session.wake()
  const last = begun.pop()!
  for (const id of begun) pending.end(id)
  expect(client.published()).toBe(0)
  pending.end(last)
  expect(client.published()).toBe(1)
  expect(pending.any).toBe(false)
})
