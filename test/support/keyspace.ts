import type { Redis } from 'ioredis'
import type { RedisServer } from './redis.ts'

/** What one key holds, in a form that is the same for equal keys of any two servers. */
interface KeyState {
  readonly value: string
  /** PEXPIRETIME: ms since the epoch; -1: never. */
  readonly expiresAtMs: number
}

interface Drift {
  readonly database: number
  /** By the primary's name, or the shadow's where only that has it. */
  readonly key: string
  readonly primary: string
  readonly shadow: string
}

export interface DriftOptions {
  /** Databases that are looked at. Default: 0. */
  readonly databases?: readonly number[]
  /** The shadow's name of a key of the primary. */
  readonly toShadow?: (key: string) => string
  /** On one server both sides lie in one keyspace: whether a key is the primary's, or the shadow's. Default: every key is. */
  readonly onPrimary?: (key: string) => boolean
  readonly onShadow?: (key: string) => boolean
  /** How far times of expiry may be apart: relative ones are set by two clocks readings. Default: exact. */
  readonly ttlSlackMs?: number
  /** How often pending entries of streams were delivered need not be the same: a server writes no delivery down that XREADGROUP has made of what was pending, so one that was killed has forgotten it. */
  readonly forgetsDeliveries?: boolean
  /** Streams count what was added to them: Redis 7.0 or newer on both sides. Default: they do. */
  readonly countsEntries?: boolean
}

/**
 * Compares two keyspaces key by key and element by element, by means of its own: nothing of the product is used. Gives every difference. Several servers: the masters of a
 * cluster.
 */
export async function driftBetween(
  primary: RedisServer | readonly RedisServer[],
  shadow: RedisServer | readonly RedisServer[],
  options: DriftOptions = {},
): Promise<Drift[]> {
  const {
    databases = [0],
    toShadow = (key) => key,
    onPrimary = () => true,
    onShadow = () => true,
    ttlSlackMs = 0,
    forgetsDeliveries = false,
    countsEntries = true,
  } = options
  const compared = (value: string) => {
    const told = countsEntries ? value : value.replace(ENTRY_COUNTS, '')
    return forgetsDeliveries ? told.replace(DELIVERIES, ']') : told
  }
  const drift: Drift[] = []
  for (const database of databases) {
    const there = await keyspaceOf(primary, database, onPrimary)
    const here = await keyspaceOf(shadow, database, onShadow)
    for (const [key, state] of there) {
      const name = toShadow(key)
      const other = here.get(name)
      here.delete(name)
      if (other === undefined || compared(other.value) !== compared(state.value))
        drift.push({ database, key, ...firstDifference(state.value, other?.value ?? 'nothing') })
      else if (!near(state.expiresAtMs, other.expiresAtMs, ttlSlackMs)) {
        drift.push({ database, key, primary: `expires ${state.expiresAtMs}`, shadow: `expires ${other.expiresAtMs}` })
      }
    }
    for (const [key, state] of here) drift.push({ database, key, ...firstDifference('nothing', state.value) })
  }
  return drift
}

/** Behind the id and the consumer of a pending entry. */
const DELIVERIES = /(?<=\["\d+-\d+","[^"]*"),\d+\]/g

/** Of a stream as `streamState` puts it; null: the server tells none. */
const ENTRY_COUNTS = /(?<=^stream .*)\["(?:max-deleted-entry-id|entries-added)",[^\]]*\],/g

/** Of large values the place where they part. */
function firstDifference(primary: string, shadow: string): { primary: string; shadow: string } {
  if (primary.length <= SHOWN && shadow.length <= SHOWN) return { primary, shadow }
  let at = 0
  while (at < primary.length && primary[at] === shadow[at]) at++
  const around = (text: string): string =>
    `${text.slice(0, 40)} (${text.length}) ...${text.slice(Math.max(0, at - 200), at + 200)}`
  return { primary: around(primary), shadow: around(shadow) }
}

const SHOWN = 5_000

function near(one: number, other: number, slackMs: number): boolean {
  return one === other || (one >= 0 && other >= 0 && Math.abs(one - other) <= slackMs)
}

/** How many keys there are in these databases. */
export async function countKeys(server: RedisServer, databases: readonly number[] = [0]): Promise<number> {
  let total = 0
  for (const database of databases) {
    const redis = server.client({ db: database })
    total += await redis.dbsize()
    redis.disconnect()
  }
  return total
}

