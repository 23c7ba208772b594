import type { SubscriptionKind } from '../../routing/subscriptions.ts'
import { EarlyMessages } from './early-messages.ts'
import type { Leg } from './subscriber-legs.ts'
import type { Subscription } from './subscription.ts'

/** Of a transaction: the stores have been asked for what it subscribes to, the client has not been told. */
export class EarlySubscriptions {
  readonly messages: EarlyMessages<Leg> = new EarlyMessages()
  readonly #subscriptions = new Map<string, Subscription>()
  /** The store's words about those that it does not allow. */
  readonly #refused = new Map<string, Buffer>()

  /** Names are latin1. */
  has(kind: SubscriptionKind, name: string): boolean {
    return this.#subscriptions.has(idOf(kind, name))
  }

  add(subscription: Subscription): void {
    this.#subscriptions.set(idOf(subscription.kind, subscription.name.toString('latin1')), subscription)
  }

  refuse(kind: SubscriptionKind, name: string, error: Buffer): void {
    this.#refused.set(idOf(kind, name), error)
  }

  /** The one that was asked for, once; or why the store does not allow it; null: it was not asked for. */
  take(kind: SubscriptionKind, name: string): Subscription | Buffer | null {
    const id = idOf(kind, name)
    const subscription = this.#subscriptions.get(id)
    if (subscription === undefined) return null
    const refused = this.#refused.get(id)
    if (refused !== undefined) return refused
    this.#subscriptions.delete(id)
    return subscription
  }

  /** What nobody has taken. */
  left(): Iterable<Subscription> {
    return this.#subscriptions.values()
  }
}

function idOf(kind: SubscriptionKind, name: string): string {
  return `${kind} ${name}`
}
