import type { Reply } from '../../resp/reply.ts'
import { Glob } from '../../routing/glob.ts'
import type { Route } from '../../routing/route.ts'
import type { RouteTable } from '../../routing/route-table.ts'
import { type DatabaseOf, isPlain, listeningsOf, type SubscriptionKind } from '../../routing/subscriptions.ts'
import type { Store } from '../../upstream/store.ts'
import type { Pin } from '../session/pin.ts'
import type { Session } from '../session/session.ts'
import { type MoveOwner, moveSubscription } from './move-subscription.ts'
import type { Leg, SubscriberLegs } from './subscriber-legs.ts'
import { type Place, type Subscription, samePlaces } from './subscription.ts'
import { translatedMessages } from './subscription-messages.ts'

/**
 * Where one subscriber, or its MONITOR, listens: at which stores and under which names, as a route table says; and what their messages mean. When another table is in force it stays with the
 * old one until it is told to `move`: then it listens at the new places, too, and leaves the old ones when the new have confirmed. It has moved when these have confirmed that.
 */
export class SubscriberPlaces {
  readonly #subscriber: Pin
  readonly #session: Session
  readonly #legs: SubscriberLegs
  readonly #databaseOf: DatabaseOf
  #table: RouteTable
  #plain: boolean
  #abandoned = false

  /** `subscriber`: who a switch waits for while it moves. */
  constructor(subscriber: Pin, session: Session, legs: SubscriberLegs) {
    this.#subscriber = subscriber
    this.#session = session
    this.#legs = legs
    this.#databaseOf = (store) => session.path.stores[store]!.options.config.database
    this.#table = session.path.routes
    this.#plain = isPlain(this.#table, this.#databaseOf)
  }

  get route(): Route {
    return this.#table.fallback
  }

  /** Messages can go out as they come. */
  get plain(): boolean {
    return this.#plain
  }

  /** Another table is in force. */
  get isBehind(): boolean {
    return this.#table !== this.#session.path.routes
  }

  /** Where MONITOR listens. */
  get primary(): Store {
    return this.#session.path.primaryOf(this.#table.fallback)
  }

  /** To a name as the application gives it. Nobody has been asked for it yet. */
  subscription(kind: SubscriptionKind, name: Buffer): Subscription {
    const glob = kind === 'psubscribe' ? new Glob(name) : null
    return { kind, name, glob, announced: false, table: this.#table, at: this.#placesOf(kind, name) }
  }

  /** What the client is told of a message of one of its stores, where they are not plain: the items of each. */
  translated(leg: Leg, buf: Buffer, start: number, end: number): Reply[][] {
    const store = this.#session.path.stores.indexOf(leg.store)
    return translatedMessages(leg, store, buf, start, end, this.#databaseOf)
  }

  /** Goes to where the table in force says, with all that the client is subscribed to; `monitors`: and with its MONITOR. */
  move(all: readonly Subscription[], monitors: boolean): void {
    const { path } = this.#session
    const next = path.routes
    const wasPlain = this.#plain
    this.#enter(next)
    const targets = all.map((subscription) => this.#placesOf(subscription.kind, subscription.name))
    const monitorMoves = monitors && !this.#legs.monitorsAt(this.primary)
    const namesStay = wasPlain && this.#plain && all.every(({ at }, i) => samePlaces(at, targets[i]!))
    if (namesStay && !monitorMoves) {
      path.movingSubscribers.delete(this.#subscriber)
      return
    }
    this.#plain = false
    // What messages mean may change under names that stay: so every name is subscribed to again, and its confirmation is where the new meaning begins.
    path.movingSubscribers.add(this.#subscriber)
    this.#legs.keepOnly(new Set(targets.flat().map(({ store }) => store)))
    let moving = all.length + (monitorMoves ? 1 : 0)
    const isCurrent = (): boolean => !this.#abandoned && this.#table === next
    const arrived = (): void => {
      if (!isCurrent()) return
      this.#plain = isPlain(next, this.#databaseOf)
      path.movingSubscribers.delete(this.#subscriber)
    }
    if (moving === 0) arrived()
    const owner: MoveOwner = {
      isCurrent,
      refused: () => this.#session.socket.destroy(),
      arrived: () => {
        if (--moving === 0) arrived()
      },
    }
    if (monitorMoves)
      this.#legs.monitor(this.primary, (error) => {
        if (error !== null) owner.refused()
        else if (isCurrent()) owner.arrived()
      })
    for (const [i, subscription] of all.entries()) moveSubscription(this.#legs, subscription, targets[i]!, next, owner)
  }

  /** The client is gone: no switch waits for it. */
  abandon(): void {
    this.#abandoned = true
    this.#session.path.movingSubscribers.delete(this.#subscriber)
  }

  #enter(table: RouteTable): void {
    this.#table = table
    this.#plain = isPlain(table, this.#databaseOf)
  }

  #placesOf(kind: SubscriptionKind, name: Buffer): Place[] {
    const { path } = this.#session
    return listeningsOf(this.#table, kind, name, this.#databaseOf).map(({ store, name: at }) => ({
      store: path.stores[store]!,
      name: at,
    }))
  }
}
