import { readdirSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestServer, type TestServer } from './test-server.ts'

const PAGE = new URL('../../src/dashboard/page/', import.meta.url)
const MAX_TOTAL_BYTES = 150_000

let server: TestServer

beforeAll(async () => {
  server = await startTestServer()
})
afterAll(() => server.close())

const get = (path: string, headers: Record<string, string> = {}) => fetch(server.url + path, { headers })

/** Every file that the page makes a browser load, by following what each names. */
async function loadedByThePage(): Promise<Map<string, string>> {
  const loaded = new Map<string, string>()
  const waiting = ['/']
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (loaded.has(path)) continue
    const response = await get(path)
    expect({ path, status: response.status }).toEqual({ path, status: 200 })
    const text = await response.text()
    loaded.set(path, text)
    const inPage = path === '/' ? [...text.matchAll(/(?:src|href)="([^"]+)"/g)] : []
    const imports = path.endsWith('.js')
      ? [...text.matchAll(/(?:from ?|^import )['"]([^'"]+)['"]/gm), ...text.matchAll(/src="(\/[^"$]+)"/g)]
      : []
    for (const [, name = ''] of [...inPage, ...imports]) {
      // Shapes, named in a comment.
      if (name.endsWith('/shapes.js')) continue
      const mapped = name.replace(/^lit-html$/, 'lit-html/lit-html.js').replace(/^lit-html\//, '/assets/lit-html/')
      waiting.push(new URL(mapped, new URL(path, 'http://page')).pathname)
    }
  }
  return loaded
}

describe('the dashboard', () => {
  test('is one page whose policy lets it load from its own server only, and run no script of its own text but the import map', async () => {
    const page = await get('/')
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(page.headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; script-src 'self' 'sha256-[\w+/]{43}='; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/,
    )
    expect(await page.text()).not.toMatch(/https?:\/\/|@import|<style| style=| on\w+=/)
  })

  test('loads what exists, all of it from here, and no more than 150 KB', async () => {
    const loaded = await loadedByThePage()
    const total = [...loaded.values()].reduce((sum, text) => sum + Buffer.byteLength(text), 0)
    expect([...loaded.keys()]).toEqual(expect.arrayContaining(['/assets/uplot.js', '/assets/lit-html/lit-html.js']))
    expect(total).toBeGreaterThan(50_000)
    expect(total).toBeLessThan(MAX_TOTAL_BYTES)
    const own = readdirSync(PAGE).filter((name) => name !== 'index.html')
    expect(own.filter((name) => !loaded.has(`/assets/${name}`))).toEqual([])
  })

  test('is asked for again each time, and not sent again when it has not changed', async () => {
    const first = await get('/assets/main.js')
    expect(first.headers.get('content-type')).toBe('text/javascript; charset=utf-8')
    expect(first.headers.get('cache-control')).toBe('no-cache')
    const again = await get('/assets/main.js', { 'if-none-match': first.headers.get('etag')! })
    expect({ status: again.status, body: await again.text() }).toEqual({ status: 304, body: '' })
  })

  test.each([
    'nothing.js',
    '../server.ts',
    '..%2Fserver.ts',
    '%2e%2e/%2e%2e/package.json',
    'lit-html/../../../package.json',
    '__proto__',
  ])('/assets/%s is not there', async (path) => {
    expect((await get(`/assets/${path}`)).status).toBe(404)
  })
})
