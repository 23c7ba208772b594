import { html, nothing, render } from 'lit-html'
import { ApiError, ask, onRefused } from './api.js'
import { addSample, chartsSection, drawCharts, redrawCharts } from './charts.js'
import { configurationSection } from './configuration.js'
import { count, counted, duration } from './format.js'
import { jobsSection } from './jobs.js'
import { listen } from './live.js'
import {
  loadAll,
  loadConfig,
  loadHistory,
  loadJobs,
  loadMismatches,
  loadNextSteps,
  MAX_JOBS,
  reloadForAnother,
} from './loading.js'
import { loginPage } from './login.js'
import { mismatchesSection } from './mismatches.js'
import { applicationState, findProblems } from './problems.js'
import { routesSection } from './routes.js'
import { notify, onChange, state, update } from './state.js'
import { storesSection } from './stores.js'
import { currentTheme, nextTheme } from './theme.js'

/** @import { Problem } from './problems.js' */

/** What is not told by events is asked for again at this pace, while somebody looks. */
const REFRESH_MS = 5_000
/** Whether a gate is open can take a store's answer: asked less often. */
const GATES_MS = 15_000
/** Samples of two seconds each. */
const RECENT = 15
/** Problems shown at once, so that the routes stay in sight: the first ones are to be mended first. */
const MAX_PROBLEMS = 5
/** Mismatches come by the hundred when something is wrong: the list is read again once for all of them. */
const GATHER_MS = 500

const app = /** @type {HTMLElement} */ (document.querySelector('#app'))

function draw() {
  if (state.connection === 'login') {
    render(
      loginPage(() => void begin()),
      app,
    )
    document.title = 'Understudy: log in'
    return
  }
  render(page(), app)
  drawCharts()
}

function page() {
  const { status, notice, noticeTone } = state
  const problems = findProblems(state)
  document.title = titleOf(problems)
  return html`<a class="skip" href="#routes">Skip to the routes</a>
    ${header()}
    <main>
      ${notice === null ? nothing : html`<p class="notice ${noticeTone}" role="status">${notice}<button type="button" class="close" aria-label="Dismiss" @click=${() => update({ notice: null })}>×</button></p>`}
      ${status === null ? html`<p class="quiet">Loading …</p>` : html`${verdict(problems)} ${routesSection(state)} ${chartsSection(state)} ${mismatchesSection(state)} ${jobsSection(state)} ${storesSection(state)} ${configurationSection(state)}`}
    </main>`
}

/** @param {Problem[]} problems */
function titleOf(problems) {
  if (state.connection !== 'live') return 'Understudy (not connected)'
  const isGood = problems.length === 0 && applicationState(state).level === 'good'
  return isGood ? 'Understudy' : `(${problems.length || '!'}) Understudy`
}

function header() {
  const { status, connection, config } = state
  const words = { connecting: 'connecting', live: 'live', lost: 'not connected: what is shown may be old', login: '' }
  return html`<header>
    <img src="/assets/icon.svg" alt="" width="32" height="32" />
    <h1>Understudy</h1>
    <span class="connection ${connection}" role="status">${words[connection]}</span>
    <span class="facts quiet">
      ${status === null ? nothing : html`${counted(status.clients.connected, 'client')} · up ${duration(status.uptimeSeconds)} · version ${status.version}`}
    </span>
    ${status === null ? nothing : sections()}
    <button type="button" @click=${switchTheme}>Theme: ${currentTheme()}</button>
    ${config?.admin?.token ? html`<button type="button" @click=${logOut}>Log out</button>` : nothing}
  </header>`
}

const SECTIONS = {
  routes: 'Routes',
  charts: 'Over time',
  mismatches: 'Mismatches',
  jobs: 'Jobs',
  stores: 'Stores',
  configuration: 'Configuration',
}

function sections() {
  return html`<nav aria-label="Sections">
    ${Object.entries(SECTIONS).map(([id, name]) => html`<a href=${`#${id}`}>${name}</a> `)}
  </nav>`
}

