import { UnderstudyError } from '../base/errors.ts'
import type { Endpoint } from './config.ts'

/**
 * `host`, `host:port`, `[::1]:port`. Port 0 is for listeners: any free port. Throws UnderstudyError CONFIG_INVALID; the message does not
 * quote the text, which may be a password that lacks its "@".
 */
export function parseHostPort(text: string, defaultPort: number, lowestPort: 0 | 1): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|([A-Za-z0-9._-]+))(?::(\d{1,6}))?$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  if (match === null || host === undefined) {
    throw new UnderstudyError('CONFIG_INVALID', 'the host is not understood; write host:6379 or [::1]:6379')
  }
  const port = match[3] === undefined ? defaultPort : Number(match[3])
  if (port < lowestPort || port > 65_535) {
    throw new UnderstudyError('CONFIG_INVALID', `the port is not between ${lowestPort} and 65535`)
  }
  return { host, port }
}

/** The same text for two endpoints that are the same place; the names of the loopback interface count as one. */
export function endpointIdentity(endpoint: Endpoint): string {
  if (endpoint.kind === 'unix') return `unix:${endpoint.path}`
  return `tcp:${isLoopback(endpoint.host) ? 'loopback' : endpoint.host.toLowerCase()}:${endpoint.port}`
}

/** Whether only this machine can reach a server that listens on that host. */
export function isLoopback(host: string): boolean {
  return /^localhost\.?$/i.test(host) || /^127(\.\d{1,3}){3}$/.test(host) || host === '::1'
}

/** Whether two listeners cannot both be open. Port 0 never conflicts; 0.0.0.0 and :: take every address of their port. */
export function listenersConflict(a: Endpoint, b: Endpoint): boolean {
  if (a.kind === 'unix' || b.kind === 'unix') return endpointIdentity(a) === endpointIdentity(b)
  if (a.port === 0 || a.port !== b.port) return false
  if (isNumeric(a.host) && isNumeric(b.host) && a.host !== b.host) return isWildcard(a.host) || isWildcard(b.host)
  return isWildcard(a.host) || isWildcard(b.host) || endpointIdentity(a) === endpointIdentity(b)
}

/** Whether a connection to `store` would arrive at a listener on `listener`. */
export function reachesListener(store: Endpoint, listener: Endpoint): boolean {
  if (endpointIdentity(store) === endpointIdentity(listener)) return true
  if (store.kind === 'unix' || listener.kind === 'unix') return false
  return store.port === listener.port && isWildcard(listener.host) && isLoopback(store.host)
}

/** An address, and no name that may be one of several. */
function isNumeric(host: string): boolean {
  return host.includes(':') || /^\d+(\.\d+){3}$/.test(host)
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::' || host === '*'
}
