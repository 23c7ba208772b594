import { readFileSync } from 'node:fs'
import type { Browser, BrowserContextOptions, Locator } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Status } from '../../src/admin/status.ts'
import { UnderstudyError } from '../../src/base/errors.ts'
import { job, mismatch, routeStatus } from '../admin/fake-control.ts'
import { startTestServer, type TestServer } from '../admin/test-server.ts'
import { openPage, startBrowser } from '../support/browser.ts'
import { eventually } from '../support/eventually.ts'

/** The page in front of an inside whose answers the test sets. */
let browser: Browser
const opened: { close: () => Promise<void> }[] = []

beforeAll(async () => {
  browser = await startBrowser()
})
afterAll(() => browser?.close())
afterEach(async () => {
  for (const { close } of opened.splice(0)) await close()
})

async function open(server: TestServer, options: BrowserContextOptions = {}) {
  const tab = await openPage(browser, options)
  opened.push(tab, server)
  await tab.page.goto(server.url)
  return tab
}

/** What the page says now. Waited for: it draws what it has, and asks for the rest. */
async function problemsOf(verdict: Locator): Promise<string[]> {
  return (await verdict.locator('li').allTextContents()).map((text) => text.trim())
}

describe('jobs on the page', () => {
  test("a job's bar moves, and it is paused and resumed", async () => {
    const server = await startTestServer()
    const running = job({ state: 'running', startedAt: '2026-01-01T12:00:00.000Z', finishedAt: null, report: null })
    const at = (done: number) => ({ ...running, progress: { ...running.progress, done, total: 200, etaSeconds: 3 } })
    server.control.jobList = [at(20)]
    const { page } = await open(server)
    const row = page.locator(`[data-job="${running.id}"]`)
    const bar = () => row.locator('progress').evaluate((element) => (element as unknown as { value: number }).value)
    await row.waitFor()
    await eventually(async () => expect(await bar()).toBeCloseTo(0.1))
    await eventually(() => expect(server.control.listeners.size).toBe(1))
    server.control.emit({ type: 'job', data: at(150) })
    await eventually(async () => expect(await bar()).toBeCloseTo(0.75))

    await row.getByRole('button', { name: 'pause' }).click()
    await eventually(() => expect(server.control.asked).toContainEqual({ id: running.id, action: 'pause' }))
    // Not before: the page asks for the jobs on its own, too, and would offer nothing to pause.
    server.control.jobList = [{ ...at(150), state: 'paused' }]
    server.control.emit({ type: 'job', data: { ...at(150), state: 'paused' } })
    await row.getByRole('button', { name: 'resume' }).click()
    await eventually(() => expect(server.control.asked).toContainEqual({ id: running.id, action: 'resume' }))
  })

  test('a job is started for a route, and never one that deletes', async () => {
    const server = await startTestServer()
    server.control.jobList = []
    const { page } = await open(server)
    const form = page.locator('.start-job')
    await eventually(async () =>
      expect(await form.locator('[name=kind] option').allTextContents()).toEqual(['backfill', 'verify', 'repair']),
    )
    await form.getByLabel('dry run').check()
    await form.locator('[name=kind]').selectOption('verify')
    await form.getByRole('button', { name: 'Start' }).click()
    await eventually(() =>
      expect(server.control.asked).toContainEqual(
        expect.objectContaining({ kind: 'verify', route: 'jobs', options: {} }),
      ),
    )
  })
})

describe('what a job only would have done', () => {
  test('a dry run is told as one, and not as work that was done', async () => {
    const server = await startTestServer()
    const deleted = { ...job().progress, copied: 0, skipped: 0, failed: 0, deleted: 3 }
    server.control.jobList = [
      job({ id: 2, kind: 'cleanup', state: 'done', options: { dryRun: false }, progress: deleted }),
      job({ id: 1, kind: 'cleanup', state: 'done', options: {}, progress: deleted }),
    ]
    const { page } = await open(server)
    await page.locator('[data-job="1"]').getByText('#1, dry run').waitFor()
    expect(await page.locator('[data-job="1"]').textContent()).toContain('would be deleted 3')
    expect(await page.locator('[data-job="2"] h3').textContent()).toBe('cleanup of jobs #2')
    expect(await page.locator('[data-job="2"]').textContent()).not.toContain('would be')
  })
})

describe('mismatches that are mended', () => {
  test('are nothing to look at before the next step, and the empty list denies none', async () => {
    const server = await startTestServer()
    const status = server.control.status.bind(server.control)
    server.control.status = async () => {
      const now = await status()
      const jobs = now.routes['jobs']!
      const rates = { ...jobs.compare.rates, '10m': { compared: 200, mismatched: 5, rate: 0.025 } }
      return { ...now, routes: { ...now.routes, jobs: { ...jobs, compare: { ...jobs.compare, rates } } } }
    }
    server.control.found = [mismatch()]
    const { page } = await open(server)
    const caution = page.locator('[data-route=jobs] .caution', { hasText: 'compared reads differed' })
    await caution.waitFor()
    server.control.found = []
    await page.reload()
    await page.getByText('None is listed any more. Since the start 5 of 200 compared reads differed.').waitFor()
    expect(await caution.count()).toBe(0)
  })
})

