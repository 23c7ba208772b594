import type { CommandSpec } from '../command/spec.ts'
import type { CommandView } from '../resp/command-view.ts'
import { encodeReply, errorFrame, FRAME } from '../resp/encode.ts'
import { VerbatimReply } from '../resp/reply.ts'
import { integerArg, isClientName, textArg, wordArg } from './arguments.ts'
import { BlockedCommand } from './blocking.ts'
import type { Session } from './session.ts'

/**
 * The CLIENT family, on Understudy's own table of clients: on the shared connection it would be about the proxy. What needs a server's connection of the client's
 * own is refused in words.
 */
export function clientCommand(session: Session, view: CommandView, spec: CommandSpec): boolean {
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
      setInfo(session, wordArg(view, 2), textArg(view, 3))
      return true
    case 'CLIENT INFO':
      session.answer(text(session, `${describe(session)}\n`))
      return true
    case 'CLIENT LIST':
      list(session, view)
      return true
    case 'CLIENT KILL':
      kill(session, view)
      return true
    case 'CLIENT REPLY':
      // Which replies are wanted changes between two commands, so the ones before it are answered first.
      if (session.order.owed > 0) return session.waitFor('replies')
      reply(session, wordArg(view, 2))
      return true
    case 'CLIENT NO-EVICT':
    case 'CLIENT NO-TOUCH': {
      const word = wordArg(view, 2)
      if (word === 'ON' || word === 'OFF') session.answer(FRAME.OK)
      else session.answerError('ERR syntax error')
      return true
    }
    case 'CLIENT UNBLOCK':
      unblock(session, view)
      return true
    case 'CLIENT GETREDIR':
      session.answer(Buffer.from(':-1\r\n'))
      return true
    case 'CLIENT':
      session.answerError(
        `ERR unknown subcommand '${view.argc > 1 ? textArg(view, 1).slice(0, 128) : ''}'. Try CLIENT HELP.`,
      )
      return true
    default:
      session.answerError(
        `ERR Understudy does not support ${spec.name} yet: it needs a connection of the client's own at the store`,
      )
      return true
  }
}

function setName(session: Session, name: string): void {
  if (!isClientName(name)) {
    session.answerError('ERR Client names cannot contain spaces, newlines or special characters.')
    return
  }
  session.name = name
  session.answer(FRAME.OK)
}

function setInfo(session: Session, attribute: string, value: string): void {
  if (attribute !== 'LIB-NAME' && attribute !== 'LIB-VER') {
    session.answerError(`ERR Unrecognized option '${attribute.toLowerCase()}'`)
    return
  }
  if (!isClientName(value)) {
    session.answerError(`ERR ${attribute.toLowerCase()} cannot contain spaces, newlines or special characters.`)
    return
  }
  if (attribute === 'LIB-NAME') session.libName = value
  else session.libVersion = value
  session.answer(FRAME.OK)
}

function list(session: Session, view: CommandView): void {
  let wanted: ((other: Session) => boolean) | null = () => true
  if (view.argc > 2) {
    const option = wordArg(view, 2)
    if (option === 'ID' && view.argc > 3) {
      const ids = new Set<number>()
      for (let i = 3; i < view.argc; i++) ids.add(integerArg(view, i) ?? 0)
      wanted = ids.has(0) ? null : (other) => ids.has(other.id)
      if (wanted === null) {
        session.answerError('ERR Invalid client ID')
        return
      }
    } else if (option === 'TYPE' && view.argc === 4) {
      const type = textArg(view, 3).toLowerCase()
      if (!['normal', 'master', 'replica', 'slave', 'pubsub'].includes(type)) {
        session.answerError(`ERR Unknown client type '${textArg(view, 3)}'`)
        return
      }
      wanted = (other) =>
        type === (other.pin === null ? 'normal' : other.pin.kind === 'subscriber' ? 'pubsub' : 'normal')
    } else {
      session.answerError('ERR syntax error')
      return
    }
  }
  let lines = ''
  for (const other of session.path.sessions) if (wanted(other)) lines += `${describe(other)}\n`
  session.answer(text(session, lines))
}

