import { request } from 'node:http'
import { createConnection } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Mismatch } from '../../src/admin/control.ts'
import { type ErrorBody, HTTP_STATUS } from '../../src/admin/http-errors.ts'
import { UnderstudyError } from '../../src/base/errors.ts'
import { FakeControl } from './fake-control.ts'
import { startTestServer, type TestServer } from './test-server.ts'

let server: TestServer

beforeAll(async () => {
  server = await startTestServer()
})
afterAll(() => server.close())
beforeEach(() => {
  server.control.asked.length = 0
  server.control.failure = null
  server.control.isStopping = false
  server.control.notReady = []
  server.control.closedGates = []
  server.logged.length = 0
})

/** What these tests look at in a JSON answer. */
type Body = Partial<ErrorBody> & { [name: string]: unknown }

interface RawResponse {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: string
}

/** A request with any headers, also those that fetch does not let one set (Host, Origin). */
function raw(method: string, path: string, headers: Record<string, string> = {}, body = ''): Promise<RawResponse> {
  const { promise, resolve, reject } = Promise.withResolvers<RawResponse>()
  const outgoing = request(server.url + path, { method, headers, agent: false }, (response) => {
    let text = ''
    response.setEncoding('utf8')
    response.on('data', (chunk) => (text += chunk))
    response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body: text }))
  })
  outgoing.on('error', reject)
  outgoing.end(body)
  return promise
}

async function get(path: string) {
  const response = await fetch(server.url + path)
  return { status: response.status, headers: response.headers, body: (await response.json()) as Body }
}

