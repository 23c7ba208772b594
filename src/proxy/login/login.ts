import { createHash, timingSafeEqual } from 'node:crypto'
import type { CommandSpec } from '../../command/spec.ts'
import { MINUS } from '../../resp/bytes.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { encodeCommand } from '../../resp/encode.ts'
import { ownWord } from '../../resp/own-words.ts'
import type { Route } from '../../routing/route.ts'
import { ANONYMOUS, type StoreUser } from '../../upstream/connection/handshake.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import { textArg } from '../session/arguments.ts'
import { refuseByArity } from '../session/arity.ts'
import { enterPin, leavePin, type Pin } from '../session/pin.ts'
import type { Session } from '../session/session.ts'
import { changeUser } from './change-user.ts'
import { noRoomForUser, StoreLogin } from './store-login.ts'

/**
 * Who a client is (`clients.auth`).
 *
 *   store         nobody has to log in; an AUTH with the credentials that the configuration has for the primary changes nothing, with any other it goes on as below
 *   users         AUTH is compared with `clients.users`; until then `LoginPin` answers NOAUTH to everything but AUTH, HELLO, QUIT and RESET
 *   passthrough   AUTH goes to the primary, on a connection of exactly these credentials; what the client sends from then on goes down that user's pipelines
 */
export function beginLogin(session: Session): void {
  const { auth } = session.path.clients
  session.userName = 'default'
  session.user = auth === 'passthrough' ? ANONYMOUS : null
  if (auth === 'users') enterPin(session, new LoginPin(session))
}

/** The client has to log in before anything else. */
export function isLocked(session: Session): boolean {
  return session.pin?.kind === 'login'
}

/** AUTH [name] password. False: has to wait. */
export function authCommand(session: Session, view: CommandView): boolean {
  if (view.argc > 3) {
    session.answerError('ERR syntax error')
    return true
  }
  const name = view.argc === 2 ? null : textArg(view, 1)
  const password = textArg(view, view.argc - 1)
  return logIn(session, name, password, session.protocol, OK)
}

/**
 * Checks a name (null: that of the default user) and a password, and makes the client that user. `greeting` is the answer when they are right, made
 * once the client is who it says. False: has to wait.
 */
export function logIn(
  session: Session,
  name: string | null,
  password: string,
  protocol: 2 | 3,
  greeting: () => Buffer,
): boolean {
  const { auth } = session.path.clients
  if (session.captured !== null && auth !== 'users') return accepted(session, name, password, greeting)
  if (auth === 'passthrough') return logInAtStore(session, name, password, greeting)
  const user = name ?? 'default'
  const right = auth === 'users' ? isUser(session, user, password) : isStoresOwn(session, name, password)
  // Not the credentials of the configuration: the store may know others.
  if (!right && auth === 'store') return logInAtStore(session, name, password, greeting)
  if (!right) {
    session.answerError(WRONG_PASSWORD)
    return true
  }
  if (isLocked(session)) leavePin(session, session.pin!)
  if (session.user !== null && session.order.owed > 0) return session.waitFor('replies')
  become(session, null, user, password)
  return greet(session, protocol, greeting)
}

/** Greets, once it is known that the store speaks the protocol: one older than 6.0 has no HELLO, and says so in its own words. */
function greet(session: Session, protocol: 2 | 3, greeting: () => Buffer): boolean {
  const { path, database, user } = session
  if (protocol === session.protocol || protocol === 2) {
    session.answer(greeting())
    return true
  }
  const pipeline = path.primaryOf(path.routes.fallback).shared(database, protocol, user)
  if (pipeline.state === 'up' || session.captured !== null) session.answer(greeting())
  else ask(session, pipeline, [ownWord('PING')], (refusal) => (isOfOldServer(refusal) ? refusal! : greeting()))
  return true
}

/**
 * HELLO without AUTH: greets a client that has logged in, or needs not. Where the store decides, it is asked: its HELLO without arguments changes nothing. False: has to wait.
 */
export function greetWithoutLogin(session: Session, protocol: 2 | 3, greeting: () => Buffer): boolean {
  if (isLocked(session)) {
    session.answerError(HELLO_NEEDS_AUTH)
    return true
  }
  if (session.user !== ANONYMOUS || session.captured !== null) return greet(session, protocol, greeting)
  if (session.order.owed > 0) return session.waitFor('replies')
  ask(session, pipelineOf(session, ANONYMOUS), [ownWord('HELLO')], (refusal) =>
    refusal !== null && (protocol === 3 || !isOfOldServer(refusal)) ? refusal : greeting(),
  )
  return true
}

/** ACL WHOAMI, where Understudy knows it and the store does not. Null: the store is to answer. */
export function whoAmI(session: Session): string | null {
  return session.path.clients.auth === 'users' ? session.userName : null
}

/** The credentials are right. What is bound to a connection of its own stays there, and that becomes the user's; else other connections are used from here on. */
function become(session: Session, user: StoreUser | null, name: string | null, password: string): void {
  const { own } = session
  const isAnother = user?.key !== session.user?.key
  session.user = user
  session.userName = name ?? 'default'
  if (!isAnother) return
  for (let { pin } = session; pin !== null; pin = pin.outer) pin.changeUser?.(user, password)
  if (own !== null) for (const [store, pipeline] of own.all()) changeUser(store, pipeline, user, password)
}

