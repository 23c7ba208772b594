import type { CommandView } from '../../resp/command-view.ts'
import { encodeReply, FRAME } from '../../resp/encode.ts'
import { VerbatimReply } from '../../resp/reply.ts'
import { integerArg, textArg, wordArg } from '../session/arguments.ts'
import type { Session } from '../session/session.ts'
import { type Filter, filterOf, fitsAll, SYNTAX_ERROR, typeNamed, typeOf, valkeyFilters } from './client-filters.ts'
import { flagsOf, secondsSince } from './client-flags.ts'

/** `CLIENT LIST [TYPE type] [ID id ...]`; of Valkey since 8.1 with the words of CLIENT KILL. */
export function listClients(session: Session, view: CommandView): void {
  const all = [...session.path.sessions]
  const wanted = view.argc === 2 ? () => true : listFilter(session, view)
  if (typeof wanted === 'string') return session.answerError(wanted)
  const listed = Array.isArray(wanted) ? named(wanted, all) : all.filter(wanted)
  session.answer(text(session, listed.map((client) => `${describe(client, session, view)}\n`).join('')))
}

function named(ids: readonly number[], clients: readonly Session[]): Session[] {
  const byId = new Map(clients.map((client) => [client.id, client]))
  return ids.flatMap((id) => byId.get(id) ?? [])
}

/** Ids: the clients are listed in their order, as often as each was named. */
function listFilter(session: Session, view: CommandView): Filter | number[] | string {
  if (view.argc === 3) return SYNTAX_ERROR
  if (session.path.server.valkey >= 8.1) return valkeyFilters(session, view, false)
  const option = wordArg(view, 2)
  if (option === 'ID') {
    const ids: number[] = []
    for (let i = 3; i < view.argc; i++) {
      const id = integerArg(view, i)
      if (id === null) return 'ERR Invalid client ID'
      ids.push(id)
    }
    return ids
  }
  if (option !== 'TYPE' || view.argc > 4) return SYNTAX_ERROR
  const type = typeNamed(session.path, textArg(view, 3))
  return type === null ? `ERR Unknown client type '${textArg(view, 3)}'` : (client) => typeOf(client) === type
}

export function clientInfo(session: Session, view: CommandView): void {
  session.answer(text(session, `${describe(session, session, view)}\n`))
}

/** `CLIENT KILL addr` and `CLIENT KILL (word value)...`, as `filterOf` knows them. */
export function killClients(session: Session, view: CommandView): void {
  const { sessions, server } = session.path
  if (view.argc === 3) {
    const victim = [...sessions].find((client) => client.remote === textArg(view, 2))
    if (victim === undefined) return session.answerError('ERR No such client')
    session.answer(FRAME.OK)
    return terminate(session, victim)
  }
  const wanted = server.valkey >= 8.1 ? valkeyFilters(session, view, true) : killFilter(session, view)
  if (typeof wanted === 'string') return session.answerError(wanted)
  const victims = [...sessions].filter(wanted)
  session.answer(Buffer.from(`:${victims.length}\r\n`))
  for (const victim of victims) terminate(session, victim)
}

function killFilter(session: Session, view: CommandView): Filter | string {
  const filters = new Map<string, Filter>()
  let skipMe = true
  for (let i = 2; i < view.argc; i += 2) {
    if (i + 1 >= view.argc) return SYNTAX_ERROR
    const word = wordArg(view, i)
    if (word === 'ID') {
      const id = integerArg(view, i + 1)
      if (id === null || id <= 0) return 'ERR client-id should be greater than 0'
      filters.set(word, (client) => client.id === id)
    } else if (word === 'SKIPME') {
      if (!/^(yes|no)$/i.test(textArg(view, i + 1))) return SYNTAX_ERROR
      skipMe = wordArg(view, i + 1) === 'YES'
    } else {
      const filter = filterOf(session, view, i)
      if (typeof filter !== 'function') return filter ?? SYNTAX_ERROR
      filters.set(word, filter)
    }
  }
  return (client) => !(skipMe && client === session) && fitsAll(client, filters)
}

