import type { RouteTable } from '../../routing/route-table.ts'
import type { SubscriberLegs } from './subscriber-legs.ts'
import { isAmong, type Place, type Subscription } from './subscription.ts'

/** What becomes of a move. */
export interface MoveOwner {
  /** False: the client has gone, or another switch has come. */
  isCurrent(): boolean
  /** The client has to learn what the new store refuses: it is disconnected, and told when it subscribes anew. */
  refused(): void
  /** Every new place has confirmed, and every one it has left: nothing is said there to this client any more. */
  arrived(): void
}

/**
 * Subscribes to a name where a new table says, and gives its former places up once that is confirmed: no message between the two is missed. It has arrived when these have confirmed as well: what is
 * published from then on is said at the new places alone, though the mirror says it at the former ones, too, and none is heard twice.
 */
export function moveSubscription(
  legs: SubscriberLegs,
  subscription: Subscription,
  to: readonly Place[],
  table: RouteTable,
  owner: MoveOwner,
): void {
  let waiting = to.length
  // What is asked for is to be given up too, should the next switch come before the answer.
  subscription.at = [...subscription.at, ...to.filter((place) => !isAmong(place, subscription.at))]
  const confirmed = (error: Buffer | null): void => {
    if (error !== null) owner.refused()
    if (--waiting > 0 || !owner.isCurrent()) return
    const left = subscription.at.filter((old) => !isAmong(old, to))
    subscription.at = to
    subscription.table = table
    let leaving = left.length
    if (leaving === 0) owner.arrived()
    for (const place of left) {
      legs.leave(subscription, place, () => {
        if (--leaving === 0) owner.arrived()
      })
    }
  }
  for (const place of to) {
    // False: confirmed at once, for somebody else listens there already.
    let asked = false
    legs.to(place.store).listen(subscription.kind, place.name, subscription, (error) => {
      // A former pattern there may match the same messages: those behind the confirmation come by the new one.
      if (asked && error === null && owner.isCurrent()) {
        for (const old of subscription.at)
          if (old.store === place.store && !isAmong(old, to)) legs.ignore(subscription, old)
      }
      confirmed(error)
    })
    asked = true
  }
}
