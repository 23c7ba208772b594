import { readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli } from '../cli/run-cli.ts'
import { TestAuthority, type TestCertificate } from '../support/certificates.ts'
import { eventually } from '../support/eventually.ts'
import { startTestServer, type TestServer } from './test-server.ts'

const TOKEN = 'a-very-secret-token'
let authority: TestAuthority
let first: TestCertificate
let server: TestServer

beforeAll(async () => {
  authority = await TestAuthority.create()
  first = await authority.issue('admin', ['localhost', 'first.localhost'])
  const more = await authority.issue('more', ['other.localhost'])
  const certificates = [first, more].map(({ cert, key }) => ({ certFile: cert, keyFile: key }))
  server = await startTestServer({
    token: TOKEN,
    tls: { certificates, caFile: null, clientCertificates: 'none' },
  })
})
afterAll(async () => {
  await server.close()
  authority.remove()
})

/** What is answered, and for which names the certificate shown is. A connection of its own each time. */
function ask(path: string, options: { name?: string; method?: string; body?: string } = {}) {
  const { port } = new URL(server.url)
  return new Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; shown: string }>((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port,
        path,
        method: options.method ?? 'GET',
        servername: options.name ?? 'localhost',
        headers: { authorization: `Bearer ${TOKEN}`, ...(options.body && { 'content-type': 'application/json' }) },
        ca: readFileSync(authority.caFile),
        agent: false,
      },
      (response) => {
        const shown = (response.socket as TLSSocket).getPeerCertificate().subjectaltname ?? ''
        response.resume()
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, shown }))
      },
    )
    sent.on('error', reject)
    sent.end(options.body)
  })
}

test('is served by https, with the certificate for the name that is asked for', async () => {
  expect(server.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/)
  expect(await ask('/api/v1/status')).toMatchObject({ status: 200, shown: expect.stringContaining('first.localhost') })
  expect((await ask('/healthz', { name: 'other.localhost' })).shown).toContain('other.localhost')
})

test('the cookie of a login is never sent without TLS', async () => {
  const { status, headers } = await ask('/api/v1/session', { method: 'POST', body: JSON.stringify({ token: TOKEN }) })
  expect(status).toBe(200)
  expect(headers['set-cookie']?.[0]).toMatch(/; Secure$/)
})

test('who speaks plain HTTP is not answered, and nothing ends', async () => {
  await expect(fetch(server.url.replace('https', 'http'))).rejects.toThrow('fetch failed')
  expect((await ask('/healthz')).status).toBe(200)
})

test('a renewed certificate counts without a restart; one that cannot be used does not', async () => {
  await authority.issue('admin', ['localhost', 'renewed.localhost'])
  await eventually(async () => expect((await ask('/healthz')).shown).toContain('renewed.localhost'))
  writeFileSync(first.cert, 'half writ')
  await eventually(async () => {
    expect((await ask('/healthz')).shown).toContain('renewed.localhost')
    expect(server.logged.map(({ msg }) => msg)).toContain(
      'the renewed certificate of admin cannot be used; the one before stays',
    )
  })
  await authority.issue('admin', ['localhost', 'again.localhost'])
  await eventually(async () => expect((await ask('/healthz')).shown).toContain('again.localhost'))
})

test("the command line says how to trust an authority of one's own, and does", async () => {
  const args = ['jobs', '--admin', server.url, '--token', TOKEN]
  const stranger = await runCli(args)
  expect(stranger.code).toBe(3)
  expect(stranger.stderr).toContain('NODE_EXTRA_CA_CERTS')
  expect(await runCli(args, { NODE_EXTRA_CA_CERTS: authority.caFile })).toMatchObject({ code: 0, stderr: '' })
})
