import { STATUS_CODES } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import type { z } from 'zod'
import { UnderstudyError } from '../base/errors.ts'
import { stopping } from '../base/stop-steps.ts'
import type { ListenTlsConfig } from '../config/config.ts'
import type { Log } from '../observability/log.ts'
import { errorFields } from '../observability/log-error.ts'
import {
  isToken,
  type Refusal,
  refuseForeign,
  refuseForgedPage,
  refuseWithoutHost,
  refuseWithoutToken,
} from './access.ts'
import { Assets } from './assets.ts'
import type { Control } from './control.ts'
import type { Endpoint } from './endpoint.ts'
import { ENDPOINTS } from './endpoints.ts'
import { EventStreams } from './event-streams.ts'
import { type ErrorAnswer, errorAnswer, refusal } from './http-errors.ts'
import { AdminCertificates } from './https.ts'
import { Sessions } from './sessions.ts'

export interface AdminServerOptions {
  readonly control: Control
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  /** null: none is asked for. */
  readonly token: string | null
  /** null: plain HTTP. */
  readonly tls: ListenTlsConfig | null
  readonly log: Log
  /** How often listeners of `/api/v1/events` get the status. Default: every second. */
  readonly statusIntervalMs?: number
}

export interface AdminServer {
  /** Where it listens, the real port in it. */
  readonly url: string
  /** Ends event streams, lets running requests finish, and closes. */
  close(): Promise<void>
}

const MAX_BODY_BYTES = 64 * 1024
/** A request must have arrived whole in this time; what it starts may take longer. */
const REQUEST_TIMEOUT_MS = 10_000

/** Beyond these a connection is closed at once: each takes a file, of which the clients of the data path need theirs. */
const MAX_CONNECTIONS = 1_000

/** Whoever leaves out the Host header is answered here, and not by Node, in whose answer there is nothing to read. */
const ANSWER = { requireHostHeader: false }

const COMMON_HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
}

/**
 * Opens the admin server.
 *
 * @throws UnderstudyError LISTEN_FAILED when the address cannot be had, or a certificate not be used
 */
export async function startAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const host = options.host.replace(/^\[(.*)\]$/, '$1')
  const events = new EventStreams(options.control, options.statusIntervalMs ?? 1000)
  const server = buildServer({ ...options, host }, events)
  try {
    await server.listen({ host, port: options.port })
  } catch (error) {
    await server.close()
    throw listenFailed(adminUrl(options, options.port), error)
  }
  const { port } = server.server.address() as AddressInfo
  return {
    url: adminUrl(options, port),
    close: async () => {
      events.close()
      await server.close()
    },
  }
}

function buildServer({ control, host, token, tls, log }: AdminServerOptions, events: EventStreams): FastifyInstance {
  const certificates = tls === null ? null : new AdminCertificates(tls, log)
  const server = fastify({
    ...(certificates === null ? { http: ANSWER } : { https: { ...certificates.options, ...ANSWER } }),
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: 'idle',
    exposeHeadRoutes: false,
    // A path that cannot be decoded comes to no route and no hook.
    frameworkErrors: (error, _request, reply) => sendError(reply.headers(COMMON_HEADERS), errorAnswer(error)),
    clientErrorHandler: answerBadBytes,
  }) as FastifyInstance
  certificates?.keepFresh(server.server as HttpsServer)
  server.server.maxConnections = MAX_CONNECTIONS
  // A client that names the type and sends nothing has left the body out.
  const parseJson = server.getDefaultJsonParser('error', 'error')
  server.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) =>
    body === '' ? done(null, undefined) : parseJson(request, body, done),
  )
  const assets = new Assets()
  const sessions = token === null ? null : new Sessions(token, { secure: tls !== null })
  const open = new Set(ENDPOINTS.filter((endpoint) => endpoint.open).map((endpoint) => endpoint.path))

  server.addHook('onRequest', async (request, reply) => {
    reply.headers(COMMON_HEADERS)
    const admit = (): Refusal | null => {
      if (token === null || open.has(request.routeOptions.url ?? '')) return null
      if (request.headers.authorization === undefined && sessions?.isLoggedIn(request.headers.cookie))
        return refuseForgedPage(request.method, request.headers)
      return refuseWithoutToken(request.headers.authorization, token)
    }
    const refused = refuseWithoutHost(request.raw) ?? refuseForeign(request.method, request.headers, host) ?? admit()
    if (refused === null) return
    // Not Basic, though it is taken: a browser would ask for it in a window of its own, over the page's own login.
    if (refused.status === 401) reply.header('www-authenticate', 'Bearer realm="understudy"')
    return sendError(reply, refusal(refused.status, refused.message))
  })
  // A connection whose answer goes out while the server closes would stay open, and keep the process.
  server.addHook('onSend', async (_request, reply) => {
    if (control.isStopping) reply.header('connection', 'close')
  })
  server.setErrorHandler((error, _request, reply) => {
    const answer = errorAnswer(error)
    if (answer.body.error.code === 'INTERNAL' && control.isStopping) {
      // What it needed has been stopped already.
      log.info('the stop ended an admin request', errorFields(error))
      return sendError(reply, errorAnswer(stopping()))
    }
    if (answer.body.error.code === 'INTERNAL') log.error('admin request failed', errorFields(error))
    return sendError(reply, answer)
  })
  server.setNotFoundHandler((request, reply) => {
    const path = request.url.replace(/\?.*/, '')
    const methods = ENDPOINTS.filter((endpoint) => matchesPath(endpoint.path, path)).map((endpoint) => endpoint.method)
    if (methods.length === 0)
      return sendError(reply, refusal(404, `there is no ${path} here; docs/reference/http.md lists what is`))
    reply.header('allow', methods.join(', '))
    return sendError(reply, refusal(405, `${path} takes ${methods.join(', ')}, not ${request.method}`))
  })
  for (const endpoint of ENDPOINTS) {
    server.route({
      method: endpoint.method,
      url: endpoint.path,
      exposeHeadRoute: endpoint.method === 'GET' && endpoint.path !== '/api/v1/events',
      handler: async (request, reply) => {
        if (control.isStopping && endpoint.method !== 'GET' && !endpoint.open) throw stopping()
        const answer = await endpoint.handle(control, {
          params: request.params as Record<string, string>,
          query: checked(endpoint, 'query', request.query),
          body: checked(endpoint, 'body', request.body),
        })
        switch (answer.kind) {
          case 'json':
            return reply.code(answer.status ?? 200).send(answer.body)
          case 'text':
            return reply.header('content-type', answer.contentType).send(answer.body)
          case 'page':
            return sendAsset(request, reply, assets, answer.name)
          case 'session':
            return sendSession(reply, sessions, answer.token, token)
          case 'events':
            reply.hijack()
            events.open(reply.raw, COMMON_HEADERS)
            return reply
        }
      },
    })
  }
  return server
}