/** The store has accepted the credentials, inside MULTI, and what comes behind it in the transaction was executed as that user's. */
function accepted(session: Session, name: string | null, password: string, greeting: () => Buffer): boolean {
  const { path } = session
  const isOwn = path.clients.auth === 'store' && isStoresOwn(session, name, password)
  const user = isOwn ? null : userOf(session, name, password)
  const store = path.primaryOf(path.routes.fallback)
  if (user !== null && !store.users.makeRoom(user, path.clients.dedicatedConnections)) {
    session.answerError(noRoomForUser(store, path.clients.dedicatedConnections))
    session.end()
    return true
  }
  become(session, user, name, password)
  session.answer(greeting())
  return true
}

function userOf({ user: former }: Session, name: string | null, password: string): StoreUser {
  const login = name === null ? [password] : [name, password]
  return { key: JSON.stringify(login), login, before: former?.before ?? former?.login ?? null }
}

function logInAtStore(session: Session, name: string | null, password: string, greeting: () => Buffer): boolean {
  // Another connection from here on: the replies under way come first.
  if (session.order.owed > 0) return session.waitFor('replies')
  const user = userOf(session, name, password)
  const right = (): Buffer => {
    become(session, user, name, password)
    return greeting()
  }
  session.waiting = 'pin'
  new StoreLogin(session, user, right).begin()
  return true
}

function pipelineOf({ path }: Session, user: StoreUser): Pipeline {
  return path.primaryOf(path.routes.fallback).shared(0, 2, user)
}

function isOfOldServer(refusal: Buffer | null): boolean {
  return refusal !== null && /^-(ERR unknown command|NOPROTO)/.test(refusal.toString('latin1', 0, 32))
}

/** Answers the command at hand with what `answer` makes of the store's reply: null for anything but an error. */
function ask(
  session: Session,
  pipeline: Pipeline,
  command: readonly (Buffer | string)[],
  answer: (refusal: Buffer | null) => Buffer,
): void {
  const bytes = encodeCommand(command)
  session.waiting = 'pin'
  pipeline.push(new LoginProbe(session, session.order.assign(), answer), bytes, 0, bytes.length)
}

/** Changes nothing, and nobody becomes another by it: a client that is told so goes on as it was, as it would before a server that does not know HELLO. */
class LoginProbe implements ReplyOwner {
  readonly #session: Session
  readonly #seq: number
  readonly #answer: (refusal: Buffer | null) => Buffer
  #answered = false

  constructor(session: Session, seq: number, answer: (refusal: Buffer | null) => Buffer) {
    this.#session = session
    this.#seq = seq
    this.#answer = answer
  }

  settle(_slot: InFlight, buf: Buffer, start: number, end: number): void {
    this.#say(buf[start] === MINUS ? Buffer.from(buf.subarray(start, end)) : null)
  }

  lost(_slot: InFlight, loss: Loss): void {
    this.#say(Buffer.from(`-${loss.text}\r\n`))
  }

  timedOut(): void {
    this.#say(Buffer.from('-ERR Understudy: the store did not answer in time; the protocol was not changed\r\n'))
  }

  #say(refusal: Buffer | null): void {
    if (this.#answered) return
    this.#answered = true
    const frame = this.#answer(refusal)
    this.#session.reply(this.#seq, frame, 0, frame.length)
    this.#session.proceed()
  }
}

/** Stands before a client that has not logged in. */
class LoginPin implements Pin {
  readonly kind = 'login'
  readonly flag = 'N'
  readonly route: Route | null = null
  outer: Pin | null = null
  readonly #session: Session

  constructor(session: Session) {
    this.#session = session
  }

  dispatch(view: CommandView, spec: CommandSpec | null): boolean {
    const session = this.#session
    if (spec !== null && BEFORE_LOGIN.has(spec.name)) return session.dispatchUnpinned(view, spec)
    if (spec !== null && refuseByArity(session, view, spec)) return true
    session.answerError(spec?.name === 'EXEC' ? `${ABORTED}: ${NOAUTH}` : NOAUTH)
    return true
  }

  abandon(): void {}

  moved(): void {}
}

const BEFORE_LOGIN = new Set(['AUTH', 'HELLO', 'QUIT', 'RESET'])

function isStoresOwn({ path }: Session, name: string | null, password: string): boolean {
  const { config } = path.primaryOf(path.routes.fallback).options
  // Redis' default user without a password takes any, as long as it is named.
  if (config.password === null) return name === 'default'
  const rightUser = sameDigest(digestOf(name ?? 'default', 'latin1'), digestOf(config.username ?? 'default', 'utf8'))
  const rightPassword = sameDigest(digestOf(password, 'latin1'), digestOf(config.password, 'utf8'))
  return rightUser && rightPassword
}

/** As much work for a name that nobody has, and every password of a user is looked at. */
function isUser({ path }: Session, user: string, password: string): boolean {
  const { users } = path.clients
  const name = Buffer.from(user, 'latin1').toString('utf8')
  const given = digestOf(password, 'latin1')
  let right = false
  for (const wanted of Object.hasOwn(users, name) ? users[name]! : [NOBODYS]) {
    if (sameDigest(given, Buffer.from(wanted, 'hex'))) right = true
  }
  return right && Object.hasOwn(users, name)
}

function digestOf(text: string, encoding: 'latin1' | 'utf8'): Buffer {
  return createHash('sha256').update(Buffer.from(text, encoding)).digest()
}

/** In a time that tells nothing about where they differ. */
function sameDigest(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

const OK = (): Buffer => FRAME_OK
const FRAME_OK = Buffer.from('+OK\r\n')
const NOAUTH = 'NOAUTH Authentication required.'
const ABORTED = 'EXECABORT Transaction discarded because of'
const NOBODYS = '0'.repeat(64)
const WRONG_PASSWORD = 'WRONGPASS invalid username-password pair or user is disabled.'
const HELLO_NEEDS_AUTH =
  'NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time'