/** @param {Problem[]} problems */
function verdict(problems) {
  const application = applicationState(state)
  const tone = application.level === 'bad' ? 'bad' : (problems[0]?.level ?? application.level)
  const title = { good: 'Nothing is wrong', warn: 'Something needs a look', bad: 'Something is wrong' }[tone]
  return html`<section class="verdict ${tone}" aria-labelledby="verdict-title">
    <h2 id="verdict-title" aria-live="polite">${title}</h2>
    ${
      tone === 'good'
        ? html`<p>Every store answers, nothing waits to be repaired, no read differs.</p>`
        : html`<p class="application ${application.level}">${application.text}</p>
        ${problemList(problems.slice(0, MAX_PROBLEMS))}
        ${
          problems.length > MAX_PROBLEMS
            ? html`<details><summary>and ${count(problems.length - MAX_PROBLEMS)} more</summary>${problemList(problems.slice(MAX_PROBLEMS))}</details>`
            : nothing
        }`
    }
    ${nobodyYet()}
  </section>`
}

/** @param {Problem[]} problems */
function problemList(problems) {
  return html`<ul>
    ${problems.map(({ level, text, href }) => html`<li class=${level}><a href=${href}>${text}</a></li>`)}
  </ul>`
}

/** Where applications connect, while none has. */
function nobodyYet() {
  const { status, config } = state
  const url = config?.listen?.[0]?.url
  if (status?.clients.connected !== 0 || url === undefined) return nothing
  return html`<p>No client is connected. Applications connect with <code>REDIS_URL=${url}</code>.</p>`
}

function switchTheme() {
  nextTheme()
  update()
  redrawCharts()
}

async function logOut() {
  await ask('/api/v1/session', { method: 'DELETE' }).catch(() => {})
  location.reload()
}

/** Loads everything and begins to listen; asks for the token when one is needed. */
async function begin() {
  if (await loaded()) {
    listen({
      on: EVENTS,
      onState: (connection) => state.connection !== connection && update({ connection }),
      beforeReconnect: loaded,
    })
  }
}

/** False: a login is needed, and asked for. */
async function loaded() {
  try {
    await loadAll()
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      update({ connection: 'login' })
      return false
    }
    update({ connection: 'lost' })
  }
  if (state.connection === 'login') update({ connection: 'connecting' })
  return true
}

let gathering = false
function mismatchSeen() {
  if (gathering) return
  gathering = true
  setTimeout(() => {
    gathering = false
    void loadMismatches().catch(() => {})
  }, GATHER_MS)
}

/** @type {Record<string, (data: any) => void>} */
const EVENTS = {
  status: (status) => {
    reloadForAnother(status)
    update({ status })
  },
  sample: (sample) => {
    update({ sample, recent: [...state.recent, sample].slice(-RECENT) })
    addSample(sample)
  },
  mismatch: mismatchSeen,
  dropped: mismatchSeen,
  job: (job) => {
    update({
      jobs: [job, ...state.jobs.filter(({ id }) => id !== job.id)].sort((a, b) => b.id - a.id).slice(0, MAX_JOBS),
    })
    // What it has brought over may have opened a gate, or mended what was found.
    if (job.finishedAt !== null) void Promise.all([loadNextSteps(), loadMismatches()]).catch(() => {})
  },
  phase: () => {
    // Of the primary that was before.
    update({ recent: [] })
    void Promise.all([loadConfig(), loadNextSteps(), loadHistory()]).catch(() => {})
  },
  reload: ({ successful, error }) => {
    if (!successful) notify(`The reload failed: ${error ?? ''}`, 'bad')
    void loadConfig().catch(() => {})
  },
}

setInterval(() => {
  if (document.hidden || state.connection !== 'live') return
  void Promise.all([loadJobs(), state.chartRange === '10m' ? null : loadHistory()]).catch(() => {})
}, REFRESH_MS)
setInterval(() => {
  if (!document.hidden && state.connection === 'live') void loadNextSteps().catch(() => {})
}, GATES_MS)
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redrawCharts)
// The login has ended while the events still flow: the page begins anew, at the login.
onRefused(() => {
  if (state.connection === 'live') location.reload()
})
onChange(draw)
draw()
void begin()
