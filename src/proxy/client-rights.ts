import type { CommandSpec } from '../command/spec.ts'
import { MINUS } from '../resp/bytes.ts'
import { errorFrame } from '../resp/encode.ts'
import { encodeOwn } from '../resp/own-words.ts'
import type { InFlight, Loss, ReplyOwner } from '../upstream/in-flight.ts'
import type { Session } from './session.ts'

/** An id that no server gives to a client. */
const NOBODY = '9223372036854775807'

/** Commands about other clients, in a form that does nothing. */
const HARMLESS: ReadonlyMap<string, Buffer> = new Map([
  ['CLIENT LIST', encodeOwn(['CLIENT', 'LIST', 'ID', NOBODY])],
  ['CLIENT KILL', encodeOwn(['CLIENT', 'KILL', 'ID', NOBODY])],
  ['CLIENT UNBLOCK', encodeOwn(['CLIENT', 'UNBLOCK', NOBODY])],
  ['CLIENT PAUSE', encodeOwn(['CLIENT', 'PAUSE', '-1'])],
  // There is none. What it does at the store is what the client asks for.
  ['CLIENT UNPAUSE', encodeOwn(['CLIENT', 'UNPAUSE'])],
])

/**
 * Commands about other clients are executed here, on clients that the store does not know. Whether a user that the store knows may give them is for the store to say: it is asked by the same command in a form that does nothing,
 * on that user's connection.
 *
 *   offered ─▶ asked (what the client says next waits) ─▶ offered again ─┬─▶ executed here
 *                                                                        └─▶ the store's NOPERM is the answer
 *
 * Rights are looked at before arguments, so `ERR` is no refusal: an older store may not know the form. Where it cannot be asked, nothing is done. False: has to wait.
 */
export function byRightAtStore(session: Session, spec: CommandSpec, execute: () => boolean): boolean {
  const question = session.captured === null ? questionOf(session, spec) : null
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

/** The command that asks for the right to this one; null: it is not one of them, or the client has the rights of the configuration. Inside MULTI it is the placeholder: the server says no when it is queued. */
export function questionOf({ user }: Session, { name }: CommandSpec): Buffer | null {
  return user === null ? null : (HARMLESS.get(name) ?? null)
}

/** Whether `buf[at] ...` says no to a question: any error but that its arguments are not understood. */
export function isRefusal({ name }: CommandSpec, buf: Buffer, at: number): boolean {
  return HARMLESS.has(name) && buf[at] === MINUS && buf.toString('latin1', at + 1, at + 1 + ERR.length) !== ERR
}

const ERR = 'ERR '

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
    this.#knows(isRefusal(this.#spec, buf, start) ? Buffer.from(buf.subarray(start, end)) : 'given')
  }

  lost(_slot: InFlight, loss: Loss): void {
    this.#knows(errorFrame(loss.text))
  }

  timedOut(): void {
    this.#knows(errorFrame(`ERR Understudy: store '${this.#store}' did not answer in time; nothing was done`))
  }

  heldUp(_slot: InFlight, text: string): void {
    this.#knows(errorFrame(text))
  }

  #knows(right: Buffer | 'given'): void {
    if (this.#known || this.#session.closed) return
    this.#known = true
    this.#session.right = right
    this.#session.wake()
  }
}
