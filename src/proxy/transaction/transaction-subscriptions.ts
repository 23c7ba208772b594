import { keptCopy } from '../../base/kept-copy.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { encodeReply } from '../../resp/encode.ts'
import type { SubscriptionKind } from '../../routing/subscriptions.ts'
import { subscriberOf } from '../pubsub/start-subscribing.ts'
import { Subscriber } from '../pubsub/subscriber.ts'
import { isAnyHeld } from '../pubsub/subscription.ts'
import { bytesArg } from '../session/arguments.ts'
import { enterPin } from '../session/pin.ts'
import type { Session } from '../session/session.ts'
import type { Queued } from './exec-reply.ts'

/**
 * (P)SUBSCRIBE and (P|S)UNSUBSCRIBE inside MULTI. A placeholder is queued in their place at the server (`own-answers.ts`).
 *
 *   queued ... ─▶ areReady: EXEC waits until the stores have confirmed ─▶ answer, in the place of each ─▶ end: messages go out
 *
 * So a client that reads and subscribes in one transaction misses nothing that is published behind it. What is published between the store's confirmation and
 * EXEC, or by the transaction itself, it gets behind EXEC's answer.
 */
export class TransactionSubscriptions {
  readonly #session: Session
  readonly #wanted: { readonly kind: SubscriptionKind; readonly name: Buffer }[] = []
  #subscriber: Subscriber | null = null
  #state: 'queued' | 'asked' | 'ready' | 'over' = 'queued'

  constructor(session: Session) {
    this.#session = session
  }

  queued(view: CommandView, { name }: CommandSpec): void {
    if (name.includes('UNSUBSCRIBE')) return
    const kind = name.toLowerCase() as SubscriptionKind
    for (let i = 1; i < view.argc; i++)
      this.#wanted.push({ kind, name: keptCopy(view.buf, view.start[i]!, view.end[i]!) })
  }

  /** False: EXEC has to wait, and is offered again. */
  areReady(): boolean {
    const session = this.#session
    if (this.#state !== 'queued') return this.#state === 'ready' || session.waitFor('answers')
    if (isAnyHeld(session.path.routes)) return session.waitFor('hold')
    this.#state = 'asked'
    this.#subscriber = subscriberOf(session) ?? new Subscriber(session, true)
    this.#subscriber.prepare(this.#wanted, () => {
      if (this.#state !== 'asked') return
      this.#state = 'ready'
      session.wake()
    })
    return this.#isReady() || session.waitFor('answers')
  }

  /** EXEC has come to this command: its confirmations. */
  answer(spec: CommandSpec, frame: Buffer): Buffer {
    parser.parse(frame, 0, frame.length)
    return this.#subscriber!.execute(parser, spec.name)
  }

  /** What a RESP2 client gets from a PING once it is subscribed. */
  pong({ spec, bytes, answered }: Queued): Buffer | null {
    if (spec?.name !== 'PING' || answered || this.#session.protocol === 3) return null
    const counts = this.#subscriber?.subscriptions
    if (counts === undefined || counts.channels + counts.patterns + counts.shards === 0) return null
    parser.parse(bytes, 0, bytes.length)
    return parser.argc > 2
      ? null
      : encodeReply([Buffer.from('pong'), parser.argc === 2 ? bytesArg(parser, 1) : EMPTY], 2)
  }

  /** The client has EXEC's answer, whatever it was. `published`: perhaps messages to itself as well. */
  end(published = false): void {
    const { pin } = this.#session
    const subscriber = this.#subscriber
    if (subscriber === null || this.#state === 'over') return
    this.#state = 'over'
    if (pin !== subscriber && subscriberOf(this.#session) === null) enterPin(this.#session, subscriber)
    if (published && this.#session.protocol === 3) subscriber.ownMessages?.catchUp()
    subscriber.executed()
  }

  /** The client is gone. */
  abandon(): void {
    this.#state = 'over'
    this.#subscriber?.abandon()
  }

  #isReady(): boolean {
    return this.#state === 'ready'
  }
}

const parser = new CommandParser()
const EMPTY = Buffer.alloc(0)
