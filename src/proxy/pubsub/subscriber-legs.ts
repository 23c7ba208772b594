import type { StoreUser } from '../../upstream/connection/handshake.ts'
import type { Store } from '../../upstream/store.ts'
import type { Session } from '../session/session.ts'
import type { Place, Subscription } from './subscription.ts'
import { type Leg as AnyLeg, type Confirmed, SubscriptionLeg } from './subscription-leg.ts'

export type Leg = AnyLeg<Subscription>
type OwnLeg = SubscriptionLeg<Subscription>

/**
 * What one subscriber has at its stores: a leg at each, opened when it is needed and closed when nothing is wanted of it any more. A leg is a connection of its own as long as
 * `clients.subscriberConnections` allows; the next ones share. MONITOR has one of its own in any case: it ends by closing it, whatever the client is subscribed to.
 */
export class SubscriberLegs {
  readonly #session: Session
  readonly #mayShare: boolean
  readonly #onMessage: (leg: Leg, buf: Buffer, start: number, end: number) => void
  readonly #legs = new Map<Store, Leg>()
  /** Of these nothing is wanted any more once the new ones have confirmed: they may go. */
  readonly #former = new Set<Leg>()
  /** What MONITOR shows comes from the last; the others go as soon as that has confirmed. */
  readonly #monitoring: OwnLeg[] = []

  #settling: { readonly asked: Set<Leg>; readonly answered: () => void } | null = null

  /** `onMessage`: a view, valid during the call. */
  constructor(
    session: Session,
    mayShare: boolean,
    onMessage: (leg: Leg, buf: Buffer, start: number, end: number) => void,
  ) {
    this.#session = session
    this.#mayShare = mayShare
    this.#onMessage = onMessage
  }

  monitorsAt(store: Store): boolean {
    return this.#monitoring.at(-1)?.store === store
  }

  /** The one at `store`, which is wanted from now on. */
  to(store: Store): Leg {
    const leg = this.#legs.get(store) ?? this.#open(store)
    this.#legs.set(store, leg)
    this.#former.delete(leg)
    return leg
  }

  /** What is said there is not for it any more, before it leaves. */
  ignore(subscription: Subscription, place: Place): void {
    this.#legs.get(place.store)?.ignore(subscription.kind, place.name, subscription)
  }

  leave(subscription: Subscription, place: Place, confirmed: Confirmed): void {
    const leg = this.#legs.get(place.store)
    if (leg === undefined) return confirmed(null)
    leg.leave(subscription.kind, place.name, subscription, (error) => {
      confirmed(error)
      if (leg.idle && this.#legs.get(place.store) === leg) this.#close(leg)
    })
  }

  /** A switch: those elsewhere than at `stores` may go by themselves. */
  keepOnly(stores: ReadonlySet<Store>): void {
    for (const [store, leg] of this.#legs) if (!stores.has(store)) this.#former.add(leg)
  }

  /** Told when all that the stores have sent before is here, by those legs that stay so long. One question at a time. */
  settled(answered: () => void): void {
    const asked = new Set(this.#legs.values())
    this.#settling = { asked, answered }
    for (const leg of asked) leg.ping(() => this.#answered(leg))
    this.#answered(null)
  }

  #answered(leg: Leg | null): void {
    const settling = this.#settling
    if (settling === null) return
    if (leg !== null) settling.asked.delete(leg)
    if (settling.asked.size > 0) return
    this.#settling = null
    settling.answered()
  }

  /** MONITOR at `store`, and soon nowhere else. A refusal leaves it as it was. */
  monitor(store: Store, confirmed: Confirmed): void {
    const leg = this.#openOwn(store)
    this.#monitoring.push(leg)
    leg.monitor((error) => {
      const at = this.#monitoring.indexOf(leg)
      const ended = error === null ? this.#monitoring.splice(0, at) : this.#monitoring.splice(at, 1)
      for (const one of ended) this.#end(one)
      confirmed(error)
    })
  }

  changeUser(user: StoreUser | null, password: string): void {
    for (const leg of this.#legs.values()) leg.changeUser(user, password)
  }

  closeAll(): void {
    for (const leg of [...this.#legs.values()]) this.#close(leg)
    for (const leg of this.#monitoring.splice(0)) this.#end(leg)
  }

  #open(store: Store): Leg {
    const { protocol, user, path } = this.#session
    if (!this.#mayShare || path.subscriberConnections < path.clients.subscriberConnections) return this.#openOwn(store)
    const opened: Leg = path.sharedSubscriptions.leg(
      store,
      protocol,
      user,
      (buf, start, end) => this.#onMessage(opened, buf, start, end),
      () => this.#lost(opened),
    )
    return opened
  }

  #openOwn(store: Store): OwnLeg {
    const { database, protocol, user, path } = this.#session
    path.subscriberConnections++
    const opened: OwnLeg = new SubscriptionLeg(
      store,
      database,
      protocol,
      user,
      (buf, start, end) => this.#onMessage(opened, buf, start, end),
      () => this.#lost(opened),
    )
    return opened
  }

  #close(leg: Leg): void {
    this.#legs.delete(leg.store)
    this.#former.delete(leg)
    this.#end(leg)
    this.#answered(leg)
  }

  #end(leg: Leg): void {
    if (leg instanceof SubscriptionLeg) this.#session.path.subscriberConnections--
    leg.close()
  }

  /** A subscriber whose store is gone would wait for ever: it is disconnected, as by the store itself, and subscribes anew. */
  #lost(leg: Leg): void {
    const monitors = this.#monitoring.indexOf(leg as OwnLeg)
    if (this.#former.has(leg)) this.#close(leg)
    else if (monitors === -1 || monitors === this.#monitoring.length - 1) this.#session.socket.destroy()
    else for (const ended of this.#monitoring.splice(monitors, 1)) this.#end(ended)
  }
}
