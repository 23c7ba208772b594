import type { CommandSpec } from '../command/spec.ts'
import { MINUS } from '../resp/bytes.ts'
import type { CommandView } from '../resp/command-view.ts'
import { decodeReply } from '../resp/decode.ts'
import { encodeCommand, encodeReply, errorFrame } from '../resp/encode.ts'
import { MapReply, PushReply, type Reply, SetReply } from '../resp/reply.ts'
import type { InFlight, Loss, ReplyOwner } from '../upstream/in-flight.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import type { Store } from '../upstream/store.ts'
import { bytesArg, integerArg, wordArg } from './arguments.ts'
import { forward } from './forward.ts'
import { leaveOwn, OwnConnection } from './own-connection.ts'
import type { Session } from './session.ts'
import { Swallow } from './swallow.ts'

const PING = encodeCommand(['Ping'])
const CHANNEL = Buffer.from('__redis__:invalidate')
/** An id that no client of a server has. */
const NOBODY = String(Number.MAX_SAFE_INTEGER)

/**
 * CLIENT TRACKING, CACHING, TRACKINGINFO, GETREDIR (redis.io, "Client-side caching"). What a client reads is remembered by the server for the connection
 * that it reads on, so a tracking client has one of its own.
 *
 *   RESP3                the server's pushes come down that connection between the replies, and leave in that order
 *   REDIRECT id          a second connection takes the invalidations (`Redirection`) and hands them to the client of that id: as a push, or as a message of
 *                        `__redis__:invalidate` where it speaks RESP2 and is subscribed
 *
 * Keys in invalidations have the names that the application gave them. After a switch the client is told to forget everything, and tracks at the new primary.
 *
 * False: has to wait.
 */
export function trackingCommand(session: Session, view: CommandView, spec: CommandSpec): boolean {
  const tracking = session.own?.tracking ?? null
  switch (spec.name) {
    case 'CLIENT GETREDIR':
      session.answer(Buffer.from(`:${tracking?.redirect ?? -1}\r\n`))
      return true
    case 'CLIENT TRACKING':
      if (wordArg(view, 2) === 'ON') return start(session, view)
      if (tracking !== null && wordArg(view, 2) === 'OFF') return stop(session, view)
      if (wordsOf(view).includes('REDIRECT')) return off(session, view)
      break
    case 'CLIENT TRACKINGINFO':
      if (tracking === null || tracking.redirect === 0) break
      if (session.order.owed > 0) return session.waitFor('replies')
      request(session, encodeCommand(['Client', 'TRACKINGINFO']), (frame) => tracking.withOwnIds(frame))
      return true
  }
  // On any other connection these change nothing, and the server's words about it are the right ones.
  return forward(session, view, spec)
}

/** `CLIENT TRACKING ON [REDIRECT id] [PREFIX prefix ...] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]`. The server says what is wrong with it. */
function start(session: Session, view: CommandView): boolean {
  const { routes } = session.path
  if (session.order.owed > 0) return session.waitFor('replies')
  if (routes.primaryStores.length > 1) {
    session.answerError('ERR Understudy does not track keys while routes have different primaries')
    return true
  }
  const args = argsOf(view)
  const words = wordsOf(view)
  if (words.includes('PREFIX') && !routes.viewOf(routes.fallback.primary.store).whole) {
    session.answerError('ERR Understudy does not track by prefix while keys have other names at the store')
    return true
  }
  const at = words.indexOf('REDIRECT', 3) + 1
  const redirect = at > 0 && at < args.length ? integerArg(view, at) : null
  if (redirect !== null && clientOf(session, redirect) === null) args[at] = Buffer.from(NOBODY)
  const known = redirect !== null && clientOf(session, redirect) !== null
  session.own ??= new OwnConnection(session, false)
  new Tracking(session, session.own, args, known ? { at, id: redirect } : null).begin()
  return true
}

function stop(session: Session, view: CommandView): boolean {
  if (session.order.owed > 0) return session.waitFor('replies')
  request(session, encodeCommand(withoutRedirect(session, view)), (reply) => {
    const own = session.own!
    if (reply[0] === MINUS) return reply
    own.tracking?.close()
    own.tracking = null
    leaveOwn(session)
    return reply
  })
  return true
}

/** `CLIENT TRACKING OFF REDIRECT id` of a client that does not track: nothing changes, but the server looks at every option. */
function off(session: Session, view: CommandView): boolean {
  if (session.order.owed > 0) return session.waitFor('replies')
  const { path } = session
  const pipeline =
    session.own?.pipeline ??
    path.primaryOf(path.routes.fallback).shared(session.database, session.protocol, session.user)
  if (pipeline.full) return session.noRoom(pipeline)
  session.waiting = 'pin'
  new Asked(session, session.order.assign(), (reply) => reply).push(
    encodeCommand(withoutRedirect(session, view)),
    pipeline,
  )
  return true
}

