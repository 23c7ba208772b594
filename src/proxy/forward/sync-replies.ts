import type { MirrorConfig } from '../../config/config.ts'
import { type AckWaiter, acknowledge } from '../../mirror/shadow/ack-waiter.ts'
import { MINUS } from '../../resp/bytes.ts'
import { errorFrame } from '../../resp/encode.ts'
import type { Route, RouteState } from '../../routing/route.ts'
import type { DataPath } from '../data-path.ts'
import type { Session } from '../session/session.ts'

/**
 * `mirror.mode: sync`: the reply of a write waits until the shadow has acknowledged its effect, or its keys have been copied, at most `mirror.timeout`; then it goes out anyway. With `onShadowError: fail`
 * the client learns of a shadow that failed or was late; the write itself stands on the primary, and the key is dirty. A command with keys of several routes goes by the strictest of those that are mirrored.
 */
export class SyncReplies {
  readonly #path: DataPath
  readonly #waiting = new Set<SyncReply>()

  constructor(path: DataPath) {
    this.#path = path
  }

  /** By what terms the reply to a write of `route` waits, whose keys are also those of `others`. Null: it does not. */
  termsOf(route: Route, others: Iterable<RouteState> | null): SyncTerms | null {
    let terms = ownTermsOf(route)
    if (others === null) return terms
    for (const state of others) {
      const other = ownTermsOf(this.#path.routes.routes.find((one) => one.state === state))
      if (other !== null) terms = terms === null ? other : stricter(terms, other)
    }
    return terms
  }

  /**
   * The primary's reply `frame` to a write waits for what `effects` queues. What `effects` throws leaves the reply to the caller. `wanted`: of an EXEC that says itself what the client wants to hear; null: that is as for any
   * command. Gives the reply if it waits, null when it has gone out at once.
   */
  hold(
    session: Session,
    seq: number,
    route: Route,
    terms: SyncTerms,
    frame: Buffer,
    effects: (waiter: AckWaiter) => void,
    wanted: Wanted | null = null,
  ): HeldReply | null {
    const { storeName } = route.primary
    const reply = new SyncReply(session, seq, storeName, terms, frame, wanted, this.#path.clock.nowMs, this.#waiting)
    // Held by one until everything has been queued, so that an effect of several commands is acknowledged as a whole.
    reply.pending = 1
    this.#waiting.add(reply)
    try {
      effects(reply)
    } catch (error) {
      this.#waiting.delete(reply)
      throw error
    }
    acknowledge(reply, true)
    return this.#waiting.has(reply) ? reply : null
  }

  tick(nowMs: number): void {
    for (const reply of this.#waiting) {
      if (nowMs - reply.sinceMs < reply.terms.timeoutMs) continue
      reply.late()
    }
  }
}

/** The frame goes out whatever CLIENT REPLY says of later commands, or has said of this one (it confirms subscriptions). */
export interface Wanted {
  /** In its place, that the shadow failed. */
  readonly errors: boolean
}

/** A reply that waits for the shadow. */
export interface HeldReply {
  /** To be called when it has gone out. */
  onOut: (() => void) | null
}

type SyncTerms = Pick<MirrorConfig, 'timeoutMs' | 'onShadowError'>

/** What it says of its replies counts while it is mirrored. */
function ownTermsOf(route: Route | undefined): SyncTerms | null {
  if (route === undefined || route.shadow === null) return null
  const { mirror } = route.config
  return mirror.mode === 'sync' ? mirror : null
}

function stricter(one: SyncTerms, other: SyncTerms): SyncTerms {
  return {
    timeoutMs: Math.max(one.timeoutMs, other.timeoutMs),
    onShadowError: one.onShadowError === 'fail' ? 'fail' : other.onShadowError,
  }
}

class SyncReply implements AckWaiter, HeldReply {
  pending = 0
  failed = false
  onOut: (() => void) | null = null
  readonly sinceMs: number
  readonly terms: SyncTerms
  readonly #store: string
  readonly #session: Session
  readonly #seq: number
  readonly #frame: Buffer
  readonly #wanted: Wanted | null
  readonly #waiting: Set<SyncReply>

  constructor(
    session: Session,
    seq: number,
    store: string,
    terms: SyncTerms,
    frame: Buffer,
    wanted: Wanted | null,
    nowMs: number,
    waiting: Set<SyncReply>,
  ) {
    this.#session = session
    this.#seq = seq
    this.#store = store
    this.terms = terms
    this.#frame = frame
    this.#wanted = wanted
    this.sinceMs = nowMs
    this.#waiting = waiting
  }

  acknowledged(): void {
    this.#out('failed on the shadow')
  }

  late(): void {
    this.failed = true
    this.#out('was not acknowledged by the shadow in time')
  }

  #out(what: string): void {
    if (!this.#waiting.delete(this)) return
    // An error stays what it is: it does not say that all was executed.
    const isTold = this.failed && this.terms.onShadowError === 'fail' && this.#frame[0] !== MINUS
    const frame = isTold ? this.#error(what) : this.#frame
    if (this.#wanted === null) this.#session.reply(this.#seq, frame, 0, frame.length)
    else this.#session.replyWanted(this.#seq, this.#wanted.errors ? frame : this.#frame)
    this.onOut?.()
  }

  #error(what: string): Buffer {
    return errorFrame(`ERR Understudy: the write was executed on '${this.#store}' but ${what}`)
  }
}