async function send(method: string, path: string, body?: unknown) {
  const response = await fetch(server.url + path, {
    method,
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
  return { status: response.status, body: (await response.json()) as Body }
}

describe('what the admin server tells', () => {
  test('GET /healthz says that the process lives, whatever the inside does', async () => {
    server.control.failure = new Error('broken')
    expect(await get('/healthz')).toMatchObject({ status: 200, body: { status: 'ok' } })
  })

  test('GET /readyz is 200 when every primary answers, and 503 with the reasons when one does not', async () => {
    expect(await get('/readyz')).toMatchObject({ status: 200, body: { ready: true, reasons: [] } })
    server.control.notReady = ['store old does not answer']
    expect(await get('/readyz')).toMatchObject({
      status: 503,
      body: { ready: false, reasons: ['store old does not answer'] },
    })
  })

  test('GET /metrics is what the inside gives, with its content type', async () => {
    const response = await fetch(`${server.url}/metrics`)
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(await response.text()).toBe('understudy_config_epoch 7\n')
  })

  test('GET /api/v1/status, /routes and /config give the shapes of the contract', async () => {
    expect((await get('/api/v1/status')).body).toEqual(await new FakeControl().status())
    expect((await get('/api/v1/routes')).body).toEqual(await new FakeControl().routes())
    expect((await get('/api/v1/config')).body).toEqual({ admin: { token: '***' } })
  })

  test('nothing may be cached or sniffed', async () => {
    const { headers } = await get('/api/v1/status')
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('x-content-type-options')).toBe('nosniff')
  })

  test('HEAD is answered where GET is', async () => {
    expect(await raw('HEAD', '/healthz')).toMatchObject({ status: 200, body: '' })
    expect((await raw('HEAD', '/api/v1/events')).status).toBe(405)
  })
})

describe('acknowledgements', () => {
  test('are made for a mismatch, or for what matches', async () => {
    expect(await send('POST', '/api/v1/acknowledgements', { mismatch: 7, reason: 'known' })).toMatchObject({
      status: 201,
      body: { id: 1, reason: 'known' },
    })
    await send('POST', '/api/v1/acknowledgements', {
      route: 'jobs',
      class: 'ttl',
      until: '2097-01-01T00:00:00Z',
      reason: 'x',
    })
    expect(server.control.asked).toEqual([
      { mismatch: 7, reason: 'known' },
      { route: 'jobs', class: 'ttl', until: Date.parse('2097-01-01T00:00:00Z'), reason: 'x' },
    ])
    expect((await get('/api/v1/acknowledgements')).body).toEqual([])
  })

  test('last to the end of a day, where that is what is given', async () => {
    await send('POST', '/api/v1/acknowledgements', { mismatch: 7, until: '2097-01-31', reason: 'x' })
    expect(server.control.asked).toEqual([{ mismatch: 7, until: Date.parse('2097-01-31T23:59:59.999Z'), reason: 'x' }])
    const answer = await send('POST', '/api/v1/acknowledgements', { mismatch: 7, until: '2097-02-31', reason: 'x' })
    expect(answer.body.error?.message).toContain('there is no 2097-02-31')
  })

  test('are taken back by their number', async () => {
    expect(await send('DELETE', '/api/v1/acknowledgements/3')).toMatchObject({ status: 200, body: { revoked: 3 } })
    expect(server.control.asked).toEqual([{ revoke: 3 }])
    expect((await send('DELETE', '/api/v1/acknowledgements/x')).status).toBe(404)
  })

  test.each([
    [{ mismatch: 7 }, /reason/],
    [{ mismatch: 7, reason: 'x', until: 'soon' }, /until/],
    [{ mismatch: 7, reason: 'x', other: 1 }, /unknown field/],
  ])('%j is refused', async (body, message) => {
    const answer = await send('POST', '/api/v1/acknowledgements', body)
    expect(answer.status).toBe(400)
    expect(answer.body.error?.message).toMatch(message)
  })
})

describe('mismatches', () => {
  test('are exported key by key, one object a line', async () => {
    const response = await fetch(`${server.url}/api/v1/mismatches/export?route=jobs`)
    expect(response.headers.get('content-type')).toContain('application/x-ndjson')
    const lines = (await response.text()).trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line).mismatch)).toEqual([2, 1])
    expect(server.control.asked).toEqual([{ route: 'jobs' }])
  })

  test('are asked for with route, class and limit; 100 if no limit is given', async () => {
    const { body } = await get('/api/v1/mismatches?route=jobs&class=ttl&limit=7')
    expect((body as unknown as Mismatch[]).map((found) => found.id)).toEqual([2, 1])
    await get('/api/v1/mismatches')
    expect(server.control.asked).toEqual([{ route: 'jobs', class: 'ttl', limit: 7 }, { limit: 100 }])
  })

  test.each([
    ['class=nonsense', /^query\.class: expected one of "missing"\|"extra"/],
    ['limit=0', /^query\.limit: .*>=1/],
    ['limit=many', /^query\.limit: expected number/],
    ['limit=100000', /^query\.limit: .*<=1000/],
    ['rout=jobs', /^query: unknown field: "rout"$/],
  ])('%s is refused with what is wrong with it', async (query, message) => {
    const { status, body } = await get(`/api/v1/mismatches?${query}`)
    expect(status).toBe(400)
    expect(body.error).toEqual({ code: 'USAGE', message: expect.stringMatching(message) })
    expect(server.control.asked).toEqual([])
  })
})

describe('the history', () => {
  test('is asked for with route, range and since; of all routes and ten minutes if nothing is said', async () => {
    expect((await get('/api/v1/history')).body).toMatchObject({ route: '', range: '10m', at: [1] })
    await get('/api/v1/history?route=jobs&range=24h&since=1700000000000')
    expect(server.control.asked).toEqual([{ range: '10m' }, { route: 'jobs', range: '24h', since: 1_700_000_000_000 }])
  })

  test.each(['range=1h', 'since=-1', 'since=yesterday', 'route='])('%s is refused', async (query) => {
    expect((await get(`/api/v1/history?${query}`)).status).toBe(400)
    expect(server.control.asked).toEqual([])
  })
})

