import type { CommandSpec } from '../../command/spec.ts'
import { MINUS } from '../../resp/bytes.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { errorFrame } from '../../resp/encode.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import type { InFlight, Loss, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import { bytesArg, integerArg, wordArg } from '../session/arguments.ts'
import type { Session } from '../session/session.ts'

/** An id that no server gives to a client. */
const NOBODY = '9223372036854775807'

/** Commands about other clients, in a form that does nothing. */
const HARMLESS: ReadonlyMap<string, readonly string[]> = new Map([
  ['CLIENT LIST', ['CLIENT', 'LIST', 'ID', NOBODY]],
  ['CLIENT KILL', ['CLIENT', 'KILL', 'ID', NOBODY]],
  ['CLIENT UNBLOCK', ['CLIENT', 'UNBLOCK', NOBODY]],
  ['CLIENT PAUSE', ['CLIENT', 'PAUSE', '-1']],
  // There is none. What it does at the store is what the client asks for.
  ['CLIENT UNPAUSE', ['CLIENT', 'UNPAUSE']],
])

/**
 * Commands about other clients are executed here, on clients that the store does not know. Whether a user that the store knows may give them is for the store to say: it is asked by the same command in a form that does nothing,
 * on that user's connection.
 *
 *   offered ─▶ asked (what the client says next waits) ─▶ offered again ─┬─▶ executed here
 *                                                                        └─▶ the store's NOPERM is the answer
 *
 * Rights are looked at before arguments, so `ERR` is no refusal: an older store may not know the form. Where it cannot be asked, nothing is done. False: has to wait.
 *
 * Only the store knows which users there are, too: of a command that names one it is asked for any client, and of one with the rights of the configuration nothing but that counts.
 */
export function byRightAtStore(
  session: Session,
  view: CommandView,
  spec: CommandSpec,
  execute: () => boolean,
): boolean {
  const question = session.captured === null ? questionOf(session, view, spec) : null
  if (question === null) return execute()
  const { right } = session
  if (right === null) return ask(session, spec, question)
  if (right === 'asked') return session.waitFor('answers')
  if (right === 'given') {
    const isTaken = execute()
    if (isTaken) session.right = null
    return isTaken
  }
  session.right = null
  session.answer(right)
  return true
}

/** The command that asks for the right to this one; null: it is not one of them, or nothing has to be asked. Inside MULTI it is the placeholder of a user of the store: the server says no when it is queued. */
export function questionOf({ path, user }: Session, view: CommandView, { name }: CommandSpec): Buffer | null {
  const question = HARMLESS.get(name)
  if (question === undefined) return null
  const named = question.includes('ID') && path.clients.auth !== 'users' ? userNamed(view) : null
  if (named !== null) return encodeOwn([...question, 'USER', named])
  return user === null ? null : encodeOwn(question)
}

/** The user among the filters of CLIENT KILL or LIST; null: there is none. */
function userNamed(view: CommandView): Buffer | null {
  for (let i = 2; i + 1 < view.argc; ) {
    const word = wordArg(view, i)
    if (word === 'USER' || word === 'NOT-USER') return bytesArg(view, i + 1)
    i += 2
    // Valkey takes as many ids as follow.
    if (word.endsWith('ID')) while (i < view.argc && integerArg(view, i) !== null) i++
  }
  return null
}

/** Whether `buf[at] ...` says no to a question: any error but that its arguments are not understood. */
export function isRefusal({ user }: Session, { name }: CommandSpec, buf: Buffer, at: number): boolean {
  if (!HARMLESS.has(name) || buf[at] !== MINUS) return false
  const text = buf.toString('latin1', at + 1, at + 1 + NO_USER.length)
  return text === NO_USER || (user !== null && !text.startsWith('ERR '))
}

const NO_USER = 'ERR No such user'

function ask(session: Session, spec: CommandSpec, question: Buffer): boolean {
  const { path, own, database, protocol, user } = session
  const store = path.primaryOf(path.routes.fallback)
  const pipeline = own?.to(store) ?? store.shared(database, protocol, user)
  if (pipeline.full) return session.noRoom(pipeline)
  session.right = 'asked'
  pipeline.push(new RightQuestion(session, spec, store.name), question, 0, question.length)
  return session.waitFor('answers')
}

class RightQuestion implements ReplyOwner {
  readonly #session: Session
  readonly #spec: CommandSpec
  readonly #store: string
  #known = false

  constructor(session: Session, spec: CommandSpec, store: string) {
    this.#session = session
    this.#spec = spec
    this.#store = store
  }

  get client(): object {
    return this.#session
  }

  settle(_slot: InFlight, buf: Buffer, start: number, end: number): void {
    this.#knows(isRefusal(this.#session, this.#spec, buf, start) ? Buffer.from(buf.subarray(start, end)) : 'given')
  }

  lost(_slot: InFlight, loss: Loss): void {
    this.#unknown(loss.text)
  }

  timedOut(): void {
    this.#unknown(`ERR Understudy: store '${this.#store}' did not answer in time; nothing was done`)
  }

  heldUp(_slot: InFlight, text: string): void {
    this.#unknown(text)
  }

  #unknown(text: string): void {
    this.#knows(this.#session.user === null ? 'given' : errorFrame(text))
  }

  #knows(right: Buffer | 'given'): void {
    if (this.#known || this.#session.closed) return
    this.#known = true
    this.#session.right = right
    this.#session.wake()
  }
}
