import { append } from '../base/append.ts'
import { unservedDatabases } from '../config/checks/unserved-databases.ts'
import type { Config, RouteConfig } from '../config/config.ts'
import { isReplica } from '../upstream/health.ts'
import type { ServerLook, ServerMemory } from './server-look.ts'
import type { StoreLook } from './store-look.ts'

/** What was found before anything runs. `error`: it speaks against a start; `warning`: somebody should know. */
export interface Finding {
  readonly level: 'error' | 'warning'
  readonly message: string
}

export type StoreLooks = Readonly<Record<string, StoreLook>>

/** Judges what the stores have said: first each by itself, then each source with its target. */
export function findingsOf(config: Config, looks: StoreLooks): Finding[] {
  const names = new Set(config.routes.flatMap(storesOf))
  return [
    ...Object.values(looks).flatMap((look) => (names.has(look.name) ? ofStore(config, look) : ofUnused(look))),
    ...pairsOf(config).flatMap((pair) => ofPair(config, looks, pair)),
  ]
}

function ofUnused({ name, error: reason }: StoreLook): Finding[] {
  return reason === null ? [] : [warning(`store '${name}', which no route uses, cannot be used: ${reason}`)]
}

function ofStore(config: Config, look: StoreLook): Finding[] {
  const { name, kind, error: reason, servers } = look
  const store = `store '${name}'`
  if (reason !== null) return [error(`${store} cannot be used: ${reason}`)]
  const findings: Finding[] = []
  for (const server of servers) {
    const at = kind === 'cluster' ? `${store} (${server.address})` : store
    const isLoneNode = kind !== 'cluster' && server.inCluster === true
    if (isLoneNode) findings.push(error(`${at} is a node of a cluster: write redis+cluster:// in stores.${name}.url`))
    if (isWritten(config, name)) {
      if (isReplica(server.role))
        findings.push(error(`${at} is a replica, which takes no writes: name its primary, or promote it first`))
      else if (typeof server.writes === 'object') findings.push(error(`${at} ${server.writes.refused}`))
      else if (server.writes === 'unknown' && !isLoneNode)
        findings.push(
          warning(
            `${at}: whether it takes writes at the moment is not known: no write could be tried that its user may send`,
          ),
        )
    }
    if (server.error !== null) findings.push(warning(`${at}: ${server.error}`))
    append(findings, ofRights(at, server))
    append(findings, ofNames(config, name, at, server))
  }
  const { memory } = servers.find((server) => evicts(server.memory)) ?? { memory: null }
  if (memory !== null)
    findings.push(
      warning(
        `${store} drops keys when its memory is full (maxmemory-policy ${memory.policy}): what it has dropped is missing there, and a comparison says so`,
      ),
    )
  return findings
}

function ofRights(at: string, { denied, deniedKeys }: ServerLook): Finding[] {
  return [
    ...ofLacks(denied, (needs) => `${at}: its user may not run ${needs.map(({ command }) => command).join(', ')}`),
    ...ofLacks(deniedKeys, (keys) => {
      const patterns = keys.map(({ pattern }) => `~${pattern}`)
      return `${at}: its user lacks the right to some or all keys of ${listed(patterns)}`
    }),
  ]
}

/** What is not in the table of commands is passed on as it came: nothing is known of its keys. */
function ofNames({ routes }: Config, name: string, at: string, { renamedWrites }: ServerLook): Finding[] {
  const isEnd = routes.some(({ source, target }) => target !== null && [source.store, target.store].includes(name))
  if (!isEnd || renamedWrites.length === 0) return []
  const what = `what is written by ${renamedWrites.length > 1 ? 'those names' : 'that name'} is not mirrored`
  return [warning(`${at} has other names for ${listed(renamedWrites)} (rename-command): ${what}`)]
}

/** One finding for those whose lack has the same consequence, and weighs as much. */
function ofLacks<Lack extends { readonly without: string; readonly vital: boolean }>(
  lacks: readonly Lack[],
  told: (lacks: readonly Lack[]) => string,
): Finding[] {
  const groups = Map.groupBy(lacks, ({ without, vital }) => `${vital} ${without}`)
  return [...groups.values()].map((group) => {
    const { without, vital } = group[0]!
    return (vital ? error : warning)(`${told(group)}: ${without}`)
  })
}

/** Two stores, and the routes that lead from one to the other. */
interface Pair {
  readonly source: string
  readonly target: string
  readonly routes: readonly RouteConfig[]
}

function pairsOf({ routes }: Config): Pair[] {
  const pairs = new Map<string, Pair>()
  for (const { source, target } of routes) {
    if (target === null || target.store === source.store) continue
    const those = routes.filter((other) => other.source.store === source.store && other.target?.store === target.store)
    pairs.set(`${source.store} ${target.store}`, { source: source.store, target: target.store, routes: those })
  }
  return [...pairs.values()]
}

