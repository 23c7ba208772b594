import { MINUS } from '../../resp/bytes.ts'
import { encodeCommand } from '../../resp/encode.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import { overlapOf } from '../../routing/tracking-prefixes.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import { AskOwn, type OwnQuestion } from '../forward/ask-own.ts'
import type { OwnConnection } from '../session/own-connection.ts'
import { queuingOf } from '../session/pin.ts'
import type { Session } from '../session/session.ts'
import { Swallow } from '../session/swallow.ts'
import { keysIn } from './invalidated-keys.ts'
import { InvalidationRecipient } from './invalidation-recipient.ts'
import { TrackedNames } from './tracked-names.ts'
import { trackingInfoAsGiven } from './tracking-info.ts'
import type { Redirection } from './tracking-redirection.ts'
import { Redirections } from './tracking-redirections.ts'
import type { TrackingRequest } from './tracking-request.ts'

const OFF = encodeOwn(['CLIENT', 'TRACKING', 'OFF'])
/** Pushes that are kept while a server is asked. */
const MAX_EARLY = 1_000

/**
 * One client's tracking, from the servers' OK until it is turned off: at every primary there is, each on a connection of the client's own.
 *
 *   keys in invalidations   under the names that the application gave them; what it does not see there (copies, neighbours) it is not told of
 *   PREFIX                  the server is asked for the prefixes that these keys have there, and what comes is filtered by the application's
 */
export class ClientTracking {
  readonly #session: Session
  readonly #own: OwnConnection
  readonly #request: TrackingRequest
  readonly #names: TrackedNames
  readonly #recipient: InvalidationRecipient
  readonly #redirections = new Redirections()
  /** In MULTI when all were asked to track anew: `resume`. */
  #passedOver: Pipeline | null = null
  /** What came together with the servers' OK, and goes out behind it. Null: everything has changed. */
  #early: { readonly store: Store; readonly push: Buffer }[] | null = []

  constructor(session: Session, own: OwnConnection, request: TrackingRequest) {
    this.#session = session
    this.#own = own
    this.#request = request
    this.#names = new TrackedNames(session, request)
    this.#recipient = new InvalidationRecipient(session, request.redirectsTo ?? 0)
  }

  /** As CLIENT GETREDIR says it: 0: the client itself. */
  get redirect(): number {
    return this.#recipient.redirect
  }

  get flags(): string {
    return `t${this.#recipient.broken ? 'R' : ''}${this.#request.broadcasts ? 'B' : ''}`
  }

