import type { CommandSpec } from '../../command/spec.ts'
import { MINUS, PLUS } from '../../resp/bytes.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { encodeCommand, FRAME } from '../../resp/encode.ts'
import { ownWord } from '../../resp/own-words.ts'
import { askOwn } from '../forward/ask-own.ts'
import { wordArg } from '../session/arguments.ts'
import { OwnConnection } from '../session/own-connection.ts'
import type { Session } from '../session/session.ts'

/** A server that does not import says so to any word but OFF; one that does, that it does not know this one. */
const IMPORTS = encodeCommand(['CLIENT', 'IMPORT-SOURCE', 'ASKED'])
const UNKNOWN_WORD = '-ERR syntax error\r\n'

/** What is queued inside MULTI for `CLIENT IMPORT-SOURCE`, whose answer only the store knows; null: it needs none. */
export function importQuestion({ name }: CommandSpec, view: CommandView): Buffer | null {
  return name === 'CLIENT IMPORT-SOURCE' && wordArg(view, 2) !== 'OFF' ? IMPORTS : null
}

/** Whether the store's answer to that, `buf[at] ...`, is the client's; else the command is executed here. */
export function isImportRefused(spec: CommandSpec, view: CommandView, buf: Buffer, at: number): boolean {
  if (importQuestion(spec, view) === null || buf[at] !== MINUS) return false
  return wordArg(view, 2) !== 'ON' || buf.toString('latin1', at, at + UNKNOWN_WORD.length) !== UNKNOWN_WORD
}

/**
 * `CLIENT NO-EVICT | NO-TOUCH | IMPORT-SOURCE ON | OFF`: the store is told, on a connection that the client has for itself from then on, for on the shared one it would be said for everybody. False: has to wait.
 *
 * A cluster is not told: its connection is many.
 */
export function setFlag(session: Session, name: string, word: string): boolean {
  const { path, captured } = session
  // Whether a Valkey imports at all comes first.
  const judged = name === 'CLIENT IMPORT-SOURCE'
  if (word !== 'ON' && word !== 'OFF' && !judged) {
    session.answerError('ERR syntax error')
    return true
  }
  const on = word === 'ON'
  const note = (): void => {
    if (name === 'CLIENT NO-EVICT') session.noEvict = on
    else if (name === 'CLIENT NO-TOUCH') session.noTouch = on
    else session.importSource = on
  }
  const primary = path.primaryOf(path.routes.fallback)
  if (primary.cluster !== null) {
    note()
    session.answer(FRAME.OK)
    return true
  }
  const command = [ownWord('CLIENT'), name.slice('CLIENT '.length), word]
  if (captured !== null) {
    // EXEC has been answered: what comes behind it is what this is about.
    note()
    if (on) {
      session.own ??= new OwnConnection(session, false)
      session.own.reachAll()
    }
    session.own?.tell(command)
    session.own?.leave()
    session.answer(FRAME.OK)
    return true
  }
  if (session.order.owed > 0) return session.waitFor('replies')
  if (on) {
    session.own ??= new OwnConnection(session, false)
    session.own.reachAll()
  }
  const bytes = encodeCommand(command)
  const pipelines =
    session.own === null
      ? [primary.shared(session.database, session.protocol, session.user)]
      : [...session.own.all()].map(([, pipeline]) => pipeline)
  askOwn(
    session,
    pipelines.map((pipeline) => ({ pipeline, bytes })),
    (reply) => {
      if (reply[0] === PLUS) note()
      session.own?.leave()
      return reply
    },
  )
  return true
}
