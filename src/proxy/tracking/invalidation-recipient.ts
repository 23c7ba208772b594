import { encodeReply, FRAME } from '../../resp/encode.ts'
import { PushReply } from '../../resp/reply.ts'
import type { Session } from '../session/session.ts'

/** What stands before the keys: of a push, and of a message to a RESP2 subscriber. */
const INVALIDATE = Buffer.from('>2\r\n$10\r\ninvalidate\r\n')
const INVALIDATE_MESSAGE = Buffer.from('*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n')

/** Who is told which keys of one client's cache are no longer valid: the client that tracks them, or the one that it redirects to. */
export class InvalidationRecipient {
  /** As CLIENT GETREDIR says it: 0: the client itself. */
  readonly redirect: number
  readonly #session: Session
  #broken = false

  /** `session`: who tracks. */
  constructor(session: Session, redirect: number) {
    this.#session = session
    this.redirect = redirect
  }

  /** The client that it redirects to is gone, and it has been told so. */
  get broken(): boolean {
    return this.#broken
  }

  /** Null: everything. */
  tell(keys: readonly Buffer[] | null): void {
    const session = this.#session
    const target = this.redirect === 0 ? session : clientOf(session, this.redirect)
    if (target === null) return this.#breaks()
    // A server says "everything" in the protocol of the client that tracks, whichever the one speaks that it tells.
    const list = keys === null ? (session.protocol === 3 ? FRAME.NULL : FRAME.NIL) : encodeReply([...keys], 2)
    if (target.protocol === 3) {
      const push = Buffer.concat([INVALIDATE, list])
      target.pushInOrder(push, 0, push.length)
    } else if (this.redirect !== 0 && isSubscribed(target)) {
      const message = Buffer.concat([INVALIDATE_MESSAGE, list])
      target.push(message, 0, message.length)
    }
  }

  /** The client that took the invalidations is gone: told once, as by the server. */
  #breaks(): void {
    if (this.#broken) return
    this.#broken = true
    if (this.#session.protocol !== 3) return
    const push = encodeReply(new PushReply([Buffer.from('tracking-redir-broken'), this.redirect]), 3)
    this.#session.pushInOrder(push, 0, push.length)
  }
}

/** The client of that id, as CLIENT ID gives them; null: there is none. */
export function clientOf(session: Session, id: number): Session | null {
  if (id === session.id) return session
  // One that has said QUIT is gone, though its connection may take a moment to close.
  for (const other of session.path.sessions) if (other.id === id && !other.ending) return other
  return null
}

/** A RESP2 client takes messages only while it is subscribed to something. */
function isSubscribed(target: Session): boolean {
  for (let pin = target.pin; pin !== null; pin = pin.outer) if (pin.kind === 'subscriber') return true
  return false
}
