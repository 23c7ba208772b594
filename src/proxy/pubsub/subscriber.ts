import { arityFits } from '../../command/arity.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { PLUS } from '../../resp/bytes.ts'
import type { CommandView } from '../../resp/command-view.ts'
import type { Reply } from '../../resp/reply.ts'
import type { Route } from '../../routing/route.ts'
import type { SubscriptionKind } from '../../routing/subscriptions.ts'
import type { StoreUser } from '../../upstream/connection/handshake.ts'
import { isOwnWord } from '../clients/monitor-feed.ts'
import { bytesArg } from '../session/arguments.ts'
import { refuseByArity } from '../session/arity.ts'
import { type OwedAnswer, OwedAnswers } from '../session/owed-answers.ts'
import { OwnMessages, sendPublishing } from '../session/own-messages.ts'
import { leavePin, type Pin } from '../session/pin.ts'
import type { Session } from '../session/session.ts'
import { EarlySubscriptions } from './early-subscriptions.ts'
import { SubscribedNames } from './subscribed-names.ts'
import { type Leg, SubscriberLegs } from './subscriber-legs.ts'
import { SubscriberPlaces } from './subscriber-places.ts'
import { isAnyHeld } from './subscription.ts'
import { SubscriptionChanges } from './subscription-changes.ts'
import { inProtocol, messageFrame } from './subscription-messages.ts'
import { refuseWhileSubscribed } from './while-subscribed.ts'

/** One client's subscriptions and its MONITOR, until the last has ended. See `startSubscribing`. */
export class Subscriber implements Pin {
  readonly kind = 'subscriber'
  outer: Pin | null = null
  readonly #session: Session
  /** MONITOR has been said, and taken. */
  #monitors = false
  readonly #names = new SubscribedNames()
  readonly #legs: SubscriberLegs
  readonly #places: SubscriberPlaces
  readonly #own: OwnMessages
  readonly #owed: OwedAnswers
  readonly #changes: SubscriptionChanges
  /** A switch came while answers were owed: it moves when they are there. */
  #moves = false
  /** What a transaction is about to subscribe to, while its EXEC is owed. */
  #ahead: { readonly owed: OwedAnswer; readonly early: EarlySubscriptions } | null = null
  #gone = false

