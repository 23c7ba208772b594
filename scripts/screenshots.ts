/**
 * Takes the pictures of the dashboard that the README shows, of a real migration under load:
 *
 *     node scripts/screenshots.ts
 *
 * Needs redis-server and Chromium in PATH, as `npm test` does.
 */
import { statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Redis } from 'ioredis'
import { openPage, startBrowser } from '../test/support/browser.ts'
import { startRedis } from '../test/support/redis.ts'
import { startUnderstudy } from '../test/support/understudy.ts'

const FOLDER = fileURLToPath(new URL('../docs/images/', import.meta.url))
/** Enough for the charts to have something to show. */
const LOAD_MS = 90_000
const SHAPES = [
  { name: 'dashboard-light', options: { colorScheme: 'light', viewport: { width: 1280, height: 1000 } } },
  { name: 'dashboard-dark', options: { colorScheme: 'dark', viewport: { width: 1280, height: 1000 } } },
  { name: 'dashboard-phone', options: { colorScheme: 'light', viewport: { width: 390, height: 844 }, isMobile: true } },
] as const

// Children do not keep the process alive; what is awaited here does.
const alive = setInterval(() => {}, 1000)
const [old, target, browser] = await Promise.all([startRedis(), startRedis(), startBrowser()])
const understudy = await startUnderstudy({
  stores: { old: { url: old.url }, new: { url: target.url } },
  routes: [
    {
      name: 'jobs',
      keys: ['job:{id}', 'worker:{id}:jobs'],
      source: { store: 'old' },
      target: { store: 'new', keys: { 'job:{id}': 'step:{id}', 'worker:{id}:jobs': 'worker:{id}:steps' } },
      phase: 'shadow',
      compare: { sample: '100%', reveal: 'values' },
    },
    { name: 'everything-else', keys: ['*'], source: { store: 'old' }, target: { store: 'new' }, phase: 'mirror' },
  ],
})
let loading = true
try {
  const load = application(understudy.client())
  // Somebody writes to the new store behind the proxy's back.
  const somebody = setInterval(() => void target.client().hset('step:17', 'state', 'lost'), 20_000)
  await change('everything-else', 'shadow')
  await new Promise((resolve) => setTimeout(resolve, LOAD_MS / 2))
  await change('everything-else', 'mirror')
  await change('jobs', 'read-target')
  await new Promise((resolve) => setTimeout(resolve, LOAD_MS / 2))
  for (const { name, options } of SHAPES) {
    const { page, close } = await openPage(browser, options)
    await page.goto(understudy.adminUrl)
    await page.locator('.connection.live').waitFor()
    await page.locator('[data-route=jobs] .gates').waitFor()
    await page.locator('[data-chart=requests] canvas').waitFor()
    await page.locator('[data-route=jobs] dd', { hasText: '/s' }).first().waitFor()
    await page
      .locator('[data-route=jobs] .gates summary')
      .click()
      .catch(() => {})
    const path = `${FOLDER}${name}.png`
    await page.screenshot({ path })
    await close()
    console.log(`${path}: ${Math.round(statSync(path).size / 1024)} kB`)
  }
  clearInterval(somebody)
  loading = false
  await load
} finally {
  loading = false
  await browser.close()
  await Promise.all([understudy.stop(), old.stop(), target.stop()])
  clearInterval(alive)
}

/** Jobs that are queued, done and counted: some hundred commands a second. */
async function application(client: Redis): Promise<void> {
  for (let n = 0; loading; n++) {
    const id = n % 200
    await Promise.all([
      client.hset(`job:${id}`, 'state', n % 3 === 0 ? 'done' : 'queued', 'attempt', n),
      client.hgetall(`job:${(id * 7) % 200}`),
      client.lpush(`worker:${id % 4}:jobs`, id),
      client.ltrim(`worker:${id % 4}:jobs`, 0, 50),
      client.incr('jobs-total'),
      client.get('jobs-total'),
    ])
    await new Promise((resolve) => setTimeout(resolve, 5 + 4 * Math.sin(n / 300)))
  }
}

async function change(route: string, phase: string): Promise<void> {
  await understudy.admin(`/api/v1/routes/${route}/phase`, {
    method: 'PUT',
    body: JSON.stringify({ phase, force: true, reason: 'pictures' }),
  })
}
