import type { Redis } from 'ioredis'
import { serverMark } from '../base/server-mark.ts'
import type { Endpoint, StoreConfig } from '../config/config.ts'
import { ownWord } from '../resp/own-words.ts'
import { withBriefClient } from '../upstream/connection/brief-client.ts'
import { connectReason } from '../upstream/connection/connect-error.ts'
import { type Health, HealthProbe } from '../upstream/health.ts'
import { addressOf } from '../upstream/sentinel/sentinel-watch.ts'
import { type Rights, type Trials, tryRights } from './rights.ts'

/** What one server says of itself. */
export interface ServerLook
  extends Rights,
    Pick<Health, 'up' | 'latencyMs' | 'version' | 'valkeyVersion' | 'role' | 'error'> {
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
  /** Commands that write (in capitals) and that it does not call so: it lists what they are, and not the name that `rename-command` has given them. */
  readonly renamedWrites: readonly string[]
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
  renamedWrites: [],
  denied: [],
  deniedKeys: [],
  writes: 'unknown',
} as const

/** Asks a server who and how it is, and tries `trials`. `tag`: of keys that it serves, where it does not serve all. Changes nothing there. Never rejects: what is wrong is in `error`. */
export async function lookAtServer(
  store: StoreConfig,
  endpoint: Endpoint,
  trials: Trials,
  tag: string | null = null,
): Promise<ServerLook> {
  const address = addressOf(endpoint)
  try {
    const probe = new HealthProbe({ ...store, kind: 'single', endpoints: [endpoint] }, endpoint, ignore, ignore)
    await probe.start()
    probe.stop()
    const { up, latencyMs, version, valkeyVersion, role, error } = probe.health
    const health = { address, up, latencyMs, version, valkeyVersion, role, error }
    if (!up) return { ...health, ...SILENT }
    const said = await withBriefClient(store, endpoint, CHECK, async (redis) => {
      const told = await facts(redis)
      return { ...told, ...(await tryRights(redis, trials, tag)) }
    })
    return { ...health, ...said }
  } catch (cause) {
    return { address, ...UNKNOWN, ...SILENT, error: reasonOf(cause, store) }
  }
}

/** As which a check is in CLIENT LIST of a store. */
export const CHECK = 'understudy-check'

const UNKNOWN = { up: false, latencyMs: null, version: null, valkeyVersion: null, role: null }

export function reasonOf(cause: unknown, store: StoreConfig): string {
  return cause instanceof Error ? connectReason(cause, store, false) : String(cause)
}

async function facts(redis: Redis): Promise<Omit<ServerLook, keyof Health | keyof Rights | 'address'>> {
  const ask = (args: readonly string[]) =>
    redis.call(ownWord(args[0]!), ...args.slice(1)).catch((error: Error) => error)
  const [info, commands, databases] = await Promise.all([
    ask(['INFO']),
    ask(['COMMAND']),
    ask(['CONFIG', 'GET', 'databases']),
  ])
  const writes = Array.isArray(commands)
    ? commandNames(commands, (flags) => flags.includes('write'))
    : new Set<string>()
  const answers = await ask(['COMMAND', 'INFO', ...writes])
  const text = typeof info === 'string' ? info : ''
  return {
    mark: serverMark(text),
    memory: memoryIn(text),
    keys: keysIn(text),
    inCluster: text.includes('cluster_enabled:') ? /^cluster_enabled:1/m.test(text) : null,
    databases: Array.isArray(databases) && databases.length === 2 ? Number(databases[1]) : null,
    commands: Array.isArray(commands) ? commandNames(commands, (flags) => !flags.includes('admin')) : null,
    renamedWrites: Array.isArray(answers) ? [...writes].filter((_, i) => answers[i] === null) : [],
  }
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

/** Of COMMAND's `[name, arity, flags, ...]`, in capitals. */
function commandNames(commands: readonly unknown[], wanted: (flags: readonly unknown[]) => boolean): Set<string> {
  const names = commands.flatMap((entry) => {
    if (!Array.isArray(entry) || typeof entry[0] !== 'string') return []
    const flags: unknown = entry[2]
    return wanted(Array.isArray(flags) ? flags : []) ? [entry[0].toUpperCase()] : []
  })
  return new Set(names)
}

function ignore(): void {}
