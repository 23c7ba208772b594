import type { CommandSpec } from '../command/spec.ts'
import { MINUS, PLUS } from '../resp/bytes.ts'
import type { CommandView } from '../resp/command-view.ts'
import { decodeReply } from '../resp/decode.ts'
import { encodeCommand } from '../resp/encode.ts'
import { PushReply } from '../resp/reply.ts'
import type { Route } from '../routing/route.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import type { Store } from '../upstream/store.ts'
import { bytesArg } from './arguments.ts'
import { refuseByArity } from './arity.ts'
import type { Pin } from './pin.ts'
import type { Session } from './session.ts'

const PING = encodeCommand(['PING'])
const MONITOR = encodeCommand(['MONITOR'])

type Kind = 'subscribe' | 'psubscribe' | 'ssubscribe'
const KINDS: readonly Kind[] = ['subscribe', 'psubscribe', 'ssubscribe']

/** A command on the subscriber's connection whose answers are still to come. */
interface Owed {
  /** Frames: one per channel. An error is one frame for all of them. */
  frames: number
  /** What it added to the names, to be taken back if it is refused. */
  readonly kind: Kind | null
  readonly added: readonly string[]
}

/**
 * SUBSCRIBE and its kin, and MONITOR: a dedicated connection whose frames go to the client as they come.
 *
 * RESP2: while subscribed only (P|S)(UN)SUBSCRIBE, PING, QUIT and RESET are allowed, as in Redis; after the last UNSUBSCRIBE the session is an ordinary one again.
 * RESP3: every other command goes its usual way meanwhile.
 *
 * What goes another way than this connection waits until the connection owes nothing: a client that subscribes and publishes in one breath gets its message, and
 * its replies come in order.
 *
 * A switch opens the same subscriptions on the new primary before the old connection is closed.
 */
export function startSubscribing(session: Session, view: CommandView, spec: CommandSpec): boolean {
  if (session.order.owed > 0) return session.waitFor('replies')
  const { fallback } = session.path.routes
  if (session.isHeld(fallback)) return session.waitFor('switch')
  const subscriber = new Subscriber(session, fallback, spec.handling === 'takeover')
  session.enter(subscriber)
  return subscriber.dispatch(view, spec)
}

