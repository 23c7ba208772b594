import type net from 'node:net'
import { append } from '../../base/append.ts'
import { UnderstudyError } from '../../base/errors.ts'
import type { StoreConfig } from '../../config/config.ts'
import { COLON, MINUS } from '../../resp/bytes.ts'
import { readyEvent } from './connect.ts'
import { noConnectionReason } from './connect-error.ts'
import {
  type ConnectionUse,
  type Greeting,
  greetings,
  type Identity,
  idInHelloReply,
  isReplica,
  killGreeting,
} from './handshake.ts'
import { type ServerConnections, type StoreSideName, sideName } from './own-connections.ts'

/** Who wants the connection. Exactly one of the three is called, unless the attempt is given up. */
export interface AttemptOwner {
  /** It can be used. `clientId`: CLIENT ID at the store; 0: not asked for, or unknown. */
  ready(clientId: number): void
  /** The store's own words: it will never serve this identity, so that nothing is to be tried again. */
  refused(text: string): void
  /** Why it did not come about this time. */
  failed(reason: string): void
}

/**
 * The beginning of a connection: to the open socket within `connectTimeout`; from there to the last reply of the greeting (`handshake.ts`) within the store's `timeout`, as any
 * command: a server that runs something long takes connections, and lets those who have come wait.
 *
 *   connected ─▶ greeting, all of it at once ─▶ its replies, one by one (`greeted`) ─┬─▶ ready
 *                                                                                    ├─▶ refused: a login, or a database, that will never be right
 *                                                                                    └─▶ failed
 *
 * A login behind SELECT waits for the reply to that: a server since 7.2 says nothing to one that it refuses while replies before it have not left.
 */
export class ConnectionAttempt {
  readonly #socket: net.Socket
  readonly #store: StoreConfig
  readonly #identity: Identity
  readonly #use: ConnectionUse
  readonly #owner: AttemptOwner
  #greetings: Greeting[] = []
  #clientId = 0
  readonly #own: ServerConnections | null
  readonly #met: ((info: string) => string | null) | null
  #listed = false
  /** Known when the connection is ready; null: the store does not tell, or was not asked. */
  name: StoreSideName | null = null
  /** The SELECT before the login was taken. */
  #preselected = false
  #deadline: NodeJS.Timeout | null = null

  /** `own`: our connections to that server; null: with a client's own login nothing is asked or said of them. `met`: is told which server it is, and may refuse it; null: nobody wants to know. */
  constructor(
    socket: net.Socket,
    store: StoreConfig,
    identity: Identity,
    use: ConnectionUse,
    own: ServerConnections | null,
    met: ((info: string) => string | null) | null,
    owner: AttemptOwner,
  ) {
    this.#own = own
    this.#met = met
    this.#socket = socket
    this.#store = store
    this.#identity = identity
    this.#use = use
    this.#owner = owner
    this.#limitTime(store.connectTimeoutMs)
    socket.once(readyEvent(store), () => this.#greet())
  }

  /** Something has come of it, or it is not wanted any more. */
  end(): void {
    if (this.#deadline !== null) clearTimeout(this.#deadline)
    this.#deadline = null
  }

  /** The next reply of the greeting: a view. */
  greeted(buf: Buffer, start: number, end: number): void {
    const greeting = this.#greetings.shift()
    if (greeting === undefined) throw new UnderstudyError('PROTOCOL', 'the store spoke before it was greeted')
    const text = buf[start] === MINUS ? buf.toString('latin1', start + 1, end - 2) : ''
    if (greeting.name === 'preselect') {
      this.#preselected = text === ''
      this.#write(this.#greetings)
    }
    const selected = greeting.name === 'select' && this.#preselected
    if (greeting.name === 'role' && isReplica(buf, start)) {
      this.#owner.failed('it is a replica now, and the Sentinels have not named another primary yet')
      return
    }
    if (buf[start] === MINUS && !selected && (greeting.required || TURNED_AWAY.test(text))) {
      // The server's own words reach the client: what it would have read from the store.
      // A client's own login that is refused is its answer; the configuration's may be mended on the store, so it is tried again.
      const forGood = greeting.name === 'select' || NO_RESP3.test(text) || this.#identity.user !== null
      if (forGood) this.#owner.refused(text)
      else this.#owner.failed(`${greeting.name} was refused: ${text}`)
      return
    }
    if (greeting.name === 'loading' && text.startsWith('LOADING ')) {
      this.#owner.failed('it is loading its data')
      return
    }
    if (greeting.name === 'server' && buf[start] !== MINUS) {
      const reason = this.#met!(buf.toString('latin1', start, end))
      if (reason !== null) return this.#owner.refused(reason)
    }
    if (greeting.name === 'id' && buf[start] === COLON)
      this.#clientId = Number(buf.toString('latin1', start + 1, end - 2))
    if (greeting.name === 'info' && buf[start] !== MINUS) this.name = sideName(buf.toString('latin1', start, end))
    if (greeting.name === 'hello' && this.#use === 'dedicated') this.#clientId = idInHelloReply(buf, start, end)
    if (greeting.name === 'kill') this.#own?.answered(greeting.ends ?? null, buf.toString('latin1', start, end))
    if (greeting.name === 'list') this.#list(buf.toString('latin1', start, end))
    if (this.#greetings.length > 0) return
    if (this.#listed) this.#own?.leftoversEnded()
    this.#owner.ready(this.#clientId)
  }

  /** What earlier runs left is ended before this connection says anything else. */
  #list(reply: string): void {
    if (reply.startsWith('-')) {
      this.#own?.listRefused(reply)
      return
    }
    this.#listed = true
    const kills = (this.#own?.leftovers(reply) ?? []).map(killGreeting)
    if (kills.length === 0) return
    append(this.#greetings, kills)
    this.#write(kills)
  }

  #greet(): void {
    this.end()
    this.#limitTime(Math.max(this.#store.connectTimeoutMs, this.#store.timeoutMs))
    this.#greetings = greetings(this.#store, this.#identity, this.#use, this.#own, this.#met !== null)
    const ahead = this.#greetings.findIndex(({ name }) => name === 'preselect') + 1
    this.#write(ahead === 0 ? this.#greetings : this.#greetings.slice(0, ahead))
  }

  #write(greetings: readonly Greeting[]): void {
    this.#socket.write(Buffer.concat(greetings.map(({ bytes }) => bytes)))
  }

  /** A timer that comes late says that we were busy, not that the store was slow: its answer may be there already. Then it gets its time again. */
  #limitTime(limitMs: number): void {
    const dueMs = performance.now() + limitMs
    this.#deadline = setTimeout(() => {
      if (performance.now() - dueMs > BUSY_MS) this.#limitTime(limitMs)
      else if (this.#greetings.length > 0) this.#owner.failed(`no answer to the greeting within ${limitMs} ms`)
      else this.#owner.failed(noConnectionReason(this.#store, this.#socket.connecting))
    }, limitMs)
  }
}

/** A timer that is later than this was held up by other work. */
const BUSY_MS = 200

/** What a server says to a connection that it closes at once. */
const TURNED_AWAY = /^(ERR max number of clients|DENIED)/

/** Of a server older than 6.0, asked for RESP3. */
const NO_RESP3 = /^(ERR unknown command|NOPROTO)/
