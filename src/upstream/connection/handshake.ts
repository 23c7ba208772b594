import { append } from '../../base/append.ts'
import type { StoreConfig } from '../../config/config.ts'
import { ASTERISK } from '../../resp/bytes.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import { killCommand, type ServerConnections, type StoreSideName } from './own-connections.ts'

/** Whose rights a connection has at its store. */
export interface StoreUser {
  /** Unlike for unlike credentials, so that a wrong password never finds a connection that a right one has opened. Secret. */
  readonly key: string
  /** Arguments of AUTH: a password, or a name and a password; null: nobody has logged in, what the store calls its default user. */
  readonly login: readonly string[] | null
  /** Arguments of AUTH of who the client was first: by that one's right it is in its database, where the configuration has no credentials. Secret. */
  readonly before: readonly string[] | null
}

export const ANONYMOUS: StoreUser = { key: '', login: null, before: null }

/** What makes one connection different from another of the same store: commands of unlike identities cannot share one. */
export interface Identity {
  /** As the store counts it. */
  readonly database: number
  readonly protocol: 2 | 3
  /** A client that logs in at the store itself; null: the credentials of the configuration. */
  readonly user: StoreUser | null
}

function ownLogin({ username, password }: StoreConfig): readonly string[] | null {
  if (password === null) return null
  return username === null ? [password] : [username, password]
}

/**
 * AUTH that makes an open connection that user's; null: the one of the configuration. Where that has no password the default user is given the client's: it takes any, but for one that it has been given at the store since.
 */
export function authCommandOf(store: StoreConfig, user: StoreUser | null, password: string): Buffer {
  if (user !== null) return auth(user.login!, true)
  const own = ownLogin(store)
  return own === null ? auth(['default', password], true) : auth(own, false)
}

/** Who uses a connection: many clients, one of them, or the mirror. */
export type ConnectionUse = 'shared' | 'dedicated' | 'mirror'

/** One command of a new connection's greeting. `required`: an error reply to it makes the connection useless. */
export interface Greeting {
  readonly name:
    | 'prelogin'
    | 'preselect'
    | 'auth'
    | 'hello'
    | 'select'
    | 'setname'
    | 'role'
    | 'id'
    | 'kill'
    | 'info'
    | 'loading'
    | 'list'
    | 'server'
  readonly bytes: Buffer
  readonly required: boolean
  /** Of `kill`; null: nobody. */
  readonly ends?: StoreSideName | null
}

/**
 * What is sent on a new connection before anything else, in a spelling that no client uses: MONITOR leaves it out. `HELLO 3` only where it is needed, so that servers older than 6.0 serve RESP2
 * clients; `CLIENT ID` is asked for on dedicated connections, so that a blocked one can be unblocked.
 *
 * A client's own user need not have the right to SELECT: the client was in its database before it logged in. So that is tried before AUTH, too, with the credentials of
 * the configuration or as who the client was first, where the store wants a login. If that fails, the SELECT behind AUTH counts.
 *
 * A connection that a client has logged in on has no name of Understudy's: the client's user may lack the right to CLIENT SETNAME, and the store's ACL LOG would tell of it.
 *
 * Nor need it have the right to CLIENT ID; HELLO everybody may say, and its reply has the id. Who logs in by a password alone is the default user, perhaps of a server without HELLO.
 *
 * With the credentials of the configuration it asks what the store calls it (`CLIENT INFO`, since 6.2), and has the store end first what was given up while commands were in flight (`OwnConnections`): what the network, or a
 * hanging store, still holds of that would otherwise be executed behind what comes now.
 *
 * Which server it is, is asked where somebody compares it with others (`asksWhoItIs`): on a connection that a client has logged in on only where no other can tell, for the same reason.
 *
 * The mirror waits for a store that still loads its data, as for one that is down: all it would send now would be refused (PING is, too).
 *
 * A store behind Sentinels is asked for its role by every connection: an old primary that comes back as a replica, at the address where it was, gets no commands. A user that may not ask is let through: the
 * address itself was verified before (`SentinelWatch`).
 */
export function greetings(
  store: StoreConfig,
  identity: Identity,
  use: ConnectionUse,
  own: ServerConnections | null = null,
  asksWhoItIs = false,
): Greeting[] {
  const wantsId = use === 'dedicated'
  const list: Greeting[] = []
  const login = identity.user === null ? ownLogin(store) : identity.user.login
  const select = encodeOwn(['SELECT', String(identity.database)])
  if (login !== null) {
    if (identity.user !== null && identity.database !== 0) {
      const own = ownLogin(store)
      const first = own ?? identity.user.before
      if (first !== null) list.push({ name: 'prelogin', bytes: auth(first, own === null), required: false })
      list.push({ name: 'preselect', bytes: select, required: false })
    }
    list.push({ name: 'auth', bytes: auth(login, identity.user !== null), required: true })
  }
  const idInHello = wantsId && identity.user !== null && login?.length === 2
  if (identity.protocol === 3) list.push({ name: 'hello', bytes: encodeOwn(['HELLO', '3']), required: true })
  else if (idInHello) list.push({ name: 'hello', bytes: encodeOwn(['HELLO', '2']), required: false })
  if (own !== null) {
    const ends = own.toEnd(wantsId)
    if (ends.length === 0 && own.unknown) list.push(killGreeting(null))
    else append(list, ends.map(killGreeting))
  }
  if (identity.user === null || login === null) {
    const name = own?.run.name ?? 'understudy'
    list.push({ name: 'setname', bytes: encodeOwn(['CLIENT', 'SETNAME', name]), required: false })
  }
  if (identity.database !== 0) {
    list.push({ name: 'select', bytes: select, required: true })
  }
  if (store.kind === 'sentinel') list.push({ name: 'role', bytes: encodeOwn(['ROLE']), required: false })
  if (wantsId && !idInHello) list.push({ name: 'id', bytes: encodeOwn(['CLIENT', 'ID']), required: false })
  if (own !== null) list.push({ name: 'info', bytes: encodeOwn(['CLIENT', 'INFO']), required: false })
  if (own?.asksForList) list.push({ name: 'list', bytes: encodeOwn(['CLIENT', 'LIST']), required: false })
  if (asksWhoItIs) list.push({ name: 'server', bytes: encodeOwn(['INFO', 'server']), required: false })
  if (use === 'mirror') list.push({ name: 'loading', bytes: encodeOwn(['PING']), required: false })
  return list
}

export function killGreeting(ends: StoreSideName | null): Greeting {
  return { name: 'kill', bytes: killCommand(ends), required: false, ends }
}

/** One character a byte, as a client's came in; the configuration's own is text. */
function auth(login: readonly string[], ofClient: boolean): Buffer {
  return encodeOwn(['AUTH', ...login.map((arg) => Buffer.from(arg, ofClient ? 'latin1' : 'utf8'))])
}

/** The id in a reply to HELLO, of either protocol; 0: an error, or none is told. A view. */
export function idInHelloReply(buf: Buffer, start: number, end: number): number {
  return Number(/\$2\r\nid\r\n:(\d+)\r\n/.exec(buf.toString('latin1', start, end))?.[1] ?? 0)
}

/** Whether a reply to ROLE says anything but `master`. An error says nothing. */
export function isReplica(buf: Buffer, start: number): boolean {
  return buf[start] === ASTERISK && !buf.toString('latin1', start, start + 20).includes('$6\r\nmaster')
}
