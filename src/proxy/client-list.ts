import type { CommandView } from '../resp/command-view.ts'
import { encodeReply, FRAME } from '../resp/encode.ts'
import { VerbatimReply } from '../resp/reply.ts'
import { integerArg, textArg, wordArg } from './arguments.ts'
import type { DataPath } from './data-path.ts'
import type { Session } from './session.ts'

type Filter = (client: Session) => boolean

const TYPES: readonly string[] = ['normal', 'master', 'replica', 'slave', 'pubsub']

/** `CLIENT LIST [TYPE type] [ID id ...]`. */
export function listClients(session: Session, view: CommandView): void {
  let wanted: Filter = () => true
  if (view.argc > 2) {
    const option = wordArg(view, 2)
    if (option === 'ID' && view.argc > 3) {
      const ids = new Set<number>()
      for (let i = 3; i < view.argc; i++) {
        const id = integerArg(view, i)
        if (id === null) return session.answerError('ERR Invalid client ID')
        ids.add(id)
      }
      wanted = (client) => ids.has(client.id)
    } else if (option === 'TYPE' && view.argc === 4) {
      const type = typeNamed(textArg(view, 3))
      if (type === null) return session.answerError(`ERR Unknown client type '${textArg(view, 3)}'`)
      wanted = (client) => typeOf(client) === type
    } else return session.answerError('ERR syntax error')
  }
  let lines = ''
  for (const client of session.path.sessions) if (wanted(client)) lines += `${describe(client, session, view)}\n`
  session.answer(text(session, lines))
}

export function clientInfo(session: Session, view: CommandView): void {
  session.answer(text(session, `${describe(session, session, view)}\n`))
}

/** `CLIENT KILL addr` and `CLIENT KILL (ID id | TYPE type | ADDR addr | LADDR addr | USER name | MAXAGE seconds | SKIPME yes|no)...`; MAXAGE since 7.4. */
export function killClients(session: Session, view: CommandView): void {
  const { sessions } = session.path
  if (view.argc === 3) {
    const victim = [...sessions].find((client) => client.remote === textArg(view, 2))
    if (victim === undefined) return session.answerError('ERR No such client')
    session.answer(FRAME.OK)
    return terminate(session, victim)
  }
  const filters: Filter[] = []
  let skipMe = true
  for (let i = 2; i < view.argc; i += 2) {
    if (i + 1 >= view.argc) return session.answerError('ERR syntax error')
    const value = textArg(view, i + 1)
    switch (wordArg(view, i)) {
      case 'ID': {
        const id = integerArg(view, i + 1)
        if (id === null || id <= 0) return session.answerError('ERR client-id should be greater than 0')
        filters.push((client) => client.id === id)
        break
      }
      case 'MAXAGE': {
        if (session.path.versionNumber < 7.4) return session.answerError('ERR syntax error')
        const seconds = integerArg(view, i + 1)
        if (seconds === null) return session.answerError('ERR maxage is not an integer or out of range')
        if (seconds <= 0) return session.answerError('ERR maxage should be greater than 0')
        filters.push((client) => secondsSince(client, client.connectedAtMs) >= seconds)
        break
      }
      case 'TYPE': {
        const type = typeNamed(value)
        if (type === null) return session.answerError(`ERR Unknown client type '${value}'`)
        filters.push((client) => typeOf(client) === type)
        break
      }
      case 'ADDR':
        filters.push((client) => client.remote === value)
        break
      case 'LADDR':
        filters.push((client) => client.local === value)
        break
      case 'USER':
        if (!isUser(session.path, value)) return session.answerError(`ERR No such user '${value}'`)
        filters.push((client) => client.userName === value)
        break
      case 'SKIPME':
        if (!/^(yes|no)$/i.test(value)) return session.answerError('ERR syntax error')
        skipMe = value.toLowerCase() === 'yes'
        break
      default:
        return session.answerError('ERR syntax error')
    }
  }
  const victims = [...sessions].filter(
    (client) => !(skipMe && client === session) && filters.every((fits) => fits(client)),
  )
  session.answer(Buffer.from(`:${victims.length}\r\n`))
  for (const victim of victims) terminate(session, victim)
}