  /** It is told of every key that is written at that store. */
  hearsAllOf(store: Store): boolean {
    if (!this.#request.broadcasts) return false
    const prefixes = this.#names.translated ? this.#names.prefixesAt(store) : this.#names.prefixes
    return prefixes.some((prefix) => prefix.length === 0)
  }

  /** Asks the servers; the client goes on with their answer. */
  begin(): void {
    const session = this.#session
    const before = this.#own.tracking
    const given = this.#request.prefixes
    // Else the server is going to refuse it, in its own words.
    const isOfItsKind = before === null || before.#request.broadcasts === this.#request.broadcasts
    const translates = this.#names.translated && isOfItsKind
    const overlap = translates ? overlapOf(given, before === null ? [] : before.#names.prefixes) : null
    if (overlap !== null) {
      session.answerError(overlap)
      if (before === null) session.own?.leave()
      return
    }
    this.#names.continue(before === null ? [] : before.#names.prefixes)
    const seq = session.order.assign()
    const { routes } = session.path
    const told = (reply: Buffer): void => {
      this.#told(reply, before)
      // It was ended first (`#questions`).
      if (translates && reply[0] === MINUS) before?.again()
      // A switch has come between: what was asked is not where the keys are any more.
      if (this.#own.tracking === this && !routes.seesAs(session.path.routes)) {
        this.#own.reachAll()
        this.again()
      }
      session.reply(seq, reply, 0, reply.length)
      this.#tellEarly(reply[0] === MINUS ? before : this)
      session.proceed()
    }
    session.waiting = 'pin'
    this.#own.asked = this
    this.#redirected((failure) => {
      if (failure === null) return new AskOwn(session, told).push(this.#questions(translates, before))
      this.#own.asked = null
      this.close()
      if (before === null) session.own?.leave()
      session.replyError(seq, failure)
      this.#tellEarly(before)
      session.proceed()
    })
  }

  // --- inside MULTI

  /** Queued behind `before`, the tracking that is or will be in force; null: none. `ready` is told when `frameAt` can be asked for, or with the error for its place in EXEC's answer. */
  prepare(before: ClientTracking | null, ready: (failure: string | null) => void): void {
    if (this.#names.translated && this.#request.broadcasts) {
      const overlap = overlapOf(this.#request.prefixes, [])
      if (overlap !== null) return ready(overlap)
      // It takes two questions to a server, with an end of tracking between them.
      if (before !== null) return ready('ERR Understudy does not add a PREFIX inside MULTI while keys have other names')
    }
    this.#names.continue(before === null ? [] : before.#names.prefixes)
    this.#redirected(ready)
  }

  /** What the transaction queues at that store. */
  frameAt(store: Store): Buffer {
    const translates = this.#names.translated && this.#request.broadcasts
    return this.#frame(store, translates ? this.#names.prefixesAt(store) : this.#request.prefixes)
  }

  /** EXEC has turned it on at that store: so it is everywhere. */
  executed(at: Store): void {
    const before = this.#own.tracking
    if (before !== null) this.#redirections.follow(before.#redirections)
    this.#own.tracking = this
    const others = [...this.#own.all()].filter(([store]) => store !== at)
    const questions = others.map(([store, pipeline]) => ({ pipeline, bytes: this.frameAt(store) }))
    this.#askAll(questions, this.#redirections.formerBut(undefined), () => {})
  }

  // --- a switch

  /**
   * At other primaries or under other names, after a switch: nothing is known there of what the client has cached. It is told to forget everything when they all track: what changed before is
   * forgotten with the rest, and of what changes from then on it is told. One that does not agree would leave a cache that nobody keeps right, so then the connection ends.
   *
   * One that is in MULTI would queue the question for EXEC: it is asked behind that, and what EXEC has read is forgotten once more. Until a store has agreed, what it remembers goes where it went before.
   */
  again(): void {
    this.#redirections.supersede()
    this.#passedOver = null
    this.#redirected((failure) => {
      if (failure !== null) return this.#session.end()
      this.#passedOver = queuingOf(this.#session)
      this.#trackAt([...this.#own.all()].filter(([, pipeline]) => pipeline !== this.#passedOver))
    })
  }

  /** MULTI is over on that connection: asks there, too, unless it has been let go of. */
  resume(pipeline: Pipeline): void {
    if (this.#passedOver !== pipeline) return
    this.#passedOver = null
    this.#trackAt([...this.#own.all()].filter(([, one]) => one === pipeline))
  }

  #trackAt(connections: readonly (readonly [Store, Pipeline])[]): void {
    const asksLater = [...this.#own.all()].find(([, pipeline]) => pipeline === this.#passedOver)?.[0]
    const questions = connections.map(([store, pipeline]) => {
      // Prefixes of before would stay.
      pipeline.push(new Swallow(), OFF, 0, OFF.length)
      return { pipeline, bytes: this.#frame(store, this.#names.prefixesAt(store)) }
    })
    this.#askAll(questions, this.#redirections.formerBut(asksLater), () => this.#recipient.tell(null))
  }

  /** When all have agreed, `former` are closed. One that does not ends the client. */
  #askAll(questions: readonly OwnQuestion[], former: readonly Redirection[], then: () => void): void {
    const agreed = (): void => {
      this.#redirections.closeFormer(former)
      then()
    }
    if (questions.length === 0) return agreed()
    new AskOwn(this.#session, (reply) => {
      if (reply[0] === MINUS) this.#session.end()
      else agreed()
    }).push(questions)
  }

  /** A push that has come down the client's connection to that store: a view. */
  invalidated(store: Store, buf: Buffer, start: number, end: number): void {
    if (this.#own.asked === this) {
      if (this.#early === null || this.#early.length === MAX_EARLY) this.#early = null
      else this.#early.push({ store, push: Buffer.from(buf.subarray(start, end)) })
      return
    }
    const keys = keysIn(buf, start, end)
    if (keys === undefined || keys === null || !this.#names.translated) this.#session.pushInOrder(buf, start, end)
    else this.#deliver(store, keys)
  }

  /** CLIENT TRACKINGINFO's reply with what the client gave, and what only Understudy knows: that the client that invalidations go to is gone. */
  asGiven(frame: Buffer): Buffer {
    const { redirect, broken } = this.#recipient
    return trackingInfoAsGiven(frame, this.#session.protocol, { redirect, prefixes: this.#names.prefixes, broken })
  }

  close(): void {
    this.#redirections.close()
  }

  #told(reply: Buffer, before: ClientTracking | null): void {
    const session = this.#session
    this.#own.asked = null
    if (reply[0] === MINUS) {
      this.close()
      if (before === null) session.own?.leave()
      return
    }
    before?.close()
    this.#own.tracking = this
    // For a moment nothing was tracked.
    if (before !== null && this.#names.translated) this.#recipient.tell(null)
  }

  /** Under what is in force now; null: the client tracks nothing. */
  #tellEarly(now: ClientTracking | null): void {
    const early = this.#early
    this.#early = []
    if (now === null) return
    if (early === null) now.#recipient.tell(null)
    else for (const { store, push } of early) now.invalidated(store, push, 0, push.length)
  }

  /** Connections that take the invalidations, where another client is to have them: what is asked names them, so they have to be there first. */
  #redirected(ready: (failure: string | null) => void): void {
    if (this.#request.redirectsTo === null) return ready(null)
    const stores = [...this.#own.all()].map(([store]) => store)
    const onPush = (store: Store, buf: Buffer, start: number, end: number): void => {
      const keys = keysIn(buf, start, end)
      if (keys !== undefined) this.#deliver(store, keys)
    }
    this.#redirections.open(this.#session, stores, onPush, ready)
  }

  /** `translates`: with the prefixes of the stores. Those of `before` would stay: it ends first. */
  #questions(translates: boolean, before: ClientTracking | null): OwnQuestion[] {
    return [...this.#own.all()].map(([store, pipeline]) => {
      if (translates && before !== null) pipeline.push(new Swallow(), OFF, 0, OFF.length)
      const prefixes = translates && this.#request.broadcasts ? this.#names.prefixesAt(store) : this.#request.prefixes
      return { pipeline, bytes: this.#frame(store, prefixes) }
    })
  }

  #frame(store: Store, prefixes: readonly Buffer[]): Buffer {
    const { words, redirectWords } = this.#request
    const id = this.#redirections.idAt(store)
    const redirect = id === undefined ? redirectWords : ['REDIRECT', String(id)]
    const given = prefixes.flatMap((prefix) => ['PREFIX', prefix])
    return encodeCommand(['CLIENT', 'TRACKING', 'ON', ...redirect, ...words, ...given])
  }

  #deliver(store: Store, keys: readonly Buffer[] | null): void {
    const seen = keys === null || !this.#names.translated ? keys : this.#names.of(store, keys)
    if (seen === null || seen.length > 0) this.#recipient.tell(seen)
  }
}