/** Ids of clients are Understudy's: the server is asked without one that there is, and with one that it cannot have without one that there is not. */
function withoutRedirect(session: Session, view: CommandView): Buffer[] {
  const args = argsOf(view)
  const at = wordsOf(view).indexOf('REDIRECT', 3)
  if (at < 0 || at + 1 >= args.length) return args
  const id = integerArg(view, at + 1)
  if (id === null) return args
  if (clientOf(session, id) === null) args[at + 1] = Buffer.from(NOBODY)
  else args.splice(at, 2)
  return args
}

function argsOf(view: CommandView): Buffer[] {
  return Array.from({ length: view.argc }, (_, i) => bytesArg(view, i))
}

function wordsOf(view: CommandView): string[] {
  return argsOf(view).map((arg) => arg.toString('latin1').toUpperCase())
}

/** One client's tracking, from the server's OK until it is turned off. */
export class Tracking {
  /** As CLIENT GETREDIR says it: 0: the client itself. */
  readonly redirect: number
  readonly #session: Session
  readonly #own: OwnConnection
  /** CLIENT TRACKING ON as sent. */
  readonly #args: Buffer[]
  readonly #redirectAt: number
  readonly #broadcasts: boolean
  #redirection: Redirection | null = null
  #broken = false

  constructor(session: Session, own: OwnConnection, args: Buffer[], redirect: { at: number; id: number } | null) {
    this.#session = session
    this.#own = own
    this.#args = args
    this.redirect = redirect?.id ?? 0
    this.#redirectAt = redirect?.at ?? 0
    this.#broadcasts = args.some((arg) => arg.toString('latin1').toUpperCase() === 'BCAST')
  }

  get flags(): string {
    return `t${this.#broken ? 'R' : ''}${this.#broadcasts ? 'B' : ''}`
  }

  /** Asks the server; the client goes on with its answer. */
  begin(): void {
    const session = this.#session
    const before = this.#own.tracking
    const told = (reply: Buffer): Buffer => {
      if (reply[0] === MINUS) {
        this.#redirection?.close()
        if (before === null) leaveOwn(session)
        return reply
      }
      if (before !== null && before !== this) before.close()
      this.#own.tracking = this
      return reply
    }
    if (this.#redirectAt === 0) return request(session, encodeCommand(this.#args), told)
    // What is asked names the connection that takes the invalidations, so that has to be there first.
    session.waiting = 'pin'
    const seq = session.order.assign()
    this.#redirection = new Redirection(session, this.#own, this, (failure) => {
      if (failure !== null) {
        this.#redirection = null
        if (before === null) leaveOwn(session)
        session.replyError(seq, failure)
        session.proceed()
      } else new Asked(session, seq, told).push(this.#frame())
    })
  }

  /** At another primary, after a switch: nothing is known there of what the client has cached. */
  again(): void {
    const tell = (): void => {
      const frame = this.#frame()
      this.#own.pipeline.push(new Swallow(), frame, 0, frame.length)
    }
    if (this.#redirectAt === 0) tell()
    else {
      this.#redirection?.close()
      this.#redirection = new Redirection(this.#session, this.#own, this, (failure) => {
        if (failure === null) tell()
        else this.#session.end()
      })
    }
    this.deliver(null)
  }

  /** A push that has come down the client's connection: a view. */
  invalidated(buf: Buffer, start: number, end: number): void {
    const session = this.#session
    const keys = keysIn(buf, start, end)
    if (keys === undefined || keys === null || this.#isWhole()) session.pushInOrder(buf, start, end)
    else this.deliver(keys)
  }

  /** An invalidation for the client that is to have it. Null: everything. */
  deliver(keys: readonly Buffer[] | null): void {
    const session = this.#session
    const target = this.redirect === 0 ? session : clientOf(session, this.redirect)
    if (target === null) return this.#breaks()
    const seen = keys === null || this.#isWhole() ? keys : this.#namesOf(keys)
    if (seen !== null && seen.length === 0) return
    const list: Reply = seen === null ? null : [...seen]
    if (target.protocol === 3) {
      const push = encodeReply(new PushReply([Buffer.from('invalidate'), list]), 3)
      target.pushInOrder(push, 0, push.length)
    } else if (isSubscribed(target)) {
      const nothing = Buffer.from('*-1\r\n')
      const head = encodeReply([Buffer.from('message'), CHANNEL], 2).subarray(4)
      const message = Buffer.concat([Buffer.from('*3\r\n'), head, list === null ? nothing : encodeReply(list, 2)])
      target.push(message, 0, message.length)
    }
  }

  /** CLIENT TRACKINGINFO's reply with the id that the client gave, and what only Understudy knows: that the client of that id is gone. */
  withOwnIds(frame: Buffer): Buffer {
    if (frame[0] === MINUS) return frame
    const reply = decodeReply(frame, 0, frame.length)
    const own = (name: Reply, value: Reply): Reply => {
      const text = Buffer.isBuffer(name) ? name.toString() : ''
      if (text === 'redirect') return this.redirect
      return text === 'flags' && this.#broken ? withFlag(value, 'broken_redirect') : value
    }
    if (reply instanceof MapReply) {
      return encodeReply(new MapReply(reply.entries.map(([name, value]) => [name, own(name, value)] as const)), 3)
    }
    const items = reply as readonly Reply[]
    return encodeReply(
      items.map((item, i) => (i % 2 === 1 ? own(items[i - 1]!, item) : item)),
      this.#session.protocol,
    )
  }

  close(): void {
    this.#redirection?.close()
    this.#redirection = null
  }

  #frame(): Buffer {
    const args = [...this.#args]
    if (this.#redirection !== null) args[this.#redirectAt] = Buffer.from(String(this.#redirection.clientId))
    return encodeCommand(args)
  }

  /** The client that took the invalidations is gone: told once, as by the server. */
  #breaks(): void {
    if (this.#broken) return
    this.#broken = true
    if (this.#session.protocol !== 3) return
    const push = encodeReply(new PushReply([Buffer.from('tracking-redir-broken'), this.redirect]), 3)
    this.#session.pushInOrder(push, 0, push.length)
  }

  #isWhole(): boolean {
    const { routes } = this.#session.path
    return routes.viewOf(routes.fallback.primary.store).whole
  }

  #namesOf(keys: readonly Buffer[]): Buffer[] {
    const { routes } = this.#session.path
    const view = routes.viewOf(routes.fallback.primary.store)
    return keys.flatMap((key) => view.nameOf(key, 0, key.length) ?? [])
  }
}

