import { escapeGlob, Glob } from './glob.ts'
import { storePatterns } from './keyspace-patterns.ts'
import type { RouteTable } from './route-table.ts'

/**
 * What of pub/sub lies under other names, or at several stores: channels that routes rename, and notifications about keys that routes rename.
 *
 *   the application asks for        the store is asked for
 *   SUBSCRIBE job_events            step_events                      by the route's `channels:`
 *   __keyspace@0__:job:1            __keyspace@0__:step:1            by the route of the key
 *   __keyevent@0__:del              the same, at every primary       the message is a key: named, or hidden
 *   PSUBSCRIBE *_events             one pattern a store that matches all of them; what comes back is filtered under its application's name
 */

export type SubscriptionKind = 'subscribe' | 'psubscribe' | 'ssubscribe'

/** Where to listen, and for what. */
export interface Listening {
  /** Index in the table's `stores`. */
  readonly store: number
  readonly name: Buffer
}

/** The number that a store has for the client's database 0, by the store's index. */
export type DatabaseOf = (store: number) => number

/** Names are the same, at one store: messages can go out as they came. */
export function isPlain(table: RouteTable, databaseOf: DatabaseOf): boolean {
  const { store } = table.fallback.primary
  return (
    table.channels.rules.length === 0 &&
    table.primaryStores.length === 1 &&
    table.viewOf(store).whole &&
    databaseOf(store) === 0
  )
}

export function listeningsOf(
  table: RouteTable,
  kind: SubscriptionKind,
  name: Buffer,
  databaseOf: DatabaseOf,
): Listening[] {
  if (isPlain(table, databaseOf)) return [{ store: table.fallback.primary.store, name }]
  if (kind === 'psubscribe') return patternsOf(table, name, databaseOf)
  const notification = kind === 'subscribe' ? parse(name) : null
  if (notification === null) {
    const channel = table.channels.atPrimary(name)
    return [{ store: channel.rule.route.primary.store, name: channel.name }]
  }
  const { type, database, rest } = notification
  if (type === 'keyevent') {
    return table.primaryStores.map((store) => ({
      store,
      name: Buffer.concat([header(type, toStore(database, databaseOf(store))), rest]),
    }))
  }
  const rule = table.find(rest, 0, rest.length)
  const { store } = rule.route.primary
  const key = rule.primary?.apply(rest, 0, rest.length) ?? rest
  return [{ store, name: Buffer.concat([header(type, toStore(database, databaseOf(store))), key]) }]
}

/** A message of a channel as the application has to get it; null: it is not its own. */
export function applicationMessage(
  table: RouteTable,
  store: number,
  channel: Buffer,
  message: Buffer,
  databaseOf: DatabaseOf,
): { readonly channel: Buffer; readonly message: Buffer } | null {
  const notification = parse(channel)
  if (notification === null) {
    const name = table.channels.viewOf(store).nameOf(channel, 0, channel.length)
    return name === null ? null : { channel: name, message }
  }
  const { type, rest } = notification
  const database = toClient(notification.database, databaseOf(store))
  if (database === null) return null
  const view = table.viewOf(store)
  const name = type === 'keyspace' ? rest : message
  const key = view.nameOf(name, 0, name.length)
  if (key === null) return null
  const head = header(type, database)
  return type === 'keyspace'
    ? { channel: Buffer.concat([head, key]), message }
    : { channel: Buffer.concat([head, rest]), message: key }
}

/** One pattern for each store that has something to say. */
function patternsOf(table: RouteTable, name: Buffer, databaseOf: DatabaseOf): Listening[] {
  const glob = new Glob(name)
  const wanted = new Map<number, Buffer[]>()
  const want = (store: number, pattern: Buffer): void => {
    wanted.set(store, [...(wanted.get(store) ?? []), pattern])
  }
  const notification = parse(name)
  if (notification !== null) {
    const { type, database, rest } = notification
    for (const store of table.primaryStores) {
      const head = header(type, toStore(database, databaseOf(store)))
      const patterns =
        type === 'keyevent' ? [rest] : storePatterns(new Glob(rest), table.rules, (rule) => table.isOn(rule, store))
      for (const pattern of patterns) want(store, Buffer.concat([head, pattern]))
    }
  } else {
    if (meet(glob.prefix, NOTIFICATIONS)) for (const store of table.primaryStores) want(store, ANY_NOTIFICATION)
    const rules = table.channels.allRules
    const met = rules.filter(({ pattern }) => meet(glob.prefix, pattern.literalPrefix))
    for (const store of new Set(met.map(({ route }) => route.primary.store))) {
      for (const pattern of storePatterns(glob, rules, ({ route }) => route.primary.store === store))
        want(store, pattern)
    }
  }
  return [...wanted].map(([store, patterns]) => ({ store, name: together(patterns) }))
}

/** One pattern that matches whatever one of these does: what they begin with. */
function together(patterns: readonly Buffer[]): Buffer {
  const globs = patterns.map((pattern) => new Glob(pattern))
  const [first, ...others] = patterns.filter((_, i) => {
    const { literal, prefix } = globs[i]!
    return !(literal && globs.some((other) => !other.literal && other.matches(prefix)))
  })
  if (others.every((pattern) => pattern.equals(first!))) return first!
  let common = new Glob(first!).prefix
  for (const other of others) {
    const { prefix } = new Glob(other)
    let length = 0
    while (length < common.length && common[length] === prefix[length]) length++
    common = common.subarray(0, length)
  }
  return Buffer.concat([escapeGlob(common), STAR])
}

interface Notification {
  readonly type: 'keyspace' | 'keyevent'
  readonly database: number
  /** The key, or the event. */
  readonly rest: Buffer
}

function parse(channel: Buffer): Notification | null {
  if (channel[0] !== 0x5f || channel[1] !== 0x5f) return null
  const match = /^__(keyspace|keyevent)@(\d{1,9})__:/.exec(channel.toString('latin1', 0, Math.min(channel.length, 40)))
  if (match === null) return null
  return {
    type: match[1] as 'keyspace' | 'keyevent',
    database: Number(match[2]),
    rest: channel.subarray(match[0].length),
  }
}

function header(type: string, database: number): Buffer {
  return Buffer.from(`__${type}@${database}__:`)
}

function toStore(database: number, zero: number): number {
  return database === 0 ? zero : database
}

/** Null: a database that no client of Understudy reaches. */
function toClient(database: number, zero: number): number | null {
  if (database === zero) return 0
  return database === 0 ? null : database
}

/** One begins with the other. */
function meet(one: Buffer, other: Buffer): boolean {
  const length = Math.min(one.length, other.length)
  return one.subarray(0, length).equals(other.subarray(0, length))
}

const NOTIFICATIONS = Buffer.from('__key')
const ANY_NOTIFICATION = Buffer.from('__key*')
const STAR = Buffer.from('*')
