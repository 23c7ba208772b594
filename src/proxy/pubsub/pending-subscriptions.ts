import type { CommandSpec } from '../../command/spec.ts'
import type { Session } from '../session/session.ts'

/**
 * Subscriptions that a store has been asked for and has not confirmed. They go down connections of their own, which may have to be opened first; a PUBLISH takes
 * a shared one and would get there before them. At a server it could not: whoever has sent SUBSCRIBE before another client publishes gets the message, though it has
 * not read the confirmation yet. So what asks for subscribers waits for the subscriptions that were begun before it, and for no later ones.
 */
export class PendingSubscriptions {
  readonly #pending = new Set<number>()
  /** Clients that wait, each with the last subscription that it waits for. */
  readonly #waiting = new Map<Session, number>()
  #last = 0
  /** None before this one is pending. */
  #first = 1

  get any(): boolean {
    return this.#pending.size > 0
  }

  /** Gives what `end` takes. */
  begin(): number {
    this.#pending.add(++this.#last)
    return this.#last
  }

  /** Confirmed, refused, or its client has gone: at least once. */
  end(id: number): void {
    this.#pending.delete(id)
    if (this.#waiting.size === 0) return
    const oldest = this.#oldest()
    for (const [session, upTo] of this.#waiting) {
      if (oldest <= upTo) continue
      session.wake()
      // Unless it has come to its next one, and that waits for later subscriptions.
      if (this.#waiting.get(session) === upTo) this.#waiting.delete(session)
    }
  }

  /** Whether a client's command that asks for subscribers has to wait. It is then offered again when it need not. */
  holdsBack(session: Session): boolean {
    if (this.#pending.size === 0) return false
    const upTo = this.#waiting.get(session) ?? this.#last
    if (this.#oldest() > upTo) {
      this.#waiting.delete(session)
      return false
    }
    this.#waiting.set(session, upTo)
    return true
  }

  #oldest(): number {
    if (this.#pending.size === 0) return Number.POSITIVE_INFINITY
    // Not by the order of the set: it goes through the places of all that have been taken out.
    while (!this.#pending.has(this.#first)) this.#first++
    return this.#first
  }
}

/** The command's reply, or what becomes of it, depends on who has subscribed. */
export function asksForSubscribers({ handling, name }: CommandSpec): boolean {
  return handling === 'publish' || name.startsWith('PUBSUB ')
}
