import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { findProgram } from '../../src/base/find-program.ts'

const PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome']

/** The system's Chromium, without a window. Throws one sentence where there is none. */
export async function startBrowser(): Promise<Browser> {
  const executablePath = PROGRAMS.map((program) => findProgram(program)).find((path) => path !== null)
  if (executablePath === undefined)
    throw new Error(
      "Chromium is needed to test the dashboard and is not in PATH: run `apt-get install chromium` (or your system's package) and try again.",
    )
  // Containers have no user namespaces for the sandbox; what is shown is our own page from loopback.
  const launch = () => chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] })
  // It happens that it does not come up on a busy machine.
  return launch().catch(launch)
}

/** A page of its own (cookies, storage) and everything that it complained about. */
export async function openPage(
  browser: Browser,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; complaints: string[]; close: () => Promise<void> }> {
  const context = await browser.newContext({ reducedMotion: 'reduce', ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(45_000)
  const complaints: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('requestfailed', (request) => complaints.push(`${request.url()}: ${request.failure()?.errorText}`))
  return { page, complaints, close: () => context.close() }
}
