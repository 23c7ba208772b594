import type { CommandSpec } from '../command/spec.ts'
import { PLUS } from '../resp/bytes.ts'
import type { CommandView } from '../resp/command-view.ts'
import { encodeReply } from '../resp/encode.ts'
import { PushReply, type Reply } from '../resp/reply.ts'
import { Glob } from '../routing/glob.ts'
import type { Route } from '../routing/route.ts'
import type { RouteTable } from '../routing/route-table.ts'
import { type DatabaseOf, isPlain, listeningsOf, type SubscriptionKind } from '../routing/subscriptions.ts'
import { bytesArg } from './arguments.ts'
import { arityFits, refuseByArity } from './arity.ts'
import { EarlySubscriptions } from './early-subscriptions.ts'
import { isOwnWord } from './monitor-feed.ts'
import { type MoveOwner, moveSubscription } from './move-subscription.ts'
import { OwnMessages, sendPublishing } from './own-messages.ts'
import { leavePin, type Pin } from './pin.ts'
import { refuseWhileSubscribed } from './pubsub-commands.ts'
import type { Session } from './session.ts'
import { type Leg, SubscriberLegs } from './subscriber-legs.ts'
import { isAnyHeld, type OwedAnswer, type Place, type Subscription, samePlaces } from './subscription.ts'
import { inProtocol, translatedMessages } from './subscription-messages.ts'

const KINDS: readonly SubscriptionKind[] = ['subscribe', 'psubscribe', 'ssubscribe']

