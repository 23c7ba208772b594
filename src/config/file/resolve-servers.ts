import { resolve } from 'node:path'
import type { AdminConfig, ListenConfig, SentinelAccess, StoreConfig, TlsConfig } from '../config.ts'
import { isLoopback, listenersConflict, reachesListener } from '../endpoint.ts'
import type { ConfigDocument } from './document.ts'
import { type ConfigPath, messageOf } from './problems.ts'
import type { ResolveContext } from './resolve-context.ts'
import { resolveListenTls, resolveStoreTls } from './resolve-tls.ts'
import { AdminFile, ListenerFile, type SentinelFields, StoreFile } from './schema.ts'
import { readFields } from './schema-issues.ts'
import { resolveSecret, type SecretSource } from './secret.ts'

/** Reports every problem; what it gives is complete only when there was none. */
export function resolveListeners(context: ResolveContext, raw: readonly unknown[]): ListenConfig[] {
  const { document } = context
  const listeners: ListenConfig[] = []
  raw.forEach((entry, i) => {
    const path = ['listen', i]
    const fields = readFields(document, ListenerFile, typeof entry === 'string' ? { url: entry } : entry, path)
    if (fields?.url === undefined) return
    const { url, endpoint, tls } = fields.url
    const at = typeof entry === 'string' ? path : [...path, 'url']
    if (tls && fields.tls === undefined) {
      document.refuse(at, 'rediss:// needs a certificate: write { url: ..., tls: { cert: FILE, key: FILE } }')
    } else if (!tls && fields.tls !== undefined) {
      document.refuse([...path, 'tls'], 'only a rediss:// listener has TLS; write rediss:// or remove this', 'key')
    }
    if (fields.mode !== undefined && endpoint.kind !== 'unix') {
      document.refuse([...path, 'mode'], 'only a unix:// listener has a file; remove it', 'key')
    }
    const other = listeners.find((listener) => listenersConflict(listener.endpoint, endpoint))
    if (other !== undefined) document.refuse(at, `takes the same address as the listener ${other.url}; remove one`)
    const secured = tls && fields.tls !== undefined ? resolveListenTls(context, fields.tls, [...path, 'tls']) : null
    listeners.push({
      url,
      endpoint,
      tls: secured,
      connections: fields.connections ?? 'shared',
      mode: fields.mode ?? null,
    })
  })
  return listeners
}

/** null: no admin server. */
export function resolveAdmin(
  context: ResolveContext,
  raw: unknown,
  listeners: readonly ListenConfig[],
): AdminConfig | null {
  if (raw === 'off' || raw === false) return null
  const { document } = context
  const at = typeof raw === 'string' ? ['admin'] : ['admin', 'url']
  const fields = readFields(document, AdminFile, typeof raw === 'string' ? { url: raw } : raw, ['admin'])
  if (fields?.url === undefined) return null
  const { url, endpoint, tls } = fields.url
  if (endpoint.kind !== 'tcp') return null
  if (tls && fields.tls === undefined) {
    document.refuse(at, 'https:// needs a certificate: write { url: ..., tls: { cert: FILE, key: FILE } }')
  } else if (!tls && fields.tls !== undefined) {
    document.refuse(['admin', 'tls'], 'only an https:// address has TLS; write https:// or remove this', 'key')
  }
  const other = listeners.find((listener) => listenersConflict(listener.endpoint, endpoint))
  if (other !== undefined)
    document.refuse(at, `takes the same address as the listener ${other.url}; choose another port`)
  if (!isLoopback(endpoint.host) && fields.token === undefined) {
    const message = `${endpoint.host} can be reached from other machines, so a token is required: add token: { env: UNDERSTUDY_ADMIN_TOKEN }`
    document.refuse(at, message)
  }
  const token = fields.token === undefined ? null : readSecret(context, fields.token, ['admin', 'token'])
  const secured = tls && fields.tls !== undefined ? resolveListenTls(context, fields.tls, ['admin', 'tls']) : null
  return { url, host: endpoint.host, port: endpoint.port, token, tls: secured }
}

/** Stores whose description is broken are missing in the result. */
export function resolveStores(
  context: ResolveContext,
  raw: Readonly<Record<string, unknown>>,
  listeners: readonly ListenConfig[],
): Map<string, StoreConfig> {
  const stores = new Map<string, StoreConfig>()
  for (const [name, entry] of Object.entries(raw)) {
    const store = resolveStore(context, name, entry, listeners)
    if (store === null) continue
    for (const other of stores.values()) {
      if (store.dataDir !== null && store.dataDir === other.dataDir) {
        context.document.refuse(
          ['stores', name, 'dataDir'],
          `is also the directory of the store ${other.name}; each needs its own`,
        )
      }
    }
    stores.set(name, store)
  }
  return stores
}

