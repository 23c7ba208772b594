import type { CommandSpec } from '../../command/spec.ts'
import type { Leg, SubscriberLegs } from '../pubsub/subscriber-legs.ts'
import type { Session } from './session.ts'

interface Held {
  readonly leg: Leg
  readonly bytes: Buffer
}

/**
 * What a client that speaks RESP3 publishes to itself. A server has one connection for its messages and its replies, and writes the message before the reply to PUBLISH, from 7.2 on behind it (and behind
 * all of EXEC or a script). Here they come by two connections, so the replies are kept until every message is there that was published before:
 *
 *   begin ─▶ PUBLISH ─▶ its reply, kept ─▶ PING to every leg ─▶ PONG: the messages are here ─┬─ before 7.2: they went out as they came; the reply goes
 *                                                                                            └─ since 7.2:  they were kept, too; the reply goes, then they
 *
 * Commands behind it wait meanwhile.
 */
export class OwnMessages {
  readonly #session: Session
  readonly #legs: SubscriberLegs
  readonly #deliver: (leg: Leg, buf: Buffer, start: number, end: number) => void
  /** Something that may publish is under way. */
  #busy = false
  #asked = false
  /** Null: they go out as they come. */
  #held: Held[] | null = null
  #heldBytes = 0

  constructor(
    session: Session,
    legs: SubscriberLegs,
    deliver: (leg: Leg, buf: Buffer, start: number, end: number) => void,
  ) {
    this.#session = session
    this.#legs = legs
    this.#deliver = deliver
  }

  /** Before a command that may publish is sent. */
  begin(): void {
    const session = this.#session
    this.#busy = true
    this.#asked = false
    if (session.path.server.redis >= DEFERRED_SINCE) this.#held = []
    session.order.hold()
    session.ownMessages = this
  }

  /** It has not been sent, or everything is there. */
  cancel(): void {
    if (!this.#busy) return
    const session = this.#session
    session.ownMessages = null
    const held = this.#held
    this.#held = null
    this.#heldBytes = 0
    // Whoever is let go may begin anew.
    this.#busy = false
    session.letGo(() => {
      for (const { leg, bytes } of held ?? []) this.#deliver(leg, bytes, 0, bytes.length)
    })
  }

  /** A reply has been kept. */
  look(): void {
    const { order } = this.#session
    if (this.#asked || order.owed > order.parkedReplies) return
    this.#ask()
  }

  /** An EXEC that subscribes and publishes has been answered: what comes next waits for its messages. */
  catchUp(): void {
    this.#busy = true
    this.#session.ownMessages = this
    this.#ask()
  }

  #ask(): void {
    this.#asked = true
    this.#legs.settled(() => {
      if (!this.#busy) return
      this.cancel()
      this.#session.wake()
    })
  }

  /** A message, as a view. False: it is not kept. */
  keep(leg: Leg, buf: Buffer, start: number, end: number): boolean {
    if (this.#held === null) return false
    this.#heldBytes += end - start
    this.#held.push({ leg, bytes: Buffer.from(buf.subarray(start, end)) })
    // Too much to wait for a script that takes its time: the order is given up, no message is.
    if (this.#heldBytes > LIMIT_BYTES) {
      const held = this.#held
      this.#held = null
      for (const { leg, bytes } of held) this.#deliver(leg, bytes, 0, bytes.length)
    }
    return true
  }
}

/** Sends, by `send`, what may publish to its own client. False: has to wait. */
export function sendPublishing(session: Session, spec: CommandSpec | null, send: () => boolean): boolean {
  const own = spec !== null && mayPublish(spec) ? ownMessagesOf(session) : null
  if (own === null) return send()
  if (session.order.owed > 0) return session.waitFor('replies')
  own.begin()
  const isTaken = send()
  if (!isTaken) own.cancel()
  return isTaken
}

/** Null: the client has not subscribed, or speaks RESP2, in which a subscriber publishes nothing. */
export function ownMessagesOf(session: Session): OwnMessages | null {
  if (session.protocol === 2) return null
  for (let { pin } = session; pin !== null; pin = pin.outer) if (pin.ownMessages) return pin.ownMessages
  return null
}

/** The command may publish to whoever sends it. */
export function mayPublish(spec: CommandSpec): boolean {
  return spec.handling === 'publish' || (spec.write && /^(EVAL|FCALL)/.test(spec.name))
}

const DEFERRED_SINCE = 7.2
const LIMIT_BYTES = 8 * 1024 * 1024
