import type { CommandSpec } from '../command/spec.ts'
import type { CommandView } from '../resp/command-view.ts'
import { decodeReply } from '../resp/decode.ts'
import { encodeCommand } from '../resp/encode.ts'
import { PushReply } from '../resp/reply.ts'
import type { Route } from '../routing/route.ts'
import type { Pipeline } from '../upstream/pipeline.ts'
import type { Store } from '../upstream/store.ts'
import { bytesArg } from './arguments.ts'
import { arityFits, wrongArity } from './arity.ts'
import type { Pin } from './pin.ts'
import type { Session } from './session.ts'

type Kind = 'subscribe' | 'psubscribe' | 'ssubscribe'
const KINDS: readonly Kind[] = ['subscribe', 'psubscribe', 'ssubscribe']

/**
 * SUBSCRIBE and its kin, and MONITOR: a dedicated connection whose frames go to the client as they come.
 *
 * RESP2: while subscribed only (P|S)(UN)SUBSCRIBE, PING, QUIT and RESET are allowed, as in Redis; after the last UNSUBSCRIBE the session is an ordinary one again.
 * RESP3: every other command goes its usual way meanwhile.
 *
 * A switch opens the same subscriptions on the new primary before the old connection is closed.
 */
export function startSubscribing(session: Session, view: CommandView, spec: CommandSpec): boolean {
  if (session.order.owed > 0) return session.waitFor('replies')
  const { fallback } = session.path.routes
  if (session.isHeld(fallback)) return session.waitFor('switch')
  const subscriber = new Subscriber(session, fallback, spec.handling === 'takeover')
  session.pin = subscriber
  return subscriber.dispatch(view, spec)
}

class Subscriber implements Pin {
  readonly kind = 'subscriber'
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
  /** Confirmations that are still to come; the client's next command waits for them where they decide what it means. */
  #owed = 0

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
    if (spec?.handling === 'subscribe' || spec?.handling === 'takeover') {
      if (!arityFits(spec, view.argc)) {
        session.answerError(wrongArity(spec))
        return true
      }
      return this.#subscription(view, name)
    }
    if (name === 'QUIT' || name === 'RESET') {
      this.abandon()
      session.pin = null
      return session.dispatchUnpinned(view, spec)
    }
    if (session.protocol === 3 && !this.#monitor) return session.dispatchUnpinned(view, spec)
    if (name === 'PING' && !this.#monitor) {
      this.#pipeline.pushRelayed(view.buf, view.frameStart, view.frameEnd)
      return true
    }
    session.answerError(
      `ERR Can't execute '${(spec?.name ?? 'this command').toLowerCase()}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context`,
    )
    return true
  }

  #subscription(view: CommandView, name: string): boolean {
    const session = this.#session
    if (session.isHeld(this.#route)) return session.waitFor('switch')
    this.#pipeline.pushRelayed(view.buf, view.frameStart, view.frameEnd)
    if (name === 'MONITOR') return true
    const removes = name.includes('UNSUBSCRIBE')
    const kind = name.toLowerCase().replace('un', '') as Kind
    const names = this.#names[kind]
    if (!removes) {
      for (let i = 1; i < view.argc; i++) {
        const channel = bytesArg(view, i)
        names.set(channel.toString('latin1'), channel)
      }
      this.#owed += view.argc - 1
      return true
    }
    // Without names: one confirmation for each that there was, or one that says there was none.
    this.#owed += view.argc === 1 ? Math.max(1, names.size) : view.argc - 1
    if (view.argc === 1) names.clear()
    for (let i = 1; i < view.argc; i++) names.delete(bytesArg(view, i).toString('latin1'))
    session.waiting = 'pin'
    return true
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
    const session = this.#session
    session.push(buf, start, end)
    if (this.#owed > 0 && isConfirmation(buf, start, end)) this.#confirmed()
  }

  #confirmed(): void {
    this.#owed--
    if (this.#owed > 0) return
    const session = this.#session
    if (!this.#monitor && KINDS.every((kind) => this.#names[kind].size === 0)) {
      this.abandon()
      session.pin = null
    }
    if (session.waiting === 'pin') session.proceed()
  }

  /** A subscriber whose store is gone would wait for ever: it is disconnected, as by the store itself, and subscribes anew. */
  #lost(): void {
    this.#session.socket.destroy()
  }

  abandon(): void {
    this.#store.discard(this.#pipeline)
  }

  moved(changed: ReadonlySet<string>): void {
    if (!changed.has(this.#route.name)) return
    const { routes } = this.#session.path
    const old = this.#pipeline
    const oldStore = this.#store
    this.#route = routes.byName(this.#route.name) ?? routes.fallback
    this.#store = this.#session.path.primaryOf(this.#route)
    const next = this.#open()
    this.#pipeline = next
    let toConfirm = 0
    for (const kind of KINDS) {
      const channels = [...this.#names[kind].values()]
      if (channels.length === 0) continue
      const bytes = encodeCommand([kind.toUpperCase(), ...channels])
      next.pushRelayed(bytes, 0, bytes.length)
      toConfirm += channels.length
    }
    const live = next.onPush!
    const closeOld = (): void => {
      next.onPush = live
      oldStore.discard(old)
    }
    if (toConfirm === 0) return closeOld()
    // The client knows nothing of this: confirmations stay here, messages pass.
    next.onPush = (buf, start, end) => {
      if (!isConfirmation(buf, start, end)) live(buf, start, end)
      else if (--toConfirm === 0) closeOld()
    }
  }
}

/** `[subscribe | unsubscribe | ..., channel, count]`, as an array (RESP2) or a push (RESP3). */
function isConfirmation(buf: Buffer, start: number, end: number): boolean {
  if (buf[start] === 45) return true
  const reply = decodeReply(buf, start, end)
  const items = reply instanceof PushReply ? reply.items : Array.isArray(reply) ? reply : []
  return Buffer.isBuffer(items[0]) && /^[ps]?(un)?subscribe$/.test(items[0].toString('latin1'))
}