class Subscriber implements Pin {
  readonly kind = 'subscriber'
  outer: Pin | null = null
  readonly #session: Session
  readonly #monitor: boolean
  #route: Route
  #store: Store
  #pipeline: Pipeline
  /** What is subscribed to, by the name the client gave, for a move. */
  readonly #names: Record<Kind, Map<string, Buffer>> = {
    subscribe: new Map(),
    psubscribe: new Map(),
    ssubscribe: new Map(),
  }
  readonly #owed: Owed[] = []
  /** Connections to former primaries: they pass messages on until the one to the present one is ready, and drain then. */
  readonly #former: { readonly store: Store; readonly pipeline: Pipeline }[] = []
  /** A switch came while answers were owed: it moves when they are there. */
  #moves = false

  constructor(session: Session, route: Route, monitor: boolean) {
    this.#session = session
    this.#route = route
    this.#monitor = monitor
    this.#store = session.path.primaryOf(route)
    this.#pipeline = this.#open()
  }

  get route(): Route {
    return this.#route
  }

  get flag(): string {
    return this.#monitor ? 'O' : 'P'
  }

  dispatch(view: CommandView, spec: CommandSpec | null): boolean {
    const session = this.#session
    const name = spec?.name ?? ''
    const ownWay = spec?.handling === 'subscribe' || spec?.handling === 'takeover'
    if (ownWay) return refuseByArity(session, view, spec) || this.#subscription(view, name)
    const restricted = session.protocol === 2 || this.#monitor
    if (name === 'PING' && restricted && !this.#monitor) {
      this.#relayed(view, { frames: 1, kind: null, added: [] })
      return true
    }
    if (this.#owed.length > 0) return session.waitFor('pin')
    if (name === 'QUIT' || name === 'RESET') {
      if (session.order.owed > 0) return session.waitFor('replies')
      this.abandon()
      session.leave(this)
      return session.dispatch(view)
    }
    if (!restricted) return this.outer === null ? session.dispatchUnpinned(view, spec) : this.outer.dispatch(view, spec)
    if (spec === null) {
      session.answerError(
        'ERR unknown command; only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context',
      )
      return true
    }
    if (refuseByArity(session, view, spec)) return true
    session.answerError(
      `ERR Can't execute '${name.toLowerCase().replace(' ', '|')}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context`,
    )
    return true
  }

  #subscription(view: CommandView, name: string): boolean {
    const session = this.#session
    if (session.isHeld(this.#route)) return session.waitFor('switch')
    // Replies under way by another connection come first.
    if (session.order.owed > 0) return session.waitFor('replies')
    if (name === 'MONITOR') {
      this.#relayed(view, { frames: 1, kind: null, added: [] })
      return true
    }
    const kind = name.toLowerCase().replace('un', '') as Kind
    const names = this.#names[kind]
    if (name.includes('UNSUBSCRIBE')) {
      // Without names: one confirmation for each that there was, or one that says there was none.
      const frames = view.argc === 1 ? Math.max(1, names.size) : view.argc - 1
      if (view.argc === 1) names.clear()
      for (let i = 1; i < view.argc; i++) names.delete(bytesArg(view, i).toString('latin1'))
      this.#relayed(view, { frames, kind: null, added: [] })
      return true
    }
    const added: string[] = []
    for (let i = 1; i < view.argc; i++) {
      const channel = bytesArg(view, i)
      const text = channel.toString('latin1')
      if (!names.has(text)) added.push(text)
      names.set(text, channel)
    }
    this.#relayed(view, { frames: view.argc - 1, kind, added })
    return true
  }

  #relayed(view: CommandView, owed: Owed): void {
    this.#owed.push(owed)
    this.#pipeline.pushRelayed(view.buf, view.frameStart, view.frameEnd)
  }

  #open(): Pipeline {
    const session = this.#session
    const pipeline = this.#store.borrow(session.database, session.protocol)
    pipeline.relay = true
    pipeline.onPush = (buf, start, end) => {
      this.#relay(buf, start, end)
    }
    pipeline.onClosed = () => this.#lost()
    return pipeline
  }

  #relay(buf: Buffer, start: number, end: number): void {
    this.#session.push(buf, start, end)
    const owed = this.#owed[0]
    if (owed === undefined || !isAnswer(buf, start, end)) return
    if (buf[start] === MINUS) {
      owed.frames = 0
      for (const name of owed.added) this.#names[owed.kind!].delete(name)
    } else owed.frames--
    if (owed.frames > 0) return
    this.#owed.shift()
    if (this.#owed.length === 0) this.#answered()
  }

  #answered(): void {
    const session = this.#session
    if (!this.#monitor && KINDS.every((kind) => this.#names[kind].size === 0)) {
      this.abandon()
      session.leave(this)
    }
    if (this.#moves) this.moved()
    if (session.waiting === 'pin') session.proceed()
  }

  /** A subscriber whose store is gone would wait for ever: it is disconnected, as by the store itself, and subscribes anew. */
  #lost(): void {
    this.#session.socket.destroy()
  }

  abandon(): void {
    this.#session.path.movingSubscribers.delete(this)
    for (const { store, pipeline } of this.#former.splice(0)) store.discard(pipeline)
    this.#store.discard(this.#pipeline)
  }

  moved(): void {
    const { path } = this.#session
    const route = path.routes.fallback
    if (path.primaryOf(route) === this.#store) return
    this.#moves = this.#owed.length > 0
    if (this.#moves) return
    // Should it go before the new one is ready, the client need not know.
    this.#pipeline.onClosed = null
    this.#former.push({ store: this.#store, pipeline: this.#pipeline })
    this.#route = route
    this.#store = path.primaryOf(route)
    const next = this.#open()
    this.#pipeline = next
    let toConfirm = 0
    if (this.#monitor) {
      next.pushRelayed(MONITOR, 0, MONITOR.length)
      toConfirm = 1
    }
    for (const kind of KINDS) {
      const channels = [...this.#names[kind].values()]
      if (channels.length === 0) continue
      const bytes = encodeCommand([kind.toUpperCase(), ...channels])
      next.pushRelayed(bytes, 0, bytes.length)
      toConfirm += channels.length
    }
    const live = next.onPush!
    path.movingSubscribers.add(this)
    const arrived = (): void => {
      next.onPush = live
      if (next !== this.#pipeline) return
      path.movingSubscribers.delete(this)
      for (const { store, pipeline } of this.#former.splice(0)) drain(store, pipeline, live)
    }
    if (toConfirm === 0) return arrived()
    // The client knows nothing of this: confirmations stay here, messages pass.
    next.onPush = (buf, start, end) => {
      if (!isAnswer(buf, start, end)) live(buf, start, end)
      else if (--toConfirm === 0) arrived()
    }
  }
}

/** Closes a former connection when all that was said on it before has arrived: what the old primary sent must not be lost on the way. */
function drain(store: Store, pipeline: Pipeline, live: (buf: Buffer, start: number, end: number) => void): void {
  const discard = (): void => store.discard(pipeline)
  pipeline.pushRelayed(PING, 0, PING.length)
  pipeline.onPush = (buf, start, end) => {
    if (isPong(buf, start, end)) discard()
    else if (!isAnswer(buf, start, end)) live(buf, start, end)
  }
  setTimeout(discard, DRAIN_MS).unref()
}

/** `+PONG`, or `[pong, ""]` of a RESP2 subscriber. */
function isPong(buf: Buffer, start: number, end: number): boolean {
  return /^(\+PONG\r\n|\*2\r\n\$4\r\npong\r\n)/.test(buf.toString('latin1', start, Math.min(end, start + 16)))
}

const DRAIN_MS = 1_000

/**
 * `[subscribe | unsubscribe | ..., channel, count]`, as an array (RESP2) or a push (RESP3); `[pong, text]`, what a RESP2 subscriber's PING gets; MONITOR's OK; an error.
 * Everything else is a message.
 */
function isAnswer(buf: Buffer, start: number, end: number): boolean {
  if (buf[start] === MINUS) return true
  if (buf[start] === PLUS) return end - start === 5
  const reply = decodeReply(buf, start, end)
  const items = reply instanceof PushReply ? reply.items : Array.isArray(reply) ? reply : []
  return Buffer.isBuffer(items[0]) && /^([ps]?(un)?subscribe|pong)$/.test(items[0].toString('latin1'))
}