/** What is no HTTP, or has no end, is answered in the form of every other error, and the connection is closed. */
function answerBadBytes(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const [status, reason] = BAD_BYTES[error.code ?? ''] ?? [400, 'this is no HTTP request']
  const body = JSON.stringify(refusal(status, reason).body)
  const headers = { ...COMMON_HEADERS, connection: 'close', 'content-type': 'application/json; charset=utf-8' }
  const lines = Object.entries({ ...headers, 'content-length': String(body.length) }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  )
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`)
}

const BAD_BYTES: Readonly<Record<string, readonly [status: number, reason: string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'the headers are too long'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'the request did not arrive whole in time'],
}

/** Kept by the browser, asked for again each time: a new version is seen at once, an old one costs a few bytes. */
function sendAsset(request: FastifyRequest, reply: FastifyReply, assets: Assets, name: string): FastifyReply {
  const asset = assets.get(name)
  if (asset === null) return sendError(reply, refusal(404, `there is no /assets/${name} here; the dashboard is at /`))
  reply.headers({ 'cache-control': 'no-cache', etag: asset.etag, 'content-security-policy': assets.policy })
  if (request.headers['if-none-match'] === asset.etag) return reply.code(304).send()
  return reply.header('content-type', asset.contentType).send(asset.body)
}

function sendSession(
  reply: FastifyReply,
  sessions: Sessions | null,
  given: string | null,
  token: string | null,
): FastifyReply {
  if (sessions === null || token === null) return reply.send({ loggedIn: given !== null })
  if (given === null) return reply.header('set-cookie', sessions.endingCookie()).send({ loggedIn: false })
  if (!isToken(given, token))
    return sendError(reply, refusal(401, 'this is not the token: it is the value of admin.token'))
  return reply.header('set-cookie', sessions.cookie()).send({ loggedIn: true })
}

function sendError(reply: FastifyReply, { status, body }: ErrorAnswer): FastifyReply {
  return reply.code(status).send(body)
}

/** The part of a request after its schema; a part that an endpoint has no schema for is not looked at. */
function checked(endpoint: Endpoint, part: 'query' | 'body', value: unknown): unknown {
  const result = endpoint[part]?.safeParse(value ?? {})
  if (result === undefined) return undefined
  if (result.success) return result.data
  throw new UnderstudyError('USAGE', result.error.issues.map((issue) => describeIssue(part, issue)).join('; '))
}

function describeIssue(part: string, issue: z.core.$ZodIssue): string {
  const where = [part, ...issue.path.map(String)].join('.')
  return `${where}: ${issue.message.replace(/^Invalid (input|option): /, '').replace(/^Unrecognized key/, 'unknown field')}`
}

function matchesPath(pattern: string, path: string): boolean {
  return new RegExp(`^${pattern.replace(/:\w+/g, '[^/]+').replace('*', '.+')}$`).test(path)
}

function adminUrl({ host, tls }: Pick<AdminServerOptions, 'host' | 'tls'>, port: number): string {
  const name = host.replace(/^\[(.*)\]$/, '$1')
  return `${tls === null ? 'http' : 'https'}://${name.includes(':') ? `[${name}]` : name}:${port}`
}

const LISTEN_REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the address is in use: stop what listens there, or change admin.url',
  EACCES: 'no permission for this port: use one above 1023, or change admin.url',
  EADDRNOTAVAIL: 'this machine has no such address: change admin.url',
  ENOTFOUND: 'the host name is not known: change admin.url',
}

function listenFailed(url: string, cause: unknown): UnderstudyError {
  const code = (cause as NodeJS.ErrnoException).code ?? ''
  const reason = LISTEN_REASONS[code] ?? `${code}: change admin.url`
  return new UnderstudyError('LISTEN_FAILED', `cannot listen for admin on ${url}: ${reason}`, { cause })
}