/** A client that kills itself reads the answer first; any other is gone for the very next command, as at a server. */
function terminate(session: Session, victim: Session): void {
  if (victim === session) session.end()
  else victim.disconnect()
}

/**
 * A line of CLIENT LIST in Redis' own format. Bytes are those that Understudy keeps for the client: `qbuf` what it has said and is not done, `multi-mem` what it has queued, `obl` and `rbs` the replies being
 * gathered and their buffer, `omem` what the kernel has not taken or waits for a reply before it; `tot-mem` the sum. What a proxy has no number for is 0. Valkey reads whole commands into a buffer that all clients
 * share, and counts them for none.
 */
function describe(client: Session, asking: Session, view: CommandView): string {
  const { path } = client
  let multi = -1
  let queuedBytes = 0
  let watch = 0
  let counts = { channels: 0, patterns: 0, shards: 0 }
  for (let pin = client.pin; pin !== null; pin = pin.outer) {
    if (pin.queuedCommands !== undefined) multi = pin.queuedCommands
    if (pin.queuedBytes !== undefined) queuedBytes += pin.queuedBytes
    if (pin.watchedKeys !== undefined) watch = pin.watchedKeys
    if (pin.subscriptions !== undefined) counts = pin.subscriptions
  }
  const { redis: version, valkey } = path.server
  const fields: [string, string | number][] = [
    ['id', client.id],
    ['addr', client.remote],
    ['laddr', client.local],
    ['fd', 0],
    ['name', client.name],
    ['age', secondsSince(client, client.connectedAtMs)],
    ['idle', secondsSince(client, client.lastActiveMs)],
    ['flags', flagsOf(client)],
  ]
  if (valkey >= 8.1) fields.push(['capa', client.followsRedirects ? 'r' : ''])
  fields.push(['db', client.database], ['sub', counts.channels], ['psub', counts.patterns])
  if (version >= 7.0) fields.push(['ssub', counts.shards])
  fields.push(['multi', multi])
  if (version >= 7.4 || valkey >= 8) fields.push(['watch', watch])
  const { input, downstream, order } = client
  const frameBytes = client === asking && valkey < 8 ? view.frameEnd - view.frameStart : 0
  fields.push(['qbuf', Math.max(input.keptBytes, frameBytes)])
  fields.push(['qbuf-free', Math.max(0, input.bufferBytes - input.keptBytes)], ['argv-mem', 0])
  if (version >= 7.0) fields.push(['multi-mem', queuedBytes], ['rbs', downstream.bufferBytes], ['rbp', 0])
  const waitingBytes = downstream.pendingBytes - downstream.gatheredBytes + order.parkedBytes
  fields.push(
    ['obl', downstream.gatheredBytes],
    ['oll', order.parkedReplies + (downstream.pendingBytes > downstream.gatheredBytes ? 1 : 0)],
    ['omem', waitingBytes],
    ['tot-mem', input.bufferBytes + queuedBytes + downstream.bufferBytes + waitingBytes],
    ['events', 'r'],
    ['cmd', client.lastSpec === null ? 'NULL' : client.lastSpec.name.toLowerCase().replace(' ', '|')],
    ['user', client.userName],
    ['redir', client.own?.redirect ?? -1],
  )
  if (version >= 7.0) fields.push(['resp', client.protocol])
  if (version >= 7.2) fields.push(['lib-name', client.libName], ['lib-ver', client.libVersion])
  if (version >= 8) fields.push(['io-thread', 0])
  if (valkey >= 8) {
    const { bytesRead, bytesWritten } = client.socket
    const blocked = client.pin?.kind === 'blocked' ? 1 : 0
    fields.push(['tot-net-in', bytesRead], ['tot-net-out', bytesWritten], ['tot-cmds', client.order.taken - blocked])
  }
  return fields.map(([name, value]) => `${name}=${value}`).join(' ')
}

function text(session: Session, value: string): Buffer {
  return encodeReply(new VerbatimReply('txt', Buffer.from(value, 'latin1')), session.protocol)
}
