import { decodeReply } from '../../resp/decode.ts'
import { Glob } from '../../routing/glob.ts'
import type { SubscriptionKind } from '../../routing/subscriptions.ts'
import type { StoreUser } from '../../upstream/connection/handshake.ts'
import type { Store } from '../../upstream/store.ts'
import { type Confirmed, itemsOf, type Leg, SubscriptionLeg } from './subscription-leg.ts'

/**
 * The subscriptions that many subscribers of one store share: one connection, on which each name is subscribed to once.
 *
 *   store ─▶ one frame ─▶ who wants that name ─┬─▶ subscriber
 *                                              └─▶ subscriber ...
 *
 * For those who are too many to have a connection each (`clients.subscriberConnections`). To the store they are one subscriber, and PUBLISH counts them as one: those that it does not count are
 * `uncounted`.
 */
export class SharedSubscriptions {
  readonly #hubs = new Map<Store, Map<string, Hub>>()

  get any(): boolean {
    return this.#hubs.size > 0
  }

  /** Subscribers of a channel, or of a shard's, which the store does not count. */
  uncounted(store: Store, kind: 'subscribe' | 'ssubscribe', channel: Buffer): number {
    return this.#sum(store, (hub) => hub.uncounted(kind, channel))
  }

  /** Those who get by patterns what is published to the channel. */
  uncountedByPattern(store: Store, channel: Buffer): number {
    return this.#sum(store, (hub) => hub.uncountedByPattern(channel))
  }

  #sum(store: Store, count: (hub: Hub) => number): number {
    let sum = 0
    for (const hub of this.#hubs.get(store)?.values() ?? []) sum += count(hub)
    return sum
  }

  leg<Listener>(
    store: Store,
    protocol: 2 | 3,
    user: StoreUser | null,
    onMessage: (buf: Buffer, start: number, end: number) => void,
    onLost: () => void,
  ): Leg<Listener> {
    let hubs = this.#hubs.get(store)
    if (hubs === undefined) this.#hubs.set(store, (hubs = new Map()))
    const key = `${protocol} ${user?.key ?? ''}`
    let hub = hubs.get(key)
    if (hub === undefined) {
      const made = new Hub(store, protocol, user, () => {
        if (hubs.get(key) === made) hubs.delete(key)
        if (hubs.size === 0) this.#hubs.delete(store)
      })
      hubs.set(key, made)
      hub = made
    }
    return new SharedLeg(hub, store, onMessage, onLost)
  }
}

/** The connection that is shared. */
class Hub {
  readonly leg: SubscriptionLeg<SharedLeg<unknown>>
  readonly members = new Set<SharedLeg<unknown>>()
  readonly #patterns = new Map<string, { readonly name: Buffer; readonly glob: Glob; wanted: number }>()
  readonly #onEmpty: () => void

  constructor(store: Store, protocol: 2 | 3, user: StoreUser | null, onEmpty: () => void) {
    this.#onEmpty = onEmpty
    this.leg = new SubscriptionLeg(
      store,
      0,
      protocol,
      user,
      (buf, start, end) => this.#message(buf, start, end),
      () => {
        onEmpty()
        for (const member of [...this.members]) member.onLost()
      },
    )
  }

  uncounted(kind: SubscriptionKind, name: Buffer): number {
    const listeners = this.leg.listeners(kind, name)
    return listeners === undefined ? 0 : Math.max(0, listeners.size - 1)
  }

  uncountedByPattern(channel: Buffer): number {
    let sum = 0
    for (const { name, glob } of this.#patterns.values()) {
      if (glob.matches(channel)) sum += this.uncounted('psubscribe', name)
    }
    return sum
  }

  /** A member begins, or ends, to want a name. */
  wants(kind: SubscriptionKind, name: Buffer, more: 1 | -1): void {
    if (kind !== 'psubscribe') return
    const text = name.toString('latin1')
    const pattern = this.#patterns.get(text) ?? { name, glob: new Glob(name), wanted: 0 }
    pattern.wanted += more
    if (pattern.wanted > 0) this.#patterns.set(text, pattern)
    else this.#patterns.delete(text)
  }