async function keyspaceOf(
  servers: RedisServer | readonly RedisServer[],
  database: number,
  wanted: (key: string) => boolean,
): Promise<Map<string, KeyState>> {
  if (!('kill9' in servers)) {
    const parts = await Promise.all(servers.map((server) => keyspaceOf(server, database, wanted)))
    return new Map(parts.flatMap((part) => [...part]))
  }
  const redis = servers.client({ db: database })
  try {
    const keys = (await redis.keys('*')).filter(wanted)
    const types = await ask<string>(
      redis,
      keys.map((key) => ['type', key]),
    )
    const times = await expiryTimes(redis, keys)
    const values = await ask<unknown>(
      redis,
      keys.map((key, i) => readOf(key, types[i]!)),
    )
    const states = new Map<string, KeyState>()
    for (const [i, key] of keys.entries()) {
      if (types[i] === 'hash') values[i] = [values[i], await fieldTimes(redis, key, values[i] as object)]
      // Expired between two questions.
      if (types[i] === 'none' || times[i] === -2 || values[i] === null) continue
      states.set(key, { value: `${types[i]} ${JSON.stringify(plain(types[i]!, values[i]))}`, expiresAtMs: times[i]! })
    }
    return states
  } finally {
    redis.disconnect()
  }
}

/** PEXPIRETIME of each key; of a server before 7.0 as near as the answer's way is long. */
async function expiryTimes(redis: Redis, keys: readonly string[]): Promise<readonly number[]> {
  const asked = (command: string) => keys.map((key) => [command, key])
  try {
    return await ask<number>(redis, asked('pexpiretime'))
  } catch {
    const left = await ask<number>(redis, asked('pttl'))
    return left.map((ms) => (ms < 0 ? ms : Date.now() + ms))
  }
}

/** PEXPIRETIME of each field, in their order; empty on a server that has no such thing. */
async function fieldTimes(redis: Redis, key: string, fields: object): Promise<readonly number[]> {
  const names = Object.keys(fields)
  if (names.length === 0) return []
  try {
    return (await redis.call('HPEXPIRETIME', key, 'FIELDS', names.length, ...names)) as number[]
  } catch {
    return []
  }
}

async function ask<T>(redis: Redis, commands: (string | number)[][]): Promise<T[]> {
  if (commands.length === 0) return []
  const results = await redis.pipeline(commands).exec()
  return results!.map(([error, value]) => {
    if (error !== null) throw error
    return value as T
  })
}

function readOf(key: string, type: string): (string | number)[] {
  switch (type) {
    case 'list':
      return ['lrange', key, 0, -1]
    case 'set':
      return ['smembers', key]
    case 'zset':
      return ['zrange', key, 0, -1, 'WITHSCORES']
    case 'hash':
      return ['hgetall', key]
    case 'stream':
      return ['xinfo', 'STREAM', key, 'FULL', 'COUNT', 0]
    default:
      return ['getBuffer', key]
  }
}

function plain(type: string, value: unknown): unknown {
  if (Buffer.isBuffer(value)) return value.toString('latin1')
  if (type === 'set') return (value as string[]).sort()
  if (type === 'hash') {
    const [fields, times] = value as [object, readonly number[]]
    // To ten seconds: relative times are set by two readings of clocks.
    return Object.entries(fields)
      .map(([name, text], i) => [name, text, ...((times[i] ?? -1) < 0 ? [] : [Math.round(times[i]! / 10_000)])])
      .sort()
  }
  // Older servers write the same number with more digits.
  if (type === 'zset') return (value as string[]).map((item, i) => (i % 2 === 1 ? Number(item) : item))
  return type === 'stream' ? streamState(value as unknown[]) : value
}

/** Without what no effect carries: consumers that own nothing, when they were seen, how many entries a group has read, memory layout. */
function streamState(flat: readonly unknown[]): unknown {
  const info = fields(flat)
  const groups = (info.get('groups') as unknown[][]).map((group) => {
    const g = fields(group)
    const pending = (g.get('pending') as unknown[][]).map(([id, consumer, , count]) => [id, consumer, count])
    return [g.get('name'), g.get('last-delivered-id'), pending]
  })
  const names = ['length', 'last-generated-id', 'max-deleted-entry-id', 'entries-added', 'entries']
  return [...names.map((name) => [name, info.get(name)]), groups]
}

function fields(flat: readonly unknown[]): Map<string, unknown> {
  return new Map(flat.flatMap((name, i) => (i % 2 === 0 ? [[String(name), flat[i + 1]] as const] : [])))
}
