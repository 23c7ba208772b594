import type { SubscriptionKind } from '../../routing/subscriptions.ts'
import type { Subscription } from './subscription.ts'

/** What one client is subscribed to, by the names that it gave. */
export class SubscribedNames {
  /** Names are latin1. */
  readonly #subscriptions: Record<SubscriptionKind, Map<string, Subscription>> = {
    subscribe: new Map(),
    psubscribe: new Map(),
    ssubscribe: new Map(),
  }

  get counts(): { readonly channels: number; readonly patterns: number; readonly shards: number } {
    const { subscribe, psubscribe, ssubscribe } = this.#subscriptions
    return { channels: subscribe.size, patterns: psubscribe.size, shards: ssubscribe.size }
  }

  get isEmpty(): boolean {
    const { subscribe, psubscribe, ssubscribe } = this.#subscriptions
    return subscribe.size + psubscribe.size + ssubscribe.size === 0
  }

  /** The number in a confirmation: channels and patterns count together, sharded channels apart. */
  toldCount(kind: SubscriptionKind): number {
    const { channels, patterns, shards } = this.counts
    return kind === 'ssubscribe' ? shards : channels + patterns
  }

  /** `name`: latin1. */
  has(kind: SubscriptionKind, name: string): boolean {
    return this.#subscriptions[kind].has(name)
  }

  add(subscription: Subscription): void {
    this.#subscriptions[subscription.kind].set(subscription.name.toString('latin1'), subscription)
  }

  /** Undefined: it was not subscribed to. */
  remove(kind: SubscriptionKind, name: Buffer): Subscription | undefined {
    const names = this.#subscriptions[kind]
    const text = name.toString('latin1')
    const subscription = names.get(text)
    names.delete(text)
    return subscription
  }

  ofKind(kind: SubscriptionKind): Subscription[] {
    return [...this.#subscriptions[kind].values()]
  }

  all(): Subscription[] {
    return Object.values(this.#subscriptions).flatMap((names) => [...names.values()])
  }
}
