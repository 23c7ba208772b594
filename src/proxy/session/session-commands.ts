import { handlingRowOf } from '../../command/handling.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { unservedError } from '../../config/checks/unserved-databases.ts'
import { PLUS } from '../../resp/bytes.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { encodeReply, FRAME } from '../../resp/encode.ts'
import { encodeOwn, ownWord } from '../../resp/own-words.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { Store } from '../../upstream/store.ts'
import { clientCommand } from '../clients/client-commands.ts'
import { askOwn } from '../forward/ask-own.ts'
import { forward } from '../forward/forward.ts'
import { byRightAtStore } from '../login/client-rights.ts'
import { authCommand, beginLogin, greetWithoutLogin, isLocked, logIn, whoAmI } from '../login/login.ts'
import { integerArg, isClientName, textArg, wordArg } from './arguments.ts'
import { refuseByArity } from './arity.ts'
import { endInDoubt, isStoresAnswer } from './end-in-doubt.ts'
import { databaseAt, OwnConnection } from './own-connection.ts'
import { abandonPins } from './pin.ts'
import type { Session } from './session.ts'
import { Swallow } from './swallow.ts'

/**
 * Commands about the connection itself. They never go down a shared connection, which they would change for everybody: Understudy answers them, in
 * Redis' words. False: has to wait.
 */
export function sessionCommand(session: Session, view: CommandView, spec: CommandSpec): boolean {
  if (refuseByArity(session, view, spec)) return true
  const name = spec.name.split(' ', 1)[0]
  switch (name) {
    case 'SELECT':
      return select(session, view)
    case 'HELLO':
      return hello(session, view)
    case 'AUTH':
      return authCommand(session, view)
    case 'ACL': {
      const name = whoAmI(session)
      if (name === null) return forward(session, view, spec)
      session.answer(encodeReply(Buffer.from(name, 'latin1'), session.protocol))
      return true
    }
    case 'CLIENT':
      return byRightAtStore(session, view, spec, () => clientCommand(session, view, spec))
    case 'QUIT':
      session.answer(FRAME.OK)
      session.end()
      return true
    case 'RESET':
      if (session.order.owed > 0) return session.waitFor('replies')
      reset(session)
      return true
    case 'READONLY':
    case 'READWRITE':
      if (session.path.server.valkey < 8) return refuseAsNoCluster(session)
      // Valkey notes it of any client: a replica may be read without a cluster, too. Understudy's primaries are none.
      session.readOnly = name === 'READONLY'
      session.answer(FRAME.OK)
      return true
    default:
      return refuseAsNoCluster(session)
  }
}

/** READONLY, READWRITE, ASKING: for cluster nodes, which Understudy is not. */
function refuseAsNoCluster(session: Session): true {
  session.answerError('ERR This instance has cluster support disabled')
  return true
}

function reset(session: Session): void {
  // Its transaction goes with it.
  const { own } = session
  session.own = null
  abandonPins(session)
  session.pin = null
  own?.close()
  session.database = 0
  session.protocol = 2
  session.name = ''
  // OFF ends with it; SKIP is for its own answer, as for any.
  if (session.replyMode === 'off') session.replyMode = 'on'
  // Before 7.2 a server forgets this one.
  if (session.path.server.redis >= 7.2) session.noEvict = false
  session.noTouch = false
  session.importSource = false
  session.readOnly = false
  beginLogin(session)
  if (own !== null && (own.permanent || session.noEvict)) {
    session.own = new OwnConnection(session, own.permanent)
    if (session.noEvict) session.own.reachAll()
  }
  session.answer(FRAME.RESET)
}

/** A command that never passes, with the reason. */
export function refuseCommand(session: Session, view: CommandView, spec: CommandSpec): boolean {
  // Only a session that is opened does harm; the server's words about anything else are the right ones.
  if (spec.name === 'SCRIPT DEBUG' && !/^(YES|SYNC)$/.test(wordArg(view, 2))) return forward(session, view, spec)
  session.answerError(`ERR Understudy does not pass ${spec.name} on: ${handlingRowOf(spec.name)!.note}`)
  return true
}

/** No word of a REPLCONF is an option: the server says so, and nothing happens. */
export function saysNothing(view: CommandView): boolean {
  for (let i = 1; i < view.argc; i++) if (REPLCONF_OPTIONS.test(textArg(view, i))) return false
  return true
}

const REPLCONF_OPTIONS = /^(listening-port|ip-address|capa|version|ack|getack|rdb-.*|set-.*|main-.*)$/i

function select(session: Session, view: CommandView): boolean {
  const index = integerArg(view, 1)
  if (index === null) {
    session.answerError('ERR value is not an integer or out of range')
    return true
  }
  if (index < 0 || index > MAX_DATABASE) {
    session.answerError('ERR DB index is out of range')
    return true
  }
  if (refuseUnserved(session, index)) return true
  // A user of the store may have no right to it: that is for the store to say.
  const known = session.user === null
  if (index === session.database && known) {
    session.answer(FRAME.OK)
    return true
  }
  // Another connection from here on: what MOVE, COPY or FLUSHALL do to that database must have happened first.
  if (session.order.owed > 0) return session.waitFor('replies')
  const { path } = session
  const { own } = session
  if (own !== null) return selectOnOwn(session, own, index)
  const pipeline = path.primaryOf(path.routes.fallback).shared(index, session.protocol, session.user)
  if (pipeline.state === 'up' && known) {
    session.database = index
    session.answer(FRAME.OK)
    return true
  }
  // Not known yet whether the store has it: the first command on its pipeline tells, and the client's next command waits for that.
  const bytes = encodeOwn(['SELECT', pipeline.options.identity.database])
  pipeline.push(new SelectProbe(session, pipeline, index), bytes, 0, bytes.length)
  session.waiting = 'pin'
  return true
}

