import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { enterPin } from '../session/pin.ts'
import type { Session } from '../session/session.ts'
import { Subscriber } from './subscriber.ts'
import { isAnyHeld } from './subscription.ts'

/**
 * SUBSCRIBE and its kin, and MONITOR: connections of the client's own, one to each store that has something to say.
 *
 * RESP2: while subscribed only (P|S)(UN)SUBSCRIBE, PING, QUIT and RESET are allowed, as in Redis; after the last UNSUBSCRIBE the session is an ordinary one again.
 * RESP3: every other command goes its usual way meanwhile.
 *
 * Names are the application's; what they are called at the stores, and what of it the application must not see, `routing/subscriptions.ts` says. The client is told of
 * a subscription when every store has confirmed it. What goes another way waits until then: a client that subscribes and publishes in one breath gets its message,
 * and its replies come in order.
 *
 * A switch subscribes under the new names before it gives up the old ones. Until the new are confirmed the old table says what messages mean, and behind that
 * nothing is published under the old names but copies.
 */
export function startSubscribing(session: Session, view: CommandView, spec: CommandSpec): boolean {
  if (session.order.owed > 0) return session.waitFor('replies')
  if (isAnyHeld(session.path.routes)) return session.waitFor('hold')
  // From between WATCH and MULTI.
  const already = subscriberOf(session)
  if (already !== null) return already.dispatch(view, spec)
  const subscriber = new Subscriber(session, spec.handling !== 'takeover')
  enterPin(session, subscriber)
  return subscriber.dispatch(view, spec)
}

/** Null: the client has not subscribed. */
export function subscriberOf(session: Session): Subscriber | null {
  for (let pin = session.pin; pin !== null; pin = pin.outer) if (pin instanceof Subscriber) return pin
  return null
}