  /** `mayShare`: its connections may be such as others have, too. */
  constructor(session: Session, mayShare: boolean) {
    this.#session = session
    this.#legs = new SubscriberLegs(session, mayShare, (leg, buf, start, end) => this.#onMessage(leg, buf, start, end))
    this.#own = new OwnMessages(session, this.#legs, (leg, buf, start, end) => this.#onMessage(leg, buf, start, end))
    this.#places = new SubscriberPlaces(this, session, this.#legs)
    this.#owed = new OwedAnswers(session, {
      refused: ({ added }) => this.#changes.takeBack(added),
      told: (answer) => this.#told(answer),
      allTold: () => this.#allTold(),
    })
    this.#changes = new SubscriptionChanges(session, this.#names, this.#legs, this.#places, this.#owed)
  }

  get route(): Route {
    return this.#places.route
  }

  get flag(): string {
    return this.#monitors ? 'O' : 'P'
  }

  get subscriptions(): { readonly channels: number; readonly patterns: number; readonly shards: number } {
    return this.#names.counts
  }

  /** From RESP3 back to RESP2: the connections stay, their messages are told in the client's protocol. The other way Redis lets no subscriber go. */
  changeProtocol(): void {}

  /** What it is subscribed to it stays subscribed to, as at a server. */
  changeUser(user: StoreUser | null, password: string): void {
    this.#legs.changeUser(user, password)
  }

  get owesAnswers(): boolean {
    return this.#owed.any || this.#session.ownMessages !== null
  }

  get ownMessages(): OwnMessages | null {
    return this.#names.isEmpty && this.#monitors ? null : this.#own
  }

  /** Not one that only monitors: it may go on with other commands, as at a server. */
  get restricts(): boolean {
    return this.#session.protocol === 2 && !this.#names.isEmpty
  }

  dispatch(view: CommandView, spec: CommandSpec | null): boolean {
    const session = this.#session
    // A WATCH came before it, and a MULTI behind it: what is said now is queued.
    if ((this.outer?.queuedCommands ?? -1) >= 0) return this.outer!.dispatch(view, spec)
    const name = spec?.name ?? ''
    const subscribes = spec?.handling === 'subscribe'
    const ownWay = subscribes || spec?.handling === 'takeover'
    // What is wrong with it is said behind the answers that are owed; whether MONITOR is wrong, or the first, these tell.
    if (this.#owed.any && !(subscribes && arityFits(spec, view.argc))) return session.waitFor('answers')
    if (subscribes || (ownWay && !this.restricts))
      return refuseByArity(session, view, spec) || this.#subscription(view, name)
    if (name === 'PING' && this.restricts) {
      this.#ping(view)
      return true
    }
    if (name === 'QUIT' || name === 'RESET') {
      if (session.order.owed > 0) return session.waitFor('replies')
      this.abandon()
      leavePin(session, this)
      return session.dispatch(view)
    }
    if (!this.restricts)
      return sendPublishing(session, spec, () =>
        this.outer === null ? session.dispatchUnpinned(view, spec) : this.outer.dispatch(view, spec),
      )
    return refuseWhileSubscribed(session, view, spec)
  }

  #ping(view: CommandView): void {
    if (view.argc > 2) this.#session.answerError("ERR wrong number of arguments for 'ping' command")
    else this.#session.answer(messageFrame(this.#session.protocol, [PONG, view.argc === 2 ? bytesArg(view, 1) : EMPTY]))
  }

  // --- subscribing

  #subscription(view: CommandView, name: string): boolean {
    const session = this.#session
    if (isAnyHeld(session.path.routes)) return session.waitFor('hold')
    // Replies under way by another connection come first.
    if (session.order.owed > 0) return session.waitFor('replies')
    session.own?.carryCaching([])
    const owed = this.#owed.begin(true)
    if (name === 'MONITOR') this.#startMonitor(owed)
    else this.#changes.make(view, name, owed, this.#ahead?.early ?? null)
    this.#owed.confirmed(owed, null)
    return true
  }

  /** Said again, it is passed over without an answer, as by a server. */
  #startMonitor(owed: OwedAnswer): void {
    if (this.#monitors) return
    if (this.#session.replyMode === 'on') owed.frames.push(OK)
    owed.waiting++
    this.#legs.monitor(this.#places.primary, (error) => {
      if (error === null && !this.#gone) {
        this.#monitors = true
        this.#session.path.monitors.add(this.#session)
      }
      this.#owed.confirmed(owed, error)
    })
  }

  #told(answer: OwedAnswer): void {
    if (this.#ahead?.owed === answer) this.#goOn(this.#ahead.early)
  }

  #allTold(): void {
    const session = this.#session
    if (!this.#monitors && this.#names.isEmpty) {
      this.abandon()
      leavePin(session, this)
    } else if (this.#moves) this.moved()
    session.wake()
  }

  // --- inside MULTI

  /**
   * Asks the stores for what a transaction is about to subscribe to: with EXEC's answer the client is a subscriber, and no message that is published behind the
   * transaction may be missed. `ready` is told once. Until `executed` every message waits.
   */
  prepare(wanted: readonly { readonly kind: SubscriptionKind; readonly name: Buffer }[], ready: () => void): void {
    const owed = this.#owed.begin(false)
    const early = new EarlySubscriptions()
    this.#ahead = { owed, early }
    let asked = 1
    const answered = (): void => {
      if (--asked > 0 || this.#gone) return
      this.#owed.confirmedUntold(owed)
      ready()
    }
    for (const { kind, name } of wanted) {
      const text = name.toString('latin1')
      if (this.#names.has(kind, text) || early.has(kind, text)) continue
      const subscription = this.#places.subscription(kind, name)
      asked += subscription.at.length
      early.add(subscription)
      this.#changes.begin(subscription, owed, (error) => {
        owed.waiting--
        if (error !== null) early.refuse(kind, text, error)
        answered()
      })
    }
    answered()
  }

  /** EXEC has come to a command of the transaction: gives its answers. */
  execute(view: CommandView, name: string): Buffer {
    const { owed, early } = this.#ahead!
    this.#changes.make(view, name, owed, early)
    return Buffer.concat(owed.frames.splice(0))
  }

  /** The client has EXEC's answer. What was prepared and not executed is given up. */
  executed(): void {
    const { owed, early } = this.#ahead!
    this.#changes.leave(early.left())
    this.#owed.confirmed(owed, null)
  }

  /** Every store has confirmed what the transaction has ended: from here on what they send is for the client. */
  #goOn(early: EarlySubscriptions): void {
    this.#ahead = null
    for (const { leg, bytes, kind, name } of early.messages.taken()) {
      if (!this.#places.plain || this.#names.has(kind, name)) this.#onMessage(leg, bytes, 0, bytes.length)
    }
  }

  // --- messages

  #onMessage(leg: Leg, buf: Buffer, start: number, end: number): void {
    const shown = buf[start] === PLUS
    if (shown && isOwnWord(buf, start, end)) return
    if (this.#ahead !== null && !shown) {
      if (!this.#ahead.early.messages.keep(leg, buf, start, end)) this.#session.socket.destroy()
      return
    }
    if (this.#own.keep(leg, buf, start, end)) return
    if (shown || this.#places.plain) {
      const message = inProtocol(this.#session.protocol, buf, start, end)
      if (message === null) this.#session.push(buf, start, end)
      else this.#session.push(message, 0, message.length)
      return
    }
    for (const items of this.#places.translated(leg, buf, start, end)) this.#tell(items)
  }

  #tell(items: readonly Reply[]): void {
    const frame = messageFrame(this.#session.protocol, items)
    this.#session.push(frame, 0, frame.length)
  }

  abandon(): void {
    this.#gone = true
    this.#places.abandon()
    this.#owed.abandon()
    this.#session.path.monitors.delete(this.#session)
    this.#own.cancel()
    this.#legs.closeAll()
  }

  // --- a switch

  moved(): void {
    if (!this.#places.isBehind || this.#gone) return
    this.#moves = this.#owed.any
    if (this.#moves) {
      // The switch waits for it; but not for EXEC, which may wait for the switch.
      if (this.#ahead === null) this.#session.path.movingSubscribers.add(this)
      return
    }
    this.#places.move(this.#names.all(), this.#monitors)
  }
}

const OK = Buffer.from('+OK\r\n')
const PONG = Buffer.from('pong')
const EMPTY = Buffer.alloc(0)