describe('changing something', () => {
  test('PUT phase hands the request on and gives the result', async () => {
    const { status, body } = await send('PUT', '/api/v1/routes/jobs/phase', {
      phase: 'switched',
      force: true,
      reason: 'night',
    })
    expect(status).toBe(200)
    expect(body).toMatchObject({ route: 'jobs', from: 'shadow', to: 'switched', pauseMs: 4.2 })
    expect(server.control.asked).toEqual([{ route: 'jobs', phase: 'switched', force: true, reason: 'night' }])
  })

  test('a route name is decoded', async () => {
    await send('PUT', '/api/v1/routes/a%20b%2Fc/phase', { phase: 'mirror' })
    expect(server.control.asked).toEqual([{ route: 'a b/c', phase: 'mirror' }])
  })

  test.each([
    [{}, 'body.phase: expected one of'],
    [
      { phase: 'swtiched' },
      'body.phase: expected one of "passthrough"|"mirror"|"shadow"|"read-target"|"switched"|"done"',
    ],
    [{ phase: 'mirror', dryRun: 'yes' }, 'body.dryRun: expected boolean, received string'],
    [{ phase: 'mirror', dryrun: true }, 'body: unknown field: "dryrun"'],
    [{ phase: 'mirror', force: true }, 'body: force needs a reason'],
    [{ phase: 'mirror', force: true, reason: '  ' }, 'body.reason: '],
    [['mirror'], 'body: expected object, received array'],
  ])('PUT phase with %j is refused with what is wrong with it', async (sent, message) => {
    const { status, body } = await send('PUT', '/api/v1/routes/jobs/phase', sent)
    expect(status).toBe(400)
    expect(body.error).toEqual({ code: 'USAGE', message: expect.stringContaining(message) })
    expect(server.control.asked).toEqual([])
  })

  test('a body that is no JSON is refused', async () => {
    const broken = await raw('PUT', '/api/v1/routes/jobs/phase', { 'content-type': 'application/json' }, '{"phase":')
    expect(broken.status).toBe(400)
    expect(JSON.parse(broken.body).error.code).toBe('USAGE')
    const huge = await raw(
      'PUT',
      '/api/v1/routes/jobs/phase',
      { 'content-type': 'application/json' },
      `"${'x'.repeat(70_000)}"`,
    )
    expect(huge.status).toBe(413)
  })

  test('POST reload needs no body', async () => {
    expect(await send('POST', '/api/v1/config/reload')).toEqual({
      status: 200,
      body: expect.objectContaining({ configHash: 'c0ffee', epoch: 8, changed: true, dryRun: false }),
    })
  })
})

