import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { statSync } from 'node:fs'
import { resolve as resolvePath } from 'node:path'
import { UnderstudyError } from '../../base/errors.ts'
import { readPipe, readRegularFile } from '../../base/read-file.ts'
import { refuseChannelCollisions } from '../checks/channel-collisions.ts'
import { warnOfFlushes } from '../checks/flushes.ts'
import { warnOfHashTags } from '../checks/hash-tags.ts'
import { refuseCollisions } from '../checks/key-collisions.ts'
import { refuseSharedServers } from '../checks/shared-servers.ts'
import { warnOfUnservedDatabases } from '../checks/unserved-databases.ts'
import type { Config, Phase } from '../config.ts'
import { ConfigDocument } from './document.ts'
import { ConfigError, type Problem } from './problems.ts'
import { resolveClients } from './resolve-clients.ts'
import type { ResolveContext } from './resolve-context.ts'
import { finishRoute, resolveRoutes } from './resolve-routes.ts'
import { resolveAdmin, resolveListeners, resolveStores } from './resolve-servers.ts'
import { type ClientsFields, ConfigFile } from './schema.ts'
import { isRecord, kindOf, readFields } from './schema-issues.ts'
import { name as storeName } from './schema-types.ts'
import { reasonOf } from './secret.ts'

type Environment = Readonly<Record<string, string | undefined>>

export interface ParseOptions {
  /** The name of the file in messages. */
  readonly path: string
  readonly env: Environment
  /** Relative paths in the file start here. Default: the working directory. */
  readonly cwd?: string
}

export interface LoadedConfig {
  /** Frozen through and through. */
  readonly config: Config
  /** Changes exactly when the resolved content changes (variables, overrides and secrets included). 16 hex digits. */
  readonly hash: string
  readonly path: string
  /** What it was read from. */
  readonly text: string
  /** What is allowed and worth a word. */
  readonly warnings: readonly Problem[]
  /** Routes whose phase is decided by an environment variable: route -> variable. */
  readonly phaseOverrides: Readonly<Record<string, string>>
}

/**
 * Reads a configuration file. Throws UnderstudyError CONFIG_UNREADABLE when there is no such file or it cannot be read, ConfigError (code
 * CONFIG_INVALID) with every problem otherwise.
 */
export function loadConfig(path: string, env: Environment): LoadedConfig {
  return parseConfig(read(path, false), { path, env })
}

/** The text of a configuration file that was read before. Throws UnderstudyError CONFIG_UNREADABLE, also for what is read only once. */
export function readConfigFile(path: string): string {
  return read(path, true)
}

/** It is there, and no regular file: a pipe, as `<(envsubst < template)` makes one. Read again it would give nothing, or keep the process waiting for ever. */
export function isReadOnce(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false })
  return found !== undefined && !found.isFile() && !found.isDirectory()
}

function read(path: string, again: boolean): string {
  const unreadable = (reason: string, cause?: unknown): UnderstudyError =>
    new UnderstudyError(
      'CONFIG_UNREADABLE',
      `the configuration ${path} cannot be read: ${reason}; name a YAML file (serve and explain: with --config)`,
      { cause },
    )
  let bytes: Buffer
  try {
    const isPipe = isReadOnce(path)
    if (again && isPipe)
      throw new UnderstudyError(
        'CONFIG_UNREADABLE',
        `the configuration ${path} cannot be read again: it is no regular file, and was read once, at the start; change it where it comes from, and start again`,
      )
    bytes = isPipe ? readPipe(path) : readRegularFile(path)
  } catch (error) {
    throw error instanceof UnderstudyError ? error : unreadable(reasonOf(error), error)
  }
  // Patterns stand for their bytes: one that were decoded as something else would match other keys than its author's.
  if (!isUtf8(bytes)) throw unreadable('it is not UTF-8 text; save it as UTF-8')
  return bytes.toString('utf8')
}

/**
 * Understands the text of a configuration file: YAML, variables, the schema, secrets, and what only the whole shows.
 * Throws ConfigError (code CONFIG_INVALID) with every problem, each with its line and column.
 */
export function parseConfig(text: string, { path, env, cwd = workingDirectory() }: ParseOptions): LoadedConfig {
  const document = new ConfigDocument(text, env)
  const parsed = document.value === null ? null : resolveConfig({ document, env, cwd }, document.value)
  if (parsed === null || document.problems.length > 0) throw new ConfigError(path, document.problems)
  const config = deepFreeze(parsed.build())
  return {
    config,
    hash: hashOf(config),
    path,
    text,
    warnings: document.warnings,
    phaseOverrides: parsed.phaseOverrides,
  }
}

function workingDirectory(): string {
  try {
    return process.cwd()
  } catch (cause) {
    const message = 'the working directory is gone, and relative paths begin there: start in one that exists'
    throw new UnderstudyError('CONFIG_UNREADABLE', message, { cause })
  }
}

export interface UrlOptions {
  readonly source: string
  readonly target?: string
  /** Default: passthrough. */
  readonly phase?: Phase
  readonly listen?: string
  readonly admin?: string
  /** For `UNDERSTUDY_PHASE`. Variables in the URLs are not expanded: a shell has done that. Default: empty. */
  readonly env?: Environment
}

/**
 * The configuration of `serve --source URL --target URL --phase P`: one route `all` with the pattern `*`. Throws ConfigError (code
 * CONFIG_INVALID) whose problems have the option as their path and no line.
 */