/** `CLIENT KILL addr` and `CLIENT KILL (ID id | ADDR addr | LADDR addr | SKIPME yes|no)...`. */
function kill(session: Session, view: CommandView): void {
  if (view.argc === 3) {
    const victim = [...session.path.sessions].find((other) => addressOf(other) === textArg(view, 2))
    if (victim === undefined) session.answerError('ERR No such client')
    else {
      session.answer(FRAME.OK)
      terminate(session, victim)
    }
    return
  }
  const filters: ((other: Session) => boolean)[] = []
  let skipMe = true
  for (let i = 2; i < view.argc; i += 2) {
    if (i + 1 >= view.argc) return session.answerError('ERR syntax error')
    const value = textArg(view, i + 1)
    const option = wordArg(view, i)
    if (option === 'ID') {
      const id = integerArg(view, i + 1)
      if (id === null || id <= 0) return session.answerError('ERR client-id should be greater than 0')
      filters.push((other) => other.id === id)
    } else if (option === 'ADDR') filters.push((other) => addressOf(other) === value)
    else if (option === 'LADDR') filters.push((other) => localAddressOf(other) === value)
    else if (option === 'SKIPME' && /^(yes|no)$/i.test(value)) skipMe = value.toLowerCase() === 'yes'
    else return session.answerError('ERR syntax error')
  }
  const victims = [...session.path.sessions].filter(
    (other) => !(skipMe && other === session) && filters.every((fits) => fits(other)),
  )
  session.answer(Buffer.from(`:${victims.length}\r\n`))
  for (const victim of victims) terminate(session, victim)
}

/** `CLIENT UNBLOCK id [TIMEOUT | ERROR]`: about the ids that CLIENT ID gives, which are Understudy's. */
function unblock(session: Session, view: CommandView): void {
  const id = integerArg(view, 2)
  const reason = view.argc > 3 ? wordArg(view, 3) : 'TIMEOUT'
  if (view.argc > 4) return session.answerError('ERR syntax error')
  if (reason !== 'TIMEOUT' && reason !== 'ERROR')
    return session.answerError('ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR')
  if (id === null) return session.answerError('ERR value is not an integer or out of range')
  const blocked = [...session.path.sessions].find((other) => other.id === id)
  const nothing = reason === 'ERROR' ? UNBLOCKED : blocked === undefined ? FRAME.NIL_ARRAY : nilArray(blocked)
  const pin = blocked?.pin
  session.answer(pin instanceof BlockedCommand && pin.cancel(nothing) ? FRAME.ONE : FRAME.ZERO)
}

const UNBLOCKED = errorFrame('UNBLOCKED client unblocked via CLIENT UNBLOCK')

/** A client that kills itself reads the answer first. */
function terminate(session: Session, victim: Session): void {
  if (victim === session) session.end()
  else victim.socket.destroy()
}

function reply(session: Session, mode: string): void {
  switch (mode) {
    case 'ON':
      session.replyMode = 'on'
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

/** A line of CLIENT LIST in Redis' own format. What a proxy has no number for is 0. */
function describe(session: Session): string {
  const now = session.path.clock.nowMs
  const seconds = (sinceMs: number): number => Math.max(0, Math.floor((now - sinceMs) / 1000))
  const fields: [string, string | number][] = [
    ['id', session.id],
    ['addr', addressOf(session)],
    ['laddr', localAddressOf(session)],
    ['fd', 0],
    ['name', session.name],
    ['age', seconds(session.connectedAtMs)],
    ['idle', seconds(session.lastActiveMs)],
    ['flags', session.pin?.flag ?? 'N'],
    ['db', session.database],
    ['sub', 0],
    ['psub', 0],
    ['ssub', 0],
    ['multi', -1],
    ['qbuf', 0],
    ['qbuf-free', 0],
    ['argv-mem', 0],
    ['multi-mem', 0],
    ['rbs', 0],
    ['rbp', 0],
    ['obl', 0],
    ['oll', 0],
    ['omem', session.downstream.pendingBytes],
    ['tot-mem', 0],
    ['events', 'r'],
    ['cmd', 'client'],
    ['user', session.userName],
    ['redir', -1],
    ['resp', session.protocol],
    ['lib-name', session.libName],
    ['lib-ver', session.libVersion],
  ]
  return fields.map(([name, value]) => `${name}=${value}`).join(' ')
}

function addressOf(session: Session): string {
  return session.remote
}

function localAddressOf(session: Session): string {
  return session.local
}

function nilArray(session: Session): Buffer {
  return session.protocol === 3 ? FRAME.NULL : FRAME.NIL_ARRAY
}

function nil(session: Session): Buffer {
  return session.protocol === 3 ? FRAME.NULL : FRAME.NIL
}

function bulk(session: Session, value: string): Buffer {
  return encodeReply(Buffer.from(value, 'latin1'), session.protocol)
}

function text(session: Session, value: string): Buffer {
  return encodeReply(new VerbatimReply('txt', Buffer.from(value, 'latin1')), session.protocol)
}