/** A database that no client can have. False: this is none. */
function refuseUnserved(session: Session, index: number): boolean {
  const error = unservedError(session.path.routes.unserved, index)
  if (error !== null) session.answerError(error)
  return error !== null
}

/** SELECT on a connection that is the client's own; it goes on with the answer. False: has to wait. */
export function selectOn(session: Session, view: CommandView, store: Store, pipeline: Pipeline): boolean {
  const index = integerArg(view, 1)
  if (index === null) {
    session.answerError('ERR value is not an integer or out of range')
    return true
  }
  if (refuseUnserved(session, index)) return true
  if (session.order.owed > 0) return session.waitFor('replies')
  const bytes = encodeOwn(['SELECT', databaseAt(store, index)])
  pipeline.push(new SelectProbe(session, pipeline, index), bytes, 0, bytes.length)
  session.waiting = 'pin'
  return true
}

/** SELECT of a client with connections of its own: on all of them, or on none. */
function selectOnOwn(session: Session, own: OwnConnection, index: number): boolean {
  if (session.order.owed > 0) return session.waitFor('replies')
  own.carryCaching([])
  const selects = (database: number) =>
    [...own.all()].map(([store, pipeline]) => ({
      pipeline,
      bytes: encodeOwn(['SELECT', databaseAt(store, database)]),
    }))
  askOwn(session, selects(index), (reply) => {
    if (reply[0] === PLUS) session.database = index
    else
      for (const { pipeline, bytes } of selects(session.database)) pipeline.push(new Swallow(), bytes, 0, bytes.length)
    return reply
  })
  return true
}

/** Asks a store whether the client may be in that database. */
class SelectProbe implements ReplyOwner {
  readonly #session: Session
  readonly #pipeline: Pipeline
  readonly #index: number
  readonly #seq: number
  #answered = false

  constructor(session: Session, pipeline: Pipeline, index: number) {
    this.#session = session
    this.#pipeline = pipeline
    this.#index = index
    this.#seq = session.order.assign()
  }

  settle(_slot: InFlight, buf: Buffer, start: number, end: number): void {
    if (this.#answered) return
    if (buf[start] === PLUS) {
      this.#session.database = this.#index
      // Those of a client that has some of its own: it was none of them that was asked.
      this.#session.own?.follow(null, this.#index)
    }
    this.#session.reply(this.#seq, buf, start, end)
    this.#session.proceed()
  }

  lost(_slot: InFlight, loss: Loss): void {
    if (this.#answered) return
    if (!isStoresAnswer(loss, this.#pipeline)) return this.#fail(loss.text)
    this.#session.replyError(this.#seq, loss.text)
    this.#session.proceed()
  }

  timedOut(): void {
    this.#fail('ERR Understudy: the store did not answer in time; the database was not changed')
  }

  #fail(text: string): void {
    this.#answered = true
    endInDoubt(this.#session, this.#seq, text)
  }
}

/** `HELLO [protover [AUTH user password] [SETNAME name]]`. False: has to wait. */
function hello(session: Session, view: CommandView): boolean {
  let protocol = session.protocol
  let name: string | null = null
  let credentials: readonly [string, string] | null = null
  if (view.argc > 1) {
    const version = integerArg(view, 1)
    if (version === null) {
      session.answerError('ERR Protocol version is not an integer or out of range')
      return true
    }
    if (version !== 2 && version !== 3) {
      session.answerError('NOPROTO unsupported protocol version')
      return true
    }
    protocol = version
    for (let i = 2; i < view.argc; i++) {
      const word = wordArg(view, i)
      const more = view.argc - 1 - i
      if (word === 'AUTH' && more >= 2) {
        credentials = [textArg(view, i + 1), textArg(view, i + 2)]
        i += 2
      } else if (word === 'SETNAME' && more >= 1) {
        name = textArg(view, i + 1)
        i += 1
      } else {
        session.answerError(`ERR Syntax error in HELLO option '${textArg(view, i)}'`)
        return true
      }
    }
  }
  if (name !== null && !isClientName(name)) {
    session.answerError('ERR Client names cannot contain spaces, newlines or special characters.')
    return true
  }
  if (protocol !== session.protocol) {
    // Another connection from here on, and the replies under way are in the old protocol.
    if (session.order.owed > 0 && session.captured === null) return session.waitFor('replies')
    for (let pin = session.pin; pin !== null; pin = pin.outer) {
      if (session.captured !== null || isLocked(session)) break
      if (pin.changeProtocol !== undefined) {
        pin.changeProtocol(protocol)
        continue
      }
      session.answerError('ERR Understudy does not change the protocol while the client watches keys or is subscribed')
      return true
    }
  }
  const greeted = (): Buffer => {
    if (name !== null) {
      session.name = name
      session.own?.named(name)
    }
    if (protocol !== session.protocol) session.own?.tell([ownWord('HELLO'), String(protocol)])
    session.protocol = protocol
    return encodeReply(session.path.server.greeting(protocol, session.id), protocol)
  }
  if (credentials === null) return greetWithoutLogin(session, protocol, greeted)
  return logIn(session, credentials[0], credentials[1], protocol, greeted)
}

const MAX_DATABASE = 1_000_000