/** One client's subscriptions, or its MONITOR, until the last has ended. See `startSubscribing`. */
export class Subscriber implements Pin {
  readonly kind = 'subscriber'
  outer: Pin | null = null
  readonly #session: Session
  readonly #monitor: boolean
  readonly #databaseOf: DatabaseOf
  readonly #subscriptions: Record<SubscriptionKind, Map<string, Subscription>> = {
    subscribe: new Map(),
    psubscribe: new Map(),
    ssubscribe: new Map(),
  }
  readonly #legs: SubscriberLegs
  readonly #own: OwnMessages
  readonly #owed: OwedAnswer[] = []
  #table: RouteTable
  #plain: boolean
  /** A switch came while answers were owed: it moves when they are there. */
  #moves = false
  /** What a transaction is about to subscribe to, while its EXEC is owed. */
  #ahead: { readonly owed: OwedAnswer; readonly early: EarlySubscriptions } | null = null
  #gone = false

  constructor(session: Session, monitor: boolean) {
    this.#session = session
    this.#monitor = monitor
    this.#legs = new SubscriberLegs(session, !monitor, (leg, buf, start, end) => this.#onMessage(leg, buf, start, end))
    this.#own = new OwnMessages(session, this.#legs, (leg, buf, start, end) => this.#onMessage(leg, buf, start, end))
    this.#databaseOf = (store) => session.path.stores[store]!.options.config.database
    this.#table = session.path.routes
    this.#plain = isPlain(this.#table, this.#databaseOf)
  }

  get route(): Route {
    return this.#table.fallback
  }

  get flag(): string {
    return this.#monitor ? 'O' : 'P'
  }

  get subscriptions(): { readonly channels: number; readonly patterns: number; readonly shards: number } {
    const { subscribe, psubscribe, ssubscribe } = this.#subscriptions
    return { channels: subscribe.size, patterns: psubscribe.size, shards: ssubscribe.size }
  }

  /** From RESP3 back to RESP2: the connections stay, their messages are told in the client's protocol. The other way Redis lets no subscriber go. */
  changeProtocol(): void {}

  get owesAnswers(): boolean {
    return this.#owed.length > 0 || this.#session.ownMessages !== null
  }

  get ownMessages(): OwnMessages | null {
    return this.#monitor ? null : this.#own
  }

  dispatch(view: CommandView, spec: CommandSpec | null): boolean {
    const session = this.#session
    const name = spec?.name ?? ''
    const ownWay = spec?.handling === 'subscribe' || spec?.handling === 'takeover'
    // What is wrong with it is said behind the answers that are owed.
    if (ownWay && this.#owed.length > 0 && !arityFits(spec, view.argc)) return session.waitFor('pin')
    if (ownWay) return refuseByArity(session, view, spec) || this.#subscription(view, name)
    // A client that monitors may go on with other commands, as at a server.
    const restricted = session.protocol === 2 && !this.#monitor
    if (this.#owed.length > 0) return session.waitFor('pin')
    if (name === 'PING' && restricted) {
      this.#ping(view)
      return true
    }
    if (name === 'QUIT' || name === 'RESET') {
      if (session.order.owed > 0) return session.waitFor('replies')
      this.abandon()
      leavePin(session, this)
      return session.dispatch(view)
    }
    if (!restricted)
      return sendPublishing(session, spec, () =>
        this.outer === null ? session.dispatchUnpinned(view, spec) : this.outer.dispatch(view, spec),
      )
    return refuseWhileSubscribed(session, view, spec)
  }

  #ping(view: CommandView): void {
    if (view.argc > 2) this.#session.answerError("ERR wrong number of arguments for 'ping' command")
    else this.#session.answer(this.#frame([PONG, view.argc === 2 ? bytesArg(view, 1) : EMPTY]))
  }

  // --- subscribing

  #subscription(view: CommandView, name: string): boolean {
    const session = this.#session
    if (isAnyHeld(session.path.routes)) return session.waitFor('hold')
    // Replies under way by another connection come first.
    if (session.order.owed > 0) return session.waitFor('replies')
    // Held by one until everything has been asked for, so that it is answered as a whole.
    const pendingId = session.path.pendingSubscriptions.begin()
    const owed: OwedAnswer = { pendingId, waiting: 1, error: null, frames: [], added: [] }
    this.#owed.push(owed)
    if (name === 'MONITOR') this.#startMonitor(owed)
    else this.#change(view, name, owed)
    this.#confirmed(owed, null)
    return true
  }

  #change(view: CommandView, name: string, owed: OwedAnswer): void {
    const kind = name.toLowerCase().replace('un', '') as SubscriptionKind
    if (name.includes('UNSUBSCRIBE')) this.#unsubscribe(view, kind, owed)
    else this.#subscribe(view, kind, owed)
  }

  #startMonitor(owed: OwedAnswer): void {
    if (this.#session.replyMode === 'on') owed.frames.push(OK)
    owed.waiting++
    this.#legs.to(this.#session.path.primaryOf(this.#table.fallback)).monitor((error) => {
      if (error === null && !this.#gone) this.#session.path.monitors.add(this.#session)
      this.#confirmed(owed, error)
    })
  }

  #subscribe(view: CommandView, kind: SubscriptionKind, owed: OwedAnswer): void {
    const names = this.#subscriptions[kind]
    for (let i = 1; i < view.argc; i++) {
      const name = bytesArg(view, i)
      const text = name.toString('latin1')
      if (!names.has(text)) {
        const early = this.#ahead?.early.take(kind, text) ?? null
        if (Buffer.isBuffer(early)) {
          owed.frames.push(early)
          continue
        }
        const subscription = early ?? this.#begin(kind, name, owed, (error) => this.#confirmed(owed, error))
        names.set(text, subscription)
        owed.added.push(subscription)
      }
      owed.frames.push(this.#frame([Buffer.from(kind), name, this.#count(kind)]))
    }
  }

  /** Asks the stores; each says what it thinks of it. */
  #begin(
    kind: SubscriptionKind,
    name: Buffer,
    owed: OwedAnswer,
    confirmed: (error: Buffer | null) => void,
  ): Subscription {
    const glob = kind === 'psubscribe' ? new Glob(name) : null
    const at = this.#placesOf(kind, name)
    const subscription: Subscription = { kind, name, glob, announced: false, table: this.#table, at }
    owed.waiting += at.length
    for (const place of at) this.#legs.to(place.store).listen(kind, place.name, subscription, confirmed)
    return subscription
  }

  #unsubscribe(view: CommandView, kind: SubscriptionKind, owed: OwedAnswer): void {
    const names = this.#subscriptions[kind]
    const word = Buffer.from(kind.replace('subscribe', 'unsubscribe'))
    const given: Buffer[] = []
    for (let i = 1; i < view.argc; i++) given.push(bytesArg(view, i))
    const all = view.argc === 1 ? [...names.values()].map(({ name }) => name) : given
    for (const name of all) {
      const text = name.toString('latin1')
      const subscription = names.get(text)
      if (names.delete(text)) {
        for (const place of subscription!.at) {
          owed.waiting++
          this.#legs.leave(subscription!, place, (error) => this.#confirmed(owed, error))
        }
      }
      owed.frames.push(this.#frame([word, name, this.#count(kind)]))
    }
    if (all.length === 0) owed.frames.push(this.#frame([word, null, this.#count(kind)]))
  }

  /** Channels and patterns count together, sharded channels apart. */
  #count(kind: SubscriptionKind): number {
    const { subscribe, psubscribe, ssubscribe } = this.#subscriptions
    return kind === 'ssubscribe' ? ssubscribe.size : subscribe.size + psubscribe.size
  }

  #confirmed(owed: OwedAnswer, error: Buffer | null): void {
    owed.waiting--
    owed.error ??= error
    if (this.#gone) return
    for (let head = this.#owed[0]; head?.waiting === 0; head = this.#owed[0]) {
      this.#owed.shift()
      this.#session.path.pendingSubscriptions.end(head.pendingId)
      const { replyMode } = this.#session
      // This was the command to be skipped; what confirms it is no reply, and is told all the same.
      if (replyMode === 'skip' && this.#ahead?.owed !== head) this.#session.replyMode = 'on'
      if (head.error === null) {
        for (const frame of head.frames) this.#session.push(frame, 0, frame.length)
        for (const subscription of head.added) subscription.announced = true
      } else this.#takeBack(head, replyMode === 'on')
      if (this.#ahead?.owed === head) this.#goOn(this.#ahead.early)
      if (this.#owed.length === 0) this.#answered()
    }
  }

  #takeBack({ added, error }: OwedAnswer, tells: boolean): void {
    for (const subscription of added) {
      this.#subscriptions[subscription.kind].delete(subscription.name.toString('latin1'))
      for (const place of subscription.at) this.#legs.leave(subscription, place, () => {})
    }
    if (tells) this.#session.push(error!, 0, error!.length)
  }

  #answered(): void {
    const session = this.#session
    if (!this.#monitor && KINDS.every((kind) => this.#subscriptions[kind].size === 0)) {
      this.abandon()
      leavePin(session, this)
    } else if (this.#moves) this.moved()
    if (session.waiting === 'pin') session.proceed()
  }

  // --- inside MULTI

  /**
   * Asks the stores for what a transaction is about to subscribe to: with EXEC's answer the client is a subscriber, and no message that is published behind the
   * transaction may be missed. `ready` is told once. Until `executed` every message waits.
   */
  prepare(wanted: readonly { readonly kind: SubscriptionKind; readonly name: Buffer }[], ready: () => void): void {
    const { pendingSubscriptions } = this.#session.path
    const pendingId = pendingSubscriptions.begin()
    const owed: OwedAnswer = { pendingId, waiting: 1, error: null, frames: [], added: [] }
    const early = new EarlySubscriptions()
    this.#owed.push(owed)
    this.#ahead = { owed, early }
    let asked = 1
    const answered = (): void => {
      if (--asked > 0 || this.#gone) return
      pendingSubscriptions.end(pendingId)
      ready()
    }
    for (const { kind, name } of wanted) {
      const text = name.toString('latin1')
      if (this.#subscriptions[kind].has(text) || early.has(kind, text)) continue
      const subscription = this.#begin(kind, name, owed, (error) => {
        owed.waiting--
        if (error !== null) early.refuse(kind, text, error)
        answered()
      })
      asked += subscription.at.length
      early.add(subscription)
    }
    answered()
  }

  /** EXEC has come to a command of the transaction: gives its answers. */
  execute(view: CommandView, name: string): Buffer {
    const { owed } = this.#ahead!
    this.#change(view, name, owed)
    return Buffer.concat(owed.frames.splice(0))
  }

  /** The client has EXEC's answer. What was prepared and not executed is given up. */
  executed(): void {
    const { owed, early } = this.#ahead!
    for (const subscription of early.left()) {
      for (const place of subscription.at) this.#legs.leave(subscription, place, () => {})
    }
    this.#confirmed(owed, null)
  }

  /** Every store has confirmed what the transaction has ended: from here on what they send is for the client. */
  #goOn(early: EarlySubscriptions): void {
    this.#ahead = null
    for (const { leg, bytes, kind, name } of early.messages.taken()) {
      if (!this.#plain || this.#subscriptions[kind].has(name)) this.#onMessage(leg, bytes, 0, bytes.length)
    }
  }

  // --- messages

  #onMessage(leg: Leg, buf: Buffer, start: number, end: number): void {
    if (this.#monitor && isOwnWord(buf, start, end)) return
    if (this.#ahead !== null && buf[start] !== PLUS) {
      if (!this.#ahead.early.messages.keep(leg, buf, start, end)) this.#session.socket.destroy()
      return
    }
    if (this.#own.keep(leg, buf, start, end)) return
    if (this.#plain || this.#monitor) {
      const message = inProtocol(this.#session.protocol, buf, start, end)
      if (message === null) this.#session.push(buf, start, end)
      else this.#session.push(message, 0, message.length)
      return
    }
    const store = this.#session.path.stores.indexOf(leg.store)
    for (const items of translatedMessages(leg, store, buf, start, end, this.#databaseOf)) this.#tell(items)
  }

  #tell(items: readonly Reply[]): void {
    const frame = this.#frame(items)
    this.#session.push(frame, 0, frame.length)
  }

  #frame(items: readonly Reply[]): Buffer {
    const { protocol } = this.#session
    return encodeReply(protocol === 3 ? new PushReply(items) : items, protocol)
  }

  #placesOf(kind: SubscriptionKind, name: Buffer): Place[] {
    const { path } = this.#session
    return listeningsOf(this.#table, kind, name, this.#databaseOf).map(({ store, name: at }) => ({
      store: path.stores[store]!,
      name: at,
    }))
  }

  abandon(): void {
    this.#gone = true
    for (const { pendingId } of this.#owed.splice(0)) this.#session.path.pendingSubscriptions.end(pendingId)
    this.#session.path.movingSubscribers.delete(this)
    if (this.#monitor) this.#session.path.monitors.delete(this.#session)
    this.#own.cancel()
    this.#legs.closeAll()
  }

  // --- a switch

  moved(): void {
    const { path } = this.#session
    const before = this.#table
    const next = path.routes
    if (before === next || this.#gone) return
    this.#moves = this.#owed.length > 0
    if (this.#moves) return
    const wasPlain = this.#plain
    this.#table = next
    this.#plain = isPlain(next, this.#databaseOf)
    if (this.#monitor) return this.#moveMonitor()
    const all = KINDS.flatMap((kind) => [...this.#subscriptions[kind].values()])
    const targets = all.map((subscription) => this.#placesOf(subscription.kind, subscription.name))
    const stays = wasPlain && this.#plain && all.every(({ at }, i) => samePlaces(at, targets[i]!))
    if (stays) return
    this.#plain = false
    // What messages mean may change under names that stay: so every name is subscribed to again, and its confirmation is where the new meaning begins.
    path.movingSubscribers.add(this)
    this.#legs.keepOnly(new Set(targets.flat().map(({ store }) => store)))
    let moving = all.length
    const isCurrent = (): boolean => !this.#gone && this.#table === next
    const arrived = (): void => {
      if (!isCurrent()) return
      this.#plain = isPlain(next, this.#databaseOf)
      path.movingSubscribers.delete(this)
    }
    if (moving === 0) arrived()
    const owner: MoveOwner = {
      isCurrent,
      refused: () => this.#session.socket.destroy(),
      arrived: () => {
        if (--moving === 0) arrived()
      },
    }
    for (const [i, subscription] of all.entries()) moveSubscription(this.#legs, subscription, targets[i]!, next, owner)
  }

  #moveMonitor(): void {
    const { path } = this.#session
    const store = path.primaryOf(this.#table.fallback)
    if (this.#legs.has(store)) return
    path.movingSubscribers.add(this)
    this.#legs.keepOnly(new Set([store]))
    this.#legs.to(store).monitor(() => {
      path.movingSubscribers.delete(this)
      this.#legs.closeFormer()
    })
  }
}

const OK = Buffer.from('+OK\r\n')
const PONG = Buffer.from('pong')
const EMPTY = Buffer.alloc(0)
