import type { CommandSpec } from '../../command/spec.ts'
import { MINUS } from '../../resp/bytes.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { encodeCommand, errorFrame } from '../../resp/encode.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import type { Store } from '../../upstream/store.ts'
import { wordArg } from '../session/arguments.ts'
import { OwnConnection } from '../session/own-connection.ts'
import type { Session } from '../session/session.ts'
import { Swallow } from '../session/swallow.ts'
import { ClientTracking } from '../tracking/client-tracking.ts'
import { offFrameWords, trackingRequest } from '../tracking/tracking-request.ts'
import type { Queued } from './exec-reply.ts'

/** One that is being queued; `outcome`: an error, null: it can be, undefined: not known yet. */
interface Preparing {
  readonly tracking: ClientTracking
  outcome: string | null | undefined
}

const OFF = encodeOwn(['CLIENT', 'TRACKING', 'OFF'])

/**
 * CLIENT TRACKING ON and OFF inside MULTI. The server executes them with EXEC, so what the transaction reads behind them is remembered for its connection: from the moment that one is
 * queued that connection is the client's own, and stays so if EXEC leaves tracking on.
 *
 *   queued ─▶ isReady ── a REDIRECT needs a connection first ──▶ frameAt ─▶ QUEUED ─▶ EXEC ─▶ replyTo, for each ─▶ end
 */
export class TransactionTracking {
  /** A CLIENT TRACKING is queued, or being prepared: at the stores of now. A CLIENT TRACKINGINFO may go elsewhere. */
  isBound = false
  readonly #session: Session
  /** In the order of their places; a text: refused here, and this is the answer. */
  readonly #turnedOn: (ClientTracking | string)[] = []
  #executed = 0
  /** Being prepared for the command that is offered again and again meanwhile. */
  #preparing: Preparing | null = null

  constructor(session: Session) {
    this.#session = session
  }

  /** Offered a CLIENT TRACKING, its connection being open. False: has to wait, and is offered again. */
  isReady(view: CommandView): boolean {
    const session = this.#session
    this.isBound = true
    if (wordArg(view, 2) !== 'ON') return true
    if (this.#preparing === null) {
      session.own ??= new OwnConnection(session, false)
      const { own } = session
      own.reachAll()
      const last = this.#turnedOn.at(-1)
      const before = last instanceof ClientTracking ? last : own.tracking
      const preparing: Preparing = {
        tracking: new ClientTracking(session, own, trackingRequest(session, view)),
        outcome: undefined,
      }
      this.#preparing = preparing
      preparing.tracking.prepare(before, (failure) => this.#prepared(preparing, failure))
    }
    return this.#preparing.outcome !== undefined || session.waitFor('answers')
  }

  #prepared(preparing: Preparing, failure: string | null): void {
    preparing.outcome = failure
    if (this.#preparing !== preparing) preparing.tracking.close()
    else this.#session.wake()
  }

  /** What the store gets for it. Null: a placeholder, for it is refused when EXEC comes to it. */
  queued(view: CommandView, store: Store): Buffer | null {
    const preparing = this.#preparing
    this.#preparing = null
    if (preparing === null) return encodeCommand(offFrameWords(this.#session, view))
    const refusal = preparing.outcome ?? null
    if (refusal !== null) preparing.tracking.close()
    this.#turnedOn.push(refusal ?? preparing.tracking)
    return refusal === null ? preparing.tracking.frameAt(store) : null
  }

  /** EXEC has come to this command, which the store has answered so: its answer for the client. Null: just that. */
  replyTo({ spec, bytes }: Queued, store: Store, buf: Buffer, start: number, end: number): Buffer | null {
    if (spec === null || !isAboutTracking(spec)) return null
    const { own } = this.#session
    if (spec.name === 'CLIENT TRACKINGINFO')
      return own?.tracking?.asGiven(Buffer.from(buf.subarray(start, end))) ?? null
    parser.parse(bytes, 0, bytes.length)
    if (wordArg(parser, 2) === 'ON') return this.#turnOn(store, buf[start] !== MINUS)
    if (buf[start] !== MINUS) this.#turnOff(store)
    return null
  }

  /** The transaction is over, executed or not. */
  end(): void {
    for (const tracking of this.#turnedOn.splice(this.#executed))
      if (tracking instanceof ClientTracking) tracking.close()
    if (this.#preparing?.outcome !== undefined) this.#preparing.tracking.close()
    this.#preparing = null
  }

  #turnOn(store: Store, agreed: boolean): Buffer | null {
    const tracking = this.#turnedOn[this.#executed++]!
    if (!(tracking instanceof ClientTracking)) return errorFrame(tracking)
    if (agreed && this.#session.own !== null) tracking.executed(store)
    else tracking.close()
    return null
  }

  #turnOff(at: Store): void {
    const { own } = this.#session
    if (own === null) return
    own.tracking?.close()
    own.tracking = null
    for (const [store, pipeline] of own.all()) if (store !== at) pipeline.push(new Swallow(), OFF, 0, OFF.length)
  }
}

/** What a server answers about the connection of the transaction. */
export function isAboutTracking({ name }: CommandSpec): boolean {
  return name === 'CLIENT TRACKING' || name === 'CLIENT TRACKINGINFO'
}

const parser = new CommandParser()
