import type { CommandSpec } from '../../command/spec.ts'
import { PLUS } from '../../resp/bytes.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { encodeCommand } from '../../resp/encode.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import { planCommand, renameForPrimary } from '../../routing/plan.ts'
import type { Route } from '../../routing/route.ts'
import type { StoreUser } from '../../upstream/connection/handshake.ts'
import type { InFlight, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import { changeUser } from '../login/change-user.ts'
import { integerArg } from '../session/arguments.ts'
import { borrow, giveBack } from '../session/borrow.ts'
import { databaseAt } from '../session/own-connection.ts'
import type { Session } from '../session/session.ts'
import { Swallow } from '../session/swallow.ts'
import type { Queued } from './exec-reply.ts'
import { placeholderOf } from './own-answers.ts'

const DISCARD = encodeCommand(['DISCARD'])
const UNWATCH = encodeCommand(['UNWATCH'])

/**
 * The connection that a transaction goes down: the shared one, for one that arrived whole; else one that is borrowed with its first command, and given back clean.
 *
 *   open ─▶ (WATCH) MULTI, commands ─┬─ EXEC ──────────────▶ finished ─▶ back in the pool
 *                                    ├─ DISCARD, UNWATCH ──▶ cleaned ──▶ back in the pool
 *                                    ├─ a switch ──────────▶ moveTo    ─▶ back in the pool, and another is borrowed elsewhere
 *                                    └─ the client is gone ▶ dropped
 */
export class TransactionConnection {
  /** For a transaction that arrived whole. */
  readonly shared: Pipeline | null
  /** Where it is, or will be; null: no key has said so yet. */
  store: Store | null
  readonly #session: Session
  #dedicated: Pipeline | null = null
  #multiSent = false
  /** It speaks another protocol, or is another user, than those of its kind. */
  #unlike = false

  constructor(session: Session, shared: Pipeline | null, store: Store | null) {
    this.#session = session
    this.shared = shared
    this.store = store
  }

  /** The borrowed one; null: none yet, or none any more. */
  get dedicated(): Pipeline | null {
    return this.#dedicated
  }

  /** It is one that the client has for itself anyway. */
  get isOwn(): boolean {
    const pipeline = this.#dedicated
    return pipeline !== null && this.#session.own?.isOne(pipeline) === true
  }

  /** Ties the transaction to the primary of its first key; refused, in the words for the client, when another key's is elsewhere. */
  bind(route: Route): string | null {
    const store = this.#session.path.primaryOf(route)
    if (this.store !== null && this.store !== store) {
      return `CROSSROUTE The transaction began on store '${this.store.name}'; keys of route '${route.name}' are on store '${store.name}'`
    }
    this.store = store
    return null
  }

  /** The same, if MULTI has been said on it. */
  get queuing(): Pipeline | null {
    return this.#multiSent ? this.#dedicated : null
  }

  /**
   * Gives the connection. `multi`: the MULTI that the transaction is in, as the client wrote it; it and `queue`, what has been queued, are what a new connection has to be told first.
   * `onLost`: a borrowed one was lost.
   */
  open(multi: Buffer | null, queue: readonly Queued[], onLost: () => void): Pipeline {
    if (this.shared !== null) return this.shared
    const session = this.#session
    const { path } = session
    let pipeline = this.#dedicated
    if (pipeline === null) {
      pipeline = borrow(session, this.store!)
      const borrowed = (this.#dedicated = pipeline)
      pipeline.answersWithinMs = this.store!.options.config.timeoutMs
      pipeline.onClosed = () => {
        this.#dedicated = null
        onLost()
        // The client's own, on which it has more than this transaction: as `OwnConnection` has it when nothing is borrowed.
        if (session.own?.isOne(borrowed)) session.end()
      }
      this.#multiSent = false
    }
    if (multi !== null && !this.#multiSent) {
      this.#multiSent = true
      const swallow = new Swallow()
      pipeline.push(swallow, multi, 0, multi.length)
      for (const { spec, bytes, answered } of queue) {
        parser.parse(bytes, 0, bytes.length)
        planCommand(path.routes, spec, parser, path.plan)
        const frame = answered ? placeholderOf(session, spec!, parser, this.store!) : this.asSent(parser, spec, bytes)
        pipeline.push(swallow, frame, 0, frame.length)
      }
    }
    return pipeline
  }

  /** The planned command (`path.plan`) as the store gets it, `frame` being the application's bytes. */
  asSent(view: CommandView, spec: CommandSpec | null, frame: Buffer): Buffer {
    const { path } = this.#session
    const index = spec?.name === 'SELECT' ? integerArg(view, 1) : null
    if (index !== null) return encodeCommand(['SELECT', databaseAt(this.store!, index)])
    return path.plan.renames ? renameForPrimary(path.routes, view, path.plan) : frame
  }

  /** A command is about to be queued that may change the connection itself. */
  noteQueued(spec: CommandSpec | null): void {
    if (spec?.name === 'HELLO' || spec?.name === 'AUTH') this.#unlike = true
  }

  /** HELLO between WATCH and MULTI. */
  changeProtocol(protocol: 2 | 3): void {
    const pipeline = this.#dedicated
    if (pipeline === null || this.#session.own?.isOne(pipeline)) return
    this.#unlike = true
    const bytes = encodeOwn(['HELLO', protocol])
    pipeline.push(new Swallow(), bytes, 0, bytes.length)
  }

  /** AUTH between WATCH and MULTI. */
  changeUser(user: StoreUser | null, password: string): void {
    const pipeline = this.#dedicated
    if (pipeline === null || this.#session.own?.isOne(pipeline)) return
    this.#unlike = true
    changeUser(this.store!, pipeline, user, password)
  }

  /** The transaction goes on elsewhere. `left`: as `done` of `cleaned`, if there was a connection. */
  moveTo(store: Store | null, left: (answered: boolean) => void): void {
    this.cleaned(left)
    this.store = store
  }

  /** Ended without EXEC there: cleans it by DISCARD or UNWATCH, behind all that it owes, and gives it back. `done`: it owes nothing any more, for the store has answered, or it was lost. */
  cleaned(done: (answered: boolean) => void = nothing): void {
    const clean = this.#multiSent ? DISCARD : UNWATCH
    const pipeline = this.#dedicated
    const back = this.#takeOut()
    const ended = (isClean: boolean, answered: boolean): void => {
      back(isClean)
      done(answered)
    }
    if (pipeline === null) return
    pipeline.push(new Cleaning(ended), clean, 0, clean.length)
    this.#session.own?.returned(pipeline)
  }

  /** EXEC has been answered. `clean`: in a way that says that the transaction is over. Given back after the reply that is being settled has left the ring. */
  finished(clean: boolean): void {
    const pipeline = this.#dedicated
    const back = this.#takeOut()
    if (pipeline !== null) this.#session.own?.returned(pipeline)
    queueMicrotask(() => back(clean))
  }

  /** Nobody is there to clean it for. */
  dropped(): void {
    if (this.#dedicated !== null) giveBack(this.#session, this.store!, this.#dedicated, 0, false)
    this.#dedicated = null
  }

  /** The shared connection is in MULTI, and EXEC will not come: others' commands must not be queued with these. */
  takeBack(shared: Pipeline): void {
    shared.push(new Swallow(), DISCARD, 0, DISCARD.length)
  }

  /** Takes leave of it; the function gives it back. */
  #takeOut(): (clean: boolean) => void {
    const session = this.#session
    const pipeline = this.#dedicated
    if (pipeline === null) return nothing
    const store = this.store!
    const { database } = session
    this.#dedicated = null
    pipeline.onClosed = null
    const { own } = session
    // Unless it has been closed with the client's others, or left by a switch, meanwhile.
    if (own?.isOne(pipeline))
      return () => {
        if (session.own?.isOne(pipeline)) giveBack(session, store, pipeline, database, true)
      }
    const unlike = this.#unlike
    return (clean) => giveBack(session, store, pipeline, database, clean && !unlike)
  }
}

/** Owns a DISCARD or UNWATCH that the client knows nothing of: only its OK makes the connection clean. */
class Cleaning implements ReplyOwner {
  readonly #ended: (clean: boolean, answered: boolean) => void

  constructor(ended: (clean: boolean, answered: boolean) => void) {
    this.#ended = ended
  }

  settle(_slot: InFlight, buf: Buffer, start: number): void {
    const clean = buf[start] === PLUS
    queueMicrotask(() => this.#ended(clean, true))
  }

  lost(): void {
    queueMicrotask(() => this.#ended(false, false))
  }

  timedOut(): void {}
}

const parser = new CommandParser()

function nothing(): void {}