function resolveStore(
  context: ResolveContext,
  name: string,
  raw: unknown,
  listeners: readonly ListenConfig[],
): StoreConfig | null {
  const { document } = context
  const path = ['stores', name]
  const fields = readFields(document, StoreFile, typeof raw === 'string' ? { url: raw } : raw, path)
  if (fields?.url === undefined) return null
  const parsed = fields.url
  const at = typeof raw === 'string' ? path : [...path, 'url']

  if (parsed.kind === 'cluster' && fields.database) {
    document.refuse([...path, 'database'], 'a cluster has no databases; remove it', 'key')
  }
  const own = listeners.find((listener) =>
    parsed.endpoints.some((endpoint) => reachesListener(endpoint, listener.endpoint)),
  )
  if (own !== undefined) document.refuse(at, `is Understudy's own listener ${own.url}; name the server behind it`)
  if (parsed.kind === 'managed') {
    for (const key of ['username', 'password', 'tls'] as const) {
      if (fields[key] !== undefined)
        document.refuse([...path, key], 'a managed: store does not have this; remove it', 'key')
    }
  } else if (fields.dataDir !== undefined) {
    document.refuse([...path, 'dataDir'], 'only a managed: store keeps its data here; remove it', 'key')
  }
  for (const key of ['username', 'password'] as const) {
    if (parsed[key] !== null && fields[key] !== undefined) {
      document.refuse(
        [...path, key],
        `stands here and in the URL; keep this one and take the ${key} out of the URL`,
        'key',
      )
    }
  }
  if (parsed.database !== null && fields.database !== undefined && parsed.database !== fields.database) {
    document.refuse(
      [...path, 'database'],
      `the URL says database ${parsed.database}, this says ${fields.database}; keep one`,
    )
  }
  if (parsed.password !== null && !document.isVariable(at)) warnAboutLiteral(document, at)

  if (parsed.kind !== 'sentinel' && fields.sentinel !== undefined) {
    document.refuse([...path, 'sentinel'], 'only a redis+sentinel:// URL has Sentinels; remove it', 'key')
  }

  const password =
    fields.password === undefined ? parsed.password : readSecret(context, fields.password, [...path, 'password'])
  const tls = resolveStoreTls(context, parsed.tls, fields.tls, [...path, 'tls'])
  return {
    name,
    url: parsed.url,
    kind: parsed.kind,
    endpoints: parsed.endpoints,
    sentinelName: parsed.sentinelName,
    sentinel: parsed.kind === 'sentinel' ? resolveSentinel(context, fields.sentinel, tls, [...path, 'sentinel']) : null,
    tls,
    username: fields.username ?? parsed.username,
    password,
    database: fields.database ?? parsed.database ?? 0,
    timeoutMs: fields.timeout ?? 0,
    connectTimeoutMs: fields.connectTimeout ?? 0,
    dataDir: fields.dataDir === undefined ? null : resolve(context.cwd, fields.dataDir),
  }
}

/** `storeTls`: what they have where nothing else is said. */
function resolveSentinel(
  context: ResolveContext,
  fields: SentinelFields | undefined,
  storeTls: TlsConfig | null,
  path: ConfigPath,
): SentinelAccess {
  const { username = null, password, tls } = fields ?? {}
  if (username !== null && password === undefined) {
    context.document.refuse([...path, 'username'], 'a user has a password: write it beside it', 'key')
  }
  return {
    username,
    password: password === undefined ? null : readSecret(context, password, [...path, 'password']),
    tls:
      tls === undefined
        ? storeTls
        : resolveStoreTls(context, tls !== false, tls === false ? undefined : tls, [...path, 'tls']),
  }
}

function readSecret(context: ResolveContext, source: SecretSource, path: ConfigPath): string | null {
  if (typeof source === 'string' && !context.document.isVariable(path)) warnAboutLiteral(context.document, path)
  try {
    return resolveSecret(source, context)
  } catch (error) {
    context.document.refuse(path, messageOf(error))
    return null
  }
}

function warnAboutLiteral(document: ConfigDocument, path: ConfigPath): void {
  document.warn(path, 'a secret stands in the file; better name { env: VARIABLE } or { file: PATH }')
}
