import { UnderstudyError } from '../base/errors.ts'
import type { Endpoint, StoreConfig } from './config.ts'
import { parseHostPort } from './endpoint.ts'
import { didYouMean } from './file/suggest.ts'

/** A store's URL, taken apart. `null`: the URL does not say. */
export interface StoreUrl {
  /** Without credentials. */
  readonly url: string
  readonly kind: StoreConfig['kind']
  readonly tls: boolean
  readonly endpoints: readonly Endpoint[]
  readonly sentinelName: string | null
  readonly username: string | null
  readonly password: string | null
  readonly database: number | null
}

/** A listener's or the admin server's URL, taken apart. */
export interface ListenUrl {
  readonly url: string
  readonly tls: boolean
  readonly endpoint: Endpoint
}

const STORE_SCHEMES = [
  'redis',
  'rediss',
  'unix',
  'redis+sentinel',
  'rediss+sentinel',
  'redis+cluster',
  'rediss+cluster',
  'managed',
]

/**
 *     redis://[user[:password]@]host[:6379][/database]      rediss:// the same with TLS
 *     unix:///path/to/socket[?db=database]
 *     redis+sentinel://[user[:password]@]h1[:26379],h2/name[/database]     rediss+sentinel:// the same with TLS
 *     redis+cluster://[user[:password]@]h1[:6379],h2                       rediss+cluster:// the same with TLS
 *     managed:                                              a redis-server that Understudy starts and supervises
 *
 * User and password are the store's (of a cluster: of every node), also where Sentinels are named, and percent-decoded. Throws UnderstudyError CONFIG_INVALID; the message never shows the credentials.
 */
export function parseStoreUrl(text: string): StoreUrl {
  if (text === 'managed:') {
    return { ...NOTHING, url: text, kind: 'managed', tls: false, endpoints: [] }
  }
  const { scheme, rest } = splitScheme(text, STORE_SCHEMES, 'redis://host:6379')
  if (scheme === 'managed')
    throw invalid('write "managed:" alone; a managed store takes its options from its other keys')
  if (scheme === 'unix') return parseUnixStore(rest)

  const { username, password, hosts, path } = splitAuthority(rest)
  const segments = path === '' ? [] : path.slice(1).split('/')
  const kind = scheme.endsWith('+sentinel') ? 'sentinel' : scheme.endsWith('+cluster') ? 'cluster' : 'single'
  const sentinelName = kind === 'sentinel' ? (segments.shift() ?? '') : null
  if (sentinelName === '') throw invalid('the name of the primary is missing; write redis+sentinel://host1,host2/name')
  if (kind === 'single' && hosts.includes(',')) {
    throw invalid('redis:// takes one host; for several write redis+sentinel://h1,h2/name or redis+cluster://h1,h2')
  }
  const databaseText = segments.shift()
  if (segments.length > 0) throw invalid('after the host stands at most a database number, as in redis://host:6379/0')
  if (kind === 'cluster' && databaseText) throw invalid('a cluster has no databases; leave the number away')
  const endpoints = hosts
    .split(',')
    .map((host): Endpoint => ({ kind: 'tcp', ...parseHostPort(host, kind === 'sentinel' ? 26_379 : 6379, 1) }))
  return {
    url: `${scheme}://${hosts}${path}`,
    kind,
    tls: scheme.startsWith('rediss'),
    endpoints,
    sentinelName,
    username,
    password,
    database: databaseText ? parseDatabase(databaseText) : null,
  }
}

/** `redis://host:port` | `rediss://host:port` | `unix:///path`. Port 0: any free one. Throws UnderstudyError CONFIG_INVALID. */
export function parseListenUrl(text: string): ListenUrl {
  const { scheme, rest } = splitScheme(text, ['redis', 'rediss', 'unix'], 'redis://127.0.0.1:6380')
  if (scheme === 'unix') return { url: text, tls: false, endpoint: { kind: 'unix', path: socketPath(rest) } }
  const address = listenAddress(rest, 6380)
  return { url: text, tls: scheme === 'rediss', endpoint: { kind: 'tcp', ...address } }
}

