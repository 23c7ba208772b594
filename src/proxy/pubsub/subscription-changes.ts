import { keptCopy } from '../../base/kept-copy.ts'
import type { CommandView } from '../../resp/command-view.ts'
import type { SubscriptionKind } from '../../routing/subscriptions.ts'
import { bytesArg } from '../session/arguments.ts'
import type { OwedAnswer, OwedAnswers } from '../session/owed-answers.ts'
import type { Session } from '../session/session.ts'
import type { EarlySubscriptions } from './early-subscriptions.ts'
import type { SubscribedNames } from './subscribed-names.ts'
import type { SubscriberLegs } from './subscriber-legs.ts'
import type { SubscriberPlaces } from './subscriber-places.ts'
import type { Subscription } from './subscription.ts'
import { messageFrame } from './subscription-messages.ts'

/** What a subscriber's SUBSCRIBE, UNSUBSCRIBE and their like do: the stores are asked, and the answers for the client put together while these have not said yet what they think of it. */
export class SubscriptionChanges {
  readonly #session: Session
  readonly #names: SubscribedNames
  readonly #legs: SubscriberLegs
  readonly #places: SubscriberPlaces
  readonly #owed: OwedAnswers

  constructor(
    session: Session,
    names: SubscribedNames,
    legs: SubscriberLegs,
    places: SubscriberPlaces,
    owed: OwedAnswers,
  ) {
    this.#session = session
    this.#names = names
    this.#legs = legs
    this.#places = places
    this.#owed = owed
  }

  /** `name`: the command's. `early`: what the stores have been asked for already. */
  make(view: CommandView, name: string, owed: OwedAnswer, early: EarlySubscriptions | null): void {
    const kind = name.toLowerCase().replace('un', '') as SubscriptionKind
    if (name.includes('UNSUBSCRIBE')) this.#unsubscribe(view, kind, owed)
    else this.#subscribe(view, kind, owed, early)
  }

  /** Asks the stores; each says what it thinks of it, here and now where that is known. */
  begin(subscription: Subscription, owed: OwedAnswer, confirmed: (error: Buffer | null) => void): void {
    const { kind, at } = subscription
    owed.waiting += at.length
    for (const place of at) this.#legs.to(place.store).listen(kind, place.name, subscription, confirmed)
  }

  /** They were refused, after all. */
  takeBack(added: readonly Subscription[]): void {
    for (const { kind, name } of added) this.#names.remove(kind, name)
    this.leave(added)
  }

  /** Nobody waits for the stores' answers. */
  leave(subscriptions: Iterable<Subscription>): void {
    for (const subscription of subscriptions)
      for (const place of subscription.at) this.#legs.leave(subscription, place, () => {})
  }

  #subscribe(view: CommandView, kind: SubscriptionKind, owed: OwedAnswer, prepared: EarlySubscriptions | null): void {
    for (let i = 1; i < view.argc; i++) {
      const name = keptCopy(view.buf, view.start[i]!, view.end[i]!)
      const text = name.toString('latin1')
      if (!this.#names.has(kind, text)) {
        const early = prepared?.take(kind, text) ?? null
        if (Buffer.isBuffer(early)) {
          owed.frames.push(early)
          continue
        }
        const subscription = early ?? this.#places.subscription(kind, name)
        if (early === null) this.begin(subscription, owed, (error) => this.#owed.confirmed(owed, error))
        this.#names.add(subscription)
        owed.added.push(subscription)
      }
      owed.frames.push(this.#answer(Buffer.from(kind), name, kind))
    }
  }

  #unsubscribe(view: CommandView, kind: SubscriptionKind, owed: OwedAnswer): void {
    const word = Buffer.from(kind.replace('subscribe', 'unsubscribe'))
    const given: Buffer[] = []
    for (let i = 1; i < view.argc; i++) given.push(bytesArg(view, i))
    const all = view.argc === 1 ? this.#names.ofKind(kind).map(({ name }) => name) : given
    for (const name of all) {
      const subscription = this.#names.remove(kind, name)
      for (const place of subscription?.at ?? []) {
        owed.waiting++
        this.#legs.leave(subscription!, place, (error) => this.#owed.confirmed(owed, error))
      }
      owed.frames.push(this.#answer(word, name, kind))
    }
    if (all.length === 0) owed.frames.push(this.#answer(word, null, kind))
  }

  #answer(word: Buffer, name: Buffer | null, kind: SubscriptionKind): Buffer {
    return messageFrame(this.#session.protocol, [word, name, this.#names.toldCount(kind)])
  }
}
