import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Sessions } from '../../src/admin/sessions.ts'
import { startTestServer, type TestServer } from './test-server.ts'

const TOKEN = 'a-very-secret-token'
const json = { 'content-type': 'application/json' }
let server: TestServer

beforeAll(async () => {
  server = await startTestServer({ token: TOKEN })
})
afterAll(() => server.close())

const login = (token: unknown, headers: Record<string, string> = {}) =>
  fetch(`${server.url}/api/v1/session`, {
    method: 'POST',
    headers: { ...json, ...headers },
    body: JSON.stringify({ token }),
  })

async function cookieOf(response: Response): Promise<string> {
  return response.headers.get('set-cookie')!.split(';')[0]!
}

describe('the login of a browser', () => {
  test('the token gives a cookie that scripts cannot read and other sites cannot send, and that does not hold the token', async () => {
    const response = await login(TOKEN)
    expect(response.status).toBe(200)
    expect(response.headers.get('set-cookie')).toMatch(
      /^understudy-[0-9a-f]{8}=\d+\.[0-9a-f]{64}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/,
    )
    expect(response.headers.get('set-cookie')).not.toContain(TOKEN)
  })

  test('with the cookie the API answers', async () => {
    const cookie = await cookieOf(await login(TOKEN))
    expect((await fetch(`${server.url}/api/v1/status`, { headers: { cookie } })).status).toBe(200)
    const among = `theme=dark; ${cookie}; other=1`
    expect((await fetch(`${server.url}/api/v1/status`, { headers: { cookie: among } })).status).toBe(200)
  })

  test.each(['', 'wrong', `${TOKEN}x`, TOKEN.toUpperCase(), 1, null])('%j is not the token', async (token) => {
    const response = await login(token)
    expect([400, 401]).toContain(response.status)
    expect(response.headers.get('set-cookie')).toBeNull()
  })

  test('a page of another origin cannot log in', async () => {
    expect((await login(TOKEN, { origin: 'https://evil.example' })).status).toBe(403)
  })

  test('with the cookie alone nothing is changed: it takes the header that only a script of the page can send', async () => {
    const cookie = await cookieOf(await login(TOKEN))
    const reload = (headers: Record<string, string>) =>
      fetch(`${server.url}/api/v1/config/reload`, { method: 'POST', headers: { cookie, ...headers } })
    expect((await reload({})).status).toBe(403)
    expect(server.control.asked).toEqual([])
    expect((await reload({ 'x-understudy-page': '1' })).status).toBe(200)
    expect(server.control.asked).toEqual(['reload'])
  })

  test('logging out removes the cookie', async () => {
    const response = await fetch(`${server.url}/api/v1/session`, { method: 'DELETE' })
    expect(response.headers.get('set-cookie')).toMatch(/^understudy-[0-9a-f]{8}=; Path=\/; Max-Age=0; /)
  })

  test('without a token in the configuration a login is no error and gives no cookie', async () => {
    const open = await startTestServer()
    const response = await fetch(`${open.url}/api/v1/session`, {
      method: 'POST',
      headers: json,
      body: '{"token":"any"}',
    })
    expect(response.status).toBe(200)
    expect(response.headers.get('set-cookie')).toBeNull()
    await open.close()
  })
})

describe('the cookie', () => {
  const pairOf = (sessions: Sessions): string => sessions.cookie().split(';')[0]!

  test('holds for twelve hours, also after a restart, and not a second longer', () => {
    let now = 1_000_000_000
    const cookie = pairOf(new Sessions(TOKEN, { now: () => now }))
    const restarted = new Sessions(TOKEN, { now: () => now })
    now += 12 * 3_600_000 - 1000
    expect(restarted.isLoggedIn(cookie)).toBe(true)
    now += 1000
    expect(restarted.isLoggedIn(cookie)).toBe(false)
  })

  test('means nothing under another token, whatever its name', () => {
    const cookie = pairOf(new Sessions(TOKEN))
    const other = new Sessions('another token')
    const name = pairOf(other).split('=')[0]!
    expect(other.isLoggedIn(cookie)).toBe(false)
    expect(other.isLoggedIn(`${name}=${cookie.split('=')[1]}`)).toBe(false)
  })

  test.each([
    (value: string) => value.replace(/=\d/, '=9'),
    (value: string) => value.replace(/.$/, (last) => (last === '0' ? '1' : '0')),
    (value: string) => value.slice(0, -1),
    (value: string) => value.replace(/\..*/, ''),
    (value: string) => value.replace(/=.*/, '='),
    (value: string) => value.split('=')[1]!,
    () => '',
  ])('changed in any way it is worth nothing (%#)', (change) => {
    const sessions = new Sessions(TOKEN)
    expect(sessions.isLoggedIn(pairOf(sessions))).toBe(true)
    expect(sessions.isLoggedIn(change(pairOf(sessions)))).toBe(false)
  })

  test('none at all is worth nothing', () => {
    expect(new Sessions(TOKEN).isLoggedIn(undefined)).toBe(false)
  })
})
