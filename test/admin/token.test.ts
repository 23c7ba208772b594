import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ENDPOINTS } from '../../src/admin/endpoints.ts'
import { AdminClient } from '../../src/cli/admin-client.ts'
import { startTestServer, type TestServer } from './test-server.ts'

const TOKEN = 'a-very-secret-token'
let server: TestServer

beforeAll(async () => {
  server = await startTestServer({ token: TOKEN })
})
afterAll(() => server.close())

function ask(path: string, authorization?: string, method = 'GET') {
  return fetch(server.url + path, { method, headers: authorization === undefined ? {} : { authorization } })
}

const basic = (pair: string) => `Basic ${Buffer.from(pair).toString('base64')}`

test('a token may have spaces and letters of any script', async () => {
  const token = 'ein schlüssel'
  const other = await startTestServer({ token })
  expect(await new AdminClient(other.url, token).get('/api/v1/config')).toEqual({ admin: { token: '***' } })
  await expect(new AdminClient(other.url, 'ein schlussel').get('/api/v1/config')).rejects.toMatchObject({
    code: 'ADMIN_REFUSED',
  })
  await other.close()
})

describe('with a token set', () => {
  test.each(ENDPOINTS.map(({ method, path, open }) => [method, path, open === true] as const))(
    '%s %s without one',
    async (method, path, open) => {
      const response = await ask(path.replace(':name', 'jobs'), undefined, method)
      expect(response.status === 401).toBe(!open)
      if (!open) {
        expect(response.headers.get('www-authenticate')).toBe('Bearer realm="understudy"')
        expect(await response.json()).toMatchObject({ error: { code: 'ADMIN_REFUSED' } })
      }
      expect(server.control.asked).toEqual([])
    },
  )

  test('open are only the probes, the page itself, which holds nothing, and the login', () => {
    expect(ENDPOINTS.filter((endpoint) => endpoint.open).map(({ method, path }) => `${method} ${path}`)).toEqual([
      'GET /healthz',
      'GET /readyz',
      'GET /',
      'GET /assets/*',
      'POST /api/v1/session',
      'DELETE /api/v1/session',
    ])
  })

  test('paths that do not exist are not told apart without it', async () => {
    expect((await ask('/api/v1/nothing')).status).toBe(401)
  })

  test.each([`Bearer ${TOKEN}`, `bearer ${TOKEN}`, basic(`anyone:${TOKEN}`)])('%s is let in', async (authorization) => {
    expect((await ask('/api/v1/status', authorization)).status).toBe(200)
  })

  test.each([
    'Bearer',
    'Bearer ',
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(1)}`,
    TOKEN,
    `Token ${TOKEN}`,
    basic(TOKEN),
    basic(`${TOKEN}:`),
    'Basic ***',
  ])('%s is not let in', async (authorization) => {
    const response = await ask('/api/v1/status', authorization)
    expect(response.status).toBe(401)
    expect(await response.text()).not.toContain(TOKEN)
  })
})