describe('with a token', () => {
  const TOKEN = 'a-very-secret-token'

  test('the page asks for it, keeps it from scripts and addresses, and asks again when the login has ended', async () => {
    const server = await startTestServer({ token: TOKEN })
    const { page } = await open(server)
    const addresses: string[] = []
    page.on('request', (request) => addresses.push(request.url()))
    const field = page.getByLabel('Token')
    await field.fill('wrong')
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByRole('alert').filter({ hasText: 'this is not the token' }).waitFor()
    await field.fill(TOKEN)
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.locator('.connection.live').waitFor()
    expect(addresses.filter((url) => url.includes(TOKEN))).toEqual([])
    const kept = 'document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)'
    expect(await page.evaluate(kept)).toBe('{}{}')

    await page.reload()
    await page.locator('.connection.live').waitFor()
    await page.getByRole('button', { name: 'Reload the file' }).click()
    await eventually(() => expect(server.control.asked).toContain('reload'))
    await page.getByRole('button', { name: 'Log out' }).click()
    await field.waitFor()

    await field.fill(TOKEN)
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.locator('.connection.live').waitFor()
    await page.context().clearCookies()
    await page.getByRole('button', { name: 'Reload the file' }).click()
    await field.waitFor()
  })
})

describe('what the page shows of trouble', () => {
  test('a change of phase that fails is told, in the dialog or, when that was closed meanwhile, on the page', async () => {
    const server = await startTestServer()
    const { page } = await open(server)
    const begin = async () => {
      await page.getByRole('button', { name: 'Back to mirror' }).click()
      await page.getByRole('dialog').getByText('What it means').waitFor()
    }
    await begin()
    server.control.failure = new UnderstudyError('SWITCH_CALLED_OFF', 'the drain took too long')
    await page.getByRole('button', { name: 'Change to mirror' }).click()
    await page.getByRole('alert').filter({ hasText: 'the drain took too long' }).waitFor()
    await page.getByRole('button', { name: 'Cancel', exact: true }).click()

    server.control.failure = null
    await begin()
    await page.route('**/phase', async (change) => {
      await page.keyboard.press('Escape')
      server.control.failure = new UnderstudyError('SWITCH_CALLED_OFF', 'called off at last')
      await change.continue()
    })
    await page.getByRole('button', { name: 'Change to mirror' }).click()
    await page.getByRole('status').filter({ hasText: 'jobs to mirror: called off at last' }).waitFor()
  })

  test('a reload that a gate refuses can be forced, with a reason', async () => {
    const server = await startTestServer()
    const { page } = await open(server)
    const says: string[] = []
    page.once('dialog', (dialog) => {
      says.push(dialog.message())
      server.control.failure = null
      void dialog.accept(' the target is gone ')
    })
    await page.locator('.connection.live').waitFor()
    server.control.failure = new UnderstudyError('GATE_CLOSED', "store 'new' does not answer")
    await page.getByRole('button', { name: 'Reload the file' }).click()
    await page
      .getByRole('status')
      .filter({ hasText: /The file (is|says)/ })
      .waitFor()
    expect(says).toEqual([expect.stringContaining("store 'new' does not answer")])
    expect(server.control.asked).toContainEqual({ reload: { force: true, reason: 'the target is gone' } })
  })

  test('stores that are down, dirty keys and a failed reload stand at the top, the worst first', async () => {
    const server = await startTestServer()
    const { page } = await open(server)
    const verdict = page.locator('.verdict')
    await verdict.waitFor()
    await eventually(async () => expect(await verdict.getByRole('heading').textContent()).toBe('Something is wrong'))
    await eventually(async () =>
      expect(await problemsOf(verdict)).toEqual(
        expect.arrayContaining([
          'Store new (shadow) is down: connect refused. 3 writes and 4 dirty keys wait for it, nothing is lost',
          "jobs: keys may differ that nobody can name (overflow): run 'understudy verify jobs'",
        ]),
      ),
    )
    await eventually(async () =>
      expect(await verdict.locator('.application').textContent()).toBe(
        'The application is served, as far as can be seen from here.',
      ),
    )
    await eventually(() => expect(server.control.listeners.size).toBe(1))
    server.control.emit({ type: 'reload', data: { successful: false, error: 'line 3: unknown key' } })
    await page.getByRole('status').filter({ hasText: 'line 3: unknown key' }).waitFor()
  })

  test('what a primary left unanswered is over with the switch to another', async () => {
    const server = await startTestServer()
    const { page } = await open(server)
    await eventually(() => expect(server.control.listeners.size).toBe(1))
    const sample = { at: '2026-01-02T03:04:05.000Z', stepSeconds: 2, routes: { jobs: { timeouts: 20 } } }
    server.control.emit({ type: 'sample', data: sample })
    const said = page.getByText('jobs: 20/s commands without a reply from the primary')
    await said.waitFor()
    server.control.emit({ type: 'phase', data: await server.control.setPhase('jobs', { phase: 'switched' }) })
    await said.waitFor({ state: 'detached' })
  })

  test('a sidecar of an earlier version is shown, and its own page is asked for when it takes over', async () => {
    const server = await startTestServer()
    const answers = new URL('../cli/older-answers.json', import.meta.url)
    const older = JSON.parse(readFileSync(answers, 'utf8'))['/api/v1/status'] as Status
    server.control.status = async () => older
    const { page } = await open(server)
    const errors: string[] = []
    page.on('pageerror', (error) => errors.push(error.message))
    await page.locator('#stores tbody tr').nth(1).waitFor()
    await page.locator('[data-route="all"]').waitFor()
    await eventually(() => expect(server.control.listeners.size).toBe(1))
    const loaded = page.waitForEvent('load')
    const later = { ...older, version: '0.2.0' }
    server.control.status = async () => later
    server.control.emit({ type: 'status', data: later })
    await loaded
    await page.getByText('version 0.2.0').waitFor()
    expect(errors).toEqual([])
  })

  test('whether the application suffers is said first, and one cause of many routes is one line', async () => {
    const server = await startTestServer()
    const status = await server.control.status()
    const { jobs } = status.routes
    status.stores['new']!.up = true
    status.application = { served: false, reasons: ['the primary of jobs does not answer', 'that of rest is full'] }
    for (const name of ['a', 'b', 'c', 'd']) status.routes[name] = jobs!
    server.control.status = async () => status
    const { page } = await open(server)
    const verdict = page.locator('.verdict')
    await verdict.waitFor()
    await eventually(async () =>
      expect(await verdict.locator('.application').textContent()).toBe(
        'The application suffers: the primary of jobs does not answer; that of rest is full.',
      ),
    )
    await eventually(async () =>
      expect(await problemsOf(verdict)).toEqual(
        expect.arrayContaining([
          "jobs, a, b and 2 routes more: keys may differ that nobody can name (overflow): run 'understudy verify ROUTE'",
          'jobs, a, b and 2 routes more: 4 dirty keys to be copied (1 overlap, 3 shadow-down)',
        ]),
      ),
    )

    await eventually(() => expect(server.control.listeners.size).toBe(1))
    const { jobs: one, rest } = (await server.control.status()).routes
    server.control.emit({ type: 'status', data: { ...status, routes: { jobs: one!, rest: rest! } } })
    await eventually(async () =>
      expect(await problemsOf(verdict)).toContain(
        "jobs: keys may differ that nobody can name (overflow): run 'understudy verify jobs'",
      ),
    )
  })

  test('of functions that the shadow refuses it says what the gate says, and asks for no verify', async () => {
    const server = await startTestServer()
    const status = await server.control.status()
    const { problems: _, ...rest } = status.routes['rest']!
    const of = { needsVerify: true, verifyCauses: ['functions'], refusedLibraries: ['carts'], refusedBecause: 'NOPERM' }
    status.routes = { rest: routeStatus({ ...rest, shadow: 'new', mirror: { ...rest.mirror, ...of } }) }
    server.control.status = async () => status
    const { page } = await open(server)
    const problem = page.locator('.verdict li', { hasText: 'carts' })
    await problem.waitFor()
    expect(await problem.textContent()).toBe(
      "rest: 'new' refuses the primary's library of functions 'carts' (NOPERM): its user there may not use FUNCTION LIST, LOAD and DELETE: give it '+function'",
    )
    expect(await problem.locator('a').getAttribute('href')).toBe('#routes')
    expect(await page.locator('.verdict').textContent()).not.toContain('verify')
  })

  test('an application that suffers is enough for something to be wrong', async () => {
    const server = await startTestServer()
    const status = await server.control.status()
    status.stores['new']!.up = true
    status.routes = { rest: status.routes['rest']! }
    status.application = { served: false, reasons: ['the primary of every route is a replica'] }
    server.control.found = []
    server.control.status = async () => status
    const { page } = await open(server)
    await page.getByRole('heading', { name: 'Something is wrong' }).waitFor()
    await page.getByText('The application suffers: the primary of every route is a replica.').waitFor()
    await eventually(async () => expect(await page.title()).toBe('(!) Understudy'))
  })

  test('a step that a gate closes is no invitation, and beside one without gates stands what speaks against it', async () => {
    const server = await startTestServer()
    server.control.closedGates = ['4 keys are dirty']
    const { page } = await open(server)
    const step = page.locator('[data-route=jobs]')
    await step.locator('.gates summary', { hasText: '1 closed' }).waitFor()
    await eventually(async () =>
      expect(await step.getByRole('button', { name: 'Go on to read-target' }).getAttribute('class')).toBe(''),
    )
    server.control.closedGates = []
    await page.reload()
    await step.locator('.gates', { hasText: 'has no gate' }).waitFor()
    await eventually(async () =>
      expect(await step.getByRole('button', { name: 'Go on to read-target' }).getAttribute('class')).toBe('next'),
    )
    await eventually(async () =>
      expect(await step.locator('.caution').textContent()).toBe(
        '! the shadow new is down, the route needs a verify, 4 keys dirty: better wait until that is mended',
      ),
    )
  })

  test('lists that are cut say so, and a job that failed and was done again is no trouble any more', async () => {
    const server = await startTestServer()
    server.control.found = Array.from({ length: 200 }, (_, id) => mismatch({ id, pattern: `job:<n>:${id}` }))
    const failed = job({ id: 1, state: 'failed', error: 'the store went away' })
    const more = ['rest', 'other'].map((route, i) => job({ id: 3 + i, route, state: 'failed', error: 'no' }))
    server.control.jobList = [...more.reverse(), job({ id: 2 }), failed]
    const { page } = await open(server)
    await page.getByText('The latest 200; understudy mismatches lists all.').waitFor()
    const verdict = page.locator('.verdict')
    await verdict.getByText('and 1 more').click()
    await eventually(async () => {
      const problems = await problemsOf(verdict)
      expect(problems).toContainEqual(expect.stringMatching(/^at least 200 groups of mismatches/))
      expect(problems.filter((text) => text.includes('failed')).toSorted()).toEqual([
        'The backfill of other failed: no',
        'The backfill of rest failed: no',
      ])
    })
  })

  test('many routes can be searched, and long names fit on a phone', async () => {
    const server = await startTestServer()
    const status = await server.control.status()
    const { jobs } = status.routes
    const long = 'a-route-with-a-long-name-that-came-from-a-service-catalogue-0003'
    for (const name of ['b', 'c', 'd', 'e', 'f', 'g', 'h', long]) status.routes[name] = { ...jobs!, phase: 'mirror' }
    server.control.status = async () => status
    const known = await server.control.routes()
    const more = Object.keys(status.routes).map((name) => ({ ...known[0]!, name, keys: [`${name}:*`] }))
    server.control.routes = async () => more
    const { page } = await open(server, { viewport: { width: 390, height: 844 } })
    await page.locator(`[data-route="${long}"]`).waitFor()
    const overflow = () => page.evaluate('document.documentElement.scrollWidth - innerWidth')
    await eventually(async () => expect(await overflow()).toBe(0))
    await page.getByRole('searchbox').fill('CATALOGUE')
    await page.getByText('1 of 10').waitFor()
    await eventually(async () => expect(await page.locator('[data-route]').count()).toBe(1))
    await page.getByRole('searchbox').fill('shadow')
    await page.locator('[data-route=jobs]').waitFor()
    await eventually(async () => expect(await page.locator('[data-route]').count()).toBe(1))
  })

  test('text of the inside is text: a key that looks like markup runs nothing', async () => {
    const server = await startTestServer()
    const evil = '<img src=x onerror="window.broken=1">'
    server.control.found = [{ ...server.control.found[0]!, pattern: evil, key: evil, primary: evil, shadow: '<b>' }]
    const { page, complaints } = await open(server)
    const row = page.locator('.patterns li')
    await row.locator('summary').click()
    await eventually(async () => expect(await row.locator('.pattern').textContent()).toBe(evil))
    await eventually(async () => expect(await row.locator('img, b').count()).toBe(0))
    expect(await page.evaluate('window.broken')).toBeUndefined()
    expect(complaints).toEqual([])
  })

  test('a connection that is lost is said, and comes back by itself', async () => {
    const server = await startTestServer()
    const { page } = await open(server)
    await page.locator('.connection.live').waitFor()
    const port = Number(new URL(server.url).port)
    await server.close()
    await page.locator('.connection.lost').waitFor()
    // What was known before may have changed since.
    await page.getByText('Understudy does not answer: nothing is known of the application.').waitFor()
    expect(await page.locator('.verdict').textContent()).not.toMatch(/is served|suffers|Nothing is wrong/)
    const again = await startTestServer({ port })
    opened.push(again)
    await page.locator('.connection.live').waitFor()
  })
})
