import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { isLoopback } from '../config/endpoint.ts'

/**
 * Who may ask the admin server. Three dangers are met here:
 *
 * - somebody on the network: the token, where one is set;
 * - a web page that the operator has open, sending requests to 127.0.0.1 (cross-site request forgery): a request that changes
 *   something must not come from another origin, and its body must be JSON, which no plain form can send;
 * - a web page whose own host name suddenly resolves to 127.0.0.1 (DNS rebinding), for which the browser sees no other origin: on a
 *   loopback address only loopback names are answered.
 */
export interface Refusal {
  readonly status: 400 | 401 | 403 | 415
  readonly message: string
}

/** A request of HTTP/1.1 has the header; one of 1.0 need not. Null: fine. */
export function refuseWithoutHost({ httpVersion, headers }: IncomingMessage): Refusal | null {
  if (headers.host !== undefined || httpVersion !== '1.1') return null
  return { status: 400, message: 'the Host header is missing' }
}

/**
 * Refuses what comes under a foreign name or from a foreign origin; null: fine.
 *
 * @param boundHost the address that the server listens on
 */
export function refuseForeign(method: string, headers: IncomingHttpHeaders, boundHost: string): Refusal | null {
  const host = headers.host
  if (host !== undefined && isLoopback(boundHost) && !isLoopbackName(host.replace(/:\d*$/, ''))) {
    return { status: 403, message: 'the Host header must be a loopback name (127.0.0.1, localhost), as the address is' }
  }
  if (method === 'GET' || method === 'HEAD') return null
  const { origin, 'sec-fetch-site': site } = headers
  if (site === 'cross-site' || (origin !== undefined && originHost(origin) !== host?.toLowerCase())) {
    return { status: 403, message: 'requests that change something are not taken from pages of another origin' }
  }
  const type = headers['content-type']
  if (type !== undefined && !/^application\/json\s*(;|$)/i.test(type)) {
    return { status: 415, message: 'the body must be JSON: send Content-Type: application/json' }
  }
  return null
}

/**
 * Refuses a request without the token; null: fine. `Authorization: Bearer TOKEN`, or Basic with the token as password
 * (any user name), for what can only do that.
 */
export function refuseWithoutToken(authorization: string | undefined, token: string): Refusal | null {
  const given = givenToken(authorization)
  if (given !== null && isToken(given, token)) return null
  return { status: 401, message: 'a token is required: Authorization: Bearer TOKEN (the value of admin.token)' }
}

/**
 * For requests that a cookie lets in: one that changes something must say that it comes from a script of the page. No form can send that header, and no other
 * site's script without our leave, which is never given. Null: fine.
 */
export function refuseForgedPage(method: string, headers: IncomingHttpHeaders): Refusal | null {
  if (method === 'GET' || method === 'HEAD' || headers['x-understudy-page'] === '1') return null
  return { status: 403, message: 'with the cookie of a login, a change needs the header x-understudy-page: 1' }
}

/** Compares in a time that depends neither on the length nor on how much is right. */
export function isToken(given: string | Uint8Array, token: string): boolean {
  const digest = (value: string | Uint8Array) => createHash('sha256').update(value).digest()
  return timingSafeEqual(digest(given), digest(token))
}

/** The token's bytes; Node gives a header's bytes as Latin-1. */
function givenToken(authorization = ''): Buffer | null {
  const [, scheme = '', credentials = ''] = /^(\S+) +(.+)$/.exec(authorization) ?? []
  if (scheme.toLowerCase() === 'bearer') return Buffer.from(credentials, 'latin1')
  if (scheme.toLowerCase() !== 'basic') return null
  const pair = Buffer.from(credentials, 'base64')
  const colon = pair.indexOf(':')
  return colon < 0 ? null : pair.subarray(colon + 1)
}

/** As a Host header has it: `[::1]`, and names under .localhost, which never leave the machine (RFC 6761). */
function isLoopbackName(name: string): boolean {
  return isLoopback(name.replace(/^\[(.*)\]$/, '$1')) || /\.localhost$/i.test(name)
}

function originHost(origin: string): string | null {
  return URL.canParse(origin) ? new URL(origin).host : null
}
