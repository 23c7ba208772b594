import type { CommandView } from '../../resp/command-view.ts'
import type { DataPath } from '../data-path.ts'
import { integerArg, textArg, wordArg } from '../session/arguments.ts'
import type { Session } from '../session/session.ts'
import { flagsOf, secondsSince } from './client-flags.ts'

export type Filter = (client: Session) => boolean

/** By their words: of one that is said twice the last one counts. */
export function fitsAll(client: Session, filters: ReadonlyMap<string, Filter>): boolean {
  for (const fits of filters.values()) if (!fits(client)) return false
  return true
}

export const SYNTAX_ERROR = 'ERR syntax error'
const TYPES: readonly string[] = ['normal', 'master', 'replica', 'slave', 'pubsub']
/** What CLIENT LIST of Valkey 9 may show of a client's flags. */
const FLAGS = /^[OSMPxbtRBdcuAUreTIiEN]*$/

/**
 * One word of `CLIENT KILL` of Redis, and of `CLIENT KILL` and `CLIENT LIST` of Valkey since 8.1, with its argument at `i + 1`: null: there is no such word, a text: the error.
 *
 *   Redis      ID TYPE ADDR LADDR USER, MAXAGE since 7.4
 *   Valkey 9   IDLE FLAGS NAME LIB-NAME LIB-VER DB CAPA IP besides, and all but IDLE and MAXAGE with NOT-
 */
export function filterOf(session: Session, view: CommandView, i: number): Filter | string | null {
  const word = wordArg(view, i)
  const value = textArg(view, i + 1)
  const { server } = session.path
  if (server.valkey >= 9 && word.startsWith('NOT-') && word !== 'NOT-MAXAGE' && word !== 'NOT-IDLE') {
    const filter = positive(session, view, i, word.slice(4), value, `${word} filter`)
    return typeof filter === 'function' ? (client) => !filter(client) : filter
  }
  return positive(session, view, i, word, value, 'provided filter')
}

function positive(
  session: Session,
  view: CommandView,
  i: number,
  word: string,
  value: string,
  where: string,
): Filter | string | null {
  const { server } = session.path
  switch (word) {
    case 'MAXAGE':
      if (server.redis < 7.4 && server.valkey < 8) return null
      return olderThan(view, i, 'maxage', ({ connectedAtMs }) => connectedAtMs)
    case 'TYPE': {
      const type = typeNamed(session.path, value)
      return type === null ? `ERR Unknown client type '${value}'` : (client) => typeOf(client) === type
    }
    case 'ADDR':
      return (client) => client.remote === value
    case 'LADDR':
      return (client) => client.local === value
    case 'USER':
      return isUser(session, value) ? (client) => client.userName === value : `ERR No such user '${value}'`
  }
  return server.valkey < 9 ? null : ofValkey(view, i, word, value, where)
}

function ofValkey(view: CommandView, i: number, word: string, value: string, where: string): Filter | string | null {
  switch (word) {
    case 'IDLE':
      return olderThan(view, i, 'idle', ({ lastActiveMs }) => lastActiveMs)
    case 'FLAGS':
      if (!FLAGS.test(value)) return `ERR Unknown flags found in the ${where}: ${value}`
      return (client) => [...value].every((flag) => flagsOf(client).includes(flag))
    case 'NAME':
      return (client) => client.name === value && value !== ''
    case 'LIB-NAME':
      return (client) => client.libName === value && value !== ''
    case 'LIB-VER':
      return (client) => client.libVersion === value && value !== ''
    case 'DB': {
      const index = integerArg(view, i + 1)
      const name = where.startsWith('NOT-') ? 'NOT-DB' : 'DB'
      return index === null ? `ERR ${name} is not an integer or out of range` : (client) => client.database === index
    }
    case 'CAPA':
      if (!/^r*$/.test(value)) return `ERR Unknown capa found in the ${where}: ${value}`
      return (client) => client.followsRedirects || value === ''
    case 'IP':
      return (client) => client.remote.replace(/:\d+$/, '').replace(/^\[|\]$/g, '') === value
  }
  return null
}

function olderThan(view: CommandView, i: number, name: string, sinceMs: (client: Session) => number): Filter | string {
  const seconds = integerArg(view, i + 1)
  if (seconds === null) return `ERR ${name} is not an integer or out of range`
  if (seconds <= 0) return `ERR ${name} should be greater than 0`
  return (client) => secondsSince(client, sinceMs(client)) >= seconds
}

/** Users of the store have been asked about before (`client-rights.ts`). Inside MULTI they are not, for a client with the rights of the configuration: there a user is known by its clients. */
function isUser({ path, user, captured }: Session, name: string): boolean {
  const { auth, users } = path.clients
  if (name === 'default') return true
  if (auth === 'users') return Object.hasOwn(users, Buffer.from(name, 'latin1').toString('utf8'))
  if (captured === null || user !== null) return true
  for (const client of path.sessions) if (client.userName === name) return true
  return false
}

/** Null: there is none of that name. */
export function typeNamed({ server }: DataPath, name: string): string | null {
  const type = name.toLowerCase()
  if (type === 'primary' && server.valkey >= 8) return 'master'
  if (!TYPES.includes(type)) return null
  return type === 'slave' ? 'replica' : type
}

export function typeOf(client: Session): string {
  for (let pin = client.pin; pin !== null; pin = pin.outer) {
    // As Redis counts it: MONITOR is a kind of replica, and listed with the normal ones all the same.
    if (pin.kind === 'subscriber' && pin.flag !== 'O') return 'pubsub'
    if (pin.kind === 'replica') return 'replica'
  }
  return 'normal'
}

/** What Valkey says to CLIENT LIST and KILL since 8.1: any words in any order, ids by as many numbers as follow, and by as many ID. A text: the error. */
export function valkeyFilters(session: Session, view: CommandView, skipMe: boolean): Filter | string {
  const filters = new Map<string, Filter>()
  const ids = { ID: new Set<number>(), 'NOT-ID': new Set<number>() }
  let skips = skipMe
  for (let i = 2; i < view.argc; ) {
    const word = wordArg(view, i)
    if (word === 'ID' || (word === 'NOT-ID' && session.path.server.valkey >= 9)) {
      for (i++; i < view.argc; i++) {
        const id = integerArg(view, i)
        if (id === null) break
        if (id < 1) return 'ERR client-id should be greater than 0'
        ids[word].add(id)
      }
      filters.set(word, (client) => ids[word].has(client.id) === (word === 'ID'))
      continue
    }
    if (i + 1 >= view.argc) return SYNTAX_ERROR
    if (word === 'SKIPME') {
      if (!/^(yes|no)$/i.test(textArg(view, i + 1))) return SYNTAX_ERROR
      skips = wordArg(view, i + 1) === 'YES'
    } else {
      const filter = filterOf(session, view, i)
      if (typeof filter !== 'function') return filter ?? SYNTAX_ERROR
      filters.set(word, filter)
    }
    i += 2
  }
  return (client) => !(skips && client === session) && fitsAll(client, filters)
}
