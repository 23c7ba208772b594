import { readFileSync } from 'node:fs'
import type { Browser, BrowserContextOptions, Locator, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { openPage, startBrowser } from '../support/browser.ts'
import { eventually } from '../support/eventually.ts'
import { over, startJob, steer } from '../support/jobs.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../support/understudy.ts'

let browser: Browser
let old: RedisServer
let next: RedisServer
let understudy: UnderstudyProcess
const opened: { close: () => Promise<void> }[] = []

beforeAll(async () => {
  ;[browser, old, next] = await Promise.all([startBrowser(), startRedis(), startRedis()])
  understudy = await startUnderstudy({
    stores: { old: { url: old.url }, new: { url: next.url } },
    routes: [
      {
        name: 'jobs',
        keys: ['job:{id}'],
        source: { store: 'old' },
        target: { store: 'new', keys: { 'job:{id}': 'step:{id}' } },
        phase: 'shadow',
        compare: { sample: '100%', reveal: 'values' },
      },
      { name: 'rest', keys: ['*'], source: { store: 'old' }, target: { store: 'new' }, phase: 'mirror' },
      { name: 'alone', keys: ['alone:*'], source: { store: 'old' }, target: { store: 'new' }, phase: 'passthrough' },
    ],
  })
})
afterAll(async () => {
  await browser?.close()
  await Promise.all([understudy?.stop(), old?.stop(), next?.stop()])
})
afterEach(async () => {
  for (const { close } of opened.splice(0)) await close()
})

/** The dashboard in a browser profile of its own, when it shows what it knows. */
async function dashboard(options: BrowserContextOptions = {}): Promise<{ page: Page; complaints: string[] }> {
  const tab = await openPage(browser, options)
  opened.push(tab)
  await tab.page.goto(understudy.adminUrl)
  await tab.page.locator('.connection.live').waitFor()
  await tab.page.locator('[data-route=jobs] .gates').waitFor()
  return tab
}

const route = (page: Page, name: string) => page.locator(`[data-route=${name}]`)

/** What it says, as a reader sees it: without the template's line breaks. */
async function textOf(locator: Locator): Promise<string> {
  return (await locator.textContent())!.replaceAll(/\s+/g, ' ').trim()
}

async function plantMismatch(): Promise<void> {
  const client = understudy.client()
  await client.set('job:17', 'queued')
  await eventually(async () => expect(await next.client().get('step:17')).toBe('queued'))
  await next.client().set('step:17', 'quartered')
  expect(await client.get('job:17')).toBe('queued')
}

describe('the dashboard', () => {
  test('shows every route at its phase with both its stores, and is told of changes without a reload', async () => {
    const { page, complaints } = await dashboard()
    await eventually(async () =>
      expect(await textOf(route(page, 'jobs').locator('[aria-current=step]'))).toBe('shadow'),
    )
    await eventually(async () =>
      expect(await textOf(route(page, 'rest').locator('[aria-current=step]'))).toBe('mirror'),
    )
    await eventually(async () =>
      expect(await textOf(route(page, 'jobs').locator('.ends'))).toMatch(/primary old.*shadow new/),
    )
    await eventually(async () => expect(await page.locator('#stores tbody tr').count()).toBe(2))
    const gates = route(page, 'jobs').locator('.gates')
    await eventually(async () =>
      expect(await textOf(gates.locator('summary'))).toContain('4 gates to read-target: all open'),
    )
    await eventually(async () =>
      expect(await textOf(gates.locator('.gate-list .good').first())).toContain("store 'new' holds everything"),
    )
    const client = understudy.client()
    await eventually(async () => {
      await client.set('counter', '1')
      const requests = route(page, 'rest').locator('.numbers dd').first()
      expect(await textOf(requests)).not.toMatch(/^(0\/s|–)$/)
    })
    expect(complaints).toEqual([])
  })

  test('a planted mismatch appears with both values side by side, and is acknowledged and taken back on the page', async () => {
    const { page, complaints } = await dashboard()
    await plantMismatch()
    const pattern = page.locator('.patterns li', { hasText: 'job:<n>' })
    await pattern.waitFor()
    await eventually(async () => expect(await textOf(page.locator('.verdict'))).toContain('not acknowledged'))
    await pattern.locator('summary').click()
    await eventually(async () =>
      expect(await pattern.locator('.diff pre').allInnerTexts()).toEqual([
        expect.stringContaining('queued'),
        expect.stringContaining('quartered'),
      ]),
    )
    await eventually(async () => expect(await pattern.locator('.diff mark').count()).toBeGreaterThan(0))

    await pattern.getByLabel('Known because').fill('a test wrote there')
    await pattern.getByRole('button', { name: 'Acknowledge' }).click()
    await pattern.getByText('acknowledged', { exact: true }).waitFor()
    const { body } = await understudy.admin<{ reason: string; pattern: string }[]>('/api/v1/acknowledgements')
    // It ends by itself unless somebody chooses otherwise.
    expect(body).toMatchObject([{ reason: 'a test wrote there', pattern: 'job:<n>', until: expect.any(String) }])
    await pattern.getByRole('button', { name: 'Take it back' }).click()
    await pattern.getByLabel('Known because').waitFor()
    expect((await understudy.admin('/api/v1/acknowledgements')).body).toEqual([])
    expect(complaints).toEqual([])
  })

  test('a phase is changed after a dry run and with a reason, and changed back', async () => {
    const { page, complaints } = await dashboard()
    await route(page, 'rest').getByRole('button', { name: 'Go on to shadow' }).click()
    const dialog = page.getByRole('dialog', { name: 'Move rest on to shadow' })
    await dialog.getByText('No read is sampled').waitFor()
    const change = dialog.getByRole('button', { name: 'Change to shadow' })
    await eventually(async () => expect(await change.isDisabled()).toBe(true))
    expect(readFileSync(understudy.configPath, 'utf8').match(/phase: shadow/g)).toHaveLength(1)
    await dialog.getByLabel('Reason').fill('everything is copied')
    await change.click()
    await route(page, 'rest').locator('[aria-current=step]', { hasText: 'shadow' }).waitFor()
    await eventually(async () =>
      expect(await page.getByRole('status').filter({ hasText: 'rest is in shadow now' }).count()).toBe(1),
    )
    expect(readFileSync(understudy.configPath, 'utf8').match(/phase: shadow/g)).toHaveLength(2)
    expect(understudy.stdout + understudy.stderr).toContain('everything is copied')

    await route(page, 'rest').getByRole('button', { name: 'Back to mirror' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Change to mirror' }).click()
    await route(page, 'rest').locator('[aria-current=step]', { hasText: 'mirror' }).waitFor()
    expect(complaints).toEqual([])
  })

  test('a closed gate is shown with its reason, and stays closed unless it is forced with a reason', async () => {
    const { page, complaints } = await dashboard()
    await route(page, 'alone').getByRole('button', { name: 'Go on to mirror' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('combobox').selectOption('switched')
    await dialog.locator('.gate-list .bad', { hasText: 'writes have not been mirrored' }).waitFor()
    await dialog.getByLabel('Reason').fill('because')
    const change = dialog.getByRole('button', { name: 'Change to switched' })
    await eventually(async () => expect(await change.isDisabled()).toBe(true))
    await dialog.getByLabel(/although gates are closed/).check()
    await eventually(async () => expect(await change.isDisabled()).toBe(false))
    await dialog.getByRole('button', { name: 'Cancel' }).click()
    await dialog.waitFor({ state: 'hidden' })
    await eventually(async () =>
      expect(await textOf(route(page, 'alone').locator('[aria-current=step]'))).toBe('passthrough'),
    )
    expect(complaints).toEqual([])
  })

  test("a backfill that is started on the page moves its bar, is paused and resumed, and opens the route's gate", async () => {
    const early = old.client()
    const pipeline = early.pipeline()
    for (let i = 0; i < 3000; i++) pipeline.set(`early:${i}`, 'there before')
    await pipeline.exec()
    const { page, complaints } = await dashboard()
    // So slow that it is far from done however long a click takes.
    const slow = await startJob(understudy, 'backfill', 'rest', { rate: 100 })
    const row = (id: number) => page.locator(`[data-job="${id}"]`)
    const bar = (id: number) =>
      row(id)
        .locator('progress')
        .evaluate((element) => (element as unknown as { value: number }).value)
    await eventually(async () => expect(await bar(slow.id)).toBeGreaterThan(0.02), { timeoutMs: 30_000 })
    await row(slow.id).getByRole('button', { name: 'pause' }).click()
    await row(slow.id).locator('.pill.paused').waitFor()
    const before = await bar(slow.id)
    expect(before).toBeLessThan(1)
    await row(slow.id).getByRole('button', { name: 'resume' }).click()
    await eventually(async () => expect(await bar(slow.id)).toBeGreaterThan(before), { timeoutMs: 30_000 })
    await steer(understudy, slow.id, 'cancel')
    await over(understudy, slow.id)
    const whole = await startJob(understudy, 'backfill', 'rest')
    await row(whole.id).locator('.pill.done').waitFor()
    await eventually(async () => expect(await bar(whole.id)).toBe(1))
    await expect(next.client().get('early:2999')).resolves.toBe('there before')
    expect(complaints).toEqual([])
  }, 180_000)

  test('works by keyboard: the step of a route, the dialog, and out of it with focus where it was', async () => {
    const { page } = await dashboard()
    await page.keyboard.press('Tab')
    await eventually(async () =>
      expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to the routes'),
    )
    const go = route(page, 'rest').getByRole('button', { name: 'Go on to shadow' })
    await go.focus()
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'hidden' })
    await eventually(async () =>
      expect(await page.evaluate('document.activeElement.textContent.trim()')).toMatch(/^Go on to shadow/),
    )
  })

  test('what happened before a restart is still drawn after it, and the page comes back by itself', async () => {
    const { page } = await dashboard()
    const points = async () => {
      const { body } = await understudy.admin<{ at: number[] }>('/api/v1/history?range=10m')
      return body.at
    }
    await eventually(async () => expect((await points()).length).toBeGreaterThan(0))
    const before = (await points()).at(-1)!
    await understudy.restart()
    expect(await points()).toContain(before)
    await page.locator('.connection.live').waitFor()
    await eventually(async () => expect(await page.locator('[data-chart=requests] canvas').count()).toBe(1))
  })
})

describe('what axe finds', () => {
  const shapes: [string, BrowserContextOptions][] = [
    ['in the light', { colorScheme: 'light' }],
    ['in the dark', { colorScheme: 'dark' }],
    ['on a phone', { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }],
  ]
  test.each(shapes)('nothing serious, %s', async (_shape, options) => {
    const { page, complaints } = await dashboard(options)
    await plantMismatch()
    await page.locator('.patterns summary').first().click()
    expect(await violations(page)).toEqual([])
    await route(page, 'jobs').getByRole('button', { name: 'Go on to read-target' }).click()
    await page.getByRole('dialog').getByText('What it means').waitFor()
    expect(await violations(page)).toEqual([])
    expect(await page.evaluate('document.documentElement.scrollWidth <= window.innerWidth')).toBe(true)
    expect(complaints).toEqual([])
  })
})

/** What axe-core calls serious or critical: rule and elements. */
async function violations(page: Page): Promise<string[]> {
  // Evaluated, not added as a script: the page's policy allows no script but its own.
  await page.evaluate(readFileSync(new URL(import.meta.resolve('axe-core')), 'utf8'))
  const found = (await page.evaluate('axe.run()')) as {
    violations: { id: string; impact: string | null; nodes: { target: string[] }[] }[]
  }
  return found.violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`)
}