describe('errors', () => {
  test.each(Object.entries(HTTP_STATUS))(
    '%s is answered with status %i, its code and its text',
    async (code, status) => {
      server.control.failure = new UnderstudyError(code as keyof typeof HTTP_STATUS, 'what, where, what to do')
      expect(await send('POST', '/api/v1/config/reload')).toEqual({
        status,
        body: { error: { code, message: 'what, where, what to do' } },
      })
    },
  )

  test('a body that is announced as JSON and left out is no mistake', async () => {
    const json = { 'content-type': 'application/json' }
    expect((await raw('POST', '/api/v1/config/reload', json)).status).toBe(200)
    expect((await raw('POST', '/api/v1/config/reload', json, '{')).status).toBe(400)
  })

  test('POST reload may be tried, and forced with a reason', async () => {
    const answer = await send('GET', '/api/v1/config/changes')
    expect(answer.body).toMatchObject({ dryRun: true, moves: [expect.stringContaining("route 'all'")] })
    await send('POST', '/api/v1/config/reload', { force: true, reason: 'a cache' })
    expect(server.control.asked).toEqual([{ reload: { dryRun: true } }, { reload: { force: true, reason: 'a cache' } }])
    expect((await send('POST', '/api/v1/config/reload', { force: true })).status).toBe(400)
  })

  test('the problems of an invalid configuration are listed', async () => {
    const problems = [{ line: 3, column: 5, message: 'unknown key' }]
    server.control.failure = Object.assign(new UnderstudyError('CONFIG_INVALID', '1 problem'), { problems })
    expect((await send('POST', '/api/v1/config/reload')).body.error).toEqual({
      code: 'CONFIG_INVALID',
      message: '1 problem',
      problems,
    })
  })

  test('a defect is told without its text, and logged without it', async () => {
    server.control.failure = new TypeError('cannot read hunter2')
    const { status, body } = await get('/api/v1/status')
    expect(status).toBe(500)
    expect(body.error?.code).toBe('INTERNAL')
    expect(JSON.stringify([body, server.logged])).not.toContain('hunter2')
    expect(server.logged).toEqual([
      { level: 'error', msg: 'admin request failed', fields: { error: expect.stringMatching(/^TypeError at /) } },
    ])
  })

  const STOPPING = { code: 'STOPPING', message: 'Understudy is stopping: ask again when it has started' }

  test.each([
    ['PUT', '/api/v1/routes/jobs/phase', { phase: 'switched' }],
    ['POST', '/api/v1/config/reload', undefined],
    ['POST', '/api/v1/jobs', { kind: 'backfill', route: 'jobs' }],
    ['PATCH', '/api/v1/jobs/1', { action: 'resume' }],
    ['POST', '/api/v1/acknowledgements', { mismatch: 1, reason: 'known' }],
    ['DELETE', '/api/v1/acknowledgements/1', undefined],
  ])('while it stops, %s %s is refused and nothing is asked of the inside', async (method, path, body) => {
    server.control.isStopping = true
    expect(await send(method, path, body)).toEqual({ status: 503, body: { error: STOPPING } })
    expect(server.control.asked).toEqual([])
    expect(server.logged).toEqual([])
  })

  test('while it stops, reading goes on, and what the stop breaks off is no defect', async () => {
    server.control.isStopping = true
    expect((await get('/api/v1/status')).status).toBe(200)
    server.control.failure = new UnderstudyError('INTERNAL', 'the data path has stopped')
    expect(await get('/api/v1/status')).toMatchObject({ status: 503, body: { error: STOPPING } })
    expect(server.logged.map(({ level }) => level)).toEqual(['info'])
    server.control.failure = new UnderstudyError('NOT_FOUND', 'no such route')
    expect(await get('/api/v1/status')).toMatchObject({ status: 404, body: { error: { code: 'NOT_FOUND' } } })
  })

  test('an unknown path is 404, a wrong method 405 with the right one', async () => {
    expect(await get('/api/v1/nothing')).toMatchObject({ status: 404, body: { error: { code: 'NOT_FOUND' } } })
    const response = await raw('DELETE', '/api/v1/routes/jobs/phase')
    expect(response.status).toBe(405)
    expect(response.headers['allow']).toBe('PUT')
    expect(JSON.parse(response.body).error.message).toBe('/api/v1/routes/jobs/phase takes PUT, not DELETE')
  })
})

