import { ApiError, ask } from './api.js'
import { PHASES } from './phases.js'
import { routesShown, state, update } from './state.js'

/** Gates are asked for the first of the shown routes only: the filter brings others among them. */
const MAX_WATCHED_ROUTES = 12
/** Groups of mismatches on the page, the latest; the command line lists all. */
export const MAX_PATTERNS = 200
/** Jobs on the page, the newest. */
export const MAX_JOBS = 20

/** Everything that events do not bring.  @returns {Promise<void>} */
export async function loadAll() {
  // Alone: it tells whether a login is needed, and one refusal is enough.
  const status = await ask('/api/v1/status')
  const [routes, config] = await Promise.all([ask('/api/v1/routes'), ask('/api/v1/config')])
  reloadForAnother(status)
  update({ status, routes, config })
  await Promise.all([loadMismatches(), loadJobs(), loadHistory(), loadNextSteps()])
}

/** Another version runs now: its page knows what it says, this one may not.  @param {import('../shapes.js').Status} status */
export function reloadForAnother({ version }) {
  if (state.status !== null && state.status.version !== version) location.reload()
}

export async function loadConfig() {
  const [routes, config] = await Promise.all([ask('/api/v1/routes'), ask('/api/v1/config')])
  update({ routes, config })
}

export async function loadMismatches() {
  update({ patterns: await ask(`/api/v1/mismatches?limit=${MAX_PATTERNS}`) })
}

export async function loadJobs() {
  update({ jobs: await ask(`/api/v1/jobs?limit=${MAX_JOBS}`) })
}

export async function loadHistory() {
  const query = new URLSearchParams({ range: state.chartRange })
  if (state.chartRoute !== '') query.set('route', state.chartRoute)
  try {
    update({ history: await ask(`/api/v1/history?${query}`) })
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== 'NOT_FOUND') throw error
    // The route that was chosen is gone.
    update({ chartRoute: '' })
  }
}

/** What the next phase of every route would mean, and whether its gates are open. */
export async function loadNextSteps() {
  const configured = new Set(state.routes.map(({ name }) => name))
  const names = routesShown().filter((name) => configured.has(name))
  await Promise.all(names.slice(0, MAX_WATCHED_ROUTES).map(loadNextStep))
}

/** @param {string} route */
async function loadNextStep(route) {
  const phase = state.status?.routes[route]?.phase
  const to = phase === undefined ? undefined : PHASES[PHASES.indexOf(phase) + 1]
  if (to === undefined) return
  /** @type {import('./state.js').NextStep} */
  let step
  try {
    const result = await ask(`/api/v1/routes/${encodeURIComponent(route)}/phase`, {
      method: 'PUT',
      body: { phase: to, dryRun: true },
    })
    step = { to, gates: result.gates, error: null }
  } catch (error) {
    step = { to, gates: [], error: error instanceof Error ? error.message : String(error) }
  }
  update({ nextSteps: { ...state.nextSteps, [route]: step } })
}