/** The connection that takes the invalidations of one client for another. It speaks RESP3, in which the server pushes them without a subscription. */
class Redirection {
  readonly #store: Store
  readonly #pipeline: Pipeline

  /** `ready`: told when it can be named to the server, or why it never will. */
  constructor(session: Session, own: OwnConnection, tracking: Tracking, ready: (failure: string | null) => void) {
    this.#store = own.store
    this.#pipeline = own.store.borrow(0, 3, session.user)
    this.#pipeline.onPush = (buf, start, end) => {
      const keys = keysIn(buf, start, end)
      if (keys !== undefined) tracking.deliver(keys)
    }
    const owner: ReplyOwner = {
      settle: () => queueMicrotask(() => ready(null)),
      lost: (_slot: InFlight, loss: Loss) => ready(loss.text),
      timedOut: () => {},
    }
    this.#pipeline.push(owner, PING, 0, PING.length)
  }

  /** Of this connection at the store. */
  get clientId(): number {
    return this.#pipeline.clientId
  }

  close(): void {
    this.#store.discard(this.#pipeline)
  }
}

/** Sends a frame on the client's own connection; the client gets what `answer` makes of the reply, and goes on. */
function request(session: Session, frame: Buffer, answer: (reply: Buffer) => Buffer): void {
  session.waiting = 'pin'
  new Asked(session, session.order.assign(), answer).push(frame)
}

class Asked implements ReplyOwner {
  readonly #session: Session
  readonly #seq: number
  readonly #answer: (reply: Buffer) => Buffer

  constructor(session: Session, seq: number, answer: (reply: Buffer) => Buffer) {
    this.#session = session
    this.#seq = seq
    this.#answer = answer
  }

  push(frame: Buffer, pipeline: Pipeline = this.#session.own!.pipeline): void {
    pipeline.push(this, frame, 0, frame.length)
  }

  settle(_slot: InFlight, buf: Buffer, start: number, end: number): void {
    const reply = Buffer.from(buf.subarray(start, end))
    // After it has left the ring: the answer may close the connection.
    queueMicrotask(() => this.#done(reply))
  }

  lost(_slot: InFlight, loss: Loss): void {
    this.#done(errorFrame(loss.text))
  }

  timedOut(): void {}

  #done(reply: Buffer): void {
    const session = this.#session
    if (session.closed) return
    const frame = this.#answer(reply)
    session.reply(this.#seq, frame, 0, frame.length)
    session.proceed()
  }
}

/** The keys of an `invalidate` push; null: all there are; undefined: it is another push. */
function keysIn(buf: Buffer, start: number, end: number): readonly Buffer[] | null | undefined {
  const reply = decodeReply(buf, start, end)
  if (!(reply instanceof PushReply)) return undefined
  const [kind, keys] = reply.items
  if (!Buffer.isBuffer(kind) || kind.toString('latin1') !== 'invalidate') return undefined
  return Array.isArray(keys) ? (keys as Buffer[]) : null
}

function clientOf(session: Session, id: number): Session | null {
  if (id === session.id) return session
  // One that has said QUIT is gone, though its connection may take a moment to close.
  for (const other of session.path.sessions) if (other.id === id && !other.ending) return other
  return null
}

function withFlag(flags: Reply, flag: string): Reply {
  if (flags instanceof SetReply) return new SetReply([...flags.members, Buffer.from(flag)])
  return Array.isArray(flags) ? [...(flags as Reply[]), Buffer.from(flag)] : flags
}

/** A RESP2 client takes messages only while it is subscribed to something. */
function isSubscribed(target: Session): boolean {
  for (let pin = target.pin; pin !== null; pin = pin.outer) if (pin.kind === 'subscriber') return true
  return false
}