  left(member: SharedLeg<unknown>): void {
    this.members.delete(member)
    if (this.members.size > 0) return
    this.#onEmpty()
    this.leg.close()
  }

  #message(buf: Buffer, start: number, end: number): void {
    const [word, name] = itemsOf(decodeReply(buf, start, end))
    if (!Buffer.isBuffer(word) || !Buffer.isBuffer(name)) return
    const kind = `${word.toString('latin1').replace('message', '')}subscribe` as SubscriptionKind
    for (const member of this.leg.listeners(kind, name) ?? []) member.onMessage(buf, start, end)
  }
}

/** One subscriber's part of it. */
class SharedLeg<Listener> implements Leg<Listener> {
  readonly store: Store
  readonly onMessage: (buf: Buffer, start: number, end: number) => void
  readonly onLost: () => void
  readonly #hub: Hub
  readonly #names = new Map<
    string,
    { readonly kind: SubscriptionKind; readonly name: Buffer; readonly wanted: Set<Listener> }
  >()
  readonly #given = new Map<string, Set<Listener>>()
  #owed = 0

  constructor(
    hub: Hub,
    store: Store,
    onMessage: (buf: Buffer, start: number, end: number) => void,
    onLost: () => void,
  ) {
    this.#hub = hub
    this.store = store
    this.onMessage = onMessage
    this.onLost = onLost
    hub.members.add(this)
  }

  get idle(): boolean {
    return this.#names.size === 0 && this.#owed === 0
  }

  listen(kind: SubscriptionKind, name: Buffer, listener: Listener, confirmed: Confirmed): void {
    const id = `${kind} ${name.toString('latin1')}`
    let entry = this.#names.get(id)
    if (entry === undefined) {
      entry = { kind, name, wanted: new Set() }
      this.#names.set(id, entry)
      this.#hub.wants(kind, name, 1)
    }
    entry.wanted.add(listener)
    this.#owed++
    this.#hub.leg.listen(kind, name, this, (error) => {
      this.#owed--
      if (error === null) {
        const given = this.#given.get(id)
        if (given === undefined) this.#given.set(id, new Set([listener]))
        else given.add(listener)
      } else this.#forget(id, listener)
      confirmed(error)
    })
  }

  leave(kind: SubscriptionKind, name: Buffer, listener: Listener, confirmed: Confirmed): void {
    const id = `${kind} ${name.toString('latin1')}`
    this.#forget(id, listener)
    const left = (error: Buffer | null): void => {
      this.ignore(kind, name, listener)
      confirmed(error)
    }
    if (this.#names.has(id)) return left(null)
    this.#owed++
    this.#hub.leg.leave(kind, name, this, (error) => {
      this.#owed--
      left(error)
    })
  }

  ignore(kind: SubscriptionKind, name: Buffer, listener: Listener): void {
    const id = `${kind} ${name.toString('latin1')}`
    const given = this.#given.get(id)
    if (given?.delete(listener) === true && given.size === 0) this.#given.delete(id)
  }

  listeners(kind: SubscriptionKind, name: Buffer): ReadonlySet<Listener> | undefined {
    return this.#given.get(`${kind} ${name.toString('latin1')}`)
  }

  ping(answered: Confirmed): void {
    this.#hub.leg.ping(answered)
  }

  /** It is that of others, too, who stay who they are: the client subscribes anew, as that user. */
  changeUser(): void {
    this.onLost()
  }

  close(): void {
    for (const { kind, name } of this.#names.values()) {
      this.#hub.wants(kind, name, -1)
      this.#hub.leg.leave(kind, name, this, () => {})
    }
    this.#names.clear()
    this.#hub.left(this)
  }

  #forget(id: string, listener: Listener): void {
    const entry = this.#names.get(id)
    if (entry?.wanted.delete(listener) !== true || entry.wanted.size > 0) return
    this.#names.delete(id)
    this.#hub.wants(entry.kind, entry.name, -1)
  }
}