/** A client that kills itself reads the answer first. */
function terminate(session: Session, victim: Session): void {
  if (victim === session) session.end()
  else victim.socket.destroy()
}

function isUser(path: DataPath, name: string): boolean {
  if (name === 'default') return true
  for (const client of path.sessions) if (client.userName === name) return true
  return false
}

function typeNamed(name: string): string | null {
  const type = name.toLowerCase()
  if (!TYPES.includes(type)) return null
  return type === 'slave' ? 'replica' : type
}

function typeOf(client: Session): string {
  for (let pin = client.pin; pin !== null; pin = pin.outer) {
    // As Redis counts it: MONITOR is a kind of replica, and listed with the normal ones all the same.
    if (pin.kind === 'subscriber' && pin.flag !== 'O') return 'pubsub'
    if (pin.kind === 'replica') return 'replica'
  }
  return 'normal'
}

/** A line of CLIENT LIST in Redis' own format. What a proxy has no number for is 0. */
function describe(client: Session, asking: Session, view: CommandView): string {
  const { path } = client
  let multi = -1
  let watch = 0
  let counts = { channels: 0, patterns: 0, shards: 0 }
  for (let pin = client.pin; pin !== null; pin = pin.outer) {
    if (pin.queuedCommands !== undefined) multi = pin.queuedCommands
    if (pin.watchedKeys !== undefined) watch = pin.watchedKeys
    if (pin.subscriptions !== undefined) counts = pin.subscriptions
  }
  const version = path.versionNumber
  const fields: [string, string | number][] = [
    ['id', client.id],
    ['addr', client.remote],
    ['laddr', client.local],
    ['fd', 0],
    ['name', client.name],
    ['age', secondsSince(client, client.connectedAtMs)],
    ['idle', secondsSince(client, client.lastActiveMs)],
    ['flags', flagsOf(client)],
    ['db', client.database],
    ['sub', counts.channels],
    ['psub', counts.patterns],
  ]
  if (version >= 7.0) fields.push(['ssub', counts.shards])
  fields.push(['multi', multi])
  if (version >= 7.4) fields.push(['watch', watch])
  fields.push(['qbuf', client === asking ? view.frameEnd - view.frameStart : 0], ['qbuf-free', 0], ['argv-mem', 0])
  if (version >= 7.0) fields.push(['multi-mem', 0], ['rbs', 0], ['rbp', 0])
  fields.push(
    ['obl', 0],
    ['oll', 0],
    ['omem', client.downstream.pendingBytes],
    ['tot-mem', 0],
    ['events', 'r'],
    ['cmd', client.lastSpec === null ? 'NULL' : client.lastSpec.name.toLowerCase().replace(' ', '|')],
    ['user', client.userName],
    ['redir', client.own?.redirect ?? -1],
  )
  if (version >= 7.0) fields.push(['resp', client.protocol])
  if (version >= 7.2) fields.push(['lib-name', client.libName], ['lib-ver', client.libVersion])
  if (version >= 8) fields.push(['io-thread', 0])
  return fields.map(([name, value]) => `${name}=${value}`).join(' ')
}

function secondsSince({ path }: Session, sinceMs: number): number {
  return Math.max(0, Math.floor((path.clock.nowMs - sinceMs) / 1000))
}

/** As Redis puts them together; `N` for none. */
function flagsOf(client: Session): string {
  let flags = ''
  for (let pin = client.pin; pin !== null; pin = pin.outer) if (pin.flag !== 'N') flags = pin.flag + flags
  flags += client.own?.flags ?? ''
  if (client.unixPath !== null) flags += 'U'
  if (client.noEvict) flags += 'e'
  if (client.noTouch) flags += 'T'
  return flags === '' ? 'N' : flags
}

function text(session: Session, value: string): Buffer {
  return encodeReply(new VerbatimReply('txt', Buffer.from(value, 'latin1')), session.protocol)
}
