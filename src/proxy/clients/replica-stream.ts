import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import type { Route } from '../../routing/route.ts'
import { RawConnection, type RawConnectionOwner } from '../../upstream/connection/raw-connection.ts'
import { forward } from '../forward/forward.ts'
import { enterPin, type Pin } from '../session/pin.ts'
import type { Session } from '../session/session.ts'
import { saysNothing } from '../session/session-commands.ts'

/**
 * A client that asks to be a replica (REPLCONF, PSYNC, SYNC: a real replica, or a tool that reads the stream) gets a connection of its own to the primary of the route
 * `*`, as a pipe: what the store says goes to it as it comes (an RDB file is not RESP), and its acknowledgements go back.
 *
 * It sees the store's own keys under the store's own names, whatever the routes say. When the primary moves the connection is closed, as a failover would close it: the replica
 * comes back and synchronises with the new one.
 */
export function startReplicaStream(session: Session, view: CommandView, spec: CommandSpec): boolean {
  if (spec.name === 'REPLCONF' && saysNothing(view)) return forward(session, view, spec)
  if (session.order.owed > 0) return session.waitFor('replies')
  const { fallback } = session.path.routes
  if (fallback.state.switching) return session.waitFor('hold')
  const endpoint = session.path.primaryOf(fallback).options.endpoint()
  if (typeof endpoint === 'string') {
    const store = fallback.primary.storeName
    session.answerError(`ERR Understudy: store '${store}' is down (${endpoint}); the command was not executed`)
    return true
  }
  const stream = new ReplicaStream(session, fallback, (owner) => {
    return new RawConnection(session.path.primaryOf(fallback).options.config, endpoint, session.user, owner)
  })
  enterPin(session, stream)
  return stream.dispatch(view, spec)
}

class ReplicaStream implements Pin, RawConnectionOwner {
  readonly kind = 'replica'
  readonly flag = 'S'
  readonly route: Route
  outer: Pin | null = null
  readonly #session: Session
  readonly #upstream: RawConnection
  #paused = false

  constructor(session: Session, route: Route, connect: (owner: RawConnectionOwner) => RawConnection) {
    this.#session = session
    this.route = route
    this.#upstream = connect(this)
    session.socket.on('drain', () => this.#goOn())
  }

  dispatch(view: CommandView, spec: CommandSpec | null): boolean {
    const session = this.#session
    if (spec?.handling !== 'replica' && spec?.name !== 'PING') {
      session.answerError(
        'ERR this connection has asked to be a replica (REPLCONF, PSYNC or SYNC); use another one for commands',
      )
      return true
    }
    if (this.#upstream.pendingBytes > LIMIT_BYTES) return session.waitFor('room')
    this.#upstream.write(view.buf, view.frameStart, view.frameEnd)
    return true
  }

  bytes(buf: Buffer, length: number): void {
    const { downstream } = this.#session
    downstream.write(buf, 0, length)
    if (this.#paused || downstream.pendingBytes < LIMIT_BYTES) return
    this.#paused = true
    this.#upstream.pause()
  }

  drained(): void {
    this.#session.wake()
  }

  closed(reason: string): void {
    const session = this.#session
    session.path.log({
      level: 'info',
      msg: 'the stream of a replica has ended',
      fields: { store: this.route.primary.storeName, reason },
    })
    // What the store has said comes first, however slowly the client takes it.
    session.end()
  }

  abandon(): void {
    this.#upstream.close()
  }

  moved(changed: ReadonlySet<string>): void {
    if (!changed.has(this.route.name)) return
    this.#upstream.close()
    this.closed('the primary has changed')
  }

  #goOn(): void {
    if (!this.#paused || this.#session.downstream.pendingBytes >= LIMIT_BYTES) return
    this.#paused = false
    this.#upstream.resume()
  }
}

/** Bytes that wait on either side, beyond which the other is not read. */
const LIMIT_BYTES = 1024 * 1024