describe('what is no request', () => {
  test.each([
    ['a path that cannot be decoded', 'GET /% HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', 400, 'USAGE'],
    ['no Host header', 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n', 400, 'USAGE'],
    ['bytes that are not HTTP', '*1\r\n$4\r\nPING\r\n', 400, 'USAGE'],
    ['headers without an end', `GET / HTTP/1.1\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`, 431, 'ADMIN_REFUSED'],
  ])('%s is answered as every error is', async (_what, bytes, status, code) => {
    const socket = createConnection(Number(new URL(server.url).port), '127.0.0.1')
    socket.end(bytes)
    const [head = '', body = ''] = (await text(socket)).split('\r\n\r\n')
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(head).toContain('x-content-type-options: nosniff')
    expect((JSON.parse(body) as Body).error?.code).toBe(code)
  })
})

describe('requests from elsewhere', () => {
  const json = { 'content-type': 'application/json' }
  const phase = JSON.stringify({ phase: 'mirror' })

  test.each(['https://evil.example', 'null', 'http://127.0.0.1:1', 'http://localhost'])(
    'a change that comes from a page of %s is refused',
    async (origin) => {
      const response = await raw('PUT', '/api/v1/routes/jobs/phase', { ...json, origin }, phase)
      expect(response.status).toBe(403)
      expect(JSON.parse(response.body).error.code).toBe('ADMIN_REFUSED')
      expect((await raw('POST', '/api/v1/config/reload', { origin })).status).toBe(403)
      expect(server.control.asked).toEqual([])
    },
  )

  test('a change that the browser calls cross-site is refused', async () => {
    expect((await raw('POST', '/api/v1/config/reload', { 'sec-fetch-site': 'cross-site' })).status).toBe(403)
    expect(server.control.asked).toEqual([])
  })

  test("a change that comes from the server's own page is taken", async () => {
    expect((await raw('PUT', '/api/v1/routes/jobs/phase', { ...json, origin: server.url }, phase)).status).toBe(200)
  })

  test.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonp',
  ])('a change with the body type %s, which a form can send, is refused', async (type) => {
    expect((await raw('PUT', '/api/v1/routes/jobs/phase', { 'content-type': type }, phase)).status).toBe(415)
    expect((await raw('POST', '/api/v1/config/reload', { 'content-type': type }, 'a=b')).status).toBe(415)
    expect(server.control.asked).toEqual([])
  })

  test.each([
    'evil.example',
    'evil.example:9380',
    '127.0.0.1.evil.example',
    'localhost.evil.example:80',
    '[::2]',
    '10.0.0.1',
  ])('on a loopback address, a request for the host %s is refused (DNS rebinding)', async (host) => {
    const response = await raw('GET', '/api/v1/status', { host })
    expect(response.status).toBe(403)
    expect(response.body).not.toContain('routes')
  })

  test.each(['127.0.0.1', '127.0.0.2:1', 'localhost:9380', 'LOCALHOST', '[::1]:9380', 'sidecar.localhost'])(
    'on a loopback address, a request for the host %s is answered',
    async (host) => {
      expect((await raw('GET', '/api/v1/status', { host })).status).toBe(200)
    },
  )

  test('on another address any host name is answered', async () => {
    const everywhere = await startTestServer({ host: '0.0.0.0', token: 'secret-token' })
    const port = new URL(everywhere.url).port
    const response = await new Promise<number>((resolve, reject) => {
      const outgoing = request({
        port,
        host: '127.0.0.1',
        path: '/healthz',
        headers: { host: 'sidecar.internal' },
        agent: false,
      })
      outgoing.on('response', (incoming) => resolve(incoming.resume().statusCode!)).on('error', reject)
      outgoing.end()
    })
    expect(response).toBe(200)
    await everywhere.close()
  })
})

describe('the address', () => {
  test('one that is in use is a LISTEN_FAILED in one line that says what to do', async () => {
    const port = Number(new URL(server.url).port)
    await expect(startTestServer({ port })).rejects.toMatchObject({
      code: 'LISTEN_FAILED',
      message: `cannot listen for admin on http://127.0.0.1:${port}: the address is in use: stop what listens there, or change admin.url`,
    })
  })

  test('one that this machine does not have is a LISTEN_FAILED', async () => {
    await expect(startTestServer({ host: '192.0.2.1' })).rejects.toMatchObject({ code: 'LISTEN_FAILED' })
  })

  test('IPv6 is written in brackets', async () => {
    const six = await startTestServer({ host: '[::1]' })
    expect(six.url).toMatch(/^http:\/\/\[::1\]:\d+$/)
    expect((await fetch(`${six.url}/healthz`)).status).toBe(200)
    await six.close()
  })
})
