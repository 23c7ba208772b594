import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { serverMark } from '../base/server-mark.ts'
import type { Endpoint, StoreConfig } from '../config/config.ts'
import { refusalOf } from '../jobs/refusals.ts'
import { ownWord } from '../resp/own-words.ts'
import { clientOptions } from '../upstream/client-options.ts'
import { tlsOptions } from '../upstream/connect.ts'
import { type Health, HealthProbe } from '../upstream/health.ts'
import { addressOf } from '../upstream/sentinel-watch.ts'
import type { Need } from './needs.ts'

/** What one server says of itself. */
export interface ServerLook extends Pick<Health, 'up' | 'latencyMs' | 'version' | 'role' | 'error'> {
  /** `host:port`, or the path of its socket. */
  readonly address: string
  /** What tells this process from every other (`serverMark`). */
  readonly mark: string | null
  readonly memory: ServerMemory | null
  /** Keys by number of database, as the server counts them; null: it does not tell. */
  readonly keys: Readonly<Record<number, number>> | null
  /** It is a node of a cluster; null: it does not tell. */
  readonly inCluster: boolean | null
  /** How many it has; null: it does not tell. */
  readonly databases: number | null
  /** Names of the commands that applications use (in capitals); null: it does not tell. */
  readonly commands: ReadonlySet<string> | null
  /** Needs that its user has no right to, or that the server does not know. */
  readonly denied: readonly Need[]
  /** Why it takes no writes at the moment; null: it does. */
  readonly refusesWrites: string | null
}

export interface ServerMemory {
  readonly usedBytes: number
  /** 0: no limit. */
  readonly limitBytes: number
  /** `maxmemory-policy`. */
  readonly policy: string
}

const SILENT = {
  mark: null,
  memory: null,
  keys: null,
  inCluster: null,
  databases: null,
  commands: null,
  denied: [],
  refusesWrites: null,
}

/** Asks a server who and how it is, and tries `needs`. Changes nothing there. Never rejects: what is wrong is in `error`. */
export async function lookAtServer(
  store: StoreConfig,
  endpoint: Endpoint,
  needs: readonly Need[],
): Promise<ServerLook> {
  const address = addressOf(endpoint)
  const probe = new HealthProbe({ ...store, kind: 'single', endpoints: [endpoint] }, endpoint, ignore, ignore)
  await probe.start()
  probe.stop()
  const { up, latencyMs, version, role, error } = probe.health
  const health = { address, up, latencyMs, version, role, error }
  if (!up) return { ...health, ...SILENT }
  try {
    return { ...health, ...(await withClient(store, endpoint, (redis) => facts(redis, needs))) }
  } catch (cause) {
    return { ...health, ...SILENT, up: false, error: cause instanceof Error ? cause.message : String(cause) }
  }
}

/** Runs `use` with a connection that ends with it. */
export async function withClient<Result>(
  store: StoreConfig,
  endpoint: Endpoint,
  use: (redis: Redis) => Promise<Result>,
): Promise<Result> {
  const redis = new Redis({
    ...clientOptions(endpoint, store, store),
    ...(store.tls === null ? {} : { tls: tlsOptions(endpoint, store.tls) }),
    connectionName: 'understudy-check',
  })
  // It is told by what is asked.
  redis.on('error', ignore)
  try {
    await redis.connect()
    return await use(redis)
  } finally {
    redis.disconnect()
  }
}

async function facts(redis: Redis, needs: readonly Need[]): Promise<Omit<ServerLook, keyof Health | 'address'>> {
  const ask = (args: readonly string[]) =>
    redis.call(ownWord(args[0]!), ...args.slice(1)).catch((error: Error) => error)
  const key = `understudy:check:${randomUUID()}`
  // Sent at once and answered in order, so that nothing comes between MULTI and DISCARD.
  const [info, commands, databases, ...tried] = await Promise.all([
    ask(['INFO']),
    ask(['COMMAND']),
    ask(['CONFIG', 'GET', 'databases']),
    ...needs.map(({ probe }) => ask(probe(key))),
  ])
  const text = typeof info === 'string' ? info : ''
  const refusals = tried.flatMap((answer) => (answer instanceof Error ? (refusalOf(answer.message) ?? []) : []))
  return {
    mark: serverMark(text),
    memory: memoryIn(text),
    keys: keysIn(text),
    inCluster: text.includes('cluster_enabled:') ? /^cluster_enabled:1/m.test(text) : null,
    databases: Array.isArray(databases) && databases.length === 2 ? Number(databases[1]) : null,
    commands: Array.isArray(commands) ? commandNames(commands) : null,
    denied: needs.filter((need, i) => isDenied(need, tried[i])),
    refusesWrites: refusals[0] ?? null,
  }
}

/** By Redis 6 (`this user has no permissions to run the 'x' command`), 7 and Valkey; a service that has taken the command away does not know it. */
export function isDenied({ younger = false }: Need, answer: unknown): boolean {
  if (!(answer instanceof Error)) return false
  return /^NOPERM .*\brun\b/i.test(answer.message) || (!younger && /^ERR unknown command/i.test(answer.message))
}

function memoryIn(info: string): ServerMemory | null {
  const used = /^used_memory:(\d+)/m.exec(info)?.[1]
  if (used === undefined) return null
  return {
    usedBytes: Number(used),
    limitBytes: Number(/^maxmemory:(\d+)/m.exec(info)?.[1] ?? 0),
    policy: /^maxmemory_policy:(\S+)/m.exec(info)?.[1] ?? 'noeviction',
  }
}

function keysIn(info: string): Record<number, number> | null {
  if (!info.includes('# Keyspace')) return null
  return Object.fromEntries([...info.matchAll(/^db(\d+):keys=(\d+)/gm)].map(([, db, keys]) => [db, Number(keys)]))
}

/** Of COMMAND's `[name, arity, flags, ...]`; those for administrators left out. */
function commandNames(commands: readonly unknown[]): ReadonlySet<string> {
  const names = commands.flatMap((entry) => {
    if (!Array.isArray(entry) || typeof entry[0] !== 'string') return []
    const flags: unknown = entry[2]
    return Array.isArray(flags) && flags.includes('admin') ? [] : [entry[0].toUpperCase()]
  })
  return new Set(names)
}

function ignore(): void {}
