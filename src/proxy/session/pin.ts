import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import type { Route } from '../../routing/route.ts'
import type { StoreUser } from '../../upstream/connection/handshake.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import type { OwnMessages } from './own-messages.ts'

/**
 * What takes a session's commands over while it needs a connection of its own. Pins can lie within each other: a blocking command between WATCH and
 * MULTI, a transaction of a RESP3 subscriber. The innermost is asked first.
 */
export interface Pin {
  /** The pin around this one; set by `enterPin`. */
  outer: Pin | null
  readonly kind: 'login' | 'transaction' | 'blocked' | 'subscriber' | 'large' | 'replica'
  /** As CLIENT LIST shows it: x in a MULTI, b blocked, P subscriber, O monitor, S replica. */
  readonly flag: string
  /** The client has taken what was sent to it. */
  onRoom?(): void
  /** As `Session.dispatch`: false when the command has to wait. */
  dispatch(view: CommandView, spec: CommandSpec | null): boolean
  /** The client is gone, or says no more: lets the connection go without losing what it did. */
  abandon(): void
  /** A new table is in force: `changed` names routes with another primary or other names there. What is bound to what is no more moves. */
  moved(changed: ReadonlySet<string>): void
  /** A new table is in force, in which keys have gone between these routes and stayed where they were. */
  rerouted?(routes: ReadonlySet<string>): void
  /** The route it is bound to; null: none yet. */
  readonly route: Route | null
  /** HELLO has changed it: the pin's connection follows. Where it is missing, HELLO is refused. */
  changeProtocol?(protocol: 2 | 3): void
  /** AUTH has made the client that user (null: of the configuration): so has the pin's connection to be, where commands go down it. */
  changeUser?(user: StoreUser | null, password: string): void
  /** Of a transaction: the connection that it has borrowed, and where. Null: none, or the shared one. */
  readonly borrowed?: readonly [Store, Pipeline] | null
  /** Of a transaction: that connection, while it is in MULTI there: what is said on it is queued, and executed by EXEC. */
  readonly queuesOn?: Pipeline | null
  /** Of a subscriber: confirmations are under way, or messages that it has published to itself. */
  readonly owesAnswers?: boolean
  /** Of a subscriber that speaks RESP2: it may say only what concerns that. */
  readonly restricts?: boolean
  /** Of a transaction: how many commands are queued; -1: not in MULTI. */
  readonly queuedCommands?: number
  /** Of a transaction: bytes of the commands that are queued. */
  readonly queuedBytes?: number
  /** Of a transaction. */
  readonly watchedKeys?: number
  /** Of a transaction: EXEC will write. */
  readonly queuesWrites?: boolean
  /** Of a subscriber; null: of one that gets no messages. */
  readonly ownMessages?: OwnMessages | null
  /** Of a subscriber. */
  readonly subscriptions?: { readonly channels: number; readonly patterns: number; readonly shards: number }
}

/** A session, as its innermost pin. */
interface PinHolder {
  pin: Pin | null
}

/** A pin takes over; the one before lies around it. */
export function enterPin(session: PinHolder, pin: Pin): void {
  pin.outer = session.pin
  session.pin = pin
}

/** The pin has done its work. The ones within it and around it stay. */
export function leavePin(session: PinHolder, pin: Pin): void {
  if (session.pin === pin) {
    session.pin = pin.outer
    return
  }
  for (let inner = session.pin; inner !== null; inner = inner.outer) if (inner.outer === pin) inner.outer = pin.outer
}

/** What it says is queued, and answered at once: a transaction that goes down the shared connection must not stop half-way, for that one is in MULTI. */
export function isInMulti(session: PinHolder): boolean {
  for (let pin = session.pin; pin !== null; pin = pin.outer)
    if (pin.queuedCommands !== undefined && pin.queuedCommands >= 0) return true
  return false
}

/** Whether one of them, from this one outwards, has answers to give before anything else is said. */
export function owesAnswers(innermost: Pin | null): boolean {
  for (let pin = innermost; pin !== null; pin = pin.outer) if (pin.owesAnswers) return true
  return false
}

/** Whether the next command has to wait for answers of what lies around `inner`, which sees to its own. Not one that is queued: what EXEC itself is owed ends with it. */
export function waitsForAnswers(inner: Pin): boolean {
  if (inner.queuedCommands !== undefined && inner.queuedCommands >= 0) return false
  return owesAnswers(inner.outer)
}

/** The subscriber around `inner` whose client may say only what concerns its subscriptions; null: it may say anything. */
export function restrictingAround(inner: Pin): Pin | null {
  for (let pin = inner.outer; pin !== null; pin = pin.outer) if (pin.restricts) return pin
  return null
}

/** The connection of the client that is in MULTI; null: none is, or a shared one for a transaction that has arrived whole. */
export function queuingOf(session: PinHolder): Pipeline | null {
  for (let pin = session.pin; pin !== null; pin = pin.outer) if (pin.queuesOn) return pin.queuesOn
  return null
}

export function abandonPins(session: PinHolder): void {
  for (let pin = session.pin; pin !== null; pin = pin.outer) pin.abandon()
}