/** `http://host:port`. Throws UnderstudyError CONFIG_INVALID. */
export function parseAdminUrl(text: string): ListenUrl {
  const { scheme, rest } = splitScheme(text, ['http', 'https'], 'http://127.0.0.1:9380')
  return { url: text, tls: scheme === 'https', endpoint: { kind: 'tcp', ...listenAddress(rest, 9380) } }
}

const NOTHING = { sentinelName: null, username: null, password: null, database: null }

function parseUnixStore(rest: string): StoreUrl {
  const [path, query] = rest.split('?', 2) as [string, string?]
  const match = query === undefined ? null : /^db=(\d+)$/.exec(query)
  if (query !== undefined && match === null) throw invalid('behind the path of a unix:// store stands at most ?db=0')
  return {
    ...NOTHING,
    url: `unix://${rest}`,
    kind: 'single',
    tls: false,
    endpoints: [{ kind: 'unix', path: socketPath(path) }],
    database: match === null ? null : parseDatabase(match[1]!),
  }
}

function listenAddress(rest: string, defaultPort: number): { host: string; port: number } {
  if (rest.includes('@')) throw invalid('a listener has no user or password in its URL')
  return parseHostPort(rest.replace(/\/$/, ''), defaultPort, 0)
}

function splitScheme(text: string, schemes: readonly string[], example: string): { scheme: string; rest: string } {
  const match = /^([a-z][a-z0-9+.-]*):\/\/([\s\S]*)$/i.exec(text)
  const scheme = match?.[1]?.toLowerCase() ?? ''
  if (match === null || !schemes.includes(scheme)) {
    const shown = match === null ? 'this' : `"${scheme}://"`
    const close = match === null ? '' : didYouMean(scheme, schemes)
    throw invalid(`${shown} is not a URL understood here${close}; write it like ${example}`)
  }
  return { scheme, rest: match[2]! }
}

function splitAuthority(rest: string): {
  username: string | null
  password: string | null
  hosts: string
  path: string
} {
  const at = rest.lastIndexOf('@')
  const slash = rest.indexOf('/', at + 1)
  const hosts = slash < 0 ? rest.slice(at + 1) : rest.slice(at + 1, slash)
  const path = slash < 0 ? '' : rest.slice(slash)
  if (/[?#]/.test(hosts + path))
    throw invalid('a store URL has no "?" or "#"; percent-encode them in a password, and write options as keys')
  if (hosts === '') throw invalid('the host is missing; write it like redis://host:6379')
  if (at < 0) return { username: null, password: null, hosts, path }
  const credentials = rest.slice(0, at)
  const colon = credentials.indexOf(':')
  const username = decode(colon < 0 ? credentials : credentials.slice(0, colon))
  const password = colon < 0 ? '' : decode(credentials.slice(colon + 1))
  return { username: username === '' ? null : username, password: password === '' ? null : password, hosts, path }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid(
      'the user or the password has a "%" that is not followed by two hex digits; write %25 for a percent sign',
    )
  }
}

function socketPath(rest: string): string {
  if (!rest.startsWith('/') || rest === '/')
    throw invalid('a unix:// URL has three slashes and a path, as in unix:///run/redis.sock')
  if (Buffer.byteLength(rest) > MAX_SOCKET_PATH_BYTES)
    throw invalid(`the path of a socket has at most ${MAX_SOCKET_PATH_BYTES} bytes; choose a shorter one`)
  return rest
}

/** sun_path of unix(7) without its final zero: 107 on Linux, 103 on the BSDs and macOS. */
const MAX_SOCKET_PATH_BYTES = process.platform === 'linux' ? 107 : 103

function parseDatabase(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw invalid('the database is not a number; write it like redis://host:6379/0')
  return Number(text)
}

function invalid(message: string): UnderstudyError {
  return new UnderstudyError('CONFIG_INVALID', message)
}
