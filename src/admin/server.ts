import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { type FastifyInstance, type FastifyReply, fastify } from 'fastify'
import type { z } from 'zod'
import { UnderstudyError } from '../base/errors.ts'
import type { Log } from '../observability/log.ts'
import { errorFields } from '../observability/log-error.ts'
import { refuseForeign, refuseWithoutToken } from './access.ts'
import type { Control } from './control.ts'
import type { Answer, Endpoint } from './endpoint.ts'
import { ENDPOINTS } from './endpoints.ts'
import { EventStreams } from './event-streams.ts'
import { type ErrorAnswer, errorAnswer, refusal } from './http-errors.ts'

export interface AdminServerOptions {
  readonly control: Control
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  /** null: none is asked for. */
  readonly token: string | null
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

const COMMON_HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
}

/**
 * Opens the admin server.
 *
 * @throws UnderstudyError LISTEN_FAILED when the address cannot be had
 */
export async function startAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const host = options.host.replace(/^\[(.*)\]$/, '$1')
  const events = new EventStreams(options.control, options.statusIntervalMs ?? 1000)
  const server = buildServer({ ...options, host }, events)
  try {
    await server.listen({ host, port: options.port })
  } catch (error) {
    await server.close()
    throw listenFailed(host, options.port, error)
  }
  const { port } = server.server.address() as AddressInfo
  return {
    url: httpUrl(host, port),
    close: async () => {
      events.close()
      await server.close()
    },
  }
}

function buildServer({ control, host, token, log }: AdminServerOptions, events: EventStreams): FastifyInstance {
  const server = fastify({
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: 'idle',
    exposeHeadRoutes: false,
  })
  const page = statusPage()
  const open = new Set(ENDPOINTS.filter((endpoint) => endpoint.open).map((endpoint) => endpoint.path))

  server.addHook('onRequest', async (request, reply) => {
    reply.headers(COMMON_HEADERS)
    const refused =
      refuseForeign(request.method, request.headers, host) ??
      (token === null || open.has(request.routeOptions.url ?? '')
        ? null
        : refuseWithoutToken(request.headers.authorization, token))
    if (refused === null) return
    if (refused.status === 401) reply.header('www-authenticate', 'Bearer realm="understudy", Basic realm="understudy"')
    return sendError(reply, refusal(refused.status, refused.message))
  })
  server.setErrorHandler((error, _request, reply) => {
    const answer = errorAnswer(error)
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
        const answer = await endpoint.handle(control, {
          params: request.params as Record<string, string>,
          query: checked(endpoint, 'query', request.query),
          body: checked(endpoint, 'body', request.body),
        })
        return send(reply, answer, page, events)
      },
    })
  }
  return server
}

function send(reply: FastifyReply, answer: Answer, page: StatusPage, events: EventStreams): FastifyReply {
  switch (answer.kind) {
    case 'json':
      return reply.code(answer.status ?? 200).send(answer.body)
    case 'text':
      return reply.header('content-type', answer.contentType).send(answer.body)
    case 'page':
      return reply
        .header('content-type', 'text/html; charset=utf-8')
        .header('content-security-policy', page.policy)
        .send(page.html)
    case 'events':
      reply.hijack()
      events.open(reply.raw, COMMON_HEADERS)
      return reply
  }
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
  return new RegExp(`^${pattern.replace(/:\w+/g, '[^/]+')}$`).test(path)
}

interface StatusPage {
  readonly html: string
  readonly policy: string
}

/** The page is one file without anything from elsewhere: its own script and style are allowed by their digests, nothing else is. */
function statusPage(): StatusPage {
  const html = readFileSync(new URL('../dashboard/status.html', import.meta.url), 'utf8')
  const digest = (tag: string) => {
    const content = new RegExp(`<${tag}>(.*)</${tag}>`, 's').exec(html)?.[1] ?? ''
    return `'sha256-${createHash('sha256').update(content).digest('base64')}'`
  }
  const policy = `default-src 'none'; script-src ${digest('script')}; style-src ${digest('style')}; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`
  return { html, policy }
}

function httpUrl(host: string, port: number): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}

const LISTEN_REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the address is in use: stop what listens there, or change admin.url',
  EACCES: 'no permission for this port: use one above 1023, or change admin.url',
  EADDRNOTAVAIL: 'this machine has no such address: change admin.url',
  ENOTFOUND: 'the host name is not known: change admin.url',
}

function listenFailed(host: string, port: number, cause: unknown): UnderstudyError {
  const code = (cause as NodeJS.ErrnoException).code ?? ''
  const reason = LISTEN_REASONS[code] ?? `${code}: change admin.url`
  return new UnderstudyError('LISTEN_FAILED', `cannot listen for admin on ${httpUrl(host, port)}: ${reason}`, { cause })
}
