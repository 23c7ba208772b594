import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { encodeReply, errorFrame, FRAME } from '../../resp/encode.ts'
import { BlockedCommand } from '../blocking/blocked-command.ts'
import { integerArg, isClientName, textArg, wordArg } from '../session/arguments.ts'
import type { Session } from '../session/session.ts'
import { trackingCommand } from '../tracking/tracking.ts'
import { clientInfo, killClients, listClients } from './client-list.ts'
import { setFlag } from './own-flags.ts'
import { pauseCommand, unpauseCommand } from './pause-commands.ts'

/**
 * The CLIENT family, on Understudy's own table of clients: on the shared connection it would be about the proxy. False: has to wait.
 */
export function clientCommand(session: Session, view: CommandView, spec: CommandSpec): boolean {
  if (spec.name === 'CLIENT' || spec.absent) {
    session.answerError(unknownSubcommand(view))
    return true
  }
  switch (spec.name) {
    case 'CLIENT ID':
      session.answer(Buffer.from(`:${session.id}\r\n`))
      return true
    case 'CLIENT SETNAME':
      setName(session, textArg(view, 2))
      return true
    case 'CLIENT GETNAME':
      session.answer(session.name === '' ? nil(session) : bulk(session, session.name))
      return true
    case 'CLIENT SETINFO':
      setInfo(session, textArg(view, 2), textArg(view, 3))
      return true
    case 'CLIENT INFO':
      clientInfo(session, view)
      return true
    case 'CLIENT LIST':
      listClients(session, view)
      return true
    case 'CLIENT KILL':
      // What the client has said before is about a world with the other one in it: its connections go behind that.
      if (session.order.owed > 0 && session.captured === null) return session.waitFor('replies')
      killClients(session, view)
      return true
    case 'CLIENT REPLY':
      // Which replies are wanted changes between two commands, so the ones before it are answered first.
      if (session.order.owed > 0 && session.captured === null) return session.waitFor('replies')
      reply(session, wordArg(view, 2))
      return true
    case 'CLIENT NO-EVICT':
    case 'CLIENT NO-TOUCH':
    case 'CLIENT IMPORT-SOURCE':
      return setFlag(session, spec.name, wordArg(view, 2))
    case 'CLIENT CAPA':
      for (let i = 2; i < view.argc; i++) if (wordArg(view, i) === 'REDIRECT') session.followsRedirects = true
      session.answer(FRAME.OK)
      return true
    case 'CLIENT UNBLOCK':
      return unblock(session, view)
    case 'CLIENT PAUSE':
      return pauseCommand(session, view)
    case 'CLIENT UNPAUSE':
      return unpauseCommand(session)
    case 'CLIENT TRACKING':
    case 'CLIENT CACHING':
    case 'CLIENT TRACKINGINFO':
    case 'CLIENT GETREDIR':
      return trackingCommand(session, view, spec)
    default:
      session.answerError(`ERR Understudy does not know what ${spec.name} asks of a client of its own`)
      return true
  }
}

/** The server does not know this subcommand, and says so before anything else: since Redis 7. Those of DEBUG are no commands to it. */
export function isUnknownSubcommand({ path }: Session, view: CommandView, spec: CommandSpec): boolean {
  if (path.server.redis < 7 || view.argc === 1 || spec.name.startsWith('DEBUG')) return false
  return spec.subcommands !== null || spec.absent
}

/** As Redis says it of a container's subcommand. */
export function unknownSubcommand(view: CommandView): string {
  const container = textArg(view, 0).toUpperCase()
  return `ERR unknown subcommand '${view.argc > 1 ? textArg(view, 1).slice(0, 128) : ''}'. Try ${container} HELP.`
}

function setName(session: Session, name: string): void {
  if (!isClientName(name)) {
    session.answerError('ERR Client names cannot contain spaces, newlines or special characters.')
    return
  }
  session.name = name
  session.own?.named(name)
  session.answer(FRAME.OK)
}

/** `said`: the attribute, as servers quote it. */
function setInfo(session: Session, said: string, value: string): void {
  const attribute = said.toUpperCase()
  if (attribute !== 'LIB-NAME' && attribute !== 'LIB-VER') {
    session.answerError(`ERR Unrecognized option '${said}'`)
    return
  }
  if (!isClientName(value)) {
    session.answerError(`ERR ${said} cannot contain spaces, newlines or special characters.`)
    return
  }
  if (attribute === 'LIB-NAME') session.libName = value
  else session.libVersion = value
  session.answer(FRAME.OK)
}

/** `CLIENT UNBLOCK id [TIMEOUT | ERROR]`: about the ids that CLIENT ID gives, which are Understudy's. False: has to wait. */
function unblock(session: Session, view: CommandView): boolean {
  const id = integerArg(view, 2)
  const reason = view.argc > 3 ? wordArg(view, 3) : 'TIMEOUT'
  const wrong =
    view.argc > 4
      ? 'ERR syntax error'
      : reason !== 'TIMEOUT' && reason !== 'ERROR'
        ? 'ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR'
        : id === null
          ? 'ERR value is not an integer or out of range'
          : null
  if (wrong !== null) {
    session.answerError(wrong)
    return true
  }
  const blocked = [...session.path.sessions].find((other) => other.id === id)
  const pin = blocked?.pin instanceof BlockedCommand ? blocked.pin : null
  // Looked at again with the next tick: then it has taken something, or it waits.
  if (pin?.undecided && session.captured === null) return session.waitFor('room')
  const error = reason === 'ERROR' ? UNBLOCKED : null
  // Within EXEC's array there is no waiting for how it ends.
  if (session.captured !== null) session.answer(pin?.unblock({ error, ended: () => {} }) ? FRAME.ONE : FRAME.ZERO)
  else if (pin === null) session.answer(FRAME.ZERO)
  else unblockNow(session, pin, error)
  return true
}

/** It may take something yet, before the store hears of it: only then is it known what has become of it. */
function unblockNow(session: Session, pin: BlockedCommand, error: Buffer | null): void {
  const ended = session.path.unblocks.add(session)
  if (!pin.unblock({ error, ended })) ended(false)
}

const UNBLOCKED = errorFrame('UNBLOCKED client unblocked via CLIENT UNBLOCK')

function reply(session: Session, mode: string): void {
  switch (mode) {
    case 'ON':
      // Inside MULTI a SKIP before it is about what comes behind EXEC, and stays.
      if (session.captured === null || session.replyMode === 'off') session.replyMode = 'on'
      session.answer(FRAME.OK)
      return
    case 'OFF':
      session.replyMode = 'off'
      return
    case 'SKIP':
      if (session.replyMode === 'on') session.replyMode = 'skip'
      return
    default:
      session.answerError('ERR syntax error')
  }
}

function nil(session: Session): Buffer {
  return session.protocol === 3 ? FRAME.NULL : FRAME.NIL
}

function bulk(session: Session, value: string): Buffer {
  return encodeReply(Buffer.from(value, 'latin1'), session.protocol)
}