function ofPair(config: Config, looks: StoreLooks, { source: from, target: to, routes }: Pair): Finding[] {
  const [source, target] = [looks[from]!, looks[to]!]
  if (source.error !== null || target.error !== null) return []
  const marks = new Set(source.servers.flatMap(({ mark }) => mark ?? []))
  if (target.servers.some(({ mark }) => mark !== null && marks.has(mark)))
    return [error(`stores '${from}' and '${to}' are one server under two addresses: let the target be another server`)]
  return [
    ...ofCommands(source, target),
    ...ofDatabases(config, source, target),
    ...ofRoom(source, target),
    ...ofKeys(config, target, routes),
  ]
}

function ofCommands(source: StoreLook, target: StoreLook): Finding[] {
  const known = target.servers[0]?.commands ?? null
  const asked = source.servers[0]?.commands ?? null
  if (known === null || asked === null) return []
  const missing = [...asked].filter((name) => !known.has(name)).sort()
  if (missing.length === 0) return []
  return [
    warning(
      `store '${target.name}' does not know ${missing.length} commands of store '${source.name}' (${listed(missing)}): what the application does with them cannot move there`,
    ),
  ]
}

/** Databases that a client reaches by SELECT: its 0 is the one in the URL. */
function ofDatabases(config: Config, source: StoreLook, target: StoreLook): Finding[] {
  const inUrl = config.stores[source.name]!.database
  const used = [...new Set(source.servers.flatMap(({ keys }) => Object.keys(keys ?? {}).map(Number)))]
    .filter((database) => database !== 0 && database !== inUrl)
    .sort((one, other) => one - other)
  const unserved = unservedDatabases(config)
  const leftOut = used
    .filter((database) => unserved.has(database))
    .map((database) =>
      warning(
        `store '${source.name}' holds keys in database ${database}, which are not copied: ${unserved.get(database)}`,
      ),
    )
  const count = target.kind === 'cluster' ? 1 : (target.servers[0]?.databases ?? Infinity)
  const stranded = used.filter((database) => database >= count && !unserved.has(database))
  if (stranded.length === 0) return leftOut
  const which = `database${stranded.length > 1 ? 's' : ''} ${stranded.join(', ')}`
  const has = target.kind === 'cluster' ? 'is a cluster, which has database 0 alone' : `has ${count} databases`
  return [
    ...leftOut,
    warning(`store '${source.name}' holds keys in ${which}, and store '${target.name}' ${has}: they cannot move there`),
  ]
}

function ofRoom(source: StoreLook, target: StoreLook): Finding[] {
  const needed = sum(source.servers.map(({ memory }) => memory?.usedBytes ?? 0))
  const limits = target.servers.map(({ memory }) => memory?.limitBytes ?? 0)
  // One that `serve` starts has none.
  if (limits.length === 0 || limits.some((limit) => limit === 0)) return []
  const free = sum(target.servers.map(({ memory }) => memory!.limitBytes - memory!.usedBytes))
  if (free >= needed) return []
  return [
    warning(
      `store '${target.name}' has room for ${megabytes(free)} (maxmemory), and store '${source.name}' uses ${megabytes(needed)}: give it more, unless only a part is to move`,
    ),
  ]
}

/** Only before it is mirrored to: from then on it holds keys by right. */
function ofKeys(config: Config, target: StoreLook, routes: readonly RouteConfig[]): Finding[] {
  const count = keyCount(target)
  const isShared = config.routes.some(({ source }) => source.store === target.name)
  if (count === 0 || isShared || routes.some(({ phase }) => phase !== 'passthrough')) return []
  return [
    warning(
      `store '${target.name}' holds ${count === 1 ? '1 key' : `${count} keys`} already: a target should be empty before it is mirrored to, and a verify tells what does not belong there`,
    ),
  ]
}

/** In all its databases. */
export function keyCount({ servers }: StoreLook): number {
  return sum(servers.flatMap(({ keys }) => Object.values(keys ?? {})))
}

function evicts(memory: ServerMemory | null): boolean {
  return memory !== null && memory.limitBytes > 0 && memory.policy !== 'noeviction'
}

/** In some phase that is still to come, or now. */
function isWritten({ routes }: Config, name: string): boolean {
  return routes.some(
    ({ source, target, phase }) => target?.store === name || (source.store === name && phase !== 'done'),
  )
}

function storesOf({ source, target }: RouteConfig): string[] {
  return target === null ? [source.store] : [source.store, target.store]
}

function megabytes(bytes: number): string {
  return `${Math.max(0, Math.round(bytes / 2 ** 20))} mb`
}

const SHOWN = 8

function listed(names: readonly string[]): string {
  return [...names.slice(0, SHOWN), ...(names.length > SHOWN ? ['...'] : [])].join(', ')
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

function error(message: string): Finding {
  return { level: 'error', message }
}

function warning(message: string): Finding {
  return { level: 'warning', message }
}
