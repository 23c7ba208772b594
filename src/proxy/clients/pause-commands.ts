import type { CommandSpec } from '../../command/spec.ts'
import { PLUS } from '../../resp/bytes.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { FRAME } from '../../resp/encode.ts'
import type { Store } from '../../upstream/store.ts'
import { integerArg, wordArg } from '../session/arguments.ts'
import type { Session } from '../session/session.ts'

/** `CLIENT PAUSE ms [WRITE | ALL]`: here at once, at the stores when the writes under way are done. False: has to wait. */
export function pauseCommand(session: Session, view: CommandView): boolean {
  const { path } = session
  const asked = requestOf(view)
  if (typeof asked === 'string') {
    session.answerError(asked)
    return true
  }
  // Inside MULTI the store has been told by EXEC.
  if (session.captured !== null) {
    path.pauseClients(asked.ms, asked.all)
    session.answer(FRAME.OK)
    return true
  }
  if (path.storePause.isUnderWay) return session.waitFor('room')
  const takeBack = path.pauseClients(asked.ms, asked.all)
  const seq = session.order.assign()
  path.storePause.begin(session.user, (error) => {
    if (error !== null) takeBack()
    say(session, seq, error)
  })
  return true
}

/** `CLIENT UNPAUSE`: at the stores, and then here. False: has to wait. */
export function unpauseCommand(session: Session): boolean {
  const { path } = session
  if (session.captured !== null) {
    path.unpause()
    session.answer(FRAME.OK)
    return true
  }
  if (path.storePause.isUnderWay) return session.waitFor('room')
  const seq = session.order.assign()
  path.storePause.end(session.user, (error) => {
    if (error === null) path.unpause()
    say(session, seq, error)
  })
  return true
}

/** What the server queues in the place of CLIENT PAUSE or UNPAUSE inside MULTI; null: nothing of it. */
export function pauseInMulti(session: Session, { name }: CommandSpec, view: CommandView, store: Store): Buffer | null {
  const { storePause } = session.path
  if (name === 'CLIENT UNPAUSE') return storePause.unpauseInMulti(store)
  if (name !== 'CLIENT PAUSE') return null
  const asked = requestOf(view)
  return typeof asked === 'string' ? null : storePause.pauseInMulti(store, asked.ms)
}

/** EXEC has come to it, and the server has answered `buf[at] ...`, which is no refusal. */
export function notePauseInMulti(session: Session, { name }: CommandSpec, buf: Buffer, at: number, store: Store): void {
  if (name !== 'CLIENT PAUSE' && name !== 'CLIENT UNPAUSE') return
  // A placeholder is answered with PONG, or with an error.
  if (buf[at] === PLUS && buf[at + 1] === LETTER_O)
    session.path.storePause.saidInMulti(store, name === 'CLIENT PAUSE', session.user)
}

function say(session: Session, seq: number, error: Buffer | null): void {
  const frame = error ?? FRAME.OK
  session.reply(seq, frame, 0, frame.length)
}

function requestOf(view: CommandView): { readonly ms: number; readonly all: boolean } | string {
  if (view.argc > 4) return 'ERR syntax error'
  const mode = view.argc === 4 ? wordArg(view, 3) : 'ALL'
  if (mode !== 'WRITE' && mode !== 'ALL') return 'ERR CLIENT PAUSE mode must be WRITE or ALL'
  const ms = integerArg(view, 2)
  if (ms === null) return 'ERR timeout is not an integer or out of range'
  if (ms < 0) return 'ERR timeout is negative'
  return { ms, all: mode === 'ALL' }
}

const LETTER_O = 0x4f