export function configFromUrls({ source, target, phase, listen, admin, env = {} }: UrlOptions): LoadedConfig {
  const path = 'the command line'
  const file = {
    ...(listen === undefined ? {} : { listen: [listen] }),
    ...(admin === undefined ? {} : { admin }),
    stores: { source, ...(target === undefined ? {} : { target }) },
    routes: [
      { name: 'all', keys: ['*'], source: 'source', ...(target && { target: 'target' }), ...(phase && { phase }) },
    ],
  }
  try {
    const loaded = parseConfig(
      JSON.stringify(file).replaceAll('${', () => '$${'),
      { path, env },
    )
    return { ...loaded, warnings: [] }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const problems = error.problems.map(({ path, message }) => ({ line: 0, column: 0, path: optionOf(path), message }))
    throw new ConfigError(path, problems)
  }
}

function optionOf(path: string): string {
  const places: readonly [string, string][] = [
    ['stores.source', '--source'],
    ['stores.target', '--target'],
    ['routes[0].source', '--source'],
    ['routes[0].target', '--target'],
    ['routes[0].phase', '--phase'],
    ['listen', '--listen'],
    ['admin', '--admin'],
  ]
  return places.find(([place]) => path.startsWith(place))?.[1] ?? path
}

interface Resolved {
  /** Only when the document has no problems: until then parts may be missing. */
  build(): Config
  readonly phaseOverrides: Record<string, string>
}

function resolveConfig(context: ResolveContext, raw: unknown): Resolved | null {
  const { document, env } = context
  // These are read one by one, so that a problem in one entry hides nothing in the others.
  const apart = ['listen', 'admin', 'stores', 'routes']
  const fields = readFields(document, ConfigFile, raw, [], apart)
  if (fields === null || !isRecord(raw)) return null

  const listeners = resolveListeners(context, listAt(document, raw, 'listen', [{ url: 'redis://127.0.0.1:6380' }]))
  const admin = resolveAdmin(context, raw.admin ?? { url: 'http://127.0.0.1:9380' }, listeners)
  const rawStores = storesAt(document, raw)
  const stores = resolveStores(context, rawStores, listeners)
  const routes = resolveRoutes(document, env, listAt(document, raw, 'routes', null), Object.keys(rawStores))
  refuseCollisions(document, routes, stores)
  refuseSharedServers(document, routes, stores)
  refuseChannelCollisions(document, routes, stores)
  warnOfHashTags(document, routes)
  warnOfFlushes(document, routes)
  warnOfUnservedDatabases(document, routes, stores)

  const used = new Set(routes.flatMap(({ source, target }) => [source?.store, target?.store]))
  for (const name of stores.keys()) {
    if (!used.has(name)) document.warn(['stores', name], 'no route uses this store')
  }
  const phaseOverrides: Record<string, string> = {}
  for (const route of routes) if (route.phaseVariable !== null) phaseOverrides[route.name] = route.phaseVariable

  const readsTarget = routes.some(({ phase }) => phase === 'read-target')
  const clients =
    fields.clients === undefined
      ? null
      : resolveClients(context, fields.clients as ClientsFields, listeners, readsTarget)

  const build = (): Config => {
    const { stateDir, intentLog, cutover, log } = fields as Required<typeof fields>
    return {
      listen: listeners,
      admin,
      stateDir: resolvePath(context.cwd, stateDir),
      intentLog,
      stores: Object.fromEntries(stores),
      routes: routes.map(finishRoute),
      clients: clients!,
      cutover: {
        holdTimeoutMs: cutover.holdTimeout,
        maxMismatchRate: cutover.maxMismatchRate,
        minCompared: cutover.minCompared,
      },
      log,
    }
  }
  return { build, phaseOverrides }
}

function listAt(
  document: ConfigDocument,
  raw: Readonly<Record<string, unknown>>,
  key: 'listen' | 'routes',
  absent: unknown[] | null,
): readonly unknown[] {
  const value = raw[key]
  if (value === undefined && absent !== null) return absent
  if (value === undefined) document.refuse([key], 'is missing; every configuration needs it')
  else if (!Array.isArray(value))
    document.refuse([key], `must be a list, not ${kindOf(value)}; begin each entry with "- "`)
  else if (value.length === 0) document.refuse([key], 'is empty; at least one entry is needed')
  return Array.isArray(value) ? value : []
}

function storesAt(document: ConfigDocument, raw: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const value = raw['stores']
  if (value === undefined) document.refuse(['stores'], 'is missing; every configuration needs it')
  else if (!isRecord(value)) document.refuse(['stores'], `must be a map from names to stores, not ${kindOf(value)}`)
  else if (Object.keys(value).length === 0) document.refuse(['stores'], 'is empty; at least one store is needed')
  if (!isRecord(value)) return {}
  for (const name of Object.keys(value)) {
    const result = storeName.safeParse(name)
    for (const issue of result.error?.issues ?? []) document.refuse(['stores', name], issue.message, 'key')
  }
  return value
}

function hashOf(config: Config): string {
  const text = JSON.stringify(config, (key, value: unknown) => {
    if ((key === 'password' || key === 'token') && typeof value === 'string') {
      return createHash('sha256').update(value).digest('hex')
    }
    return value
  })
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const inner of Object.values(value)) deepFreeze(inner)
  }
  return value
}
